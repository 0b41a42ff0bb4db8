"""What variational autoencoders share: likelihoods and how rows are told to them."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sfumato.data import as_table
from sfumato.estimators.latent import LatentEstimator
from sfumato.estimators.networks import check_network
from sfumato.inference import Diagnosis, RowSource, diagnose, seeded_rows
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    BernoulliFamily,
    CategoricalFamily,
    Family,
    FixedScaleGaussianFamily,
    LogisticMixtureFamily,
    PixelScaleGaussianFamily,
    SharedScaleGaussianFamily,
)
from sfumato.objectives import ELBO, Binarized
from sfumato.training import Rows, check_choice

# name -> (default scaling, family of p(x|z) given the row's length and its number of grey levels)
LIKELIHOODS: dict[str, tuple[str, Callable[[int, int], Family]]] = {
    "bernoulli": ("range", lambda dim, n_levels: BernoulliFamily(dim)),
    "gaussian": ("standard", lambda dim, n_levels: SharedScaleGaussianFamily(dim)),
    "unit-gaussian": ("standard", lambda dim, n_levels: FixedScaleGaussianFamily(dim)),
    "pixel-gaussian": ("standard", lambda dim, n_levels: PixelScaleGaussianFamily(dim)),
    "categorical": ("range", CategoricalFamily),
    "logistic-mixture": ("range", LogisticMixtureFamily),
}
# Densities of real numbers, whose unit is that of the data; masses of grey levels.
DENSITIES = ("gaussian", "unit-gaussian", "pixel-gaussian")
LEVELLED = ("categorical", "logistic-mixture")
MAX_LEVELS = 1024


class VariationalEstimator(LatentEstimator):
    """A thin shell around a model with a likelihood p(x|z) and a posterior q(z|x) to be learned.

    Attributes
    ----------
    n_levels_ : int
        Grey levels, where the likelihood counts them.
    """

    hidden: tuple[int, ...] | None
    backbone: str
    activation: str
    likelihood: str
    objective: Any
    binarize: bool
    n_levels_: int

    def _inspect(self, X: np.ndarray) -> None:
        check_network(self)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        if self.binarize and self.likelihood != "bernoulli":
            raise ValueError("binarize=True needs likelihood='bernoulli'.")
        self.n_levels_ = _count_levels(X) if self.likelihood in LEVELLED else 2

    def _family(self) -> Family:
        return LIKELIHOODS[self.likelihood][1](self.n_features_in_, self.n_levels_)

    def _default_scaling(self) -> str:
        return LIKELIHOODS[self.likelihood][0]

    def _takes_pixels(self) -> bool:
        return self.likelihood not in DENSITIES

    def _complete(self, model: LatentVariableModel, rows: Rows) -> None:
        warn_of_collapse(diagnose(model, rows[torch.arange(min(1000, len(rows)))]))

    def _objective(self) -> Any:
        objective = as_objective(self.objective)
        return Binarized(objective) if self.binarize else objective

    def implied(self) -> dict[str, Any]:
        """Return the objects that parameters of None stand for."""
        return super().implied() | {"objective": ELBO()}

    def _fitted_extras(self) -> dict[str, Any]:
        return {"n_levels_": self.n_levels_}

    def _observed(self, X: Any) -> RowSource:
        """Return the rows as the likelihood is told of them."""
        X, _ = as_table(X)
        rows, _ = self._rows(X)
        if self.likelihood in LEVELLED:
            self._check_levels(np.asarray(X))
        return BinarizedRows(rows, self.seed_) if self.binarize else rows

    def _log_volume(self) -> float:
        """Return what turns a density of scaled rows into one in data units; 0 for masses."""
        density = self.likelihood in DENSITIES
        return self.scaling_.log_volume(self.n_features_in_) if density else 0.0

    def _check_levels(self, X: np.ndarray) -> None:
        low = self.scaling_.offset[0]
        high = low + self.scaling_.scale[0]
        if X.min() < low or X.max() > high or not _all_whole(X):
            raise ValueError(
                f"Every value must be one of the whole numbers {low:g} to {high:g} of the training "
                "rows: others have no probability."
            )


def as_objective(objective: Any) -> Any:
    """Return the objective, by default the bound.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(objective, type) or not (objective is None or callable(objective)):
        raise ValueError(
            f"objective must be ELBO(), IWAE(), SemiAmortised(), or a function; got {objective!r}."
        )
    return ELBO() if objective is None else objective


def warn_of_collapse(diagnosis: Diagnosis) -> None:
    """Warn, at the call of ``fit``, of what went wrong in training."""
    if diagnosis.remedy is not None:
        warnings.warn(diagnosis.remedy, ConvergenceWarning, stacklevel=4)


class BinarizedRows:
    """Rows drawn as b ~ Bernoulli(x) when they are asked for, the draw seeded by the row."""

    def __init__(self, rows: RowSource, seed: int) -> None:
        self.rows = rows
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice) -> Tensor:
        return torch.cat([torch.bernoulli(row) for row in seeded_rows(self.rows[index], self.seed)])


def _count_levels(X: np.ndarray) -> int:
    levels = float(X.max()) - float(X.min()) + 1
    if levels > MAX_LEVELS or not _all_whole(X):
        raise ValueError(
            f"This likelihood needs whole numbers with at most {MAX_LEVELS} levels; use 'gaussian' "
            "for real numbers."
        )
    return max(int(levels), 2)


def _all_whole(X: np.ndarray) -> bool:
    return X.dtype.kind in "biu" or all(np.array_equal(row, np.round(row)) for row in X)
