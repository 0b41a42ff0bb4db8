"""Which rows are trained on and which are evaluated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sfumato.data import Data, DataError
from sfumato.estimators import as_float

SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows to evaluate.

    Attributes
    ----------
    X_train, X_eval : ndarray, shape (n, d)
    y_train, y_eval : ndarray of shape (n,), or None
    held_out : bool
        Whether the evaluated rows are no training rows.
    """

    X_train: np.ndarray
    y_train: np.ndarray | None
    X_eval: np.ndarray
    y_eval: np.ndarray | None
    held_out: bool

    @property
    def rows(self) -> str:
        """What the evaluated rows are called."""
        return "test rows" if self.held_out else "rows (those of the fit among them)"


def as_fitted(data: Data) -> Split:
    """Evaluate on the data's own test rows, or on all rows where it has none."""
    X = as_float(data.X)
    if data.X_test is None:
        return Split(X, data.y, X, data.y, held_out=False)
    return Split(X, data.y, as_float(data.X_test), data.y_test, held_out=True)


def holding_out(data: Data, seed: int = 0) -> Split:
    """Evaluate on the data's own test rows, or hold out a fifth of the rows where it has none.

    Raises
    ------
    DataError
        If there is only one row.
    """
    if data.X_test is not None:
        return as_fitted(data)
    if len(data.X) < 2:
        raise DataError("One row cannot be split into rows to fit and rows to evaluate.")
    order = np.random.default_rng(seed).permutation(len(data.X))
    n = max(1, round(SHARE * len(order)))
    test, train = np.sort(order[:n]), np.sort(order[n:])
    y_train, y_test = (None, None) if data.y is None else (data.y[train], data.y[test])
    X = as_float(data.X)
    return Split(X[train], y_train, X[test], y_test, held_out=True)


def on_everything(data: Data) -> Split:
    """Fit to all rows, the data's own test rows among them, and evaluate on the same."""
    return as_fitted(data.everything)


# Protocols of a comparison by their names on the command line.
PROTOCOLS: Mapping[str, Callable[[Data], Split]] = {"split": holding_out, "all": on_everything}
