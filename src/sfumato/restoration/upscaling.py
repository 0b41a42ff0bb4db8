"""Super-resolution by a coupled autoencoder."""

from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sfumato.models import CoupledAutoencoder, shrink
from sfumato.objectives import Terms
from sfumato.restoration.colours import to_colours, to_opponent
from sfumato.restoration.patches import Patches
from sfumato.restoration.restorer import Restorer
from sfumato.restoration.tiles import by_tiles
from sfumato.training import History, Trainer, check_choice, check_count

FACTORS = (2, 3, 4)
# Share of the epochs that the autoencoders, and then the map, are trained by themselves.
ALONE = 10


def autoencoding_errors(model: CoupledAutoencoder, x: Tensor) -> Terms:
    """Return ``low`` and ``high``: squared errors of both autoencoders, summed over a patch."""
    y = shrink(x, model.factor)
    detail = x - model.interpolate(y)
    low = model.low_decoder(model.low_encoder(y)).float()
    high = model.high_decoder(model.high_encoder(detail)).float()
    return {"low": _squared(low - y), "high": _squared(high - detail)}


def mapping_error(mapping: nn.Module, x: Tensor, *, model: CoupledAutoencoder) -> Terms:
    """Return ``codes``: squared distance of the mapped low code from the high code.

    The map is what is trained; ``model`` holds the encoders, which rest.
    """
    y = shrink(x, model.factor)
    with torch.no_grad():
        low = model.low_encoder(y)
        high = model.high_encoder(x - model.interpolate(y)).float()
    return {"codes": _squared(mapping(low).float() - high)}


def upscaling_error(model: CoupledAutoencoder, x: Tensor) -> Terms:
    r"""Return ``upscaling``: :math:`\|x - \hat x(S x)\|^2`, S x the small picture, shape (n,)."""
    return {"upscaling": _squared(model(shrink(x, model.factor)) - x)}


def _squared(error: Tensor) -> Tensor:
    return error.square().sum((1, 2, 3))


class Upscaler(Restorer):
    r"""Enlarge pictures with the detail that their small versions have lost.

    .. math:: \hat x = U y + g_h(m(f_l(y)))

    Both autoencoders are trained first, then the map between their codes, then all end to end.
    The luminance is upscaled so; colour differences, which the eye sees less sharply, are
    interpolated.

    Parameters
    ----------
    factor : 2, 3 or 4
    width : int
        Channels of the codes.
    n_blocks : int
        Residual blocks of the low encoder, and of the map.
    patch_size : int
        Side of a training patch in pixels of the small picture.
    random_state : int, RandomState or None
    trainer : Trainer, optional
        An epoch is 200 batches of patches.

    Attributes
    ----------
    model_, history_, n_channels_, seed_
        See :class:`Restorer`; the history is that of the training end to end.

    References
    ----------
    Zeng, Yu, Wang, Li and Tao, Coupled Deep Autoencoder for Single Image Super-Resolution, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sfumato import Trainer, Upscaler
    >>> photographs = [np.tile(np.arange(64, dtype=np.uint8), (64, 1))]
    >>> quick = Trainer(max_epochs=1, batch_size=1)
    >>> upscaler = Upscaler(2, width=4, n_blocks=1, patch_size=8, trainer=quick)
    >>> upscaler.fit(photographs).restore(photographs[0]).shape
    (128, 128)
    """

    luminance_only: ClassVar[bool] = True

    def __init__(
        self,
        factor: int = 2,
        width: int = 64,
        n_blocks: int = 3,
        patch_size: int = 32,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.factor = factor
        self.width = width
        self.n_blocks = n_blocks
        self.patch_size = patch_size
        self.random_state = random_state
        self.trainer = trainer

    def _inspect(self) -> None:
        check_count("factor", self.factor)
        check_choice("factor", str(self.factor), list(map(str, FACTORS)))
        check_count("width", self.width)
        check_count("n_blocks", self.n_blocks)

    def _side(self) -> int:
        return self.factor * self.patch_size

    def _model(self, n_channels: int) -> CoupledAutoencoder:
        return CoupledAutoencoder(self.factor, self.width, self.n_blocks)

    def _objective(self) -> Any:
        return upscaling_error

    def _train(
        self, model: Any, patches: Patches, trainer: Trainer, description: dict[str, Any]
    ) -> History:
        for name, trained, objective in (
            ("autoencoders", model, autoencoding_errors),
            ("map", model.map, partial(mapping_error, model=model)),
        ):
            trainer.phase(name, ALONE).fit(
                trained, objective, patches, seed=self.seed_, description=description
            )
        history = super()._train(model, patches, trainer, description)
        trainer.finish_phases()
        return history

    def restore(self, image: Any) -> Any:
        """Return the picture ``factor`` times as high and as wide, of the type that was given.

        Parameters
        ----------
        image : ndarray of shape (h, w), (h, w, 1) or (h, w, 3), or Photograph
            uint8, uint16, or floats in [0, 1].
        """
        return self._apply(self._upscaled, image)

    def _upscaled(self, x: Tensor) -> Tensor:
        model: Any = self.model_
        opponent = to_opponent(x)
        luminance = by_tiles(model, opponent[:1], scale=self.factor)
        if len(x) == 1:
            return luminance
        chroma = by_tiles(model.interpolate, opponent[1:], scale=self.factor)
        return to_colours(torch.cat([luminance, chroma]))
