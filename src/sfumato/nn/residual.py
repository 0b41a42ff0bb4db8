"""Residual convolutional networks, as mirrored encoder and decoder pairs."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from sfumato.nn.backbones import (
    ACTIVATIONS,
    ChannelsToParameters,
    ImageShape,
    Pair,
    conv_sizes,
    enlarging,
)


class Residual(nn.Module):
    r"""h -> h + W_2 a(W_1 a(h)) with 3x3 convolutions, the identity to begin with.

    Parameters
    ----------
    channels : int
    activation : str

    References
    ----------
    He et al., Identity Mappings in Deep Residual Networks, 2016.
    """

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, 1, 1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.branch = nn.Sequential(
            ACTIVATIONS[activation](),
            nn.Conv2d(channels, channels, 3, 1, 1),
            ACTIVATIONS[activation](),
            last,
        )

    def forward(self, h: Tensor) -> Tensor:
        """Return h and what the branch adds to it, shape (n, channels, height, width)."""
        out: Tensor = h + self.branch(h)
        return out


def residual_pair(
    image_shape: ImageShape,
    channels: Sequence[int],
    n_code: int,
    n_out_per_pixel: int,
    latent_dim: int,
    activation: str,
) -> Pair:
    """Return residual blocks at every resolution with strided convolutions between, and a mirror.

    Parameters
    ----------
    image_shape : (channels, height, width)
        Of one row once unflattened, channels first.
    channels : sequence of int
        At the full resolution, at half of it, and so on.
    n_code : int
        Raw outputs of the encoder.
    n_out_per_pixel : int
        Raw outputs of the decoder for each value of the image.
    """
    sizes = conv_sizes(image_shape, len(channels) - 1)
    bottom = (channels[-1], *sizes[-1])
    n_out = image_shape[0] * n_out_per_pixel
    encoder = [
        nn.Unflatten(1, image_shape),
        nn.Conv2d(image_shape[0], channels[0], 3, 1, 1),
        Residual(channels[0], activation),
    ]
    for c_in, c_out in pairwise(channels):
        encoder += [nn.Conv2d(c_in, c_out, 3, 2, 1), Residual(c_out, activation)]
    encoder += [ACTIVATIONS[activation](), nn.Flatten(), nn.Linear(prod(bottom), n_code)]
    decoder = [
        nn.Linear(latent_dim, prod(bottom)),
        nn.Unflatten(1, bottom),
        Residual(channels[-1], activation),
    ]
    for (c_in, c_out), size in zip(pairwise(reversed(channels)), reversed(sizes[:-1]), strict=True):
        decoder += [enlarging(c_in, c_out, size), Residual(c_out, activation)]
    decoder += [
        ACTIVATIONS[activation](),
        nn.Conv2d(channels[0], n_out, 3, 1, 1),
        ChannelsToParameters(image_shape[0], n_out_per_pixel),
    ]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)
