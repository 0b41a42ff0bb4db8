"""From whatever a user holds to data: paths, names, arrays, frames, tensors and torch data sets."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.bundle import (
    NUMBERS,
    Data,
    DataError,
    ImageShape,
    flatten,
    is_sparse,
    make_data,
    reading,
)
from sfumato.data.columns import Columns
from sfumato.data.delimited import COMPRESSIONS, read_csv
from sfumato.data.files import IDX_NAME, idx_members, read_idx, read_idx_folder, read_npy, read_npz
from sfumato.data.images import read_image_folder
from sfumato.data.named import DATASETS, load_named
from sfumato.data.tables import (
    Reading,
    from_frame,
    read_excel,
    read_feather,
    read_h5ad,
    read_parquet,
)

# Entry points of other packages.
GROUP = "sfumato.data"
# Readers of what knows its own shape; of frames; and of either, told how.
READERS: Mapping[str, Callable[[Path], Data]] = MappingProxyType(
    {".npy": read_npy, ".npz": read_npz, ".idx": read_idx}
)
FRAMES: Mapping[str, tuple[str, Callable[[Path], Any]]] = MappingProxyType(
    {
        **dict.fromkeys((".csv", ".tsv", ".tab", ".txt"), ("a CSV file", read_csv)),
        ".parquet": ("a Parquet file", read_parquet),
        **dict.fromkeys((".feather", ".arrow"), ("a Feather file", read_feather)),
        **dict.fromkeys((".xlsx", ".xls", ".ods"), ("a spreadsheet", read_excel)),
    }
)
ACCEPTED = f"{', '.join((*READERS, *FRAMES, '.h5ad'))}, an IDX folder or a folder of images"


class Table(NamedTuple):
    """Rows as estimators take them."""

    values: Any
    """Of shape (n, d) if they are what they should be; nothing is checked."""
    image_shape: ImageShape | None = None
    """(channels, height, width), where a row folds back into an image."""
    columns: Columns | None = None
    """What the columns are, where they have names."""
    row_names: np.ndarray | None = None


def load_data(
    source: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    id: str | None = None,
    label: str | None = None,
    known: Columns | None = None,
) -> Data:
    """Return the data behind a name, a path or an array.

    Parameters
    ----------
    source : str, path-like, Data or array-like
        The exact name of a data set (a key of ``DATASETS``), or of one that an installed package
        declares (an entry point of the group ``sfumato.data``: a function without arguments that
        returns any of the following); a path to a ``.npy``, ``.npz`` or IDX file, a table (CSV
        with any separator, decimal mark, encoding and compression, Parquet, Feather, Excel,
        ``.h5ad``), an IDX folder or a folder of images; a NumPy array, a sparse matrix, a pandas
        or polars frame, a torch tensor or data set, or nested lists. A ``.npy`` file is
        memory-mapped. A folder whose name is also a data set's is written ``./name``.
    columns : mapping, optional
        What columns of a table are, where it is not what their cells look like: name -> kind, such
        as ``{"city": "category", "id": "ignore"}``; see :class:`~sfumato.data.Columns`.
    drop : sequence of str
        Columns to leave out.
    id : str, optional
        The column that names the rows.
    label : str, optional
        The column that becomes ``y``. None is taken for it that is not named here.
    known : Columns, optional
        Of an earlier table: the columns are taken by name and read as those were. The others of
        these options can then change only columns that are not modelled.

    Returns
    -------
    Data
        Rows of shape (n, d), flattened channels first; words as codes, missing cells as NaN.

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
    how = Reading(columns or {}, tuple(drop), id, label)
    if known is not None and _is_frame(source):
        found = from_frame(source, how, known=known)
    elif known is not None and _is_path_of_frame(source):
        found = _load_frame(Path(source).expanduser(), how, known)
    else:
        found = _loaded(source, how)
    # Labels of an .h5ad file are in an annotation of its rows, not in a column.
    said = how._replace(label=None) if _is_annotated(source) else how
    if found.columns is None and said.overrides():
        named = ", ".join(repr(name) for name in said.overrides())
        raise DataError(f"{found.name} has no columns with names, and so none called {named}.")
    return found


def _loaded(source: Any, how: Reading) -> Data:
    if isinstance(source, Data):
        if how.overrides():
            raise DataError(
                f"{source.name} was read before and stays as it is: say what its columns "
                f"{', '.join(map(repr, how.overrides()))} are where it is read."
            )
        return source
    if isinstance(source, str) and source in DATASETS:
        return load_named(source)
    if isinstance(source, str) and source in declared_data():
        return _load_declared(source)
    if isinstance(source, str | os.PathLike):
        return _load_path(source, how)
    return _load_array(source, how)


@cache
def declared_data() -> Mapping[str, EntryPoint]:
    """Return the data sets that installed packages declare, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _load_declared(name: str) -> Data:
    found = load_data(declared_data()[name].load()())
    return replace(found, name=name)


def as_table(X: Any, known: Columns | None = None, columns: Any = None) -> Table:
    """Return rows that estimators can check, and what is known of them.

    Parameters
    ----------
    X : object
        Whatever was passed to ``fit`` or ``predict``. Names, paths, frames, ``Data``, torch tensors
        and data sets, and arrays of more than two dimensions become NumPy arrays of shape (n, d),
        flattened channels first; everything else is handed back untouched.
    known : Columns, optional
        Of the training rows: the columns of a table are taken by their names.
    columns : mapping, optional
        Kinds of columns, see :func:`load_data`.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        If a name, path, torch data set or column cannot be read.

    Examples
    --------
    >>> table = as_table(np.zeros((5, 32, 32, 3)))
    >>> table.values.shape, table.image_shape
    ((5, 3072), (3, 32, 32))
    """
    how = Reading(columns or {})
    if _is_frame(X):
        return _table(from_frame(X, how, known=known))
    if known is not None and _is_path_of_frame(X):
        return _table(_load_frame(Path(X).expanduser(), how, known))
    if isinstance(X, str | os.PathLike | Data):
        return _table(_loaded(X, how), known)
    if how.columns:
        raise DataError("columns= names columns, and these rows have none: give a frame or a file.")
    if _is(X, "torch.utils.data", "Dataset"):
        return Table(*flatten(_stacked(X)[0]))
    if _is(X, "torch", "Tensor"):
        X = _numpy(X)
    return Table(*flatten(X)) if isinstance(X, np.ndarray) and X.ndim > 2 else Table(X)


def _is_path_of_frame(source: Any) -> bool:
    """Say whether a source is the path of a file of a frame."""
    if not isinstance(source, str | os.PathLike):
        return False
    return _frame_reader(source) is not None and not Path(source).expanduser().is_dir()


def _table(data: Data, known: Columns | None = None) -> Table:
    """Return the training rows of data, of which known columns are taken by name."""
    X = data.X
    if known is not None and data.columns is not None and data.columns.features != known.features:
        frame = data.columns.decode(np.asarray(X, dtype=np.float64))
        X = known.encode(frame)
    return Table(X, data.image_shape, known or data.columns, data.row_names)


def frame_of(source: Any) -> Any:
    """Return the frame that a source is, or that its file holds; None where it is neither.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    if _is_frame(source):
        return source
    return _read_frame(Path(source).expanduser()) if _is_path_of_frame(source) else None


def _is_annotated(source: Any) -> bool:
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == ".h5ad"


def _is_frame(X: Any) -> bool:
    frames = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"))
    return any(_is(X, module, name) for module, name in frames)


def _is(value: object, module: str, name: str) -> bool:
    """Say whether a value is of a class in a module that may not even be installed."""
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], name))


def _load_path(source: str | os.PathLike[str], how: Reading) -> Data:
    path = Path(source).expanduser()
    if path.is_dir():
        return read_idx_folder(path) if idx_members(path) else read_image_folder(path)
    if not path.exists():
        raise DataError(_not_found(source, path))
    if IDX_NAME.search(path.name):
        return read_idx(path)
    if _frame_reader(path) is not None:
        return _load_frame(path, how, None)
    if _is_annotated(path):
        with reading(path, "an AnnData file"):
            return replace(read_h5ad(path, how), name=path.stem)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is of no known format: give {ACCEPTED}.")
    return reader(path)


def _frame_reader(source: str | os.PathLike[str]) -> tuple[str, Callable[[Path], Any]] | None:
    """Return what a file that holds a frame is called, and its reader; else None."""
    path = Path(source)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in COMPRESSIONS
    ending = "".join(suffixes[-2:-1]) if packed else "".join(suffixes[-1:])
    found = FRAMES.get(ending)
    return None if packed and found is not None and found[1] is not read_csv else found


def _read_frame(path: Path) -> Any:
    """Return the frame of a file."""
    found = _frame_reader(path)
    if found is None or not path.exists():
        raise DataError(_not_found(path, path))
    called, reader = found
    with reading(path, called):
        return reader(path)


def _load_frame(path: Path, how: Reading, known: Columns | None) -> Data:
    frame = _read_frame(path)
    return replace(from_frame(frame, how, path.name, known), name=path.name.split(".")[0])


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


def _load_array(source: Any, how: Reading) -> Data:
    if _is_frame(source):
        return from_frame(source, how)
    if is_sparse(source):
        return make_data("the matrix", source)
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
