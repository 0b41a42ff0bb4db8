"""Likelihoods p(x|z) and losses as arguments: family, unit, and what is learned from the data."""

from collections.abc import Callable, Mapping
from typing import Any

from sfumato.checks import object_of
from sfumato.likelihoods.auto import Auto, AutoLoss
from sfumato.likelihoods.base import Likelihood, Loss, NegativeLogLikelihood, all_whole
from sfumato.likelihoods.columns import (
    ByColumn,
    ColumnGroup,
    Constant,
    LogNormal,
    Nominal,
    Ordinal,
    ZeroInflated,
)
from sfumato.likelihoods.losses import Correntropy, CrossEntropy, SquaredError
from sfumato.likelihoods.rows import (
    Bernoulli,
    Categorical,
    Log1p,
    LogisticMixture,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from sfumato.likelihoods.wide import PrincipalNormal

LIKELIHOODS: Mapping[str, Callable[[], Likelihood]] = {
    "auto": Auto,
    "bernoulli": Bernoulli,
    "gaussian": Normal,
    "unit-gaussian": lambda: Normal(1.0),
    "pixel-gaussian": lambda: Normal("pixel"),
    "student-t": StudentT,
    "log-normal": LogNormal,
    "categorical": Categorical,
    "logistic-mixture": LogisticMixture,
    "poisson": Poisson,
    "negative-binomial": NegativeBinomial,
}
LOSSES: Mapping[str, type[Loss]] = {
    "auto": AutoLoss,
    "mse": SquaredError,
    "cross-entropy": CrossEntropy,
    "correntropy": Correntropy,
}
squared_error = SquaredError()


def likelihood_of(value: Any) -> Likelihood:
    """Return the likelihood that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    return object_of(Likelihood, value, LIKELIHOODS)


def loss_of(value: Any) -> Loss:
    """Return the loss that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    return object_of(Loss, value, LOSSES)


__all__ = [
    "LIKELIHOODS",
    "LOSSES",
    "Auto",
    "AutoLoss",
    "Bernoulli",
    "ByColumn",
    "Categorical",
    "ColumnGroup",
    "Constant",
    "Correntropy",
    "CrossEntropy",
    "Likelihood",
    "Log1p",
    "LogNormal",
    "LogisticMixture",
    "Loss",
    "NegativeBinomial",
    "NegativeLogLikelihood",
    "Nominal",
    "Normal",
    "Ordinal",
    "Poisson",
    "PrincipalNormal",
    "SquaredError",
    "StudentT",
    "ZeroInflated",
    "all_whole",
    "likelihood_of",
    "loss_of",
    "squared_error",
]
