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

# One photograph in so many tells how far the colours can be trusted.
HELD_OUT = 10


class ColorizationModel(nn.Module):
    r"""Expected colour differences, given the luminance: :math:`(\hat a, \hat b) = s\, g(l)`.

    The strength s is one in training.

    Parameters
    ----------
    widths : sequence of int
    n_blocks : int
    """

    strength: Tensor

    def __init__(self, widths: Sequence[int], n_blocks: int) -> None:
        super().__init__()
        self.chroma = UNet(1, 2, widths, n_blocks)
        self.register_buffer("strength", torch.ones(()))

    def forward(self, luminance: Tensor) -> Tensor:
        """Return a-hat and b-hat, shape (n, 2, h, w)."""
        chroma: Tensor = self.chroma(luminance)
        return self.strength * chroma.float()


def colorization_error(model: ColorizationModel, x: Tensor) -> Terms:
    """Return ``chroma``: squared error of the colour differences, summed over a patch, (n,)."""
    opponent = to_opponent(x)
    error = model(opponent[:, :1]) - opponent[:, 1:]
    return {"chroma": error.square().sum((1, 2, 3))}


class Colorizer(Restorer):
    r"""Give grey pictures the colours to be expected.

    .. math:: \min_g E \|(a, b) - g(l)\|^2, \qquad (\hat a, \hat b) = s\, g(l)

    The luminance is kept. An expectation is a careful guess: where two colours are equally likely
    it is the grey between them. Of ten photographs or more every tenth is held out of the training;
    the strength s, between 0 and 1, is the best for these: what was learned by heart stays grey.

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
        # Few colours follow from a patch: gradients are mostly noise, and large steps go astray.
        trainer = super().default_trainer()
        return trainer.set_params(max_epochs=20, learning_rate=3e-4, optimizer__clipping=CLIPPING)

    def _model(self, n_channels: int) -> ColorizationModel:
        return ColorizationModel(self.widths, self.n_blocks)

    def _objective(self) -> Any:
        return colorization_error

    def _split(self, photographs: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        kept = [p for i, p in enumerate(photographs, 1) if i % HELD_OUT]
        return kept, photographs[HELD_OUT - 1 :: HELD_OUT]

    @torch.no_grad()
    def _calibrate(self, model: Any, held_out: list[np.ndarray]) -> None:
        agreement = size = 0.0
        for photograph in held_out:
            values = torch.from_numpy(photograph).to(model.strength.device)
            x = to_opponent(values.movedim(-1, 0).float() / 255)
            guess = by_tiles(model, x[:1], multiple=model.chroma.multiple)
            agreement += float((guess * x[1:]).sum())
            size += float(guess.square().sum())
        if size:
            model.strength.fill_(min(max(agreement / size, 0.0), 1.0))

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
