r"""Objects that stood still for long and were taken for background, told by their outlines.

Where a pixel has two colours that each stay for long, time cannot tell which is the background's
and which an object's. Its surroundings can: an object has an outline, and the background goes on.
Of the colours that a connected region R shows at a time, it takes those with the largest

.. math:: \frac1{|R|} \sum_{p \in R} \log e_p - 5 \log C

where e is for how long the colour of a pixel is seen, and C the mean step of colour across the
outline of R.
"""

from collections.abc import Iterator
from math import log

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from sfumato.video.candidates import Candidates

# The other colour is seen for at least this share of the time, ...
MIN_SHARE = 0.08
# ... and differs by so many levels.
MIN_DIFFERENCE = 15.0
# Smaller regions, as a share of the image, are left as they are.
MIN_AREA = 5e-4
# Steps of colour are compared over so many pixels, for an outline is not sharp.
STRIDE = 4
RIM = 2
# Steps across an outline, in levels: below the first is noise, from the second it is an edge.
MIN_STEP, MAX_STEP = 4.0, 60.0
WEIGHT = 5.0
# Objects come and go in at most this share of the frames; leaves and water do so in more.
MAX_CHANGES = 0.2
# Frames with less than this share of the clearest frame's say do not tell which side is shown.
UNTOLD = 0.1
# Pixels belong to a part whose times explain this share of their changes.
EXPLAINED = 0.5
MAX_PARTS = 6
# What the present colours are ahead by.
MARGIN = 0.3


def without_objects(candidates: Candidates, choice: Tensor, weight: Tensor) -> Tensor:
    """Return the choice, shape (K, h, w), with other colours where outlines speak for them.

    Parameters
    ----------
    candidates : Candidates
    choice : Tensor, shape (K, height, width)
    weight : Tensor, shape (n, height, width)
        How much each frame counts at each pixel.
    """
    evidence = candidates.total(weight) + 1e-6
    best = choice.argmax(0)
    other = evidence.scatter(0, best[None], 0.0).argmax(0)
    present = candidates.colour(best)
    contested = (_of(evidence, other) > MIN_SHARE * evidence.sum(0)) & (
        (present - candidates.colour(other)).abs().amax(0) > MIN_DIFFERENCE
    )
    found = best.clone()
    for region in connected(contested):
        for part, side in changing_together(region, candidates.shown, best, other):
            found = _settled(part, side, candidates, weight, found)
    return torch.where(found == best, choice, torch.zeros_like(choice).scatter(0, found[None], 1.0))


def _of(table: Tensor, k: Tensor) -> Tensor:
    return table.gather(0, k[None])[0]


def connected(mask: Tensor) -> Iterator[Tensor]:
    """Yield the connected regions of a mask that are large enough, as bool of its shape."""
    labels, _ = ndimage.label(ndimage.binary_opening(mask.numpy()), np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    for label in np.flatnonzero(areas >= least_area(mask)):
        yield torch.from_numpy(labels == label)


def least_area(mask: Tensor) -> float:
    """Return the pixels of the smallest region that is looked at."""
    return max(4.0, MIN_AREA * mask.numel())


def changing_together(
    region: Tensor, shown: Tensor, one: Tensor, two: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the parts of a region whose pixels change between two modes at the same times.

    The first singular vector of what the frames show tells the times; the pixels that it explains
    are a part, and the others are looked at again. A part that keeps changing, as leaves and water
    do, is left out.

    Parameters
    ----------
    region : bool Tensor, shape (height, width)
    shown : Tensor, shape (n, height, width)
        Modes that the frames show.
    one, two : Tensor, shape (height, width)
        Two modes of each pixel.

    Yields
    ------
    part : bool Tensor, shape (height, width)
    side : Tensor, shape (n,)
        1 and -1 for frames that show one side of the change and the other; 0 for those that do not
        tell.
    """
    shows = ((shown == one).double() - (shown == two).double()) * region
    for _ in range(MAX_PARTS):
        flat = shows.flatten(1)
        time = torch.linalg.eigh(flat @ flat.T)[1][:, -1]
        side = time.sign() * (time.abs() > UNTOLD * time.abs().max())
        part = torch.tensordot(time, shows, 1).square() > EXPLAINED * shows.square().sum(0)
        if part.sum() < least_area(region):
            return
        told = side[side != 0]
        if (told[1:] != told[:-1]).sum() <= MAX_CHANGES * len(time):
            yield from ((piece, side) for piece in connected(part))
        shows = shows * ~part


def _with_rim(region: Tensor) -> Tensor:
    """Return a region without holes and with its rim, whose pixels are mixtures."""
    wide = ndimage.binary_dilation(region.numpy(), iterations=RIM)
    return torch.from_numpy(ndimage.binary_fill_holes(wide))


def _settled(
    region: Tensor, side: Tensor, candidates: Candidates, weight: Tensor, found: Tensor
) -> Tensor:
    """Return the modes, shape (height, width), with the best of three choices within a region."""
    wide = _with_rim(region)
    core = region[wide]
    counts = candidates.counts(wide, weight)
    seen = counts.sum(1).clamp(min=1e-6).log()
    choices = [(found[wide], MARGIN)]
    choices += [(counts[:, side == s].sum(1).argmax(0), 0.0) for s in (1, -1)]
    outside = candidates.colour(found)
    best, best_score = found, -torch.inf
    for modes, advantage in choices:
        image = found.clone()
        image[wide] = modes
        step = outline_step(candidates.colour(image), outside, region, wide)
        score = float(_of(seen, modes)[core].mean()) - WEIGHT * log(step) + advantage
        if score > best_score:
            best, best_score = image, score
    return best


def outline_step(inside: Tensor, outside: Tensor, region: Tensor, wide: Tensor) -> float:
    """Mean step of colour from one image within a region to another around it, in levels.

    Parameters
    ----------
    inside, outside : Tensor, shape (3, height, width)
    region, wide : bool Tensor, shape (height, width)
        Without and with the rim, which lies on neither side.
    """
    steps = [torch.empty(0)]
    for dim in (0, 1):
        n = region.shape[dim] - STRIDE
        for a, b in ((0, STRIDE), (STRIDE, 0)):
            if n <= 0:
                continue
            leaving = region.narrow(dim, a, n) & ~wide.narrow(dim, b, n)
            step = inside.narrow(dim + 1, a, n) - outside.narrow(dim + 1, b, n)
            steps.append(step.abs().amax(0)[leaving])
    found = torch.cat(steps).clamp(MIN_STEP, MAX_STEP)
    return float(found.mean()) if len(found) else MIN_STEP
