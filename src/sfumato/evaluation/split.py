"""Which rows are trained on and which are evaluated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sfumato.data import Columns, Data, DataError
from sfumato.estimators import as_float, is_deep

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
    columns : Columns or None
        What the columns of a table with names are.
    image_shape : (channels, height, width) or None
        How a row folds back into an image.
    """

    X_train: np.ndarray
    y_train: np.ndarray | None
    X_eval: np.ndarray
    y_eval: np.ndarray | None
    held_out: bool
    columns: Columns | None = None
    image_shape: tuple[int, int, int] | None = None

    @property
    def rows(self) -> str:
        """What the evaluated rows are called."""
        return "test rows" if self.held_out else "rows (those of the fit among them)"

    def given(self, model: Any, X: np.ndarray) -> Any:
        """Return rows as a model takes them: a deep one is told what their columns are."""
        if not is_deep(model):
            return X
        return Data("the rows", X, columns=self.columns, image_shape=self.image_shape)


def _split(train: Data, X_eval: np.ndarray, y_eval: np.ndarray | None, *, held_out: bool) -> Split:
    return Split(
        as_float(train.X),
        train.y,
        as_float(X_eval),
        y_eval,
        held_out,
        train.columns,
        train.image_shape,
    )


def as_fitted(data: Data) -> Split:
    """Evaluate on the data's own test rows, or on all rows where it has none."""
    if data.X_test is None:
        return _split(data, data.X, data.y, held_out=False)
    return _split(data, data.X_test, data.y_test, held_out=True)


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
    test, train = data.take(np.sort(order[:n])), data.take(np.sort(order[n:]))
    return _split(train, test.X, test.y, held_out=True)


def on_everything(data: Data) -> Split:
    """Fit to all rows, the data's own test rows among them, and evaluate on the same."""
    return as_fitted(data.everything)


# Protocols of a comparison by their names on the command line.
PROTOCOLS: Mapping[str, Callable[[Data], Split]] = {"split": holding_out, "all": on_everything}
