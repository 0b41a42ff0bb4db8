"""The contrastive VAE: what is salient in some rows, and what they share with a background."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from sfumato.models.latent import LatentVariableModel
from sfumato.nn import BernoulliFamily, Family

# A mask begins with log odds of so much less: first the background is learned, then what it lacks.
MASK_OFFSET = 3.0
# Where a decoder that composes a row of layers keeps that of the background.
BACKGROUND = "background."
# Means that become logits keep this distance from 0 and 1.
MARGIN = 1e-6


class MaskedLayers(NamedTuple):
    """What a row is composed of; all of shape (..., d), in model units."""

    mask: Tensor
    """How much the foreground hides, 0 to 1."""
    foreground: Tensor
    background: Tensor


class MaskedDecoder(nn.Module):
    r"""p(x|z, s) with a foreground that hides the background where it is.

    .. math:: E[x|z, s] = m(z)\, f(z) + (1 - m(z))\, b(s), \qquad
              m(z) = (1 - e^{-\|z\|^2})\, \sigma(g(z))

    At z = 0 nothing is hidden. The background does not know z: whatever s makes a background for
    background rows makes one for all, so that a shared code of their distribution has no way to
    draw a foreground.

    Parameters
    ----------
    foreground : Module, (n, latent_dim) to (n, 2 d)
        f and g side by side for every value.
    background : Module, (n, background_dim) to (n, d)
        b.
    family : BernoulliFamily or Gaussian family with one parameter a value
    latent_dim : int
    n_channels : int
        Of an image; all channels of a pixel have one mask.
    """

    def __init__(
        self,
        foreground: nn.Module,
        background: nn.Module,
        family: Family,
        latent_dim: int,
        n_channels: int = 1,
    ) -> None:
        super().__init__()
        self.foreground = foreground
        self.background = background
        self.family = family
        self.latent_dim = latent_dim
        self.n_channels = n_channels

    def layers(self, code: Tensor) -> MaskedLayers:
        """Return mask, foreground and background at codes (..., latent_dim + background_dim)."""
        z, s = code[..., : self.latent_dim], code[..., self.latent_dim :]
        pair = _applied(self.foreground, z).unflatten(-1, (self.family.dim, 2))
        foreground, logit = pair.unbind(-1)
        channels = logit.unflatten(-1, (self.n_channels, -1))
        logit = channels.mean(-2, keepdim=True).expand_as(channels).flatten(-2)
        mask = -torch.expm1(-z.square().sum(-1, keepdim=True)) * (logit - MASK_OFFSET).sigmoid()
        background = _applied(self.background, s)
        if isinstance(self.family, BernoulliFamily):
            foreground, background = foreground.sigmoid(), background.sigmoid()
        return MaskedLayers(mask, foreground, background)

    def forward(self, code: Tensor) -> Distribution:
        """Return p(x|z, s), batch shape code.shape[:-1]."""
        mask, foreground, background = self.layers(code)
        mean = mask * foreground + (1 - mask) * background
        if isinstance(self.family, BernoulliFamily):
            mean = mean.clamp(MARGIN, 1 - MARGIN).logit()
        distribution: Distribution = self.family(mean)
        return distribution


def _applied(network: nn.Module, code: Tensor) -> Tensor:
    """Return a network's output, float32 or better, for any number of leading axes."""
    raw: Tensor = network(code.flatten(0, -2)).unflatten(0, code.shape[:-1])
    return raw if raw.dtype.itemsize >= 4 else raw.float()


class ContrastiveVAE(LatentVariableModel):
    r"""A latent-variable model of rows and of a background, by one decoder.

    .. math:: z, s \sim N(0, I), \qquad x \sim p(x | z, s), \qquad b \sim p(x | z = 0, s)

    for rows x and background rows b. The code (z, s) is one vector, the salient part first.

    Parameters
    ----------
    encoder : Module, (n, d) -> q(z, s|x), factorised, event shape (latent_dim + background_dim,)
    decoder : Module, (..., latent_dim + background_dim) -> p(x|z, s)
    prior : Module, () -> p(z, s)
    latent_dim : int
        Length of z.
    critic : Module, (n, latent_dim + background_dim) to (n, 1), optional
        Log odds that z and s belong to one row, for the total correlation.

    References
    ----------
    Abid and Zou, Contrastive Variational Autoencoder Enhances Salient Features, 2019.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        latent_dim: int,
        critic: nn.Module | None = None,
    ) -> None:
        super().__init__(encoder, decoder, prior)
        self.latent_dim = latent_dim
        self.critic = critic

    def over_given_backgrounds(self, code: Tensor) -> Distribution:
        """Return p(x|z, s) through which a background of the decoder's learns nothing."""
        still = {
            name: parameter.detach()
            for name, parameter in self.decoder.named_parameters()
            if name.startswith(BACKGROUND)
        }
        likelihood: Distribution = functional_call(self.decoder, still, (code,))
        return likelihood

    def salient(self, code: Tensor) -> Tensor:
        """Return z, shape (..., latent_dim)."""
        return code[..., : self.latent_dim]

    def shared(self, code: Tensor) -> Tensor:
        """Return s, shape (..., background_dim)."""
        return code[..., self.latent_dim :]

    def without_salient(self, code: Tensor) -> Tensor:
        """Return (0, s): a row's background."""
        return torch.cat([torch.zeros_like(self.salient(code)), self.shared(code)], -1)

    def without_shared(self, code: Tensor) -> Tensor:
        """Return (z, 0): what is salient in a row, on the background at the prior's mean."""
        return torch.cat([self.salient(code), torch.zeros_like(self.shared(code))], -1)
