"""Priors and posteriors as estimators' arguments."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator
from torch import nn

from sfumato.nn import (
    Family,
    FullGaussianFamily,
    GaussianFamily,
    LearnedComponents,
    PseudoInputMixture,
    StandardNormal,
)
from sfumato.training import check_choice, check_count

POSTERIORS: dict[str, Callable[[int], Family]] = {
    "diagonal": GaussianFamily,
    "full": FullGaussianFamily,
}


class Prior(BaseEstimator):
    """p(z), to be built once the encoder and the data are known."""

    @abstractmethod
    def build(self, encoder: nn.Module, dim: int, n_features: int, *, pixels: bool) -> nn.Module:
        """Return the untrained prior of codes of length ``dim``."""


class NormalPrior(Prior):
    """p(z) = N(0, I)."""

    def build(self, encoder: nn.Module, dim: int, n_features: int, *, pixels: bool) -> nn.Module:
        """Return the standard normal."""
        return StandardNormal(dim)


class MixturePrior(Prior):
    r"""p(z) = sum_k pi_k N(z; mu_k, diag sigma_k^2), learned with everything else.

    Parameters
    ----------
    n_components : int
        K.
    """

    def __init__(self, n_components: int = 100) -> None:
        self.n_components = n_components

    def build(self, encoder: nn.Module, dim: int, n_features: int, *, pixels: bool) -> nn.Module:
        """Return the mixture."""
        check_count("n_components", self.n_components)
        return LearnedComponents(self.n_components, dim)


class VampPrior(Prior):
    r"""p(z) = 1/K sum_k q(z|u_k), the mean posterior of learned pseudo-inputs.

    Parameters
    ----------
    n_components : int
        K.

    References
    ----------
    Tomczak and Welling, VAE with a VampPrior, 2018.
    """

    def __init__(self, n_components: int = 500) -> None:
        self.n_components = n_components

    def build(self, encoder: nn.Module, dim: int, n_features: int, *, pixels: bool) -> nn.Module:
        """Return the mixture of the encoder's answers."""
        check_count("n_components", self.n_components)
        return PseudoInputMixture(encoder, n_features, self.n_components, bounded=pixels)


PRIORS: dict[str, type[Prior]] = {
    "normal": NormalPrior,
    "mixture": MixturePrior,
    "vamp": VampPrior,
}


def prior_of(value: Any) -> Prior:
    """Return the prior that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, Prior):
        return value
    check_choice("prior", str(value), PRIORS)
    return PRIORS[value]()
