"""Priors over the latent code: modules whose call returns a distribution."""

import warnings
from math import log

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as MixtureFit
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
)

from sfumato.distributions import DiagonalMixture, GaussianMixture


class StandardNormal(nn.Module):
    """p(z) = N(0, I) in ``dim`` dimensions."""

    loc: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self) -> Distribution:
        """Return N(0, I), batch shape ()."""
        normal = Normal(self.loc, self.scale, validate_args=False)
        return Independent(normal, 1, validate_args=False)


class PseudoInputMixture(nn.Module):
    r"""p(z) = the mean posterior of learned pseudo-inputs.

    .. math:: p(z) = \frac1K \sum_k q(z|u_k)

    Parameters
    ----------
    encoder : Module
        q(z|x), shared with the model.
    n_features : int
    n_components : int
        K.
    bounded : bool
        Keep the pseudo-inputs in [0, 1], where the rows are.

    References
    ----------
    Tomczak and Welling, VAE with a VampPrior, 2018.
    """

    def __init__(
        self, encoder: nn.Module, n_features: int, n_components: int, *, bounded: bool
    ) -> None:
        super().__init__()
        # In a tuple the encoder stays unregistered, so its weights are counted and saved only once.
        self._encoder = (encoder,)
        self.bounded = bounded
        self.pseudo_inputs = nn.Parameter(torch.rand(n_components, n_features))

    def forward(self) -> Distribution:
        """Return the mixture, batch shape ()."""
        u = self.pseudo_inputs.clamp(0.0, 1.0) if self.bounded else self.pseudo_inputs
        q = self._encoder[0](u)
        log_weights = u.new_full((len(u),), -log(len(u)))
        if isinstance(q, Independent):
            return DiagonalMixture(log_weights, q.mean, q.stddev)
        return MixtureSameFamily(Categorical(logits=log_weights), q, validate_args=False)


# Numbers in all covariances together.
MAX_COVARIANCES = 10**6


class FittedMixture(nn.Module):
    r"""p(z) = a Gaussian mixture, fitted to the codes of a trained autoencoder.

    A deterministic autoencoder has no prior of its own; a density fitted to its codes afterwards
    makes it generative (Ghosh et al., From Variational to Deterministic Autoencoders, 2020, use
    ten components). Wide codes get fewer: a covariance grows with the square of their length.
    """

    log_weights: Tensor
    loc: Tensor
    scale_tril: Tensor

    def __init__(self, dim: int, n_components: int = 10) -> None:
        super().__init__()
        n_components = max(1, min(n_components, MAX_COVARIANCES // dim**2))
        self.register_buffer("log_weights", torch.full((n_components,), torch.nan))
        self.register_buffer("loc", torch.zeros(n_components, dim))
        self.register_buffer("scale_tril", torch.eye(dim).repeat(n_components, 1, 1))

    def fit(self, codes: Tensor, seed: int) -> "FittedMixture":
        """Fit the mixture to codes of shape (n, dim); with few codes, fewer components differ."""
        z = codes.cpu().double().numpy()
        k = min(len(self.loc), max(1, len(z) // (2 * z.shape[1])))
        # The ridge is relative: a code has no unit of its own.
        ridge = 1e-6 * float(z.var(0).mean()) + 1e-12
        mixture = MixtureFit(k, reg_covar=ridge, max_iter=50, tol=1e-2, random_state=seed)
        with warnings.catch_warnings():
            # The iteration limit is part of the method: the prior need not be the optimum.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(z)
        self._set(mixture.weights_, mixture.means_, mixture.covariances_)
        return self

    def _set(self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
        k = len(weights)
        self.log_weights.fill_(-torch.inf)
        self.log_weights[:k] = torch.from_numpy(np.log(weights))
        self.loc[:k] = torch.from_numpy(means)
        self.scale_tril[:k] = torch.from_numpy(np.linalg.cholesky(covariances))

    def forward(self) -> Distribution:
        """Return the mixture, batch shape ().

        Raises
        ------
        RuntimeError
            If it has not been fitted: the training was interrupted.
        """
        if self.log_weights.isnan().any():
            raise RuntimeError(
                "The prior is fitted when training is complete; resume the interrupted fit first."
            )
        return GaussianMixture(self.log_weights, self.loc, self.scale_tril)
