"""From whatever a user holds to data: paths, names, arrays, frames, tensors and torch data sets."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sfumato.data.bundle import NUMBERS, Data, DataError, ImageShape, flatten, make_data
from sfumato.data.files import IDX_NAME, idx_members, read_idx, read_idx_folder, read_npy, read_npz
from sfumato.data.images import read_image_folder
from sfumato.data.named import DATASETS, load_named
from sfumato.data.tables import from_frame, read_csv, read_parquet

# Entry points of other packages.
GROUP = "sfumato.data"
READERS: Mapping[str, Callable[[Path], Data]] = MappingProxyType(
    {
        ".npy": read_npy,
        ".npz": read_npz,
        ".csv": read_csv,
        ".parquet": read_parquet,
        ".idx": read_idx,
    }
)
ACCEPTED = f"{', '.join(READERS)}, an IDX folder or a folder of images"


def load_data(source: Any) -> Data:
    """Return the data behind a name, a path or an array.

    Parameters
    ----------
    source : str, path-like, Data or array-like
        The exact name of a data set (a key of ``DATASETS``), or of one that an installed package
        declares (an entry point of the group ``sfumato.data``: a function without arguments that
        returns any of the following); a path to a ``.npy``, ``.npz``,
        ``.csv``, ``.parquet`` or IDX file, an IDX folder or a folder of images; a NumPy array,
        a pandas or polars frame, a torch tensor or data set, or nested lists.
        A ``.npy`` file is memory-mapped. In a CSV or Parquet file or a frame, a column named
        label, labels, target, class or y becomes ``y``; so do words in the last column of a CSV
        file without header. A folder whose name is also a data set's is written ``./name``.

    Returns
    -------
    Data
        Rows of shape (n, d), flattened channels first.

    Raises
    ------
    DataError
        If the name or path is unknown, a file is damaged, or the values are no numbers.

    Examples
    --------
    >>> load_data("digits").X.shape
    (1797, 64)
    >>> load_data([[0.0, 1.0], [2.0, 3.0]]).n_features
    2
    """
    if isinstance(source, Data):
        return source
    if isinstance(source, str) and source in DATASETS:
        return load_named(source)
    if isinstance(source, str) and source in declared_data():
        return _load_declared(source)
    return _load_path(source) if isinstance(source, str | os.PathLike) else _load_array(source)


@cache
def declared_data() -> Mapping[str, EntryPoint]:
    """Return the data sets that installed packages declare, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _load_declared(name: str) -> Data:
    found = load_data(declared_data()[name].load()())
    return replace(found, name=name)


def as_table(X: Any) -> tuple[Any, ImageShape | None]:
    """Return rows that scikit-learn can validate, and the shape of an image if it is known.

    Parameters
    ----------
    X : object
        Whatever was passed to ``fit`` or ``predict``. Names, paths, ``Data``, torch tensors and
        data sets, and arrays of more than two dimensions become NumPy arrays of shape (n, d),
        flattened channels first; everything else is handed back untouched.

    Returns
    -------
    X : object
        The rows, of shape (n, d) if they are what they should be; nothing is checked.
    image_shape : tuple (channels, height, width) or None
        How a row folds back into an image.

    Raises
    ------
    DataError
        If a name, path or torch data set cannot be read.

    Examples
    --------
    >>> X, image_shape = as_table(np.zeros((5, 32, 32, 3)))
    >>> X.shape, image_shape
    ((5, 3072), (3, 32, 32))
    """
    if isinstance(X, str | os.PathLike | Data):
        data = load_data(X)
        return data.X, data.image_shape
    if _is(X, "torch.utils.data", "Dataset"):
        return flatten(_stacked(X)[0])
    if _is(X, "torch", "Tensor"):
        X = _numpy(X)
    return flatten(X) if isinstance(X, np.ndarray) and X.ndim > 2 else (X, None)


def _is(value: object, module: str, name: str) -> bool:
    """Say whether a value is of a class in a module that may not even be installed."""
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], name))


def _load_path(source: str | os.PathLike[str]) -> Data:
    path = Path(source).expanduser()
    if path.is_dir():
        return read_idx_folder(path) if idx_members(path) else read_image_folder(path)
    if not path.exists():
        raise DataError(_not_found(source, path))
    reader = READERS.get(".idx" if IDX_NAME.search(path.name) else path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is of no known format: give {ACCEPTED}.")
    return reader(path)


def _not_found(source: str | os.PathLike[str], path: Path) -> str:
    if not isinstance(source, str) or path.suffix or len(path.parts) > 1:
        return f"{path} does not exist: check the path."
    names = [*DATASETS, *declared_data()]
    near = get_close_matches(source, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the names are {', '.join(names)}"
    return (
        f"{source!r} is neither a data set nor a file: {hint} "
        "(a path is written like ./folder or data.csv)."
    )


def _load_array(source: Any) -> Data:
    if _is(source, "pandas", "DataFrame") or _is(source, "polars", "DataFrame"):
        return from_frame(source)
    if _is(source, "torch.utils.data", "Dataset"):
        return make_data("the data set", *_stacked(source))
    return make_data("the array", _array(source))


def _array(source: Any) -> np.ndarray:
    try:
        return _numpy(source)
    except (ValueError, TypeError) as error:
        raise DataError(f"the rows of the array differ in length ({error}): even them.") from error


def _numpy(value: Any) -> np.ndarray:
    if not _is(value, "torch", "Tensor"):
        return np.asanyarray(value)
    tensor = value.detach().cpu()
    # NumPy has no bfloat16.
    return np.asarray(tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor)


def _stacked(dataset: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return all items of a torch data set as rows, and the labels if items are (x, y)."""
    if _is(dataset, "torch.utils.data", "TensorDataset"):
        X, *rest = map(_numpy, dataset.tensors)
        return X, rest[0] if rest else None
    pairs = [_pair(i, item) for i, item in enumerate(_items(dataset))]
    if not pairs:
        raise DataError("the torch data set has no items: give at least one.")
    shapes = [x.shape for x, _ in pairs]
    odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        raise DataError(
            f"item {odd} of the torch data set has shape {shapes[odd]} where the first has "
            f"{shapes[0]}: bring all to one shape."
        )
    labels = [y for _, y in pairs if y is not None]
    return np.stack([x for x, _ in pairs]), np.stack(labels) if labels else None


def _items(dataset: Any) -> Iterator[Any]:
    if _is(dataset, "torch.utils.data", "IterableDataset"):
        return iter(dataset)
    # Many data sets never raise IndexError, so they cannot simply be iterated.
    return (dataset[i] for i in range(len(dataset)))


def _pair(index: int, item: Any) -> tuple[np.ndarray, np.ndarray | None]:
    x, *rest = item if isinstance(item, tuple | list) else (item,)
    values = _numpy(x)
    if values.dtype.kind not in NUMBERS:
        raise DataError(
            f"item {index} of the torch data set is a {type(x).__name__}: "
            "items must be x or (x, y) with x an array of numbers."
        )
    return values, _numpy(rest[0]) if rest else None
