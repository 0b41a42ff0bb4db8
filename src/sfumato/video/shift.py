"""The shift of a frame: a camera that shakes, undone."""

import torch
from torch import Tensor
from torch.nn import functional as F

Shift = tuple[float, float]
UNMOVED: Shift = (0.0, 0.0)
# Largest shift that is looked for, as a share of the frame's sides.
MAX_SHIFT = 0.1
# A camera shakes if aligning lowers the median difference of frames to this share.
ALIGNED_SHARE = 0.75


def find_shift(x: Tensor, reference: Tensor) -> Shift:
    """Return (down, right), in pixels, by which a frame lies off a reference: phase correlation.

    Parameters
    ----------
    x, reference : Tensor, shape (3, height, width)

    References
    ----------
    Kuglin and Hines, "The phase correlation image alignment method" (1975).
    """
    height, width = x.shape[1:]
    window = _hann(height)[:, None] * _hann(width)
    spectra = [torch.fft.rfft2(_edges(image) * window) for image in (x, reference)]
    cross = spectra[0] * spectra[1].conj()
    surface = torch.fft.irfft2(cross / cross.abs().clamp(min=1e-9), s=(height, width))
    down, right = (max(1, int(MAX_SHIFT * side)) for side in (height, width))
    near = torch.roll(surface, (down, right), (0, 1))[: 2 * down + 1, : 2 * right + 1]
    row, column = divmod(int(near.argmax()), near.shape[1])
    return (
        row - down + _peak(near[:, column], row),
        column - right + _peak(near[row], column),
    )


def _edges(x: Tensor) -> Tensor:
    grey = F.pad(x.mean(0)[None], (1, 1, 1, 1), mode="replicate")[0]
    vertical, horizontal = grey[2:, 1:-1] - grey[:-2, 1:-1], grey[1:-1, 2:] - grey[1:-1, :-2]
    return torch.hypot(vertical, horizontal)


def _hann(n: int) -> Tensor:
    return torch.hann_window(n, periodic=False) + 1e-3


def _peak(values: Tensor, i: int) -> float:
    """Return how far the peak lies beside its largest sample: the top of a parabola."""
    if not 0 < i < len(values) - 1:
        return 0.0
    before, at, after = (float(v) for v in values[i - 1 : i + 2])
    curvature = before - 2 * at + after
    return 0.0 if curvature >= 0 else max(-0.5, min(0.5, 0.5 * (before - after) / curvature))


def shifted(x: Tensor, shift: Shift) -> Tensor:
    """Move an image (c, height, width) by (down, right) pixels; the border is repeated."""
    if shift == UNMOVED:
        return x
    down, right = shift
    height, width = x.shape[1:]
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    return _between(_between(x, rows, 1), columns, 2)


def unshifted(x: Tensor, shift: Shift) -> Tensor:
    """Undo :func:`shifted`, but for what the border has lost."""
    down, right = shift
    return shifted(x, (-down, -right))


def _between(x: Tensor, places: Tensor, dim: int) -> Tensor:
    """Interpolate linearly along one axis at the given places."""
    low = places.floor().long()
    high = (low + 1).clamp(max=x.shape[dim] - 1)
    share = places - low
    share = share[:, None] if dim == 1 else share
    return x.index_select(dim, low) * (1 - share) + x.index_select(dim, high) * share


def shakes(frames: Tensor) -> bool:
    """Whether the camera shakes: whether aligning brings frames much closer to their middle one.

    Parameters
    ----------
    frames : Tensor, shape (n, 3, height, width)
    """
    middle = frames[len(frames) // 2]
    plain, aligned = [], []
    for x in frames:
        shift = find_shift(x, middle)
        plain.append(_difference(x, middle))
        aligned.append(_difference(unshifted(x, shift), middle))
    before, after = torch.stack(plain).mean(), torch.stack(aligned).mean()
    return bool(after < ALIGNED_SHARE * before)


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """Mean difference, in which a moving object counts for little."""
    return (x - y).abs().amax(0).clamp(max=30.0).mean()
