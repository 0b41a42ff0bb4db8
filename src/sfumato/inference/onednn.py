"""The same network by oneDNN, whose float32 products take all of a processor's vector width."""

from copy import copy
from typing import TypeGuard

import torch
from torch import Tensor, nn

from sfumato.models import LatentVariableModel
from sfumato.nn import Conditional

# Layers that take oneDNN's tensors as they are; before any other they become ordinary ones.
NATIVE = (nn.Linear, nn.Tanh, nn.ReLU, nn.Sigmoid)


class OneDNNSequential(nn.Module):
    """Layers one after the other, linear ones computed by oneDNN; the answers differ by rounding.

    ``nn.Linear`` alone asks MKL, which on AMD's processors computes with half their vector width.
    For float32 without gradients.

    Parameters
    ----------
    layers : Sequential
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layers make of x, shape (n, in)."""
        for layer in self.layers:
            if isinstance(layer, nn.Linear) and not x.is_mkldnn:
                x = x.to_mkldnn()
            elif x.is_mkldnn and not isinstance(layer, NATIVE):
                x = x.to_dense()
            x = layer(x)
        return x.to_dense() if x.is_mkldnn else x


def by_onednn(conditional: nn.Module, like: Tensor) -> nn.Module:
    """Return the conditional with its network computed by oneDNN, or as it is where that cannot be.

    Parameters
    ----------
    conditional : Module
    like : Tensor
        Of the device and the type that its inputs will have.
    """
    if not isinstance(conditional, Conditional) or not _takes(conditional.network, like):
        return conditional
    return Conditional(OneDNNSequential(conditional.network), conditional.family)


def decoding_by_onednn(model: LatentVariableModel, like: Tensor) -> LatentVariableModel:
    """Return the model with its decoder computed by oneDNN; the weights are shared."""
    decoder = by_onednn(model.decoder, like)
    twin = copy(model)
    # A shallow copy shares the register of the parts as well.
    twin._modules = {**model._modules, "decoder": decoder}
    return twin


def _takes(network: nn.Module, like: Tensor) -> TypeGuard[nn.Sequential]:
    return (
        isinstance(network, nn.Sequential)
        and like.device.type == "cpu"
        and like.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
    )
