"""How the background of a video is found: candidates, codes, means, noise, foreground."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.coupling import coupled_probability, grid_bound
from sfumato.distributions import ColourHistogram
from sfumato.models.background import (
    CELL_VARIANCE,
    PRIOR_LOG_ODDS,
    Background,
    cells,
    decoded,
    robust_weight,
)
from sfumato.video.candidates import (
    MODE_WIDTH,
    Candidates,
    choose,
    find_candidates,
    stability,
)
from sfumato.video.ghosts import without_objects

# A further number in the code must lower the noise to this share.
RANK_GAIN = 0.8
MAX_RANK = 3
# What is there first is a little more likely to be the background: exp(-1.5) at the end.
EARLINESS = 1.5
# At half the size there is room for the modes of pixels that are mostly covered.
N_COARSE_MODES = 10
# Levels of difference to the background at half the size that a mode's evidence falls with.
LIKENESS = 20.0
# A mode that is shown for less than this share of what the surroundings' background is.
LOST = 0.3
# Radius of the window within which residuals vouch for each other, as a share of the height.
VOUCHING_RADIUS = 0.017
# tau = 1.5 + the usual residual: the model errs where the camera does not.
MIN_SCALE = 1.5
# Further modes: shown in so many of the frames, in so many separate visits, within MODE_REACH
# pixels (as a share of the height) of a background of nearly the same colour.
MODE_SHARE, MODE_VISITS, MODE_LIKENESS, MODE_REACH = 0.03, 5, 12.0, 0.0125
N_FURTHER_MODES = 2
# Frames that the foreground's colours are taken from.
N_COLOUR_FRAMES = 40
# Frames that the bound is taken over while fitting.
N_BOUND_FRAMES = 12


@dataclass(frozen=True)
class Sample:
    """Frames that a background is fitted to.

    Attributes
    ----------
    frames : Tensor, shape (n, 3, height, width)
        In levels of 0 to 255, in the order of time.
    motion : Tensor, shape (n, height, width)
        Largest difference to the frames a moment before and after.
    """

    frames: Tensor
    motion: Tensor

    def without(self, codes: Tensor, basis: Tensor) -> "Sample":
        """Return the frames less what their codes, shape (n, r), put into them."""
        steady = torch.empty_like(self.frames)
        for t, (x, z) in enumerate(zip(self.frames, codes, strict=True)):
            torch.sub(x, torch.tensordot(z, basis, 1), out=steady[t])
        return Sample(steady, self.motion)

    def halved(self) -> "Sample":
        """Return the sample at half the size."""
        if min(self.frames.shape[-2:]) < 4:
            return self
        return Sample(F.avg_pool2d(self.frames, 2), F.avg_pool2d(self.motion[:, None], 2)[:, 0])


@dataclass(frozen=True)
class Coupling:
    """How pixels are coupled in a frame: strength in nats, radius of each box in pixels."""

    strength: float
    radius: int


def fit_background(
    sample: Sample, coupling: Coupling, *, max_rank: int = MAX_RANK, shadows: bool = True
) -> tuple[Background, dict[str, float]]:
    """Fit the background of a video.

    Parameters
    ----------
    sample : Sample
    coupling : Coupling
        Of the pixels.
    max_rank : int
        Most numbers in a code.
    shadows : bool

    Returns
    -------
    model : Background
    bounds : dict of float
        Mean bound of a frame in nats per pixel, with what is known at first, with codes and the
        final means, with further modes, and with the foreground's colours.
    """
    modes = find_modes(sample)
    first = choose_mean(modes, earliness=0.0)
    codes, _ = fit_codes(sample.frames, first, max_rank)
    model = model_of(sample.frames, first, torch.zeros(0, *first.shape), codes[:, :0], shadows)
    bounds = {"first": mean_bound(model, sample.frames, codes[:, :0], coupling)}
    if codes.shape[1]:
        _, basis = regress(sample.frames, first, codes)
        modes = find_modes(sample.without(codes, basis))
    mean, basis = regress(sample.frames, choose_mean(modes, earliness=EARLINESS), codes)
    model = model_of(sample.frames, mean, basis, codes, shadows)
    bounds["codes"] = mean_bound(model, sample.frames, codes, coupling)
    model.offsets, model.log_weights = further_modes(modes.fine, mean)
    bounds["modes"] = mean_bound(model, sample.frames, codes, coupling)
    model.foreground = foreground_colours(model, sample.frames, codes, coupling)
    bounds["colours"] = mean_bound(model, sample.frames, codes, coupling)
    return model, bounds


def model_of(
    frames: Tensor, mean: Tensor, basis: Tensor, codes: Tensor, shadows: bool
) -> Background:
    """Return a model with the noise that its backgrounds leave, one mode, and any foreground."""
    behind = (decoded(mean, basis, z) for z in codes)
    scale = noise_scale((x - b).abs().amax(0) for x, b in zip(frames, behind, strict=True))
    offsets, log_weights = torch.zeros(0, *mean.shape), torch.zeros(1, *mean.shape[1:])
    return Background(mean, basis, scale, offsets, log_weights, ColourHistogram(), shadows)


def mean_bound(model: Background, frames: Tensor, codes: Tensor, coupling: Coupling) -> float:
    """Mean bound of a few of the frames at their codes, in nats per pixel."""
    every = max(1, len(frames) // N_BOUND_FRAMES)
    pairs = list(zip(frames[::every], codes[::every], strict=True))
    total = sum(sum(negative_bound(model, x, z, coupling).values()) for x, z in pairs)
    return -total / len(pairs) / frames[0, 0].numel()


def negative_bound(model: Background, x: Tensor, z: Tensor, coupling: Coupling) -> dict[str, float]:
    r"""Terms of the negative bound of a frame at a code, in nats.

    .. math:: -\log p(x_t, z_t) \le \underbrace{-\sum_p \log p(x_{tp}|\neg\text{fg}, z_t)
              - B_t}_{\text{pixels}} \underbrace{- \log N(z_t; 0, I)}_{\text{code}}

    B_t is the bound of the coupled labels, :func:`sfumato.coupling.grid_bound`.

    Parameters
    ----------
    model : Background
    x : Tensor, shape (3, height, width)
    z : Tensor, shape (r,)
    coupling : Coupling
    """
    odds = model.log_odds(x, z)
    r = foreground_probability(odds, coupling)
    labels = grid_bound(r, odds, coupling.strength, coupling.radius)
    behind = model.log_evidence(x, z)[0] + F.logsigmoid(torch.tensor(-PRIOR_LOG_ODDS))
    code = 0.5 * (z.square() + log(2 * pi)).sum()
    return {"pixels": float(-behind.sum() - labels), "code": float(code)}


@dataclass(frozen=True)
class Modes:
    """What each pixel of a sample shows.

    Attributes
    ----------
    fine, coarse : Candidates
        At full size and at half the size.
    stillness : Tensor, shape (n, height, width)
        Weights of the frames at half the size.
    """

    fine: Candidates
    coarse: Candidates
    stillness: Tensor


def find_modes(sample: Sample) -> Modes:
    """Find the modes of every pixel at both sizes."""
    small = sample.halved()
    coarse = find_candidates(small.frames, N_COARSE_MODES)
    return Modes(find_candidates(sample.frames), coarse, stability(small.motion))


def choose_roughly(modes: Modes, earliness: float) -> tuple[Tensor, Tensor]:
    """Choose the background at half the size, where pixels are coupled.

    Returns
    -------
    mean : Tensor, shape (3, height, width)
        Enlarged again.
    visible : Tensor, shape (n, height, width)
        How far each frame shows the background at each pixel, times its weight.
    """
    n, *size = modes.fine.shown.shape
    candidates = modes.coarse
    weight = modes.stillness * torch.exp(-earliness * torch.arange(n) / n)[:, None, None]
    choice = without_objects(candidates, choose(candidates, weight), weight)
    visible = candidates.probability(choice) * weight
    mean = F.interpolate(candidates.pick(choice)[None], size, mode="bilinear")[0]
    return mean, F.interpolate(visible[:, None], size, mode="nearest")[:, 0]


def choose_mean(modes: Modes, earliness: float) -> Tensor:
    """Return the background's colour at each pixel, shape (3, height, width).

    Each pixel takes the mode that it shows when its surroundings show their background, and that is
    like what half the size found there.
    """
    rough, visible = choose_roughly(modes, earliness)
    candidates = modes.fine
    evidence = candidates.total(visible)
    likeness = torch.exp(-(candidates.colours - rough).abs().amax(1) / LIKENESS)
    mean = candidates.pick(evidence * likeness)
    # A pixel of many colours may have given up the mode of its background.
    lost = evidence.amax(0) < LOST * visible.sum(0)
    return torch.where(lost, rough, mean)


def fit_codes(frames: Tensor, mean: Tensor, max_rank: int) -> tuple[Tensor, list[float]]:
    """Return codes of the smallest rank that no larger one improves on much, and all noises.

    Returns
    -------
    codes : Tensor, shape (n, r)
    noises : list of float
        Mean residual of the weighted cells in levels, for each rank.
    """
    differences = cells(frames - mean)
    fits = [_low_rank(differences, rank) for rank in range(min(max_rank, len(frames) - 1) + 1)]
    best = 0
    for rank, (_, noise) in enumerate(fits):
        if noise < RANK_GAIN * fits[best][1]:
            best = rank
    return fits[best][0], [noise for _, noise in fits]


def _low_rank(differences: Tensor, rank: int, n_steps: int = 8) -> tuple[Tensor, float]:
    """Return codes and noise of a weighted low-rank fit by alternating least squares."""
    n, shape = len(differences), differences.shape[1:]
    offset = differences.new_zeros(shape)
    basis, codes = differences.new_zeros(rank, *shape), differences.new_zeros(n, rank)

    def residuals() -> tuple[Tensor, Tensor]:
        residual = differences - offset - torch.tensordot(codes, basis, 1)
        return residual.abs_(), robust_weight(residual.amax(1), 2)

    if rank:
        _, weight = residuals()
        u, s, v = torch.linalg.svd((differences * weight[:, None]).flatten(1), full_matrices=False)
        codes = u[:, :rank] * n**0.5
        basis = (v[:rank] * s[:rank, None] / n**0.5).reshape(rank, *shape)
    for _ in range(n_steps if rank else 0):
        _, weight = residuals()
        codes = _codes(differences - offset, basis, weight)
        design = torch.cat([codes, codes.new_ones(n, 1)], 1)
        products = (design[:, :, None] * design[:, None, :]).flatten(1)
        gram = torch.tensordot(products, weight, ([0], [0])).unflatten(0, (rank + 1, rank + 1))
        target = torch.tensordot(design, weight[:, None] * differences, ([0], [0]))
        solved = _solve_pixels(gram + _ridge(rank)[:, :, None, None], target)
        basis, offset = solved[:rank], solved[rank]
    residual, weight = residuals()
    noise = (weight[:, None] * residual).sum() / (shape[0] * weight.sum()).clamp(min=1e-9)
    return codes, float(noise)


def _codes(differences: Tensor, basis: Tensor, weight: Tensor) -> Tensor:
    """Return the codes, shape (n, r), of weighted least squares, each number of variance one."""
    products = (basis[:, None] * basis).sum(2).flatten(0, 1)
    precision = torch.tensordot(weight, products, ([1, 2], [1, 2])) / CELL_VARIANCE
    precision = precision.unflatten(1, (len(basis), len(basis))) + torch.eye(len(basis))
    target = (weight[:, None] * differences).flatten(1) @ basis.flatten(1).T / CELL_VARIANCE
    codes = torch.linalg.solve(precision, target[..., None])[..., 0]
    return (codes - codes.mean(0)) / codes.std(0).clamp(min=1e-9)


def _ridge(rank: int) -> Tensor:
    return torch.diag(torch.tensor([3.0] * rank + [0.5]))


def reach(height: int) -> int:
    """Return VOUCHING_RADIUS in pixels."""
    return max(1, round(VOUCHING_RADIUS * height))


def regress(frames: Tensor, mean: Tensor, codes: Tensor, n_steps: int = 2) -> tuple[Tensor, Tensor]:
    """Return mean and basis at full size: weighted least squares of every pixel on the codes."""
    n, rank = codes.shape
    shape = mean.shape
    design = torch.cat([codes, torch.ones(n, 1)], 1)
    solved = torch.zeros(rank + 1, *shape)
    for _ in range(n_steps):
        gram = _ridge(rank)[:, :, None, None].repeat(1, 1, *shape[1:])
        target = torch.zeros_like(solved)
        for x, row in zip(frames, design, strict=True):
            difference = x - mean
            residual = (difference - torch.tensordot(row, solved, 1)).abs().amax(0)
            weight = robust_weight(residual, reach(shape[1]))
            target += row[:, None, None, None] * (weight * difference)
            gram += (row[:, None] * row)[..., None, None] * weight
        solved = _solve_pixels(gram, target)
    return mean + solved[-1], solved[:-1]


def _solve_pixels(gram: Tensor, target: Tensor) -> Tensor:
    """Solve (m, m, h, w) against (m, 3, h, w) at every pixel."""
    left, right = gram.permute(2, 3, 0, 1), target.permute(2, 3, 0, 1)
    return torch.linalg.solve(left, right).permute(2, 3, 0, 1).contiguous()


def noise_scale(residuals: Iterable[Tensor]) -> Tensor:
    """Return tau: 1.5 plus the usual residual without the foreground, the largest around a pixel.

    Parameters
    ----------
    residuals : iterable of Tensor, shape (height, width)
        Of the frames, in levels.
    """
    weights = torch.zeros(())
    weighted = torch.zeros(())
    for residual in residuals:
        weight = robust_weight(residual, reach(len(residual))) + 1e-3
        weights = weights + weight
        weighted = weighted + weight * residual
    usual = weighted / weights
    return MIN_SCALE + F.max_pool2d(usual[None], 5, 1, 2)[0]


def further_modes(candidates: Candidates, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return offsets and log weights of colours to which pixels keep returning.

    Such a colour is one of the background's, which has moved, and none of the foreground's, when
    the background a few pixels away has it too.
    """
    n, height = len(candidates.shown), mean.shape[1]
    shares = candidates.total(torch.ones(candidates.shown.shape)) / n
    near = _nearest_difference(candidates.colours, mean, max(1, round(MODE_REACH * height)))
    away = (candidates.colours - mean).abs().amax(1) >= MODE_WIDTH
    allowed = away & (near < MODE_LIKENESS) & (shares >= MODE_SHARE)
    allowed &= _visits(candidates) >= MODE_VISITS
    kept, which = (shares * allowed).topk(N_FURTHER_MODES, 0)
    offsets = candidates.colours.gather(0, which[:, None].expand(-1, 3, -1, -1)) - mean
    # The first mode keeps at least as much as the strongest of the others.
    first = (1 - kept.sum(0)).maximum(kept.amax(0))[None]
    weights = torch.cat([first, kept])
    return offsets, (weights / weights.sum(0)).log()


def _nearest_difference(colours: Tensor, mean: Tensor, radius: int) -> Tensor:
    """Return the difference of each mode to the most alike of the background's pixels nearby."""
    padded = F.pad(mean[None], (radius,) * 4, mode="replicate")[0]
    height, width = mean.shape[1:]
    nearest = torch.full((len(colours), height, width), torch.inf)
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            moved = padded[:, dy : dy + height, dx : dx + width]
            nearest = torch.minimum(nearest, (colours - moved).abs().amax(1))
    return nearest


def _visits(candidates: Candidates) -> Tensor:
    """Return how often each mode begins to be shown, shape (K, height, width)."""
    shown = candidates.shown
    begins = torch.ones(shown.shape)
    begins[1:] = (shown[1:] != shown[:-1]).float()
    return candidates.total(begins)


def foreground_colours(
    model: Background, frames: Tensor, codes: Tensor, coupling: Coupling, n_steps: int = 3
) -> ColourHistogram:
    """Return the density of the foreground's colours, by a few steps of EM."""
    every = max(1, len(frames) // N_COLOUR_FRAMES)
    frames, codes = frames[::every], codes[::every]
    colours = frames.movedim(1, -1).reshape(-1, 3)
    for _ in range(n_steps):
        # One frame at a time stays in the processor's cache.
        probability = torch.stack(
            [
                foreground_probability(model.log_odds(x, z), coupling)
                for x, z in zip(frames, codes, strict=True)
            ]
        )
        model.foreground = ColourHistogram.of(colours, probability.flatten())
    return model.foreground


def foreground_probability(log_odds: Tensor, coupling: Coupling) -> Tensor:
    """Couple the pixels; evidence beyond 10 nats is taken as 10, for no model is that sure."""
    return coupled_probability(log_odds.clamp(-10, 10), coupling.strength, coupling.radius)
