"""Likelihoods of rows whose values are all of one kind."""

from math import pi
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.checks import check_choice
from sfumato.likelihoods.base import Likelihood, Loss, NegativeLogLikelihood, all_whole
from sfumato.likelihoods.losses import CrossEntropy, SquaredError, minus_entropy
from sfumato.nn.columns import ScaledStudentTFamily, log_prob_by_value
from sfumato.nn.families import (
    BernoulliFamily,
    CategoricalFamily,
    Family,
    FixedScaleGaussianFamily,
    LogisticMixtureFamily,
    NegativeBinomialFamily,
    PixelScaleGaussianFamily,
    PoissonFamily,
    SharedScaleGaussianFamily,
    StudentTFamily,
)

MAX_LEVELS = 1024


class Bernoulli(Likelihood):
    r"""Pixels in a range: grey levels as probabilities, :math:`p(x_i = 1|z) = \mu_i(z)`."""

    scaling = "range"
    of_levels = True
    is_density = False
    bounded = True
    measure = "nll"

    def family(self, dim: int) -> Family:
        """Return the family."""
        return BernoulliFamily(dim)

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        r"""Return :math:`\sum_i x_i \log x_i + (1 - x_i) \log(1 - x_i)`: 0 for zeros and ones.

        References
        ----------
        McCullagh and Nelder, Generalized Linear Models, 1989, section 2.3.

        Examples
        --------
        >>> x = torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 1.0]])
        >>> likelihood = Bernoulli()
        >>> likelihood.saturated(likelihood.family(3)(torch.zeros(2, 3)), x)
        tensor([ 0.0000, -1.3863])
        """
        return self.saturated_by_value(p, x).sum(-1)

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return minus the entropy of every pixel."""
        return minus_entropy(x)

    def off_level(self, x: np.ndarray) -> np.ndarray:
        """Return which values lie beyond 0 and 1."""
        return np.asarray((x < 0) | (x > 1))

    def marginal(self, x: np.ndarray) -> np.ndarray:
        """Return the logits of the columns' shares of ones."""
        share = (np.nansum(x, axis=0) + 0.5) / ((~np.isnan(x)).sum(axis=0) + 1)
        return np.log(share / (1 - share))

    def pretraining(self) -> "Loss":
        """Return the cross-entropy."""
        return CrossEntropy()


class Normal(Likelihood):
    """Real numbers with Gaussian noise.

    Parameters
    ----------
    scale : "shared", "pixel" or float
        One learned scale for all values, in model units; a scale from the network for every value;
        or a fixed number.
    """

    def __init__(self, scale: str | float = "shared") -> None:
        self.scale = scale

    def family(self, dim: int) -> Family:
        """Return the family."""
        if self.scale == "shared":
            return SharedScaleGaussianFamily(dim)
        if self.scale == "pixel":
            return PixelScaleGaussianFamily(dim)
        if isinstance(self.scale, str) or not self.scale > 0:
            raise ValueError(
                f"scale must be 'shared', 'pixel' or a positive number, got {self.scale!r}."
            )
        return FixedScaleGaussianFamily(dim, float(self.scale))

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        r"""Return :math:`-\log(\sqrt{2\pi} \sigma_i)`."""
        base: Any = p
        return torch.as_tensor(-0.5 * (2 * pi * base.variance).log())

    def pretraining(self) -> "Loss":
        """Return the squared error where the decoder gives the mean alone."""
        return NegativeLogLikelihood(self) if self.scale == "pixel" else SquaredError()


class StudentT(Likelihood):
    r"""Real numbers with heavy tails: :math:`x_i \sim \mu_i(z) + \sigma\, t_\nu`.

    Parameters
    ----------
    df : float
        nu, degrees of freedom; above 1, so that there is a mean.
    scale : "shared" or "pixel"
        sigma: one learned scale for all values, in model units, or one from the network for every
        value.
    """

    def __init__(self, df: float = 4.0, scale: str = "shared") -> None:
        self.df = df
        self.scale = scale

    def family(self, dim: int) -> Family:
        """Return the family."""
        if not self.df > 1:
            raise ValueError(f"df must exceed 1, got {self.df!r}.")
        check_choice("scale", self.scale, ["shared", "pixel"])
        if self.scale == "pixel":
            return ScaledStudentTFamily(dim, float(self.df))
        return StudentTFamily(dim, float(self.df))

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the log density at the location."""
        return log_prob_by_value(p, p.mean)


class _Levels(Likelihood):
    """Whole numbers between the smallest and the largest of the training rows."""

    scaling = "range"
    is_density = False
    bounded = True
    measure = "nll_levels"

    n_levels: int | None

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the likelihood with the number of levels of the training rows."""
        if self.n_levels is not None:
            return self
        levels = float(np.nanmax(X)) - float(np.nanmin(X)) + 1
        if levels > MAX_LEVELS or not all_whole(X):
            raise ValueError(
                f"This likelihood needs whole numbers with at most {MAX_LEVELS} levels; use "
                "'gaussian' for real numbers."
            )
        return type(self)(**{**self.get_params(), "n_levels": max(int(levels), 2)})

    def check(self, X: np.ndarray, low: float, high: float) -> None:
        """Check that every value is a level."""
        if np.nanmin(X) < low or np.nanmax(X) > high or not all_whole(X):
            raise ValueError(
                f"Every value must be one of the whole numbers {low:g} to {high:g} of the training "
                "rows: others have no probability."
            )

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return 0: a level can have all the mass."""
        return torch.zeros_like(x)

    def _known_levels(self) -> int:
        """Return the number of levels.

        Raises
        ------
        ValueError
            If it is not known.
        """
        if self.n_levels is None:
            raise ValueError(
                f"{self!r} does not know how many levels there are: give n_levels, or call "
                "fitted_to(X)."
            )
        return self.n_levels


class Categorical(_Levels):
    """Whole numbers, a free mass for every level.

    Parameters
    ----------
    n_levels : int, optional
        By default counted in the training rows.
    """

    def __init__(self, n_levels: int | None = None) -> None:
        self.n_levels = n_levels

    def family(self, dim: int) -> Family:
        """Return the family."""
        return CategoricalFamily(dim, self._known_levels())


class LogisticMixture(_Levels):
    """Whole numbers such as 8-bit pixels: a mixture of logistics a value, cut into levels.

    Parameters
    ----------
    n_levels : int, optional
        By default counted in the training rows.
    n_components : int
        Logistics of a value.
    """

    def __init__(self, n_levels: int | None = None, n_components: int = 5) -> None:
        self.n_levels = n_levels
        self.n_components = n_components

    def family(self, dim: int) -> Family:
        """Return the family."""
        return LogisticMixtureFamily(dim, self._known_levels(), self.n_components)


class _Counts(Likelihood):
    """Whole numbers without a bound, from 0 on; the encoder sees log(1 + x)."""

    scaling = "none"
    is_density = False
    measure = "nll_counts"

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the likelihood itself."""
        self.check(X, 0.0, 1.0)
        return self

    def check(self, X: np.ndarray, low: float, high: float) -> None:
        """Check that every value is a count."""
        if np.nanmin(X) < 0 or not all_whole(X):
            raise ValueError(
                f"{type(self).__name__} needs counts, whole numbers from 0 on; use 'gaussian' for "
                "real numbers."
            )

    def impossible(self, x: np.ndarray) -> np.ndarray:
        """Return which values are negative."""
        return np.asarray(x < 0)

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return log(1 + x)."""
        return (Log1p(),)

    def marginal(self, x: np.ndarray) -> np.ndarray:
        """Return the logarithms of the columns' means."""
        n = (~np.isnan(x)).sum(axis=0)
        return np.log((np.nansum(x, axis=0) + 0.5) / (n + 1))


class Log1p(nn.Module):
    """x -> log(1 + x), value by value."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithms, shape as x."""
        return x.log1p()


class Poisson(_Counts):
    r"""Counts: :math:`x_i \sim \mathrm{Poisson}(\lambda_i(z))`."""

    def family(self, dim: int) -> Family:
        """Return the family."""
        return PoissonFamily(dim)

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        r"""Return :math:`x_i \log x_i - x_i - \log x_i!`."""
        return torch.xlogy(x, x) - x - torch.lgamma(x + 1)


class NegativeBinomial(_Counts):
    r"""Overdispersed counts: mean :math:`\mu_i(z)`, variance :math:`\mu_i + \mu_i^2 / r_i`.

    The dispersion r of every column is learned.
    """

    def family(self, dim: int) -> Family:
        """Return the family."""
        return NegativeBinomialFamily(dim)

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the log mass of x under a mean of x, with the learned dispersion."""
        base: Any = p
        return torch.as_tensor(base.base_dist.log_prob_at_mean(x))
