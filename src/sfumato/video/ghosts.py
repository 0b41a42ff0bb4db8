r"""Objects that stood still for long and were taken for background, told by their outlines.

Where a pixel has two colours that each stay for long, time cannot tell which is the background's
and which an object's. Its surroundings can: an object has an outline, and the background goes on.
Of the colours that a connected region R shows at a time, it takes those with the largest

.. math:: \frac1{|R|} \sum_{p \in R} \log e_p - 2 \log C

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
LEAST_SHARE = 0.08
# ... and differs by so many levels.
LEAST_DIFFERENCE = 15.0
# Smaller regions, as a share of the image, are left as they are.
LEAST_AREA = 5e-4
# Steps of colour are compared over so many pixels, for an outline is not sharp.
STRIDE = 3
# Steps across an outline, in levels: below the first is noise, from the second it is an edge.
LEAST_STEP, MOST_STEP = 4.0, 60.0
WEIGHT = 2.0
# Objects come and go in at most this share of the frames; leaves and water do so in more.
MOST_CHANGES = 0.2
# Frames with less than this share of the clearest frame's say do not tell which side is shown.
UNTOLD = 0.1
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
    contested = (_of(evidence, other) > LEAST_SHARE * evidence.sum(0)) & (
        (present - candidates.colour(other)).abs().amax(0) > LEAST_DIFFERENCE
    )
    found = best.clone()
    for region in regions_of(contested):
        found = _settled(region, candidates, evidence, found, other)
    return torch.where(found == best, choice, torch.zeros_like(choice).scatter(0, found[None], 1.0))


def _of(table: Tensor, k: Tensor) -> Tensor:
    return table.gather(0, k[None])[0]


def regions_of(mask: Tensor) -> Iterator[Tensor]:
    """Yield the connected regions of a mask that are large enough, as bool of its shape."""
    solid = ndimage.binary_opening(mask.numpy())
    labels, _ = ndimage.label(solid, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    for label in np.flatnonzero(areas >= max(4, LEAST_AREA * solid.size)):
        yield torch.from_numpy(labels == label)


def _settled(
    region: Tensor, candidates: Candidates, evidence: Tensor, found: Tensor, other: Tensor
) -> Tensor:
    """Return the modes, shape (height, width), with the best of three choices within a region."""
    one, two = found[region], other[region]
    together, n_changes = sides(candidates.shown[:, region], one, two)
    if n_changes > MOST_CHANGES * len(candidates.shown):
        return found
    first, second = torch.where(together, one, two), torch.where(together, two, one)
    outside = candidates.colour(found)
    best, best_score = found, -torch.inf
    for modes, advantage in ((one, MARGIN), (first, 0.0), (second, 0.0)):
        image = found.clone()
        image[region] = modes
        step = outline_step(candidates.colour(image), outside, region)
        seen = float(_of(evidence, image)[region].log().mean())
        score = seen - WEIGHT * log(step) + advantage
        if score > best_score:
            best, best_score = image, score
    return best


def sides(shown: Tensor, one: Tensor, two: Tensor) -> tuple[Tensor, int]:
    """Return which pixels of a region show their first mode together, and how often that changes.

    The first singular vector of what the frames show: pixels that change sides at the same times
    belong to the same side.

    Parameters
    ----------
    shown : Tensor, shape (n, p)
        Modes that the frames show.
    one, two : Tensor, shape (p,)
        Two modes of each pixel.

    Returns
    -------
    together : bool Tensor, shape (p,)
        Pixels that show ``one`` when those that are not among them show ``two``.
    n_changes : int
    """
    side = (shown == one).float() - (shown == two).float()
    time = torch.linalg.eigh(side @ side.T)[1][:, -1]
    told = time[time.abs() > UNTOLD * time.abs().max()] > 0
    return side.T @ time > 0, int((told[1:] != told[:-1]).sum())


def outline_step(inside: Tensor, outside: Tensor, region: Tensor) -> float:
    """Mean step of colour from one image within a region to another around it, in levels.

    Parameters
    ----------
    inside, outside : Tensor, shape (3, height, width)
    region : bool Tensor, shape (height, width)
    """
    steps = [torch.empty(0)]
    for dim in (0, 1):
        n = region.shape[dim] - STRIDE
        for a, b in ((0, STRIDE), (STRIDE, 0)):
            if n <= 0:
                continue
            leaving = region.narrow(dim, a, n) & ~region.narrow(dim, b, n)
            step = inside.narrow(dim + 1, a, n) - outside.narrow(dim + 1, b, n)
            steps.append(step.abs().amax(0)[leaving])
    found = torch.cat(steps).clamp(LEAST_STEP, MOST_STEP)
    return float(found.mean()) if len(found) else LEAST_STEP
