"""The same decoder, quicker where many draws of few rows are decoded without gradients."""

from collections.abc import Iterator
from copy import copy
from itertools import zip_longest
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent
from torch.nn import functional as F

from sfumato.models import LatentVariableModel
from sfumato.nn import BernoulliFamily, Conditional

# oneDNN's names of the activations that it computes along with a product.
FUSED: dict[type, str] = {
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "swish",
}


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
        for layer, activation in _fused(self.layers):
            if isinstance(layer, nn.Linear):
                x = _product()(x, layer.weight, layer.bias, activation, [], "")
            else:
                x = layer(x)
        return x


def _fused(layers: nn.Sequential) -> Iterator[tuple[nn.Module, str]]:
    """Yield every layer with the name of the activation that is computed with it."""
    name = "none"
    modules = list(layers)
    for layer, following in zip_longest(modules, modules[1:]):
        computed, name = name != "none", "none"
        if isinstance(layer, nn.Linear):
            name = FUSED.get(type(following), "none")
        if not computed:
            yield layer, name


def _product() -> Any:
    """Return torch's operator for a linear layer by oneDNN, which is not of its documented ones."""
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


class QuickBernoullis(Independent):
    r"""Independent Bernoullis whose log mass takes one array of the logits' size.

    .. math:: \log p(x) = x^T \mu - \sum_j \log(1 + e^{\mu_j})

    torch's own takes five of them, one for gradients.

    Parameters
    ----------
    logits : Tensor, shape (..., n, d)
        mu.
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log mass in nats, shape (..., n), of value, shape (n, d)."""
        logits = self.base_dist.logits
        return torch.einsum("...nd,nd->...n", logits, value) - F.softplus(logits).sum(-1)


class QuickBernoulliFamily(BernoulliFamily):
    """Bernoullis with logit raw, as :class:`QuickBernoullis`."""

    def forward(self, raw: Tensor) -> QuickBernoullis:
        """Return the independent Bernoullis, batch shape raw.shape[:-1]."""
        return QuickBernoullis(raw)


def quickened(conditional: nn.Module, like: Tensor) -> nn.Module:
    """Return the conditional with the quicker of its parts; the weights are shared.

    Parameters
    ----------
    conditional : Module
    like : Tensor
        Of the device and the type that its inputs will have.
    """
    if not isinstance(conditional, Conditional):
        return conditional
    network, family = conditional.network, conditional.family
    return Conditional(
        OneDNNSequential(network) if _takes(network, like) else network,
        QuickBernoulliFamily(family.dim) if type(family) is BernoulliFamily else family,
    )


def with_fast_decoder(model: LatentVariableModel, like: Tensor) -> LatentVariableModel:
    """Return the model with its decoder quickened; the weights are shared."""
    decoder = quickened(model.decoder, like)
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
        and _product() is not None
    )
