"""The light of a frame: one map of all levels, where one explains what changed."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Frames whose median difference to the background is smaller need no other light, in levels.
UNSUSPICIOUS = 6.0
# A map is taken if it leaves at most this share of the median difference, ...
EXPLAINED = 0.5
# ... and if the levels of most pixels follow the background's: a wall of one colour before the
# camera is explained by a gain of zero, and is no light.
MIN_FIT = 0.8
GAINS = (0.1, 10.0)
N_STEPS = 8
# Variance of a channel, in squared levels, below which its gain leans on the others'.
FLAT = 4.0
# Pixels that a map is fitted to: the best so many, ...
KEPT = 0.6
# ... of every so many.
STRIDE = 7
# A gain that changes by this factor from one frame to the next is a sudden change.
SUDDEN = 1.15


@dataclass(frozen=True)
class Light:
    """Map of levels from the model's light to the light of a frame, for each channel.

    .. math:: x = g b + o
    """

    gain: Tensor
    offset: Tensor

    def undone(self, x: Tensor) -> Tensor:
        """Return a frame, shape (3, h, w), as it would look in the light of the model."""
        if self is UNCHANGED:
            return x
        return (x - self.offset[:, None, None]) / self.gain[:, None, None]

    def differs(self, other: "Light") -> bool:
        """Whether a grey of 100 levels looks different by the factor of a sudden change."""
        mine, others = (100 * light.gain + light.offset for light in (self, other))
        ratio = (mine.mean() / others.mean().clamp(min=1.0)).clamp(min=1e-3)
        return bool(ratio > SUDDEN or ratio < 1 / SUDDEN)


UNCHANGED = Light(torch.ones(3), torch.zeros(3))


def find_light(x: Tensor, background: Tensor) -> Light:
    """Return the light of a frame: unchanged, unless another explains most of the differences.

    Least squares for each channel, with the worst pixels left out.

    Parameters
    ----------
    x, background : Tensor, shape (3, height, width)
    """
    b, y = background.flatten(1)[:, ::STRIDE], x.flatten(1)[:, ::STRIDE]
    before = (y - b).abs().amax(0).median()
    if before < UNSUSPICIOUS:
        return UNCHANGED
    light, after, fit = _fit(b, y)
    inside = GAINS[0] < light.gain.min() and light.gain.max() < GAINS[1]
    accepted = after < EXPLAINED * before and fit > MIN_FIT and inside
    return light if accepted else UNCHANGED


def _fit(b: Tensor, y: Tensor) -> tuple[Light, float, float]:
    """Return a map, the median difference that it leaves, and its share of explained variance."""
    n_kept = min(b.shape[1], max(3, int(KEPT * b.shape[1])))
    kept = torch.arange(b.shape[1])
    for _ in range(N_STEPS):
        part_b, part_y = b[:, kept], y[:, kept]
        mean_b, mean_y = part_b.mean(1, keepdim=True), part_y.mean(1, keepdim=True)
        spread = (part_b - mean_b).square().sum(1)
        joint = ((part_b - mean_b) * (part_y - mean_y)).sum(1)
        # A channel without contrast takes the gain of the others.
        common = joint.sum() / (spread.sum() + 1.0)
        gain = (joint + FLAT * n_kept * common) / (spread + FLAT * n_kept)
        offset = (mean_y[:, 0] - gain * mean_b[:, 0]).contiguous()
        residual = (y - gain[:, None] * b - offset[:, None]).abs().amax(0)
        kept = (residual <= residual.kthvalue(n_kept).values).nonzero()[:, 0]
    unexplained = (y - gain[:, None] * b - offset[:, None])[:, kept].square().sum()
    total = (y[:, kept] - y[:, kept].mean(1, keepdim=True)).square().sum().clamp(min=1.0)
    return Light(gain, offset), float(residual.median()), float(1 - unexplained / total)
