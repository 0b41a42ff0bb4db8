"""A decoder that composes a row of a foreground before a background."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.nn.families import Family

# A mask begins with log odds of so much less: first the background is learned, then what it lacks.
MASK_OFFSET = 3.0


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
    family : Family with one parameter a value
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
        return MaskedLayers(mask, *map(self.family.to_mean, (foreground, background)))

    def forward(self, code: Tensor) -> Distribution:
        """Return p(x|z, s), batch shape code.shape[:-1]."""
        mask, foreground, background = self.layers(code)
        mean = mask * foreground + (1 - mask) * background
        distribution: Distribution = self.family(self.family.from_mean(mean))
        return distribution


def _applied(network: nn.Module, code: Tensor) -> Tensor:
    """Return a network's output, float32 or better, for any number of leading axes."""
    raw: Tensor = network(code.flatten(0, -2)).unflatten(0, code.shape[:-1])
    return raw if raw.dtype.itemsize >= 4 else raw.float()
