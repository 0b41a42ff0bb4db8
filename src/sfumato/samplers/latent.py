"""Rows generated from a density that is fitted to codes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import KernelDensity
from sklearn.utils import check_array, check_random_state

from sfumato.nn import FittedMixture
from sfumato.noise import Noise
from sfumato.samplers.base import RandomState, Sampler
from sfumato.training import check_choice, check_count


class MixtureSampler(Sampler):
    """The Gaussian mixture that an autoencoder has for a prior, fitted to any codes.

    Parameters
    ----------
    codes : ndarray of shape (n, d)
    n_components : int
        Few codes get fewer: n / (2 d), or one.
    seed : int
        Of the first guess of the fit.
    """

    def __init__(self, codes: np.ndarray, n_components: int, seed: int) -> None:
        mixture = FittedMixture(codes.shape[1], n_components).double()
        self.mixture = mixture.fit(torch.from_numpy(codes), seed)()

    def sample(self, n_samples: int = 1, *, random_state: RandomState = None) -> np.ndarray:
        """Draw codes, shape (n_samples, d)."""
        check_count("n_samples", n_samples)
        with Noise(_seed(random_state)):
            return self.mixture.sample((n_samples,)).numpy()

    def log_prob(self, x: Any) -> np.ndarray:
        """Return the log density of every code in nats, shape (n,)."""
        return self.mixture.log_prob(torch.tensor(np.asarray(x, dtype=np.float64))).numpy()


class KernelSampler(Sampler):
    r"""A small Gaussian around every code.

    .. math:: p(z) = \frac1n \sum_i N(z; z_i, h^2 \mathrm{diag}\,s^2), \qquad h = n^{-1/(d+4)}

    with s the codes' standard deviations and h Scott's bandwidth.

    Parameters
    ----------
    codes : ndarray of shape (n, d)

    References
    ----------
    Scott, Multivariate Density Estimation, 1992.
    """

    def __init__(self, codes: np.ndarray) -> None:
        deviation = codes.std(axis=0)
        # A code that never changes has no unit; it stays where it is, up to the kernel's width.
        self.scale = np.where(deviation > 0, deviation, 1.0)
        self.kernels = KernelDensity(bandwidth="scott").fit(codes / self.scale)

    def sample(self, n_samples: int = 1, *, random_state: RandomState = None) -> np.ndarray:
        """Draw codes, shape (n_samples, d)."""
        check_count("n_samples", n_samples)
        return self.scale * self.kernels.sample(n_samples, random_state=_seed(random_state))

    def log_prob(self, x: Any) -> np.ndarray:
        """Return the log density of every code in nats, shape (n,)."""
        scaled = np.asarray(x, dtype=np.float64) / self.scale
        return self.kernels.score_samples(scaled) - np.log(self.scale).sum()


# name -> density of codes, given their number of components and a seed
DENSITIES: dict[str, Callable[[np.ndarray, int, int], Sampler]] = {
    "mixture": MixtureSampler,
    "gaussian": lambda codes, n_components, seed: MixtureSampler(codes, 1, seed),
    "kernel": lambda codes, n_components, seed: KernelSampler(codes),
}


class LatentSampler(Sampler):
    r"""Rows decoded from a density that was fitted to the codes of an estimator.

    .. math:: x = g(z), \qquad z \sim p(z), \quad p \text{ fitted to } f(x_1), \dots, f(x_n)

    It makes any estimator with ``transform`` and ``inverse_transform`` generative, and a VAE whose
    codes do not fill its prior more faithful. What ``Autoencoder.sample`` draws from is the
    "mixture" with ten components, fitted with the network and saved with it.

    Parameters
    ----------
    density : "mixture", "gaussian" or "kernel"
        A Gaussian mixture with full covariances, one such Gaussian, or a Gaussian around every
        code.
    n_components : int
        Of the mixture; few codes get fewer.
    random_state : int, RandomState or None
        Of the mixture's fit.

    Attributes
    ----------
    estimator_ : fitted estimator
        The one given to ``fit``; it is not copied.
    density_ : Sampler
        Of codes, with ``sample`` and ``log_prob``.

    References
    ----------
    Ghosh, Sajjadi, Vergari, Black and Schölkopf, From Variational to Deterministic Autoencoders,
    2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> X = load_digits().data
    >>> sampler = LatentSampler(n_components=10, random_state=0).fit(PCA(5).fit(X), X)
    >>> sampler.sample(25, random_state=0).shape
    (25, 64)
    """

    def __init__(
        self,
        density: str = "mixture",
        n_components: int = 10,
        random_state: RandomState = None,
    ) -> None:
        self.density = density
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, estimator: Any, X: Any) -> "LatentSampler":
        """Fit the density to the codes of X.

        Parameters
        ----------
        estimator : fitted estimator with ``transform`` and ``inverse_transform``
        X : whatever the estimator's ``transform`` takes, n >= 2 rows

        Raises
        ------
        ValueError
            If a parameter cannot be used; the message says why.
        """
        check_choice("density", self.density, DENSITIES)
        check_count("n_components", self.n_components)
        codes = check_array(estimator.transform(X), dtype=np.float64, ensure_min_samples=2)
        seed = _seed(self.random_state)
        self.density_ = DENSITIES[self.density](codes, self.n_components, seed)
        self.estimator_ = estimator
        return self

    def sample(self, n_samples: int = 1, *, random_state: RandomState = None) -> np.ndarray:
        """Draw codes and decode them, shape (n_samples, d), in data units."""
        codes = self.density_.sample(n_samples, random_state=random_state)
        return self.estimator_.inverse_transform(codes)

    def log_prob(self, x: Any) -> np.ndarray:
        """Refuse: decoded rows have no density in closed form, their codes have."""
        raise NotImplementedError(
            "decoded rows have no density in closed form; ask density_.log_prob for that of their "
            "codes, or the estimator's score_samples"
        )


def _seed(random_state: RandomState) -> int:
    return int(check_random_state(random_state).randint(2**31 - 1))
