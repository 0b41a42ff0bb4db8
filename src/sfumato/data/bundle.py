"""The one shape that all data take: a table with one datum per row, and what is known about it."""

import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from math import prod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sfumato.data.columns import Columns

CHANNELS = (1, 3, 4)
NUMBERS = "biuf"

ImageShape = tuple[int, int, int]


class DataError(ValueError):
    """Data cannot be used; the message says in one sentence what was wrong and what to do."""


class DataWarning(UserWarning):
    """Data were taken for something that is worth a line; the line says how to change it."""


def tell(line: str) -> None:
    """Warn of what data were taken for, where the caller of this package stands."""
    warnings.warn(line, DataWarning, stacklevel=_depth())


def _depth() -> int:
    """Return how many frames of this package lie above the caller's."""
    frame, depth = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("sfumato"):
        frame, depth = frame.f_back, depth + 1
    return depth


@dataclass(frozen=True, eq=False)
class Data:
    """A data set: rows to learn from, perhaps labels, perhaps a test split.

    Parameters
    ----------
    name : str
        Name of the data set, or of the file or folder it came from.
    X : ndarray of shape (n, d)
        One datum per row, in its own type; images are flattened channels first.
    y : ndarray of shape (n,) or None
        Labels: integers, or codes into ``class_names``.
    X_test, y_test : ndarray of shape (m, d) and (m,), or None
        The test split where the source has one.
    image_shape : tuple (channels, height, width) or None
        How a row folds back into an image.
    class_names : tuple of str or None
        Name of each label code.
    columns : Columns or None
        What the columns of a table with names are.
    row_names : ndarray of shape (n,) or None
        What the source calls its rows.
    row_name : str or None
        Name of the column that does.

    Examples
    --------
    >>> from sfumato.data import load_data
    >>> digits = load_data("digits")
    >>> digits.X.shape, digits.image_shape, digits.n_features
    ((1797, 64), (1, 8, 8), 64)
    """

    name: str
    X: np.ndarray
    y: np.ndarray | None = None
    X_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    image_shape: ImageShape | None = None
    class_names: tuple[str, ...] | None = None
    columns: "Columns | None" = None
    row_names: np.ndarray | None = None
    row_name: str | None = None

    @property
    def n_features(self) -> int:
        """Number of columns, d."""
        return int(self.X.shape[1])

    def take(self, rows: np.ndarray) -> "Data":
        """Return some of the rows, by their places, without a test split."""
        y, names = (None if values is None else values[rows] for values in (self.y, self.row_names))
        return replace(self, X=self.X[rows], y=y, row_names=names, X_test=None, y_test=None)

    @property
    def everything(self) -> "Data":
        """Both splits as one, training rows first, for "fit and evaluate on all"."""
        if self.X_test is None:
            return self
        X = np.concatenate([self.X, self.X_test])
        return replace(
            self, row_names=None, X=X, y=_joined(self.y, self.y_test), X_test=None, y_test=None
        )


def _joined(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    return None if first is None or second is None else np.concatenate([first, second])


def pixel_shape(shape: tuple[int, ...]) -> ImageShape | None:
    """Return (channels, height, width) of one item, or None if it is no image.

    Parameters
    ----------
    shape : tuple of int
        Shape of one item: (h, w), (h, w, c) or (c, h, w) with c one of 1, 3, 4.
        An item that could be either is read as (h, w, c).

    Returns
    -------
    tuple (channels, height, width) or None

    Examples
    --------
    >>> pixel_shape((28, 20)), pixel_shape((32, 16, 3)), pixel_shape((3, 32, 16))
    ((1, 28, 20), (3, 32, 16), (3, 32, 16))
    >>> pixel_shape((64,)) is None
    True
    """
    if len(shape) == 2:
        return (1, shape[0], shape[1])
    if len(shape) != 3:
        return None
    if shape[2] in CHANNELS:
        return (shape[2], shape[0], shape[1])
    return (shape[0], shape[1], shape[2]) if shape[0] in CHANNELS else None


def flatten(X: np.ndarray) -> tuple[np.ndarray, ImageShape | None]:
    """Return items of any shape as rows, channels first, and the image shape of a row."""
    if X.ndim <= 2:
        return X, None
    item = X.shape[1:]
    if len(item) == 3 and item[2] in CHANNELS:
        X = np.moveaxis(X, 3, 1)
    return X.reshape(len(X), prod(item)), pixel_shape(item)


def make_data(
    name: str,
    X: np.ndarray,
    y: np.ndarray | None = None,
    X_test: np.ndarray | None = None,
    y_test: np.ndarray | None = None,
    class_names: tuple[str, ...] | None = None,
) -> Data:
    """Return checked and flattened data; X may still have the shape of images."""
    table, image_shape = _checked_table(name, X)
    labels = _checked_labels(name, y, table.shape[0])
    test, test_labels = None, None
    if X_test is not None:
        test, _ = _checked_table(f"the test split of {name}", X_test)
        test_labels = _checked_labels(f"the test split of {name}", y_test, test.shape[0])
        _check_same_width(name, table, test)
    labels, test_labels, found = _coded(labels, test_labels)
    return Data(name, table, labels, test, test_labels, image_shape, class_names or found)


def _checked_table(name: str, X: np.ndarray) -> tuple[np.ndarray, ImageShape | None]:
    if X.dtype.kind not in NUMBERS:
        raise DataError(f"{name} holds {X.dtype} values: only real numbers can be learned from.")
    if X.ndim < 2:
        raise DataError(
            f"{name} has {X.ndim} dimension(s), not one row per datum: reshape it to (n, d)."
        )
    if 0 in X.shape:
        raise DataError(f"{name} has shape {X.shape} and so no data: give at least one row.")
    rows: Any = X
    return (rows.tocsr().astype(np.float32), None) if is_sparse(rows) else flatten(X)


def is_sparse(value: object) -> bool:
    """Say whether a value is a sparse matrix or array, without importing SciPy."""
    found = sys.modules.get("scipy.sparse")
    return found is not None and bool(found.issparse(value))


def _checked_labels(name: str, y: np.ndarray | None, n: int) -> np.ndarray | None:
    if y is None:
        return None
    if y.shape not in ((n,), (n, 1)):
        raise DataError(
            f"{name} has {n} rows but labels of shape {y.shape}: give one label for each row."
        )
    return y.reshape(n)


def _check_same_width(name: str, X: np.ndarray, X_test: np.ndarray) -> None:
    if X.shape[1] != X_test.shape[1]:
        raise DataError(
            f"{name} has {X.shape[1]} columns but its test split {X_test.shape[1]}: "
            "give both the same columns."
        )


def _coded(
    y: np.ndarray | None, y_test: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None, tuple[str, ...] | None]:
    """Return both label arrays as integers, and the names of the codes if they were words."""
    parts = [part for part in (y, y_test) if part is not None]
    if all(part.dtype.kind in NUMBERS for part in parts):
        return _whole(y), _whole(y_test), None
    names = np.unique(np.concatenate([part.astype(str) for part in parts]))
    return _codes(names, y), _codes(names, y_test), tuple(names.tolist())


def _codes(names: np.ndarray, y: np.ndarray | None) -> np.ndarray | None:
    return None if y is None else np.searchsorted(names, y.astype(str))


def _whole(y: np.ndarray | None) -> np.ndarray | None:
    """Return whole numbers as int64; fractions and NaN stay for the caller to see."""
    if y is None or (y.dtype.kind == "f" and not (y == np.floor(y)).all()):
        return y
    return y.astype(np.int64)


def require(module: str, purpose: str, package: str = "'sfumato[data]'") -> ModuleType:
    """Import an optional module, or say in one sentence which package to install."""
    try:
        return import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise DataError(f"{purpose} needs {name}: pip install {package}") from error


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into one sentence that names the file."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty and so not {kind}: replace it.")
        yield
    except DataError:
        raise
    except Exception as error:  # readers of damaged files raise what they like
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(
            f"{path} cannot be read as {kind} ({reason}): check that it is whole."
        ) from error
