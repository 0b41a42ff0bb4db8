"""Tables with named columns: Parquet, Feather, Excel, .h5ad, pandas and polars frames."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.bundle import NUMBERS, Data, DataError, make_data, require
from sfumato.data.columns import (
    Columns,
    as_pandas,
    check_names_differ,
    infer_columns,
    tell_left_out,
)


class Reading(NamedTuple):
    """How a table is to be read."""

    columns: Mapping[str, Any] = {}
    """Kinds of columns by name."""
    drop: Sequence[str] = ()
    """Columns to be left out."""
    id: str | None = None
    """The column that names the rows."""
    label: str | None = None
    """The column that holds labels."""

    def overrides(self) -> dict[str, Any]:
        """Return all of these as kinds by name."""
        found = dict(self.columns) | dict.fromkeys(self.drop, "ignored")
        found |= {} if self.id is None else {self.id: "identifier"}
        return found | ({} if self.label is None else {self.label: "label"})


def from_frame(
    frame: Any, how: Reading | None = None, name: str = "the frame", known: Columns | None = None
) -> Data:
    """Return the data of a pandas or polars frame: its features as numbers.

    Parameters
    ----------
    frame : pandas or polars DataFrame
    how : Reading, optional
    name : str
        What messages call it.
    known : Columns, optional
        Of an earlier table, whose columns are taken by name.

    Raises
    ------
    DataError
        If a column or a cell cannot be used; the message names all columns at once.
    """
    frame, how = as_pandas(frame), how or Reading()
    check_names_differ([str(column) for column in frame.columns], name)
    if not len(frame):
        raise DataError(f"{name} holds no rows of data: add at least one.")
    overrides = how.overrides()
    if known is None:
        columns = infer_columns(frame, overrides)
    else:
        columns = known.revised(overrides, [str(column) for column in frame.columns])
    columns = columns if how.id is None else columns.only(how.id, "identifier")
    columns = columns if how.label is None else columns.only(how.label, "label")
    if not columns.features:
        raise DataError(f"{name} has no column to learn from: {columns.summary()}.")
    if known is None:
        tell_left_out(columns, list(overrides))
    X = columns.encode(frame)
    labels = _labels(name, frame, columns)
    row_name, row_names = _row_names(frame, columns)
    data = make_data(name, X, labels)
    return replace(data, columns=columns, row_names=row_names, row_name=row_name)


def _labels(name: str, frame: Any, columns: Columns) -> np.ndarray | None:
    """Return the cells of the label column, if there is one."""
    named = [column.name for column in columns if column.kind == "label"]
    if len(named) > 1:
        raise DataError(f"{name} has several label columns ({', '.join(named)}): keep one.")
    found = [frame[key] for key in frame.columns if str(key) in named]
    if not found:
        return None
    if found[0].isna().any():
        row = int(np.flatnonzero(found[0].isna())[0]) + 1
        raise DataError(f"{name}: the label column {named[0]!r} is empty in row {row}: fill it.")
    values = found[0].to_numpy()
    return values if values.dtype.kind in NUMBERS else values.astype(str)


def _row_names(frame: Any, columns: Columns) -> tuple[str | None, np.ndarray | None]:
    """Return the name and the cells of the first column that names rows, or the index."""
    pandas = require("pandas", "a table with names")
    for key in frame.columns:
        if any(column.name == str(key) and column.kind == "identifier" for column in columns):
            return str(key), frame[key].astype(object).to_numpy()
    if frame.index.equals(pandas.RangeIndex(len(frame))):
        return None, None
    return str(frame.index.name or "index"), frame.index.astype(object).to_numpy()


def read_parquet(path: Path) -> Any:
    """Read a Parquet file as a frame."""
    require("pyarrow", "reading Parquet")
    return require("pandas", "reading Parquet").read_parquet(path)


def read_feather(path: Path) -> Any:
    """Read a Feather file as a frame."""
    require("pyarrow", "reading Feather")
    return require("pandas", "reading Feather").read_feather(path)


def read_excel(path: Path) -> Any:
    """Read the first sheet of an Excel or OpenDocument file as a frame."""
    require("python_calamine", "reading Excel", "python-calamine")
    return require("pandas", "reading Excel").read_excel(path, engine="calamine")


def read_h5ad(path: Path, how: Reading) -> Data:
    """Read the matrix of an AnnData file, sparse where it is, with names of rows and columns."""
    h5py = require("h5py", "reading .h5ad", "h5py")
    with h5py.File(path, "r") as file:
        X = _h5_matrix(path, file["X"])
        rows, _ = _h5_index(file, "obs")
        labels = None if how.label is None else _h5_column(path, file, how.label)
    return replace(make_data(path.name, X, labels), row_names=rows, row_name="obs")


def _h5_matrix(path: Path, stored: Any) -> Any:
    from scipy import sparse

    if hasattr(stored, "shape"):
        return stored[...]
    kind = str(stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", "csr")))
    shape = tuple(int(n) for n in stored.attrs.get("shape", stored.attrs.get("h5sparse_shape", ())))
    parts = tuple(stored[part][...] for part in ("data", "indices", "indptr"))
    if len(shape) != 2:
        raise DataError(f"{path} holds a matrix of unknown shape: save it anew.")
    return (sparse.csc_array if "csc" in kind else sparse.csr_array)(parts, shape=shape).tocsr()


def _h5_index(file: Any, group: str) -> tuple[np.ndarray | None, str]:
    key = str(file[group].attrs.get("_index", "_index")) if group in file else ""
    if not key or key not in file[group]:
        return None, key
    return file[group][key].asstr()[...].astype(object), key


def _h5_column(path: Path, file: Any, name: str) -> np.ndarray:
    if name not in file["obs"]:
        raise DataError(
            f"{path} has no column {name!r} of its rows: it has {', '.join(file['obs'])}."
        )
    stored = file["obs"][name]
    if hasattr(stored, "shape"):
        return np.asarray(stored.asstr()[...] if stored.dtype.kind == "O" else stored[...])
    names = stored["categories"].asstr()[...]
    return np.asarray(names[stored["codes"][...]])
