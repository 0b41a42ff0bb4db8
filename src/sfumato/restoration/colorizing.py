"""Colourisation: colour differences from luminance."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sfumato.nn import UNet
from sfumato.objectives import Terms
from sfumato.restoration.colours import to_colours, to_opponent
from sfumato.restoration.restorer import CLIPPING, Restorer
from sfumato.restoration.tiles import by_tiles
from sfumato.training import Trainer


class ColorizationModel(nn.Module):
    r"""Expected colour differences, given the luminance: :math:`(\hat a, \hat b) = g(l)`.

    Parameters
    ----------
    widths : sequence of int
    n_blocks : int
    """

    def __init__(self, widths: Sequence[int], n_blocks: int) -> None:
        super().__init__()
        self.chroma = UNet(1, 2, widths, n_blocks)

    def forward(self, luminance: Tensor) -> Tensor:
        """Return a-hat and b-hat, shape (n, 2, h, w)."""
        chroma: Tensor = self.chroma(luminance)
        return chroma.float()


def colorization_error(model: ColorizationModel, x: Tensor) -> Terms:
    """Return ``chroma``: squared error of the colour differences, summed over a patch, (n,)."""
    opponent = to_opponent(x)
    error = model(opponent[:, :1]) - opponent[:, 1:]
    return {"chroma": error.square().sum((1, 2, 3))}


class Colorizer(Restorer):
    r"""Give grey pictures the colours to be expected.

    .. math:: \min_g E \|(a, b) - g(l)\|^2

    The luminance is kept. An expectation is a careful guess: where two colours are equally likely
    it is the grey between them.

    Parameters
    ----------
    widths : tuple of int
        Channels of the network at each scale.
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
    Iizuka, Simo-Serra and Ishikawa, Let there be Color!, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sfumato import Colorizer, Trainer
    >>> rng = np.random.default_rng(0)
    >>> photographs = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)]
    >>> quick = Trainer(max_epochs=1, batch_size=1)
    >>> colorizer = Colorizer(widths=(4, 8), n_blocks=1, patch_size=16, trainer=quick)
    >>> colorizer.fit(photographs).restore(photographs[0][..., 0]).shape
    (32, 32, 3)
    """

    needs_colours: ClassVar[bool] = True

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128, 128),
        n_blocks: int = 2,
        patch_size: int = 96,
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
        return super().default_trainer().set_params(clipping=CLIPPING)

    def _model(self, n_channels: int) -> ColorizationModel:
        return ColorizationModel(self.widths, self.n_blocks)

    def _objective(self) -> Any:
        return colorization_error

    def restore(self, image: Any) -> Any:
        """Return the picture in colours; those that it has are not looked at.

        Parameters
        ----------
        image : ndarray of shape (h, w), (h, w, 1) or (h, w, 3), or Photograph
            uint8, uint16, or floats in [0, 1].
        """
        return self._apply(self._colorized, image)

    def _colorized(self, x: Tensor) -> Tensor:
        model: Any = self.model_
        luminance = to_opponent(x)[:1]
        chroma = by_tiles(model, luminance, multiple=model.chroma.multiple)
        return to_colours(torch.cat([luminance, chroma]))
