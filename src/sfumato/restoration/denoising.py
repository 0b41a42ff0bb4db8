"""Denoising: a convolutional denoising autoencoder conditioned on the noise level."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sfumato.nn import UNet
from sfumato.objectives import Terms
from sfumato.restoration.colours import NOISE, to_colours, to_opponent
from sfumato.restoration.restorer import Restorer
from sfumato.restoration.tiles import by_tiles
from sfumato.training import Trainer

GREY_LEVELS = 255.0
# Of this share of the training patches the noisy values are clipped, as files hold them.
CLIPPED = 0.5


class DenoisingModel(nn.Module):
    r"""Expected noise, given the noisy picture and its noise level.

    .. math:: \hat l = \tilde l - f(\tilde l, \sigma), \qquad
              (\hat a, \hat b) = (\tilde a, \tilde b) - g(\tilde a, \tilde b, \hat l, \sigma)

    with the luminance l and the colour differences a and b.

    Parameters
    ----------
    n_channels : 1 or 3
    widths : sequence of int
    n_blocks : int

    References
    ----------
    Vincent et al. 2008 for the denoising autoencoder; Zhang et al., FFDNet, 2018, for the level as
    an input.
    """

    def __init__(self, n_channels: int, widths: Sequence[int], n_blocks: int) -> None:
        super().__init__()
        self.luminance = UNet(2, 1, widths, n_blocks)
        self.chroma = UNet(4, 2, widths, n_blocks) if n_channels == 3 else None

    def denoise_luminance(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Return l-hat, shape (n, 1, h, w), for noise of deviation sigma, shape (n, 1, 1, 1)."""
        level = sigma.expand_as(noisy)
        return noisy - self.luminance(torch.cat([noisy, level], 1))

    def denoise_chroma(self, noisy: Tensor, luminance: Tensor, sigma: Tensor) -> Tensor:
        """Return a-hat and b-hat, shape (n, 2, h, w)."""
        assert self.chroma is not None
        level = sigma.expand_as(luminance)
        return noisy - self.chroma(torch.cat([noisy, luminance, level], 1))


def denoising_error(model: DenoisingModel, x: Tensor, *, max_sigma: float) -> Terms:
    r"""Squared errors of denoised patches, noise levels drawn uniformly.

    Parameters
    ----------
    model : DenoisingModel
    x : Tensor, shape (n, c, h, w)
        Clean, in [0, 1].
    max_sigma : float
        Largest deviation of the noise, in the same unit.

    Returns
    -------
    dict
        ``luminance`` and, for colours, ``chroma``: squared errors summed over a patch, shape (n,).
    """
    clean = to_opponent(x)
    luminance = clean[:, :1]
    noisy, sigma = _noisy(luminance, max_sigma)
    denoised = model.denoise_luminance(noisy, sigma).float()
    terms = {"luminance": (denoised - luminance).square().sum((1, 2, 3))}
    if model.chroma is None:
        return terms
    coloured, sigma = _noisy(x, max_sigma)
    opponent, level = to_opponent(coloured), NOISE * sigma
    with torch.no_grad():
        guide = model.denoise_luminance(opponent[:, :1], level).float()
    chroma = model.denoise_chroma(opponent[:, 1:], guide, level).float()
    return terms | {"chroma": (chroma - clean[:, 1:]).square().sum((1, 2, 3))}


def _noisy(x: Tensor, max_sigma: float) -> tuple[Tensor, Tensor]:
    """Return noisy patches and their noise levels, shape (n, 1, 1, 1)."""
    sigma = max_sigma * torch.rand(len(x), 1, 1, 1).to(x)
    noisy = x + sigma * torch.randn_like(x)
    clipped = torch.rand(len(x), 1, 1, 1).to(x) < CLIPPED
    return torch.where(clipped, noisy.clamp(0, 1), noisy), sigma


class Denoiser(Restorer):
    r"""Remove noise of any level from grey and colour pictures.

    .. math:: \tilde x = x + \sigma \epsilon, \qquad
              \min_{f, g} E \|x - \hat x(\tilde x, \sigma)\|^2, \quad \sigma \sim U(0, \sigma_{max})

    Parameters
    ----------
    max_sigma : float
        Largest deviation of the noise that is learned, in grey levels of 255.
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

    Examples
    --------
    >>> import numpy as np
    >>> from sfumato import Denoiser, Trainer
    >>> photographs = [np.tile(np.arange(64, dtype=np.uint8), (64, 1))]
    >>> quick = Trainer(max_epochs=1, batch_size=1)
    >>> denoiser = Denoiser(widths=(4, 8), n_blocks=1, patch_size=16, trainer=quick)
    >>> denoiser.fit(photographs).restore(photographs[0], sigma=10).shape
    (64, 64)
    """

    def __init__(
        self,
        max_sigma: float = 55.0,
        widths: tuple[int, ...] = (32, 64, 128),
        n_blocks: int = 2,
        patch_size: int = 64,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.max_sigma = max_sigma
        self.widths = widths
        self.n_blocks = n_blocks
        self.patch_size = patch_size
        self.random_state = random_state
        self.trainer = trainer

    def _inspect(self) -> None:
        super()._inspect()
        if not 0 < self.max_sigma <= GREY_LEVELS:
            raise ValueError(f"max_sigma must lie in (0, 255], got {self.max_sigma}.")

    def _model(self, n_channels: int) -> DenoisingModel:
        return DenoisingModel(n_channels, self.widths, self.n_blocks)

    def _objective(self) -> Any:
        return partial(denoising_error, max_sigma=self.max_sigma / GREY_LEVELS)

    def restore(self, image: Any, *, sigma: float | None = None) -> Any:
        """Return the denoised picture, of the type that was given.

        Parameters
        ----------
        image : ndarray of shape (h, w), (h, w, 1) or (h, w, 3), or Photograph
            uint8, uint16, or floats in [0, 1].
        sigma : float, optional
            Deviation of the noise in grey levels of 255, the same in every colour; estimated from
            the picture by default. At most ``max_sigma``.
        """
        if sigma is not None and not 0 <= sigma <= self.max_sigma:
            raise ValueError(
                f"sigma must lie in [0, {self.max_sigma:g}], the levels that were learned; got "
                f"{sigma:g}. A larger max_sigma must be trained."
            )
        return self._apply(partial(self._without_noise, sigma=sigma), image)

    def _without_noise(self, x: Tensor, *, sigma: float | None) -> Tensor:
        most = self.max_sigma / GREY_LEVELS
        level = min(most, estimate_noise(x)) if sigma is None else sigma / GREY_LEVELS
        model: Any = self.model_
        opponent = to_opponent(x)
        if len(x) == 3 and model.chroma is None:
            grey = [self._denoised(channel[None], level) for channel in x]
            return torch.cat(grey)
        level = level * NOISE if len(x) == 3 else level
        luminance = self._denoised(opponent[:1], level)
        if len(x) == 1:
            return luminance
        chroma = by_tiles(
            lambda seen: model.denoise_chroma(seen[:, :2], seen[:, 2:], _level(level, seen)),
            torch.cat([opponent[1:], luminance]),
            multiple=model.luminance.multiple,
        )
        return to_colours(torch.cat([luminance, chroma]))

    def _denoised(self, noisy: Tensor, level: float) -> Tensor:
        model: Any = self.model_
        return by_tiles(
            lambda seen: model.denoise_luminance(seen, _level(level, seen)),
            noisy,
            multiple=model.luminance.multiple,
        )


def _level(sigma: float, like: Tensor) -> Tensor:
    return like.new_full((1, 1, 1, 1), sigma)


def estimate_noise(x: Tensor) -> float:
    r"""Deviation of white noise in a picture of shape (c, h, w), by the median of its details.

    .. math:: \hat\sigma = \frac{\mathrm{median} |x * N|}{0.6745 \cdot 6}, \qquad
              N = (1, -2, 1)^T (1, -2, 1)

    N responds to neither constants nor slopes; to white noise with a deviation of 6 sigma. A
    picture of less than 3 x 3 pixels is taken to have no noise.

    References
    ----------
    Immerkaer, Fast Noise Variance Estimation, 1996, with Donoho's median for its mean.
    """
    if min(x.shape[1:]) < 3:
        return 0.0
    for axis in (1, 2):
        n = x.shape[axis] - 2
        x = x.narrow(axis, 0, n) - 2 * x.narrow(axis, 1, n) + x.narrow(axis, 2, n)
    return float(x.abs().median()) / (0.6745 * 6)
