"""What every sampler and every map between distributions can do."""

from abc import ABC, abstractmethod
from math import log, pi
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sfumato.training import check_count

RandomState = int | np.random.RandomState | None


class Sampler(ABC):
    """A distribution to draw from, with its density where that is known in closed form."""

    @abstractmethod
    def sample(self, n_samples: int = 1, *, random_state: RandomState = None) -> np.ndarray:
        """Draw points, shape (n_samples,) or (n_samples, d).

        Parameters
        ----------
        n_samples : int
        random_state : int, RandomState or None
            The same number gives the same draws; None gives new ones.
        """

    @abstractmethod
    def log_prob(self, x: Any) -> np.ndarray:
        """Return the log density of every point in nats, shape (n,).

        Raises
        ------
        NotImplementedError
            If it is not known in closed form.
        """


class Map(ABC):
    """An invertible map of points, which carries one distribution to another."""

    @abstractmethod
    def forward(self, x: Any) -> np.ndarray:
        """Return the image of every point, shape as x."""

    @abstractmethod
    def inverse(self, y: Any) -> np.ndarray:
        """Return the point whose image is y, shape as y; nan where there is none."""

    @abstractmethod
    def log_det(self, x: Any) -> np.ndarray:
        """Return the log of the absolute Jacobian determinant at every x, shape (n,)."""


class NormalSampler(Sampler):
    """N(0, I) in ``dim`` dimensions.

    Parameters
    ----------
    dim : int

    Examples
    --------
    >>> NormalSampler(2).sample(5, random_state=0).shape
    (5, 2)
    """

    def __init__(self, dim: int = 1) -> None:
        check_count("dim", dim)
        self.dim = dim

    def sample(self, n_samples: int = 1, *, random_state: RandomState = None) -> np.ndarray:
        """Draw points, shape (n_samples, dim)."""
        check_count("n_samples", n_samples)
        return check_random_state(random_state).standard_normal((n_samples, self.dim))

    def log_prob(self, x: Any) -> np.ndarray:
        """Return the log density of every row of x, shape (n,), in nats."""
        x = np.asarray(x, dtype=np.float64)
        return -0.5 * (self.dim * log(2 * pi) + np.square(x).sum(-1))


class MappedSampler(Sampler):
    r"""The distribution of :math:`y = f(x)` for x of another one.

    .. math:: \log p(y) = \log p_x(f^{-1}(y)) - \log |\det J_f(f^{-1}(y))|

    Parameters
    ----------
    source : Sampler
        Of x.
    map : Map
        f.

    Examples
    --------
    >>> from sfumato import MappedSampler, NormalSampler, RingMap
    >>> ring = MappedSampler(NormalSampler(2), RingMap())
    >>> radius = np.linalg.norm(ring.sample(1000, random_state=0), axis=1)
    >>> bool(radius.min() > 1), round(float(radius.mean()), 2)
    (True, 1.12)
    """

    def __init__(self, source: Sampler, map: Map) -> None:
        self.source = source
        self.map = map

    def sample(self, n_samples: int = 1, *, random_state: RandomState = None) -> np.ndarray:
        """Draw points of the source and return their images."""
        return self.map.forward(self.source.sample(n_samples, random_state=random_state))

    def log_prob(self, x: Any) -> np.ndarray:
        """Return the log density by change of variables, in nats; -inf where nothing is mapped."""
        preimage = self.map.inverse(x)
        inside = ~np.isnan(preimage).reshape(len(preimage), -1).any(axis=1)
        log_density = np.full(len(preimage), -np.inf)
        z = preimage[inside]
        log_density[inside] = self.source.log_prob(z) - self.map.log_det(z)
        return log_density
