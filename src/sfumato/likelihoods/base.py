"""What a likelihood and a loss are, as arguments."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.data import Columns
from sfumato.nn.families import Family, PointMassFamily
from sfumato.scaling import COLUMN_UNITS, Scaling


def all_whole(X: np.ndarray) -> bool:
    """Return whether all values are whole numbers, or missing."""
    if X.dtype.kind in "biu":
        return True
    return all(np.array_equal(row, np.round(row), equal_nan=True) for row in X)


class Likelihood(BaseEstimator, ABC):
    """p(x|z), the distribution whose parameters the decoder gives.

    A subclass defines :meth:`family` and, where its rows are not real numbers, the attributes
    below. The model sees rows in *model units*: after the scaling.

    Attributes
    ----------
    scaling : "standard", "range", "none" or Scaler
        What ``scaling="auto"`` stands for.
    is_density : bool
        A density, whose value depends on the unit of the data; otherwise a probability mass.
    bounded : bool
        Model units lie in [0, 1], and values outside the training rows' range are clipped.
    measure : str
        Name of its negative log-likelihood in tables: likelihoods of different protocols never
        share a column.
    neutral : float
        A value in model units that a row could have, in place of a missing one.
    indicators : bool
        Whether :meth:`input_layers` return indicators, which are not standardised.
    of_levels : bool
        Whether a column has few values.
    takes_holes : bool
        Whether cells may be missing.
    of_columns : bool
        Of single columns, each in a unit of its own.
    """

    scaling: ClassVar[Any] = "standard"
    is_density: ClassVar[bool] = True
    bounded: ClassVar[bool] = False
    measure: ClassVar[str] = "nll_density"
    neutral: ClassVar[float] = 0.0
    indicators: ClassVar[bool] = False
    of_levels: ClassVar[bool] = False
    takes_holes: ClassVar[bool] = False
    of_columns: ClassVar[bool] = False

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
        return self.saturated_by_value(p, x).sum(-1)

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Log-likelihood of a perfect reconstruction of every value, shape (n, d).

        Raises
        ------
        NotImplementedError
            If the likelihood does not say what that is.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not say what a perfect reconstruction has: define "
            "saturated_by_value(p, x), or use statistic='likelihood'."
        )

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return the layers through which the encoder sees a row."""
        return ()

    def input_width(self, dim: int) -> int:
        """Return how many numbers the encoder sees of a row of length ``dim``."""
        return dim

    def for_columns(self, columns: Columns | None, X: Any, *, scaled: str | None) -> "Likelihood":
        """Return the likelihood for a table with such columns; ``None``: for pictures.

        Parameters
        ----------
        columns : Columns or None
        X : array, shape (n, d)
            Training rows.
        scaled : str or None
            The scaling for all columns that the user has chosen, if any.
        """
        return self

    def log_volume(self, scaling: Scaling, n_features: int) -> float:
        """Return what a log density of scaled rows has more than one in data units, in nats."""
        return scaling.log_volume(n_features) if self.is_density else 0.0

    # What a group of columns of a table asks of its likelihood.

    def units(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return offset and scale of every column of X, shape (n, g), where NaN is missing."""
        return COLUMN_UNITS[self.scaling](X)

    def fitted_to_units(self, x: np.ndarray) -> Self:
        """Return the likelihood with what it learns from columns in model units, NaN missing."""
        return self

    def impossible(self, x: np.ndarray) -> np.ndarray | None:
        """Return which values of columns in model units no row can have; None: there are none."""
        return None

    def off_level(self, x: np.ndarray) -> np.ndarray | None:
        """Return which values of columns are taken for the nearest level; None: there are none."""
        return None

    def marginal(self, x: np.ndarray) -> np.ndarray:
        """Return the raw numbers that stand for the columns' distributions without a code."""
        return np.zeros(self.family(x.shape[1]).n_parameters)

    def pretraining(self) -> "Loss":
        """Return the loss of the autoencoder whose weights a mixture model continues."""
        return NegativeLogLikelihood(self)


class Loss(BaseEstimator, ABC):
    """How far a reconstruction is from its row, and what the decoder returns for it.

    Attributes
    ----------
    scaling : "standard", "range" or "none"
        What ``scaling="auto"`` stands for.
    bounded : bool
        Rows lie in [0, 1].
    takes_holes : bool
        Whether cells may be missing.
    """

    scaling: Any = "range"
    bounded: bool = False
    takes_holes: bool = False

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

    def input_width(self, dim: int) -> int:
        """Return how many numbers the encoder sees of a row of length ``dim``."""
        return dim

    def for_columns(self, columns: Columns | None, X: Any, *, scaled: str | None) -> "Loss":
        """Return the loss for a table with such columns; see :class:`Likelihood`."""
        return self


class NegativeLogLikelihood(Loss):
    r""":math:`-\log p(x)` of a likelihood, in nats.

    Parameters
    ----------
    likelihood : Likelihood
    """

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood

    @property
    def scaling(self) -> Any:
        """The likelihood's own."""
        return self.likelihood.scaling

    @property
    def takes_holes(self) -> bool:  # type: ignore[override]
        """The likelihood's own."""
        return self.likelihood.takes_holes

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

    def input_width(self, dim: int) -> int:
        """Return the likelihood's own."""
        return self.likelihood.input_width(dim)

    def for_columns(self, columns: Columns | None, X: Any, *, scaled: str | None) -> "Loss":
        """Return the loss of the likelihood for such columns."""
        return type(self)(self.likelihood.for_columns(columns, X, scaled=scaled))
