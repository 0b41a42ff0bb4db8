"""Tables as estimators take them: checked, by name, dense or streamed."""

import warnings
from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from sfumato.data import Columns, tell
from sfumato.likelihoods import ByColumn, ColumnGroup, Likelihood
from sfumato.training import is_memory_mapped

# Sparse tables that take no more than this, dense and in float32, are made dense at once.
DENSE_BYTES = 2**28
# A picture narrower than this is none.
MIN_SIDE = 8
# Rows, or cells, that are checked at a time, and cells that a message names.
CHUNK, CHUNK_CELLS, SHOWN = 8192, 2**22, 5


class SparseTable:
    """A sparse matrix whose rows become dense when they are asked for.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix or csr_array, shape (n, d)
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        n, d = self.matrix.shape
        return int(n), int(d)

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return np.dtype(self.matrix.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return rows, or some columns of them, dense."""
        found = self.matrix[index]
        dense: np.ndarray = found.toarray() if sparse.issparse(found) else np.asarray(found)
        return dense.ravel() if isinstance(index, int) else dense

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all rows, dense."""
        return np.asarray(self.matrix.toarray(), dtype=dtype)

    def min(self, axis: int | None = None) -> Any:
        """Return the smallest value, or that of every column."""
        return _dense(self.matrix.min(axis=axis))

    def max(self, axis: int | None = None) -> Any:
        """Return the largest value, or that of every column."""
        return _dense(self.matrix.max(axis=axis))


def _dense(values: Any) -> Any:
    return values.toarray().ravel() if sparse.issparse(values) else values


def checked_table(estimator: Any, values: Any, *, n_min: int = 1) -> Any:
    """Return rows as an array, with NaN for missing cells, or as a :class:`SparseTable`.

    Raises
    ------
    ValueError
        If they are no numbers, too few, or beyond float32.
    """
    holes = estimator.takes_holes or getattr(estimator, "explains_holes", False)
    table = check_array(
        values,
        accept_sparse="csr" if estimator.__sklearn_tags__().input_tags.sparse else False,
        ensure_all_finite="allow-nan" if holes else True,
        ensure_min_samples=n_min,
        estimator=estimator,
        input_name="X",
    )
    if not sparse.issparse(table):
        return table
    if 4 * table.shape[0] * table.shape[1] <= DENSE_BYTES:
        return table.toarray()
    return SparseTable(table)


def note_columns(estimator: Any, columns: Columns | None, n_features: int) -> None:
    """Set the fitted attributes that say what the columns of the training rows are."""
    estimator.columns_ = columns
    estimator.n_features_in_ = n_features
    estimator.__dict__.pop("feature_names_in_", None)
    if columns is not None:
        estimator.feature_names_in_ = np.array(columns.names, dtype=object)


def check_width(estimator: Any, values: Any, *, named: bool) -> None:
    """Check that rows have the columns of the training rows.

    Raises
    ------
    ValueError
        If they have more or fewer.
    """
    if values.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {values.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    if hasattr(estimator, "feature_names_in_") and not named:
        warnings.warn(
            "X does not have valid feature names, but "
            f"{type(estimator).__name__} was fitted with feature names: its columns are taken in "
            "the order of the fit.",
            UserWarning,
            stacklevel=5,
        )


def check_complete(estimator: Any, values: Any) -> None:
    """Check that no cell is missing.

    Raises
    ------
    ValueError
        If one is.
    """
    if has_holes(values):
        raise ValueError(
            f"Input X contains NaN, missing cells, and this {type(estimator).__name__} was fitted "
            "to complete rows: fill them in, or fit it to rows with missing cells too."
        )


def check_range(values: Any, names: Sequence[str] | None) -> None:
    """Check that values are within the range of float32, in which models compute.

    Raises
    ------
    ValueError
        Naming the columns that are not.
    """
    if isinstance(values, SparseTable) or values.dtype != np.float64:
        return
    most = np.zeros(values.shape[1])
    for start in range(0, len(values), CHUNK):
        most = np.fmax(most, np.fmax.reduce(np.abs(values[start : start + CHUNK]), axis=0))
    beyond = np.flatnonzero(most > np.finfo(np.float32).max)
    if len(beyond):
        called = ", ".join(repr(names[j]) if names else str(j) for j in beyond[:5])
        raise ValueError(
            f"X has values beyond the range of float32 in column {called}: the largest is "
            f"{most[beyond[0]]:.3g}; give it another unit, or leave the column out."
        )


def check_places(likelihood: Likelihood, values: Any, names: Sequence[str] | None) -> None:
    """Check that values have a place among those of the fit, and tell of those taken for others.

    Raises
    ------
    ValueError
        Naming the columns of counts that hold negative numbers.
    """
    groups = getattr(likelihood, "groups", None) or [_of_all(likelihood, values)]
    negative = [cell for group in groups for cell in _cells(group, "impossible", values)]
    if negative:
        raise ValueError(
            f"X has negative numbers in columns that held counts in the fit: "
            f"{_listed(negative, names)}; mend the cells, or leave them empty."
        )
    between = [cell for group in groups for cell in _cells(group, "off_level", values)]
    if between and isinstance(likelihood, ByColumn):
        tell(
            "X has values that are none of the levels of the fit, and the nearest level is taken: "
            f"{_listed(between, names)}."
        )


def _of_all(likelihood: Likelihood, values: Any) -> ColumnGroup:
    d = values.shape[1]
    return ColumnGroup(range(d), likelihood, [0.0] * d, [1.0] * d)


def _cells(group: ColumnGroup, which: str, values: Any) -> list[tuple[int, int, float]]:
    """Return column, row and value of the first such cell of every column that has one."""
    asked = getattr(group.likelihood, which)
    found: dict[int, tuple[int, int, float]] = {}
    if asked(np.empty((0, len(group.columns)))) is None:
        return []
    step = max(1, CHUNK_CELLS // values.shape[1])
    for start in range(0, len(values), step):
        part = np.asarray(values[start : start + step][:, list(group.columns)], dtype=np.float64)
        cells = asked(group.in_units(part))
        for j in map(int, np.flatnonzero(cells.any(axis=0))):
            row = int(cells[:, j].argmax())
            found.setdefault(j, (group.columns[j], start + row, float(part[row, j])))
    return list(found.values())


def _listed(cells: list[tuple[int, int, float]], names: Sequence[str] | None) -> str:
    shown = [
        f"{value:g} in column {repr(names[j]) if names else j}, row {row + 1}"
        for j, row, value in cells[:SHOWN]
    ]
    return ", ".join(shown) + (f" and {len(cells) - SHOWN} more" if len(cells) > SHOWN else "")


def is_streamed(X: Any) -> bool:
    """Whether rows are converted batch by batch: they lie in a file, or are sparse."""
    return isinstance(X, SparseTable) or is_memory_mapped(X)


def has_holes(X: Any) -> bool:
    """Whether a cell is missing."""
    if isinstance(X, SparseTable) or X.dtype.kind != "f":
        return False
    return any(bool(np.isnan(X[i : i + CHUNK]).any()) for i in range(0, len(X), CHUNK))


def tell_of_squares(n_features: int) -> None:
    """Say how a table whose rows could be square pictures is taken for one."""
    side = isqrt(n_features)
    if side * side == n_features and side >= MIN_SIDE:
        tell(
            f"Rows of {n_features} values are taken for a table; if they are pictures of {side} x "
            f"{side} pixels, give image_shape=(1, {side}, {side}); image_shape=False is silent."
        )
