r"""Which colour of a pixel is the background: few candidates for each pixel, coupled in space.

A pixel's colours over time fall into a few modes. The background's mode is shown steadily, and is
shown when the pixels around show theirs. With :math:`\beta_{pk}` the probability that mode k of
pixel p is its background and :math:`[x_{tp} \in k]` whether frame t shows it,

.. math:: r_{tp} &= \sum_k \beta_{pk} [x_{tp} \in k] \\
          \beta_{pk} &\propto \Big(\sum_t [x_{tp} \in k]\, s_{tp}\,
              e^{\lambda ((W r_t)_p - 1)}\Big)^\gamma

where s is the stability of the pixel in that frame. W looks far at first and near in the end, and
:math:`\gamma` rises, so that what is certain (the rim that leaves never reach) decides about what
is not (the part that they mostly cover).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.coupling import local_mean

N_MODES = 6
# Colours within so many levels, in every channel, are one mode.
MODE_WIDTH = 10.0
# Usual differences to the frames a moment before and after, in levels: noise, no movement.
STILL = (1.5, 3.0)
UNSTABLE_WEIGHT = 0.05
# lambda; and the last of gamma.
STRENGTH = 5.0
SHARPEST = 8.0
N_SWEEPS = 12
# Radius of W in the sweeps, as a share of the image's height.
RADII = (0.2, 0.14, 0.07, 0.035, 0.014)
_NOWHERE = -1e4


@dataclass(frozen=True)
class Candidates:
    """Modes of every pixel.

    Attributes
    ----------
    colours : Tensor, shape (K, 3, height, width)
    shown : uint8 Tensor, shape (n, height, width)
        Mode that each frame shows; K for none.
    """

    colours: Tensor
    shown: Tensor

    def __len__(self) -> int:
        return len(self.colours)

    def total(self, weight: Tensor) -> Tensor:
        """Sum the weights (n, height, width) over the frames that show a mode: (K, h, w)."""
        sums = torch.zeros(len(self) + 1, *self.shown.shape[1:])
        for shown, w in zip(self.shown, weight, strict=True):
            sums.scatter_add_(0, shown[None].long(), w[None])
        return sums[:-1]

    def counts(self, region: Tensor, weight: Tensor) -> Tensor:
        """Return the weight of each mode in each frame in a region of p pixels: (K, n, p)."""
        shown, w = self.shown[:, region], weight[:, region]
        return torch.stack([(shown == k) * w for k in range(len(self))])

    def probability(self, choice: Tensor) -> Tensor:
        """r: probability that each frame shows the background, shape (n, height, width)."""
        table = F.pad(choice, (0, 0, 0, 0, 0, 1))
        return torch.stack([table.gather(0, shown[None].long())[0] for shown in self.shown])

    def pick(self, choice: Tensor) -> Tensor:
        """Return the colour of the most probable mode, shape (3, height, width)."""
        return self.colour(choice.argmax(0))

    def colour(self, modes: Tensor) -> Tensor:
        """Return the colours of a map of modes, shape (3, height, width)."""
        return self.colours.gather(0, modes[None, None].expand(1, 3, -1, -1))[0]


def find_candidates(frames: Tensor, n_modes: int = N_MODES) -> Candidates:
    """Find the modes of every pixel by one pass over the frames; the rarest give way to new ones.

    Parameters
    ----------
    frames : Tensor, shape (n, 3, height, width)
    n_modes : int
    """
    _, channels, height, width = frames.shape
    colours = torch.full((n_modes, channels, height * width), _NOWHERE)
    counts = torch.zeros(n_modes, height * width)
    for x in frames.flatten(2):
        distance, nearest = (colours - x).abs().amax(1).min(0)
        new = distance >= MODE_WIDTH
        k = torch.where(new, counts.min(0).indices, nearest)[None]
        count = torch.where(new, 0.0, counts.gather(0, k)[0]) + 1
        counts.scatter_(0, k, count[None])
        every = k[:, None].expand(1, channels, -1)
        old = colours.gather(0, every)[0]
        colours.scatter_(0, every, (old + (x - old) * (1 / count).clamp(min=0.05))[None])
    colours = colours.reshape(n_modes, channels, height, width)
    return Candidates(colours, shown_modes(frames, colours))


def shown_modes(frames: Tensor, colours: Tensor) -> Tensor:
    """Return the mode that each frame shows at each pixel, K for none."""
    shown = torch.empty(len(frames), *frames.shape[2:], dtype=torch.uint8)
    for t, x in enumerate(frames):
        distance, nearest = (colours - x).abs().amax(1).min(0)
        shown[t] = torch.where(distance < MODE_WIDTH, nearest, len(colours))
    return shown


def stability(motion: Tensor) -> Tensor:
    """Weight of still pixels.

    Parameters
    ----------
    motion : Tensor, shape (n, height, width)
        Largest difference to the frames a moment before and after, in levels.
    """
    usual = motion.median(0).values.clamp(*STILL)
    return UNSTABLE_WEIGHT + (1 - UNSTABLE_WEIGHT) * torch.exp(-((motion / (1.5 * usual)) ** 2))


def choose(candidates: Candidates, weight: Tensor, radii: Sequence[float] = RADII) -> Tensor:
    """Return beta, shape (K, height, width), by the sweeps at the head of this file.

    Parameters
    ----------
    candidates : Candidates
    weight : Tensor, shape (n, height, width)
        s, times whatever else tells frames apart.
    radii : sequence of float
        As shares of the height.
    """
    height = weight.shape[-2]
    coupled = weight
    for sweep in range(N_SWEEPS):
        gamma = SHARPEST ** (sweep / (N_SWEEPS - 1))
        evidence = candidates.total(coupled)
        choice = torch.softmax(gamma * (evidence + 1e-6).log(), 0)
        radius = max(1, round(height * radii[sweep * len(radii) // N_SWEEPS]))
        around = local_mean(candidates.probability(choice), radius)
        coupled = weight * torch.exp(STRENGTH * (around - 1))
    return choice
