"""What an objective is."""

from collections.abc import Callable
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from sfumato.models import LatentVariableModel

Terms = dict[str, Tensor]
Objective = Callable[[LatentVariableModel, Tensor], Terms]


class AnnealedObjective(BaseEstimator):
    """An objective whose weights may change with the epoch; parameters in scikit-learn's manner.

    ``objective.at(epoch)`` is the pure function trained in that epoch (counted from 0), and
    ``objective(model, x)`` the one that is reported: the final weights, no training devices.
    """

    @property
    def recordable(self) -> bool:
        """Whether an epoch's function is ``functools.partial`` of a pure one and of numbers.

        Its steps can then be recorded on a GPU and repeated without running Python.
        """
        return False

    def at(self, epoch: int) -> Objective:
        """Return the objective of one epoch."""
        raise NotImplementedError

    def __call__(self, model: LatentVariableModel, x: Tensor) -> Terms:
        """Return the reported terms, each of shape (n,)."""
        raise NotImplementedError


def total(terms: Terms) -> Tensor:
    """Return the sum of the terms, shape (n,)."""
    return torch.stack(list(terms.values())).sum(0)


def require_positive(name: str, value: int) -> None:
    """Check a count.

    Raises
    ------
    ValueError
        If it is below one.
    """
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")


def require_not_negative(**values: float) -> None:
    """Check weights.

    Raises
    ------
    ValueError
        If one is below zero.
    """
    for name, value in values.items():
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}.")


def require_share(**values: float) -> None:
    """Check probabilities.

    Raises
    ------
    ValueError
        If one is not between zero and one.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}.")


def is_recordable(objective: Any) -> bool:
    """Tell whether steps may be recorded: a plain function may change unseen."""
    return isinstance(objective, AnnealedObjective) and bool(objective.recordable)


def objective_at(objective: Any, epoch: int) -> Objective:
    """Return the function to minimise in one epoch; a plain function stays itself."""
    return objective.at(epoch) if isinstance(objective, AnnealedObjective) else objective
