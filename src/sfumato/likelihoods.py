"""Likelihoods p(x|z) as arguments: family, scaling, unit, and what is learned from the data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import pi, sqrt
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.checks import object_of
from sfumato.nn.families import (
    BernoulliFamily,
    CategoricalFamily,
    Family,
    FixedScaleGaussianFamily,
    LogisticMixtureFamily,
    NegativeBinomialFamily,
    PixelScaleGaussianFamily,
    PointMassFamily,
    PoissonFamily,
    SharedScaleGaussianFamily,
    StudentTFamily,
)

MAX_LEVELS = 1024


class Likelihood(BaseEstimator, ABC):
    """p(x|z), the distribution whose parameters the decoder gives.

    A subclass defines :meth:`family` and, where its rows are not real numbers, the attributes
    below. The model sees rows in *model units*: after the scaling.

    Attributes
    ----------
    scaling : "standard", "range" or "none"
        What ``scaling="auto"`` stands for.
    is_density : bool
        A density, whose value depends on the unit of the data; otherwise a probability mass.
    bounded : bool
        Model units lie in [0, 1], and values outside the training rows' range are clipped.
    measure : str
        Name of its negative log-likelihood in tables: likelihoods of different protocols never
        share a column.
    """

    scaling: ClassVar[str] = "standard"
    is_density: ClassVar[bool] = True
    bounded: ClassVar[bool] = False
    measure: ClassVar[str] = "nll_density"

    @abstractmethod
    def family(self, dim: int) -> Family:
        """Return the family of p(x|z) for rows of length ``dim``."""

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the likelihood with what it learns from the training rows, in data units.

        Raises
        ------
        ValueError
            If the rows cannot have this likelihood.
        """
        return self

    def check(self, X: np.ndarray, low: float, high: float) -> None:
        """Check rows in data units whose likelihood is asked for.

        Parameters
        ----------
        X : ndarray, shape (n, d)
        low, high : float
            What 0 and 1 in model units are in data units.

        Raises
        ------
        ValueError
            If a value has no likelihood.
        """

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        """Log-likelihood of a perfect reconstruction of x, shape (n,), in nats and model units.

        Raises
        ------
        NotImplementedError
            If the likelihood does not say what that is.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not say what a perfect reconstruction has: define "
            "saturated(p, x), or use statistic='likelihood'."
        )

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return the layers through which the encoder sees a row."""
        return ()

    def pretraining(self) -> "Loss":
        """Return the loss of the autoencoder whose weights a mixture model continues."""
        return NegativeLogLikelihood(self)


class Bernoulli(Likelihood):
    r"""Pixels in a range: grey levels as probabilities, :math:`p(x_i = 1|z) = \mu_i(z)`."""

    scaling = "range"
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
        return (torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).sum(-1)

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

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        r"""Return :math:`-\sum_i \log(\sqrt{2\pi} \sigma_i)`."""
        base: Any = p
        return torch.as_tensor(-0.5 * (2 * pi * base.variance).log().sum(-1))

    def pretraining(self) -> "Loss":
        """Return the squared error where the decoder gives the mean alone."""
        return NegativeLogLikelihood(self) if self.scale == "pixel" else SquaredError()


class StudentT(Likelihood):
    r"""Real numbers with heavy tails: :math:`x_i \sim \mu_i(z) + \sigma\, t_\nu`.

    Parameters
    ----------
    df : float
        nu, degrees of freedom; above 1, so that there is a mean. The scale sigma is learned, one
        for all values, in model units.
    """

    def __init__(self, df: float = 4.0) -> None:
        self.df = df

    def family(self, dim: int) -> Family:
        """Return the family."""
        if not self.df > 1:
            raise ValueError(f"df must exceed 1, got {self.df!r}.")
        return StudentTFamily(dim, float(self.df))

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the log density at the location."""
        return p.log_prob(p.mean)


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
        levels = float(X.max()) - float(X.min()) + 1
        if levels > MAX_LEVELS or not all_whole(X):
            raise ValueError(
                f"This likelihood needs whole numbers with at most {MAX_LEVELS} levels; use "
                "'gaussian' for real numbers."
            )
        return type(self)(**{**self.get_params(), "n_levels": max(int(levels), 2)})

    def check(self, X: np.ndarray, low: float, high: float) -> None:
        """Check that every value is a level."""
        if X.min() < low or X.max() > high or not all_whole(X):
            raise ValueError(
                f"Every value must be one of the whole numbers {low:g} to {high:g} of the training "
                "rows: others have no probability."
            )

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        """Return 0: a level can have all the mass."""
        return x.new_zeros(len(x))

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
        if X.min() < 0 or not all_whole(X):
            raise ValueError(
                f"{type(self).__name__} needs counts, whole numbers from 0 on; use 'gaussian' for "
                "real numbers."
            )

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return log(1 + x)."""
        return (Log1p(),)


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

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        r"""Return :math:`\sum_i x_i \log x_i - x_i - \log x_i!`."""
        return (torch.xlogy(x, x) - x - torch.lgamma(x + 1)).sum(-1)


class NegativeBinomial(_Counts):
    r"""Overdispersed counts: mean :math:`\mu_i(z)`, variance :math:`\mu_i + \mu_i^2 / r_i`.

    The dispersion r of every column is learned.
    """

    def family(self, dim: int) -> Family:
        """Return the family."""
        return NegativeBinomialFamily(dim)

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the log mass of x under a mean of x, with the learned dispersion."""
        base: Any = p
        return torch.as_tensor(base.base_dist.log_prob_at_mean(x).sum(-1))


LIKELIHOODS: Mapping[str, Callable[[], Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Normal,
    "unit-gaussian": lambda: Normal(1.0),
    "pixel-gaussian": lambda: Normal("pixel"),
    "student-t": StudentT,
    "categorical": Categorical,
    "logistic-mixture": LogisticMixture,
    "poisson": Poisson,
    "negative-binomial": NegativeBinomial,
}


def likelihood_of(value: Any) -> Likelihood:
    """Return the likelihood that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    return object_of(Likelihood, value, LIKELIHOODS)


def all_whole(X: np.ndarray) -> bool:
    """Return whether all values are whole numbers."""
    return X.dtype.kind in "biu" or all(np.array_equal(row, np.round(row)) for row in X)


class Loss(BaseEstimator, ABC):
    """How far a reconstruction is from its row, and what the decoder returns for it.

    Attributes
    ----------
    scaling : "standard", "range" or "none"
        What ``scaling="auto"`` stands for.
    bounded : bool
        Rows lie in [0, 1].
    """

    scaling: str = "range"
    bounded: bool = False

    def family(self, dim: int) -> Family:
        """Return the family of the decoder's output for rows of length ``dim``: a point."""
        return PointMassFamily(dim)

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the loss with what it learns from the training rows, in data units."""
        return self

    @abstractmethod
    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the loss of rows x, shape (n,)."""

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        """Return minus the loss of a perfect reconstruction, shape (n,)."""
        return x.new_zeros(len(x))

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return the layers through which the encoder sees a row."""
        return ()


class SquaredError(Loss):
    r""":math:`\|x - \hat x\|^2` with x-hat the mean of p, in squared model units."""

    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the error, shape (n,)."""
        return (x - p.mean).square().sum(-1)


class CrossEntropy(Loss):
    r""":math:`-\sum_i x_i \log \mu_i + (1 - x_i) \log(1 - \mu_i)` of pixels in [0, 1], in nats."""

    bounded = True

    def family(self, dim: int) -> Family:
        """Return Bernoullis."""
        return BernoulliFamily(dim)

    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the cross-entropy, shape (n,)."""
        return -p.log_prob(x)

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        """Return minus the entropy of the pixels."""
        return Bernoulli().saturated(p, x)


class Correntropy(Loss):
    r"""Minus the correntropy of data and reconstruction: a loss that outliers cannot drive.

    .. math:: L(x, \hat x) = -\sum_k K_\sigma(x_k - \hat x_k), \qquad
              K_\sigma(a) = \frac{1}{\sqrt{2\pi}\,\sigma} \exp\Big(-\frac{a^2}{2\sigma^2}\Big)

    Errors far beyond sigma have no gradient; errors far below it count as squares.

    Parameters
    ----------
    sigma : float
        Width of the kernel, in model units.

    References
    ----------
    Qi, Wang, Zheng and Wu, Robust Feature Learning by Stacked Autoencoder with Maximum Correntropy
    Criterion, ICASSP 2014.
    """

    def __init__(self, sigma: float = 0.5) -> None:
        self.sigma = sigma

    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the loss of the mean of p, shape (n,)."""
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}.")
        kernel = (-((x - p.mean) / self.sigma).square() / 2).exp() / (sqrt(2 * pi) * self.sigma)
        return -kernel.sum(-1)


class NegativeLogLikelihood(Loss):
    r""":math:`-\log p(x)` of a likelihood, in nats.

    Parameters
    ----------
    likelihood : Likelihood
    """

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood

    @property
    def scaling(self) -> str:  # type: ignore[override]
        """The likelihood's own."""
        return self.likelihood.scaling

    @property
    def bounded(self) -> bool:  # type: ignore[override]
        """The likelihood's own."""
        return self.likelihood.bounded

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the loss of the fitted likelihood."""
        return type(self)(self.likelihood.fitted_to(X))

    def family(self, dim: int) -> Family:
        """Return the likelihood's family."""
        return self.likelihood.family(dim)

    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the loss, shape (n,)."""
        return -p.log_prob(x)

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the likelihood's own."""
        return self.likelihood.saturated(p, x)

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return the likelihood's own."""
        return self.likelihood.input_layers()


LOSSES: Mapping[str, type[Loss]] = {
    "mse": SquaredError,
    "cross-entropy": CrossEntropy,
    "correntropy": Correntropy,
}
squared_error = SquaredError()


def loss_of(value: Any) -> Loss:
    """Return the loss that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    return object_of(Loss, value, LOSSES)
