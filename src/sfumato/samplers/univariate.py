"""Numbers of any distribution from uniform ones, by the inverse of its distribution function."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from sklearn.utils import check_random_state

from sfumato.samplers.base import Map, RandomState, Sampler
from sfumato.training import check_choice, check_count

# Gauss-Legendre nodes of a cell: exact for polynomials of degree 15.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)
# Halvings of a cell, after which its ends are neighbouring numbers.
HALVINGS = 53


class UnivariateSampler(Sampler):
    r"""A distribution of numbers, drawn by inversion.

    .. math:: x = P^{-1}(u), \quad u \sim U(0, 1), \qquad P^{-1}(u) = \min\{x : P(x) \ge u\}
    """

    @abstractmethod
    def cdf(self, x: Any) -> np.ndarray:
        """Return P(x), the probability of a number up to x, shape as x."""

    @abstractmethod
    def ppf(self, u: Any) -> np.ndarray:
        """Return the quantile of every probability u, shape as u.

        Raises
        ------
        ValueError
            If a probability lies outside [0, 1].
        """

    def sample(self, n_samples: int = 1, *, random_state: RandomState = None) -> np.ndarray:
        """Draw numbers, shape (n_samples,)."""
        check_count("n_samples", n_samples)
        return self.ppf(check_random_state(random_state).uniform(size=n_samples))


class ScipySampler(UnivariateSampler):
    """A distribution out of scipy.stats, its parameters given.

    Parameters
    ----------
    distribution : frozen continuous distribution
        For instance ``scipy.stats.gamma(2.0)``.

    Examples
    --------
    >>> from scipy import stats
    >>> ScipySampler(stats.expon()).ppf([0.5]).round(4)
    array([0.6931])
    """

    def __init__(self, distribution: Any) -> None:
        self.distribution = distribution

    def cdf(self, x: Any) -> np.ndarray:
        """Return P(x), shape as x."""
        return np.asarray(self.distribution.cdf(x))

    def ppf(self, u: Any) -> np.ndarray:
        """Return the quantile of every probability u, shape as u."""
        return np.asarray(self.distribution.ppf(_probabilities(u)))

    def log_prob(self, x: Any) -> np.ndarray:
        """Return the log density in nats, shape as x."""
        return np.asarray(self.distribution.logpdf(x))


class EmpiricalSampler(UnivariateSampler):
    r"""The distribution of numbers that were observed.

    "step" draws the n observed numbers, each with probability 1/n. "linear" joins them: the i-th
    smallest has probability (i - 1)/(n - 1) below it, and between neighbours P is linear.

    Parameters
    ----------
    values : array-like of shape (n,)
        n >= 2.
    interpolation : "linear" or "step"

    Examples
    --------
    >>> EmpiricalSampler([3.0, 1.0, 2.0]).ppf([0.0, 0.25, 1.0])
    array([1. , 1.5, 3. ])
    >>> EmpiricalSampler([3.0, 1.0, 2.0], "step").ppf([0.0, 0.25, 1.0])
    array([1., 1., 3.])
    """

    def __init__(self, values: Any, interpolation: str = "linear") -> None:
        check_choice("interpolation", interpolation, ["linear", "step"])
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise ValueError(
                "values must be at least two finite numbers of shape (n,), got shape "
                f"{values.shape}."
            )
        self.values = np.sort(values)
        self.interpolation = interpolation

    def cdf(self, x: Any) -> np.ndarray:
        """Return P(x), shape as x."""
        x = np.asarray(x, dtype=np.float64)
        below = np.searchsorted(self.values, x, side="right")
        if self.interpolation == "step":
            return below / len(self.values)
        i, gap = self._gap(below)
        share = np.clip((x - self.values[i]) / gap, 0.0, 1.0)
        inner = (i + share) / (len(self.values) - 1)
        return np.where(below == 0, 0.0, np.where(below == len(self.values), 1.0, inner))

    def ppf(self, u: Any) -> np.ndarray:
        """Return the quantile of every probability u, shape as u."""
        u = _probabilities(u)
        if self.interpolation == "linear":
            return np.quantile(self.values, u)
        return np.quantile(self.values, u, method="inverted_cdf")

    def log_prob(self, x: Any) -> np.ndarray:
        """Return the log density in nats, constant between neighbours, shape as x.

        Raises
        ------
        NotImplementedError
            If single numbers have a probability: with "step", or where values are repeated.
        """
        if self.interpolation == "step" or (np.diff(self.values) == 0).any():
            raise NotImplementedError(
                "single numbers have a probability here, so there is no density; use "
                "interpolation='linear' with values that all differ"
            )
        x = np.asarray(x, dtype=np.float64)
        _, gap = self._gap(np.searchsorted(self.values, x, side="right"))
        inside = (x >= self.values[0]) & (x <= self.values[-1])
        return np.where(inside, -np.log(gap * (len(self.values) - 1)), -np.inf)

    def _gap(self, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the neighbour to the left, as an index, and the distance of both neighbours."""
        i = np.clip(below - 1, 0, len(self.values) - 2)
        gap = self.values[i + 1] - self.values[i]
        # Only the two ends can fall on repeated values, where the distance does not count.
        return i, np.where(gap > 0, gap, 1.0)


class DensitySampler(UnivariateSampler):
    r"""The distribution with a given density on an interval, normalised or not.

    .. math:: P(x) = \frac1Z \int_a^x p(t)\,dt, \qquad Z = \int_a^b p(t)\,dt

    The integral over each of ``n_cells`` equal cells is Gauss's with 8 nodes; between the cells P
    is Fritsch and Carlson's monotone cubic, and its inverse is found by halving.

    Parameters
    ----------
    density : callable (n,) -> (n,)
        p, up to a factor; finite on the open interval, zero or more.
    low, high : float
        a < b, finite.
    n_cells : int
        p may change sharply between cells, but should be smooth within most.

    Attributes
    ----------
    normalizer : float
        Z.

    References
    ----------
    Devroye, Non-Uniform Random Variate Generation, 1986, chapter II.2; Fritsch and Carlson,
    Monotone Piecewise Cubic Interpolation, 1980.

    Examples
    --------
    >>> wedge = DensitySampler(lambda x: x, 0.0, 2.0)
    >>> wedge.ppf([0.25]).round(6), round(wedge.normalizer, 6)
    (array([1.]), 2.0)
    """

    def __init__(
        self,
        density: Callable[[np.ndarray], np.ndarray],
        low: float,
        high: float,
        n_cells: int = 1000,
    ) -> None:
        check_count("n_cells", n_cells)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"low < high must be finite numbers, got {low} and {high}.")
        self.density = density
        self.low, self.high = float(low), float(high)
        self._edges = np.linspace(low, high, n_cells + 1)
        mass = np.concatenate([[0.0], np.cumsum(self._masses())])
        if not mass[-1] > 0:
            raise ValueError("The density is zero on the whole interval: give it some mass.")
        self.normalizer = float(mass[-1])
        self._levels = mass / mass[-1]
        self._curve = PchipInterpolator(self._edges, self._levels)

    def _masses(self) -> np.ndarray:
        half = np.diff(self._edges)[:, None] / 2
        nodes = self._edges[:-1, None] + half * (1 + NODES)
        return (half * self._values(nodes.ravel()).reshape(nodes.shape)) @ WEIGHTS

    def _values(self, x: np.ndarray) -> np.ndarray:
        p = np.asarray(self.density(x), dtype=np.float64)
        if p.shape != x.shape or not (np.isfinite(p) & (p >= 0)).all():
            raise ValueError(
                "density must return a finite number, zero or more, for every point: shape (n,) "
                "for shape (n,)."
            )
        return p

    def cdf(self, x: Any) -> np.ndarray:
        """Return P(x), shape as x."""
        x = np.asarray(x, dtype=np.float64)
        return np.clip(self._curve(np.clip(x, self.low, self.high)), 0.0, 1.0)

    def ppf(self, u: Any) -> np.ndarray:
        """Return the quantile of every probability u, shape as u."""
        u = _probabilities(u)
        cell = np.clip(np.searchsorted(self._levels, u) - 1, 0, len(self._edges) - 2)
        low, high = self._edges[cell], self._edges[cell + 1]
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            enough = self._curve(middle) >= u
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    def log_prob(self, x: Any) -> np.ndarray:
        """Return the log of the normalised density in nats, shape as x; -inf outside."""
        x = np.asarray(x, dtype=np.float64)
        inside = (x > self.low) & (x < self.high)
        p = np.zeros(x.shape)
        p[inside] = self._values(x[inside])
        with np.errstate(divide="ignore"):
            return np.log(p / self.normalizer)


class MonotoneMap(Map):
    r"""The increasing map from one distribution of numbers to another.

    .. math:: y = G^{-1}(P(x)), \qquad \log \frac{dy}{dx} = \log p(x) - \log g(y)

    Of all maps that carry P to G it moves the numbers least in the mean square (Villani, Topics in
    Optimal Transportation, 2003, theorem 2.18).

    Parameters
    ----------
    source, target : UnivariateSampler
        P and G.

    Examples
    --------
    >>> from scipy import stats
    >>> wider = MonotoneMap(ScipySampler(stats.norm()), ScipySampler(stats.norm(5.0, 2.0)))
    >>> wider.forward([-1.0, 0.0, 1.0]).round(6)
    array([3., 5., 7.])
    """

    def __init__(self, source: UnivariateSampler, target: UnivariateSampler) -> None:
        self.source = source
        self.target = target

    def forward(self, x: Any) -> np.ndarray:
        """Return y at every x, shape as x."""
        return self.target.ppf(self.source.cdf(x))

    def inverse(self, y: Any) -> np.ndarray:
        """Return x at every y, shape as y."""
        return self.source.ppf(self.target.cdf(y))

    def log_det(self, x: Any) -> np.ndarray:
        """Return log dy/dx at every x, shape as x."""
        return self.source.log_prob(x) - self.target.log_prob(self.forward(x))


def _probabilities(u: Any) -> np.ndarray:
    u = np.asarray(u, dtype=np.float64)
    if not ((u >= 0) & (u <= 1)).all():
        raise ValueError("A quantile's probability must lie in [0, 1].")
    return u
