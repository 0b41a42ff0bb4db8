"""Backbones: networks from vectors to vectors, as mirrored encoder and decoder pairs."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ImageShape = tuple[int, int, int]
Pair = tuple[nn.Sequential, nn.Sequential]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
_ACTIVATION_TYPES = tuple(type(make()) for make in ACTIVATIONS.values())


def mlp(sizes: Sequence[int], activation: str = "relu") -> nn.Sequential:
    """Fully connected layers of the given sizes, an activation between them, none at the end.

    Examples
    --------
    >>> mlp([784, 500, 20])(torch.zeros(3, 784)).shape
    torch.Size([3, 20])
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def chained(*parts: nn.Module) -> nn.Sequential:
    """Return the parts one after the other, with sequences flattened.

    Examples
    --------
    >>> len(chained(mlp([4, 3, 2]), nn.Sigmoid()))
    4
    """
    layers: list[nn.Module] = []
    for part in parts:
        layers += part if isinstance(part, nn.Sequential) else [part]
    return nn.Sequential(*layers)


def dropping_out(network: nn.Sequential, p: float) -> nn.Sequential:
    """Return the layers with dropout of probability p after every activation.

    Examples
    --------
    >>> [type(layer).__name__ for layer in dropping_out(mlp([4, 3, 2]), 0.5)]
    ['Linear', 'ReLU', 'Dropout', 'Linear']
    """
    layers: list[nn.Module] = []
    for layer in network:
        layers.append(layer)
        if isinstance(layer, _ACTIVATION_TYPES):
            layers.append(nn.Dropout(p))
    return nn.Sequential(*layers)


class TransposedLinear(nn.Module):
    """h -> h W + b, with W the weight of another layer: the tied half of an autoencoder."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        # In a tuple the layer stays unregistered, so its weight is counted and saved only once.
        self._source = (source,)
        self.bias = nn.Parameter(torch.zeros(source.in_features))

    def forward(self, h: Tensor) -> Tensor:
        """Return ``h @ W + b``, shape (n, source.in_features)."""
        return F.linear(h, self._source[0].weight.T, self.bias)


def mlp_pair(
    n_features: int,
    hidden: Sequence[int],
    n_code: int,
    n_out: int,
    latent_dim: int,
    activation: str,
) -> Pair:
    """Return n_features-hidden-n_code and its mirror latent_dim-hidden-n_out."""
    encoder = mlp([n_features, *hidden, n_code], activation)
    decoder = mlp([latent_dim, *reversed(hidden), n_out], activation)
    return encoder, decoder


def tied_mlp_pair(n_features: int, hidden: Sequence[int], latent_dim: int, activation: str) -> Pair:
    """Return n_features-hidden-latent_dim and a decoder of its weights transposed."""
    encoder = mlp([n_features, *hidden, latent_dim], activation)
    linears = [layer for layer in encoder if isinstance(layer, nn.Linear)]
    layers: list[nn.Module] = []
    for linear in reversed(linears):
        layers += [TransposedLinear(linear), ACTIVATIONS[activation]()]
    return encoder, nn.Sequential(*layers[:-1])


def conv_sizes(image_shape: ImageShape, n_layers: int) -> list[tuple[int, int]]:
    """Return heights and widths after 0, 1, ..., n_layers halvings, each rounded upwards."""
    sizes = [image_shape[1:]]
    for _ in range(n_layers):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def enlarging(c_in: int, c_out: int, size: tuple[int, int]) -> nn.ConvTranspose2d:
    """Return the transposed 3x3 convolution of stride 2 that ends at a height and a width."""
    # It gives 2m - 1 pixels of m; one more where that many are even.
    padding = (1 - size[0] % 2, 1 - size[1] % 2)
    return nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, padding)


def conv_pair(
    image_shape: ImageShape,
    channels: Sequence[int],
    n_code: int,
    n_out_per_pixel: int,
    latent_dim: int,
    activation: str,
) -> Pair:
    """Strided 3x3 convolutions and the mirrored transposed convolutions, flat vectors outside.

    Parameters
    ----------
    image_shape : (channels, height, width)
        Of one row once unflattened, channels first.
    channels : sequence of int
        Output channels of each stride-2 convolution of the encoder.
    n_code : int
        Raw outputs of the encoder.
    n_out_per_pixel : int
        Raw outputs of the decoder for each value of the image.
    """
    sizes = conv_sizes(image_shape, len(channels))
    bottom = (channels[-1], *sizes[-1])
    encoder: list[nn.Module] = [nn.Unflatten(1, image_shape)]
    for c_in, c_out in pairwise([image_shape[0], *channels]):
        encoder += [nn.Conv2d(c_in, c_out, 3, 2, 1), ACTIVATIONS[activation]()]
    encoder += [nn.Flatten(), nn.Linear(prod(bottom), n_code)]
    decoder: list[nn.Module] = [nn.Linear(latent_dim, prod(bottom)), ACTIVATIONS[activation]()]
    decoder += [nn.Unflatten(1, bottom)]
    outputs = [*reversed(channels[:-1]), image_shape[0] * n_out_per_pixel]
    for c_in, c_out, size in zip(reversed(channels), outputs, reversed(sizes[:-1]), strict=True):
        decoder += [enlarging(c_in, c_out, size), ACTIVATIONS[activation]()]
    decoder[-1] = ChannelsToParameters(image_shape[0], n_out_per_pixel)
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


class ChannelsToParameters(nn.Module):
    """(n, c * k, h, w) -> (n, c * h * w * k): the k raw numbers of a pixel side by side."""

    def __init__(self, channels: int, n_per_pixel: int) -> None:
        super().__init__()
        self.shape = (channels, n_per_pixel)

    def forward(self, h: Tensor) -> Tensor:
        """Return the flattened raw parameters."""
        return h.unflatten(1, self.shape).movedim(2, -1).flatten(1)
