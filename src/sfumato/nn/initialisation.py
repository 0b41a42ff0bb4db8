"""How weights begin."""

from math import sqrt

import torch
from torch import nn

WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@torch.no_grad()
def preserve_variance(network: nn.Module) -> nn.Module:
    r"""Draw hidden weights so that signals keep their size from layer to layer, biases zero.

    .. math:: W_{ij} \sim N(0, 2 / n), \qquad n = \text{inputs of one output}

    Torch's own weights are 2.4 times as small. Through a few layers of a decoder they leave next to
    nothing of a code at first, and the divergence switches most of its dimensions off before they
    are of use. The last layer keeps torch's weights, and layers of zeros stay zero.

    References
    ----------
    He, Zhang, Ren and Sun, Delving Deep into Rectifiers, 2015.

    Examples
    --------
    >>> network = preserve_variance(nn.Sequential(nn.Linear(1000, 1000), nn.Linear(1000, 1)))
    >>> round(float(network[0].weight.detach().std()), 3)
    0.045
    """
    layers = [layer for layer in network.modules() if isinstance(layer, WEIGHTED)]
    for layer in layers[:-1]:
        if layer.weight.any():
            layer.weight.normal_(0.0, sqrt(2 / _n_inputs(layer)))
            if layer.bias is not None:
                layer.bias.zero_()
    return network


def _n_inputs(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Return how many inputs one output of a layer has, on average."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    kernel = layer.weight[0, 0].numel()
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels * kernel / layer.groups
    # Every input reaches as many outputs as the kernel has taps, and there are fewer inputs.
    return layer.in_channels * kernel / (layer.stride[0] * layer.stride[1])
