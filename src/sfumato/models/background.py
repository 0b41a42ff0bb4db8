r"""Background: a robust mixture model of the frames of a video.

.. math::

    z_t \sim N(0, I), \qquad b_t = \mu + U z_t \\
    p(x_{tp} | c = \text{background}) = \sum_j w_{pj}\, L(x_{tp};\, b_{tp} + o_{pj},\, \tau_p) \\
    p(x_{tp} | c = \text{shadow}) = \int_a^1 L(x_{tp};\, \alpha b_{tp},\, \tau_p)
        \frac{d\alpha}{1 - a} \\
    p(x_{tp} | c = \text{foreground}) = h(x_{tp})

for frame t and pixel p. z_t holds light and small movements; the offsets :math:`o_{pj}`, of which
the first is zero, are further colours to which a pixel keeps returning (leaves, water);
:math:`L` is :class:`MaxNormLaplace` and h the density of the foreground's colours in this video.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.coupling import local_mean
from sfumato.distributions import ColourHistogram, MaxNormLaplace

# The encoder sees means of so many pixels a side.
CELL = 4
# A darkened background keeps at least this share of its light.
DARKEST = 0.7
SHADOW_WEIGHT = 0.1
# Log odds of foreground before a pixel or its neighbours are seen. One object has fewer colours
# than all foreground of the video, to which h spreads; this makes up for it.
PRIOR_LOG_ODDS = 1.5
# Variance of a cell about the background, in squared levels.
CELL_VARIANCE = 9.0
# Residuals up to DEAD levels are noise; beyond, their weight falls with this width.
DEAD, CUT = 4.0, 15.0


def robust_weight(residual: Tensor, radius: int, widening: float = 1.0) -> Tensor:
    r"""Weight of pixels whose residual is small and whose neighbours' residuals are small.

    .. math:: w = a\, \bar a^2, \qquad a = \exp(-(\max(r - 4, 0) / 15)^2)

    Parameters
    ----------
    residual : Tensor, shape (..., height, width)
        In levels of 0 to 255.
    radius : int
        Of the window over which a is averaged.
    widening : float
        Factor of the width 15.
    """
    a = torch.exp(-(((residual - DEAD).clamp(min=0) / (CUT * widening)) ** 2))
    weight: Tensor = a * local_mean(a, radius) ** 2
    return weight


def cells(x: Tensor) -> Tensor:
    """Return the means of the cells of images (n, c, height, width): what the encoder sees."""
    return F.avg_pool2d(x, min(CELL, *x.shape[-2:]))


def decoded(mean: Tensor, basis: Tensor, z: Tensor) -> Tensor:
    """Return mu + U z, shape (3, height, width)."""
    return mean + torch.tensordot(z, basis, 1) if len(basis) else mean


@dataclass(frozen=True)
class CodePosterior:
    """q(z|x), Gaussian: mean of shape (r,) and precision of shape (r, r)."""

    mean: Tensor
    precision: Tensor


class Background(nn.Module):
    """The model of one video; all tensors are found by :mod:`sfumato.video.fitting`.

    Parameters
    ----------
    mean : Tensor, shape (3, height, width)
        mu, in levels of 0 to 255.
    basis : Tensor, shape (r, 3, height, width)
        U.
    scale : Tensor, shape (height, width)
        tau, in levels.
    offsets : Tensor, shape (J, 3, height, width)
        o, of the modes after the first.
    log_weights : Tensor, shape (J + 1, height, width)
        log w.
    foreground : ColourHistogram
        h.
    shadows : bool
        Whether there is a class for shadows.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor
    offsets: Tensor
    log_weights: Tensor

    def __init__(
        self,
        mean: Tensor,
        basis: Tensor,
        scale: Tensor,
        offsets: Tensor,
        log_weights: Tensor,
        foreground: ColourHistogram,
        shadows: bool = True,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis)
        self.register_buffer("scale", scale)
        self.register_buffer("offsets", offsets)
        self.register_buffer("log_weights", log_weights)
        self.foreground = foreground
        self.shadows = shadows

    @property
    def rank(self) -> int:
        """How many numbers a code has."""
        return len(self.basis)

    def encoder(self, x: Tensor, n_steps: int = 4) -> CodePosterior:
        r"""q(z|x): the code that the background's pixels agree on, and its precision.

        The first step weights all cells nearly alike and amounts to one linear map of the frame;
        each further step refines the code for this frame by the cells that it explains,

        .. math:: z = (U^\top W U / \sigma^2 + I)^{-1} U^\top W (x - \mu) / \sigma^2.

        Parameters
        ----------
        x : Tensor, shape (3, height, width)
        n_steps : int
        """
        if self.rank == 0:
            return CodePosterior(x.new_zeros(0), x.new_zeros(0, 0))
        basis, difference = cells(self.basis), cells((x - self.mean)[None])[0]
        flat = basis.flatten(1)
        z = x.new_zeros(self.rank)
        for step in range(n_steps):
            residual = difference - torch.tensordot(z, basis, 1)
            weight = robust_weight(residual.abs().amax(0), 2, widening=3.0 if step == 0 else 1.0)
            weighted = (basis * weight).flatten(1) / CELL_VARIANCE
            precision = weighted @ flat.T + torch.eye(self.rank)
            z = torch.linalg.solve(precision, weighted @ difference.flatten())
        return CodePosterior(z, precision)

    def decoder(self, z: Tensor) -> MaxNormLaplace:
        """p(x|z, c = background) about the first mode, one event a pixel, shape (height, width)."""
        return MaxNormLaplace(decoded(self.mean, self.basis, z).movedim(0, -1), self.scale)

    def log_likelihoods(self, x: Tensor, z: Tensor) -> Tensor:
        """Log densities of the classes background, shadow and foreground, in nats.

        Parameters
        ----------
        x : Tensor, shape (..., 3, height, width)
        z : Tensor, shape (r,)

        Returns
        -------
        Tensor, shape (3, ..., height, width)
            Shadow has -inf where the model has no such class.
        """
        main = self.decoder(z)
        pixels = x.movedim(-3, -1)
        background = self.log_weights[0] + main.log_prob(pixels)
        for offset, log_weight in zip(self.offsets, self.log_weights[1:], strict=True):
            mode = log_weight + main.log_prob(pixels - offset.movedim(0, -1))
            background = torch.logaddexp(background, mode)
        shadow = (
            shadow_log_prob(pixels, main)
            if self.shadows
            else torch.full_like(background, -torch.inf)
        )
        return torch.stack([background, shadow, self.foreground.log_prob(pixels)])

    def log_evidence(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log density without and with foreground, each of shape (..., height, width), in nats."""
        background, shadow, foreground = self.log_likelihoods(x, z)
        if self.shadows:
            background = torch.logaddexp(
                background + log(1 - SHADOW_WEIGHT), shadow + log(SHADOW_WEIGHT)
            )
        return background, foreground

    def log_odds(self, x: Tensor, z: Tensor) -> Tensor:
        """Log odds of foreground against background and shadow, each pixel alone, in nats."""
        background, foreground = self.log_evidence(x, z)
        return foreground - background + PRIOR_LOG_ODDS


def shadow_log_prob(x: Tensor, background: MaxNormLaplace) -> Tensor:
    r"""Log density of a darkened background, shape (..., height, width), in nats.

    The integral over the share of light :math:`\alpha` is taken by its largest point: with
    :math:`\hat\alpha` the closest share and :math:`2\tau/\|b\|_\infty` the width of the peak,

    .. math:: \log L(x; \hat\alpha b, \tau) + \log \frac{2 \tau}{(1 - a) \|b\|_\infty}.
    """
    b, scale = background.loc, background.scale
    share = ((x * b).sum(-1) / (b * b).sum(-1).clamp(min=1.0)).clamp(DARKEST, 1.0)
    width = (2 * scale / ((1 - DARKEST) * b.amax(-1).clamp(min=1.0))).clamp(max=1.0)
    return background.log_prob(x + b * (1 - share[..., None])) + width.log()
