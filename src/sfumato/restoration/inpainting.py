"""Inpainting: what is missing, from what surrounds it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sfumato.data import DataError, Photograph
from sfumato.nn import UNet
from sfumato.objectives import Terms
from sfumato.restoration.colours import to_colours, to_opponent
from sfumato.restoration.restorer import CLIPPING, Restorer
from sfumato.restoration.tiles import by_tiles
from sfumato.training import Trainer

# Largest share of single pixels missing; strokes and boxes of a patch.
MAX_SCATTERED = 0.9
N_STROKES, N_BOXES = 6, 3


class InpaintingModel(nn.Module):
    r"""Expected pixels, given those that are known and a mask m of the missing ones.

    .. math:: \hat l = f(l (1 - m), m), \qquad
              (\hat a, \hat b) = g(a (1 - m), b (1 - m), m, \hat l)

    Parameters
    ----------
    n_channels : 1 or 3
    widths : sequence of int
    n_blocks : int
    """

    def __init__(self, n_channels: int, widths: Sequence[int], n_blocks: int) -> None:
        super().__init__()
        self.luminance = UNet(2, 1, widths, n_blocks)
        self.chroma = UNet(4, 2, widths, n_blocks) if n_channels == 3 else None

    def fill_luminance(self, luminance: Tensor, missing: Tensor) -> Tensor:
        """Return l-hat where pixels are missing, and l where they are known, (n, 1, h, w)."""
        known = luminance * (1 - missing)
        guess = self.luminance(torch.cat([known, missing], 1))
        return known + missing * guess.float()

    def fill_chroma(self, chroma: Tensor, missing: Tensor, luminance: Tensor) -> Tensor:
        """Return a and b, filled likewise, shape (n, 2, h, w)."""
        assert self.chroma is not None
        known = chroma * (1 - missing)
        guess = self.chroma(torch.cat([known, missing, luminance], 1))
        return known + missing * guess.float()


def inpainting_error(model: InpaintingModel, x: Tensor) -> Terms:
    """Squared errors over the missing pixels of patches with random holes.

    Parameters
    ----------
    model : InpaintingModel
    x : Tensor, shape (n, c, h, w)
        Whole, in [0, 1].

    Returns
    -------
    dict
        ``luminance`` and, for colours, ``chroma``, summed over a patch, shape (n,).
    """
    whole = to_opponent(x)
    luminance, chroma = whole[:, :1], whole[:, 1:]
    missing = random_holes(len(x), x.shape[2], x.shape[3]).to(x)
    filled = model.fill_luminance(luminance, missing)
    terms = {"luminance": (filled - luminance).square().sum((1, 2, 3))}
    if model.chroma is None:
        return terms
    coloured = model.fill_chroma(chroma, missing, filled.detach())
    return terms | {"chroma": (coloured - chroma).square().sum((1, 2, 3))}


def random_holes(n: int, height: int, width: int) -> Tensor:
    """Return masks of scattered pixels, of strokes, or of boxes, shape (n, 1, height, width)."""
    down = torch.arange(height).view(1, height, 1) / height
    across = torch.arange(width).view(1, 1, width) / width
    kinds = torch.randint(3, (n,))
    masks = [_HOLES[kind](down, across) for kind in kinds.tolist()]
    return torch.stack(masks)[:, None].float()


def _scattered(down: Tensor, across: Tensor) -> Tensor:
    share = 0.1 + (MAX_SCATTERED - 0.1) * torch.rand(())
    return torch.rand(down.shape[1], across.shape[2]) < share


def _strokes(down: Tensor, across: Tensor) -> Tensor:
    """Lines of random places, directions, lengths and widths."""
    y, x = torch.rand(2, N_STROKES, 1, 1)
    angle, length, width = torch.rand(3, N_STROKES, 1, 1)
    angle = angle * torch.pi
    along = (down - y) * angle.sin() + (across - x) * angle.cos()
    beside = (down - y) * angle.cos() - (across - x) * angle.sin()
    within = (along.abs() < 0.1 + 0.6 * length) & (beside.abs() < 0.01 + 0.04 * width)
    return within.any(0)


def _boxes(down: Tensor, across: Tensor) -> Tensor:
    top, left = torch.rand(2, N_BOXES, 1, 1)
    tall, wide = 0.05 + 0.35 * torch.rand(2, N_BOXES, 1, 1)
    within = (down > top) & (down < top + tall) & (across > left) & (across < left + wide)
    return within.any(0)


_HOLES = (_scattered, _strokes, _boxes)


class Inpainter(Restorer):
    r"""Fill the missing pixels of a picture.

    .. math:: \min_{f, g} E \, m \odot (x - \hat x((1 - m) x, m))^2

    over random masks m of scattered pixels, strokes and boxes. Known pixels stay as they are.

    Parameters
    ----------
    widths : tuple of int
        Channels of the networks at each scale.
    n_blocks : int
        Residual blocks at each scale.
    patch_size : int
        Side of a training patch in pixels; a multiple of 2 to the number of scales.
    random_state : int, RandomState or None
    trainer : Trainer, optional
        An epoch is 200 batches of patches.

    Attributes
    ----------
    model_, history_, n_channels_, seed_
        See :class:`Restorer`.

    References
    ----------
    Pathak et al., Context Encoders, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sfumato import Inpainter, Trainer
    >>> photographs = [np.tile(np.arange(64, dtype=np.uint8), (64, 1))]
    >>> quick = Trainer(max_epochs=1, batch_size=1)
    >>> inpainter = Inpainter(widths=(4, 8), n_blocks=1, patch_size=16, trainer=quick)
    >>> missing = np.zeros((64, 64), dtype=bool)
    >>> missing[20:30, 20:30] = True
    >>> filled = inpainter.fit(photographs).restore(photographs[0], missing=missing)
    >>> bool((filled == photographs[0])[~missing].all())
    True
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128, 128),
        n_blocks: int = 2,
        patch_size: int = 64,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.widths = widths
        self.n_blocks = n_blocks
        self.patch_size = patch_size
        self.random_state = random_state
        self.trainer = trainer

    def default_trainer(self) -> Trainer:
        """Return the trainer that ``trainer=None`` stands for."""
        return super().default_trainer().set_params(optimizer__clipping=CLIPPING)

    def _model(self, n_channels: int) -> InpaintingModel:
        return InpaintingModel(n_channels, self.widths, self.n_blocks)

    def _objective(self) -> Any:
        return inpainting_error

    def restore(self, image: Any, *, missing: Any) -> Any:
        """Return the picture with its holes filled, of the type that was given.

        Parameters
        ----------
        image : ndarray of shape (h, w), (h, w, 1) or (h, w, 3), or Photograph
            uint8, uint16, or floats in [0, 1].
        missing : array of shape (h, w)
            True, or not zero, where the picture is to be filled.

        Raises
        ------
        DataError
            If picture and mask differ in size, or nothing is known.
        """
        mask = np.asarray(missing) != 0
        size = image.size if isinstance(image, Photograph) else np.shape(image)[:2]
        if mask.shape != size:
            raise DataError(f"The mask has shape {mask.shape} and the picture {size}.")
        if mask.size and mask.all():
            raise DataError("The mask leaves no known pixel to fill the picture from.")
        filled = self._apply(partial(self._inpainted, missing=mask), image)
        if isinstance(image, Photograph):
            return image.with_values(_filled_in(filled.values, image.values, mask))
        return _filled_in(filled, np.asarray(image), mask)

    def _inpainted(self, x: Tensor, *, missing: np.ndarray) -> Tensor:
        model: Any = self.model_
        mask = torch.from_numpy(missing)[None].to(x)
        opponent = to_opponent(x)
        if len(x) == 3 and model.chroma is None:
            return torch.cat([self._filled(channel[None], mask) for channel in x])
        luminance = self._filled(opponent[:1], mask)
        if len(x) == 1:
            return luminance
        chroma = by_tiles(
            lambda seen: model.fill_chroma(seen[:, :2], seen[:, 2:3], seen[:, 3:]),
            torch.cat([opponent[1:], mask, luminance]),
            multiple=model.luminance.multiple,
        )
        return to_colours(torch.cat([luminance, chroma]))

    def _filled(self, luminance: Tensor, mask: Tensor) -> Tensor:
        model: Any = self.model_
        return by_tiles(
            lambda seen: model.fill_luminance(seen[:, :1], seen[:, 1:]),
            torch.cat([luminance, mask]),
            multiple=model.luminance.multiple,
        )


def _filled_in(filled: np.ndarray, image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the picture bit for bit but for what was missing."""
    kept = image.copy()
    kept[missing] = filled[missing]
    return kept
