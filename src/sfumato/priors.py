"""Priors p(z) and posteriors q(z|x) as arguments."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import nn

from sfumato.checks import check_count, object_of
from sfumato.nn import (
    Family,
    FlowDensity,
    FlowFamily,
    FullGaussianFamily,
    GaussianFamily,
    LearnedComponents,
    PseudoInputMixture,
    StandardNormal,
    check_widths,
)


class Prior(BaseEstimator, ABC):
    """p(z), to be built once the encoder and the data are known."""

    @abstractmethod
    def build(self, encoder: nn.Module, dim: int, n_features: int, *, pixels: bool) -> nn.Module:
        """Return the untrained prior of codes of length ``dim``: a module whose call is p(z).

        Parameters
        ----------
        encoder : Module
            q(z|x).
        dim : int
            Length of z.
        n_features : int
            Length of a row.
        pixels : bool
            Whether rows lie in [0, 1].
        """

    def begin(self, prior: Any, rows: Any) -> None:
        """Give the untrained prior what it takes from the rows; the draws are the fit's."""


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

    def begin(self, prior: Any, rows: Any) -> None:
        """Start from rows as pseudo-inputs."""
        some = torch.randint(len(rows), (len(prior.pseudo_inputs),))
        prior.pseudo_inputs.data.copy_(rows[some])


class FlowPrior(Prior):
    """p(z) as a normalising flow over N(0, I), see :class:`~sfumato.nn.CouplingFlow`; needs zuko.

    Parameters
    ----------
    n_transforms : int
        Couplings of one half of z with the other.
    hidden : tuple of int
        Widths of each coupling's network.

    References
    ----------
    Durkan et al., Neural Spline Flows, 2019.
    """

    def __init__(self, n_transforms: int = 3, hidden: tuple[int, ...] = (64, 64)) -> None:
        self.n_transforms = n_transforms
        self.hidden = hidden

    def build(self, encoder: nn.Module, dim: int, n_features: int, *, pixels: bool) -> nn.Module:
        """Return the flow."""
        check_count("n_transforms", self.n_transforms)
        check_widths(self.hidden)
        return FlowDensity(dim, self.n_transforms, self.hidden)


PRIORS: dict[str, type[Prior]] = {
    "normal": NormalPrior,
    "mixture": MixturePrior,
    "vamp": VampPrior,
    "flow": FlowPrior,
}


class Posterior(BaseEstimator, ABC):
    """The family of q(z|x), whose parameters the encoder gives."""

    @abstractmethod
    def build(self, dim: int) -> Family:
        """Return the family for codes of length ``dim``."""


class DiagonalPosterior(Posterior):
    """q(z|x) = N(mu, diag sigma^2)."""

    def build(self, dim: int) -> Family:
        """Return the family."""
        return GaussianFamily(dim)


class FullPosterior(Posterior):
    """q(z|x) = N(mu, L L^T)."""

    def build(self, dim: int) -> Family:
        """Return the family."""
        return FullGaussianFamily(dim)


class FlowPosterior(Posterior):
    r"""q(z|x) as a normalising flow over N(0, I); needs zuko.

    The encoder gives mu, sigma and a context h: z = mu + sigma T(eps; h), T a chain of couplings by
    neural splines (:class:`~sfumato.nn.CouplingFlow`) that begins as the identity. So training
    begins with the diagonal posterior. The posterior's mean, which ``transform`` returns, is taken
    over 32 fixed points of eps.

    Parameters
    ----------
    n_transforms : int
        Couplings of one half of z with the other.
    hidden : tuple of int
        Widths of each coupling's network.
    n_context : int
        Length of h.

    References
    ----------
    Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015; Durkan et al., Neural
    Spline Flows, 2019.
    """

    def __init__(
        self, n_transforms: int = 3, hidden: tuple[int, ...] = (64, 64), n_context: int = 32
    ) -> None:
        self.n_transforms = n_transforms
        self.hidden = hidden
        self.n_context = n_context

    def build(self, dim: int) -> Family:
        """Return the family."""
        check_count("n_transforms", self.n_transforms)
        check_count("n_context", self.n_context)
        check_widths(self.hidden)
        return FlowFamily(dim, self.n_context, self.n_transforms, self.hidden)


POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal": DiagonalPosterior,
    "full": FullPosterior,
    "flow": FlowPosterior,
}


def prior_of(value: Any) -> Prior:
    """Return the prior that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    return object_of(Prior, value, PRIORS)


def posterior_of(value: Any) -> Posterior:
    """Return the posterior that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    return object_of(Posterior, value, POSTERIORS)
