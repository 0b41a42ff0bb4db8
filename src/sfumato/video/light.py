"""Sudden changes of the light: one map of all levels explains what changed."""

from dataclasses import dataclass

import torch
from torch import Tensor

# So much of the image must change at once before the light is suspected.
SUSPICIOUS = 0.3
# The change is the light's if one map of the levels leaves at most this share of it.
EXPLAINED = 0.5
N_STEPS = 10
# Every so many pixels are enough to find the map.
STRIDE = 7


@dataclass(frozen=True)
class Light:
    r"""Map of levels from the light of the model to the light of now, for each channel.

    .. math:: x = g\, b + o
    """

    gain: Tensor
    offset: Tensor

    @classmethod
    def unchanged(cls) -> "Light":
        """Return the light of the model."""
        return cls(torch.ones(3, 1, 1), torch.zeros(3, 1, 1))

    def undone(self, x: Tensor) -> Tensor:
        """Return a frame, shape (3, h, w), as it would look in the light of the model."""
        return (x - self.offset) / self.gain


def find_light(x: Tensor, background: Tensor) -> Light:
    """Return the map that most of the image agrees on: least squares with the worst half left out.

    Parameters
    ----------
    x, background : Tensor, shape (3, height, width)
    """
    b, y = background.flatten(1)[:, ::STRIDE], x.flatten(1)[:, ::STRIDE]
    weight = torch.ones_like(b)
    gain, offset = torch.ones(3), torch.zeros(3)
    for _ in range(N_STEPS):
        total = weight.sum(1).clamp(min=1)
        mean_b, mean_y = (weight * b).sum(1) / total, (weight * y).sum(1) / total
        spread = (weight * (b - mean_b[:, None]) ** 2).sum(1) + total
        joint = (weight * (b - mean_b[:, None]) * (y - mean_y[:, None])).sum(1) + total
        gain = (joint / spread).clamp(0.05, 20)
        offset = mean_y - gain * mean_b
        residual = (y - gain[:, None] * b - offset[:, None]).abs().amax(0)
        weight = (residual <= residual.median()).float().expand_as(b)
    return Light(gain[:, None, None], offset[:, None, None])
