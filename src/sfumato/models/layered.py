"""The layered VAE: a foreground with a gate before a background."""

from math import comb, log, pi
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from sfumato.nn import ImageShape

# A pixel has so many parts, each covered by the foreground or not; an odd number, so that more or
# less than half of them are.
PARTS = 5
# How many parts are drawn at large before those already drawn are copied: few, so that most pixels
# are covered wholly or not at all.
LARGE = 0.5
# A standard deviation is at least so much of the pixels' range: flat colours have no other bound.
MIN_SCALE = 0.02
# Log odds of the gate before anything is learned: a tenth is foreground.
FIRST_GATE = -2.0
# Deviation of a foreground's colours before any is known, of the pixels' range: anything goes.
FIRST_SCALE = 0.4
# Of all pixels, so many are taken for background before any is known, in so many rounds.
BACKGROUND_SHARE, CONCENTRATIONS = 0.75, 10


class Layers(NamedTuple):
    """What a picture is composed of, each with the leading axes of its code."""

    gate: Tensor
    """Log odds that the foreground covers a part of a pixel, shape (..., pixels)."""
    foreground: Tensor
    """Shape (..., channels, pixels), in [0, 1]."""
    background: Tensor
    """Shape (..., channels, pixels), in [0, 1]."""


class LayeredPicture(Distribution):
    r"""p(x|z) of a picture whose pixels are covered in parts.

    .. math:: x_i | k \sim N\Big(\alpha f_i + (1 - \alpha) b_i,\;
              \alpha^2 \Sigma_F + (1 - \alpha)^2 \Sigma_B\Big), \qquad
              \alpha = \frac{k}{m}, \quad k \sim \mathrm{BetaBinomial}(m, s g_i, s (1 - g_i))

    Its mean is :math:`g f + (1 - g) b`, Attribute2Image's composition. Which layer a pixel shows
    is in the end told by the pixel itself (:meth:`coverage`): the gate is what the code knows of
    that before.

    Parameters
    ----------
    layers : Layers
    foreground_tril, background_tril : Tensor, shape (channels, channels)
        Cholesky factors of the colours' covariances within a layer.
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)

    def __init__(self, layers: Layers, foreground_tril: Tensor, background_tril: Tensor) -> None:
        self.layers = layers
        self.trils = _composed(foreground_tril, background_tril)
        shape = layers.foreground.shape
        event = torch.Size([shape[-2] * shape[-1]])
        super().__init__(shape[:-2], event, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The composed picture, shape (..., channels * pixels)."""
        gate = self.layers.gate.sigmoid().unsqueeze(-2)
        picture = gate * self.layers.foreground + (1 - gate) * self.layers.background
        return picture.flatten(-2)

    def _log_joint(self, value: Tensor) -> Tensor:
        """Return log p(x_i, k), shape (m + 1, ..., pixels)."""
        gate, f, b = self.layers
        x = value.unflatten(-1, f.shape[-2:])
        log_joint = []
        for k, tril in enumerate(self.trils):
            a = k / PARTS
            log_joint.append(_log_normal(x - (a * f + (1 - a) * b), tril))
        return torch.stack(log_joint) + log_covered(gate)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, shape (...)."""
        # Under autocast the small products would lose 16 of their 24 bits.
        with torch.autocast(value.device.type, enabled=False):
            return torch.logsumexp(self._log_joint(value), dim=0).sum(-1)

    def coverage(self, value: Tensor) -> Tensor:
        """Return the share of every pixel that the foreground covers, E[alpha|x, z]."""
        share = torch.softmax(self._log_joint(value), dim=0)
        return torch.einsum("k...,k->...", share, torch.arange(PARTS + 1).to(share) / PARTS)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw pictures, shape (*sample_shape, ..., channels * pixels)."""
        gate, f, b = self.layers
        shape = self._extended_shape(torch.Size(sample_shape))[:-1]
        covered = torch.distributions.Categorical(logits=log_covered(gate.detach()).movedim(0, -1))
        k = covered.sample(torch.Size(sample_shape)).unsqueeze(-2)
        noise = torch.randn(*shape, *f.shape[-2:]).to(f)
        spread = torch.stack([tril @ noise for tril in self.trils])
        spread = spread.gather(0, k.long().expand_as(noise).unsqueeze(0)).squeeze(0)
        a = k / PARTS
        return (a * f + (1 - a) * b + spread).flatten(-2).detach()


def log_covered(gate: Tensor) -> Tensor:
    r"""Log probability that 0, 1, ... m parts of a pixel are covered, shape (m + 1, ...).

    .. math:: p(k) = \binom mk \frac{(s g)_k\, (s (1 - g))_{m - k}}{(s)_m}, \qquad
              (a)_k = a (a + 1) \cdots (a + k - 1)

    Parameters
    ----------
    gate : Tensor, shape (...)
        Log odds of g, the share of covered parts on average.

    Examples
    --------
    >>> log_covered(torch.zeros(())).exp()
    tensor([0.3289, 0.0967, 0.0744, 0.0744, 0.0967, 0.3289])
    """
    rising, falling = (_log_rising(sign * gate) for sign in (1.0, -1.0))
    constant = sum(log(LARGE + i) for i in range(PARTS))
    return torch.stack(
        [
            rising[k] + falling[PARTS - k] + (log(comb(PARTS, k)) - constant)
            for k in range(PARTS + 1)
        ]
    )


def _log_rising(gate: Tensor) -> list[Tensor]:
    """Return log (s g)_k for k = 0, 1, ... m."""
    factors = [log(LARGE) + F.logsigmoid(gate)]
    factors += [(LARGE * gate.sigmoid() + i).log() for i in range(1, PARTS)]
    return [torch.zeros_like(gate), *torch.stack(factors).cumsum(0)]


def _composed(foreground_tril: Tensor, background_tril: Tensor) -> Tensor:
    """Return the factors of the covariances of pixels with 0, 1, ... parts covered."""
    with torch.autocast(foreground_tril.device.type, enabled=False):
        a = torch.arange(PARTS + 1).to(foreground_tril)[:, None, None] / PARTS
        f, b = foreground_tril @ foreground_tril.T, background_tril @ background_tril.T
        factors: Tensor = torch.linalg.cholesky(a.square() * f + (1 - a).square() * b)
    return factors


def _log_normal(difference: Tensor, tril: Tensor) -> Tensor:
    """Log N(difference; 0, L L^T) over the channels, the axis before the last."""
    distance = _whitened(difference, tril).square().sum(-2)
    return -0.5 * (distance + len(tril) * log(2 * pi)) - tril.diagonal().log().sum()


def _whitened(difference: Tensor, tril: Tensor) -> Tensor:
    """Return L^-1 times the channels, the axis before the last."""
    inverse = torch.linalg.solve_triangular(tril, torch.eye(len(tril)).to(tril), upper=False)
    return inverse @ difference


class ColourNoise(nn.Module):
    """Covariance of the channels of a pixel, learned.

    Parameters
    ----------
    n_channels : int
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((n_channels,), log(FIRST_SCALE)))
        self.below = nn.Parameter(torch.zeros(n_channels, n_channels))

    @torch.no_grad()
    def fit(self, pixels: Tensor) -> Tensor:
        """Set the covariance to that of most pixels, shape (n, channels); returns their mean.

        What stands out among the pixels is left out, as in the minimum covariance determinant
        (Rousseeuw and Van Driessen 1999).
        """
        floor = MIN_SCALE**2 * torch.eye(pixels.shape[1]).to(pixels)
        kept = pixels
        for _ in range(CONCENTRATIONS):
            mean, tril = (
                kept.mean(0),
                torch.linalg.cholesky(torch.cov(kept.T).reshape(floor.shape) + floor),
            )
            distance = _whitened((pixels - mean).T, tril).square().sum(0)
            kept = pixels[distance <= distance.quantile(BACKGROUND_SHARE)]
        self.log_scale.copy_((tril.diagonal() - MIN_SCALE).clamp_min(1e-3).log())
        self.below.copy_(tril.tril(-1))
        return mean

    def forward(self) -> Tensor:
        """Return the Cholesky factor, shape (channels, channels)."""
        return torch.diag(self.log_scale.exp() + MIN_SCALE) + self.below.tril(-1)


class LayeredDecoder(nn.Module):
    r"""p(x|z_F, z_B): shape and colours of a foreground, and a background.

    Sharp edges are the gate's: the colours of either layer are drawn on a coarse grid and
    interpolated, so that no layer can draw what belongs to both.

    Parameters
    ----------
    gate : Module, (n, foreground_dim + n_conditions) to (n, pixels)
    foreground : Module, of the same to (n, channels * grid ** 2)
    background : Module, (n, background_dim) to (n, channels * grid ** 2)
    foreground_dim, background_dim : int
    image_shape : (channels, height, width)
    n_conditions : int
        Length of c, which the foreground is conditioned on.
    """

    def __init__(
        self,
        gate: nn.Module,
        foreground: nn.Module,
        background: nn.Module,
        foreground_dim: int,
        background_dim: int,
        image_shape: ImageShape,
        n_conditions: int = 0,
    ) -> None:
        super().__init__()
        self.gate = gate
        self.foreground = foreground
        self.background = background
        self.foreground_dim = foreground_dim
        self.background_dim = background_dim
        self.image_shape = image_shape
        self.n_inputs = foreground_dim + background_dim + n_conditions
        self.foreground_noise = ColourNoise(image_shape[0])
        self.background_noise = ColourNoise(image_shape[0])

    def layers(self, code: Tensor) -> Layers:
        """Return the layers at codes [z_F, z_B, c], shape (..., l)."""
        flat = code.flatten(0, -2)
        z_f, z_b, c = flat.tensor_split(
            [self.foreground_dim, self.foreground_dim + self.background_dim], dim=-1
        )
        conditioned = torch.cat([z_f, c], dim=-1)
        gate = _precise(self.gate(conditioned)) + FIRST_GATE
        parts = (gate, self._drawn(self.foreground(conditioned)), self._drawn(self.background(z_b)))
        return Layers(*(part.unflatten(0, code.shape[:-1]) for part in parts))

    def _drawn(self, raw: Tensor) -> Tensor:
        """Return colours on a coarse grid as a picture, shape (n, channels, pixels)."""
        channels, height, width = self.image_shape
        side = round((raw.shape[1] // channels) ** 0.5)
        coarse = _precise(raw).sigmoid().reshape(-1, channels, side, side)
        picture = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
        return picture.flatten(2)

    def forward(self, code: Tensor) -> LayeredPicture:
        """Return p(x|z), batch shape code.shape[:-1]."""
        return LayeredPicture(self.layers(code), self.foreground_noise(), self.background_noise())


def _precise(raw: Tensor) -> Tensor:
    return raw if raw.dtype.itemsize >= 4 else raw.float()


class Novelty(nn.Module):
    r"""Rows followed by how far every pixel is from the background, for an encoder to see.

    .. math:: \nu_i = \log\big(1 + (x_i - b_i)^T \Sigma_B^{-1} (x_i - b_i)\big), \qquad
              b = x_B(z_B = 0)

    What stands out is nearly the mask already, and no matter of colour any more.

    Parameters
    ----------
    decoder : LayeredDecoder
        Shared with the model; no gradient reaches it from here.
    """

    def __init__(self, decoder: LayeredDecoder) -> None:
        super().__init__()
        # In a tuple the decoder stays unregistered, so its weights are counted and saved only once.
        self._decoder = (decoder,)

    def forward(self, x: Tensor) -> Tensor:
        """Return [x, nu], shape (n, (channels + 1) * pixels)."""
        (decoder,) = self._decoder
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            _, _, background = decoder.layers(x.new_zeros(1, decoder.n_inputs))
            difference = x.unflatten(1, background.shape[1:]) - background
            whitened = _whitened(difference, decoder.background_noise())
            novelty = whitened.square().sum(1).log1p()
        return torch.cat([x, novelty], dim=1)
