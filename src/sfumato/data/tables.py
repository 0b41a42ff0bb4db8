"""Tables with named columns: CSV, Parquet, Feather, Excel, .h5ad, pandas and polars frames."""

import bz2
import csv
import gzip
import io
import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.bundle import NUMBERS, Data, DataError, make_data, require, tell
from sfumato.data.columns import (
    LABEL_NAMES,
    Columns,
    as_pandas,
    check_names_differ,
    infer_columns,
    tell_left_out,
)
from sfumato.data.kinds import MISSING, PLAIN

OPENERS: Mapping[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
# Separators, the likeliest first, and rows that tell them apart.
SEPARATORS = "\t;|,"
SAMPLE_ROWS, SAMPLE_BYTES = 30, 2**18
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
ROW = "row"


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
        tell_left_out(columns, list(overrides))
    else:
        columns = known.revised(overrides, [str(column) for column in frame.columns])
    columns = columns if how.id is None else columns.only(how.id, "identifier")
    columns = columns if how.label is None else columns.only(how.label, "label")
    if not columns.features:
        raise DataError(f"{name} has no column to learn from: {columns.summary()}.")
    X = columns.encode(frame)
    labels = _labels(name, frame, columns)
    row_name, row_names = _row_names(frame, columns)
    data = make_data(name, X, labels)
    return data._replaced(columns=columns, row_names=row_names, row_name=row_name)


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
    if isinstance(frame.index, pandas.RangeIndex):
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
    return make_data(path.name, X, labels)._replaced(row_names=rows, row_name="obs")


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


def read_csv(path: Path) -> Any:
    """Read a CSV file as a frame: separator, decimal mark, encoding and header are found."""
    pandas = require("pandas", "reading CSV")
    content, encoding = _head(path)
    separator = _separator(content)
    first = next(csv.reader(io.StringIO(content), delimiter=separator), [])
    if not any(cell.strip() for cell in first):
        first = next((row for row in _rows(content, separator) if any(row)), [])
    header = bool(first) and _is_header(first)
    names = _names(path, first, header)
    frame = _parsed(pandas, path, separator, encoding, header, names)
    if len(frame) and frame.iloc[:, -1].isna().any():
        _check_even(path, separator, encoding, len(names))
    # A nameless first column, such as pandas writes, names the rows.
    return frame.set_index(ROW) if header and not first[0].strip() else frame


def _rows(content: str, separator: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content), delimiter=separator))


def _opened(path: Path, **kwargs: Any) -> Any:
    return OPENERS.get(path.suffix.lower(), open)(path, **kwargs)


def _head(path: Path) -> tuple[str, str]:
    """Return the first part of a file as text, whole lines of it, and its encoding."""
    with _opened(path, mode="rb") as file:
        content = file.read(SAMPLE_BYTES)
    if not content.strip():
        raise DataError(f"{path} holds no rows of data: add at least one.")
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(
            encoding, errors="strict" if len(content) < SAMPLE_BYTES else "ignore"
        )
        _opened_as(path, encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"
        text = content.decode(encoding, errors="replace")
        tell(f"{path.name} is not in UTF-8: its letters are read as Windows-1252 (Latin-1).")
    if len(content) == SAMPLE_BYTES:
        text = text[: text.rfind("\n") + 1] or text
    return text, encoding


def _opened_as(path: Path, encoding: str) -> None:
    """Read a file once as text, to see whether it is in an encoding."""
    with _opened(path, mode="rt", encoding=encoding) as file:
        while file.read(2**22):
            pass


def _separator(content: str) -> str:
    """Return the mark that splits the first rows into as many cells each, the more the better."""
    lines = "\n".join(content.splitlines()[:SAMPLE_ROWS])
    best, most = ",", 1
    for mark in SEPARATORS:
        widths = {len(row) for row in _rows(lines, mark) if row}
        if len(widths) == 1 and (width := widths.pop()) > most:
            best, most = mark, width
    if most == 1:
        first = next((line for line in content.splitlines() if line.strip()), "")
        return next((mark for mark in SEPARATORS if mark in first), ",")
    return best


def _is_header(cells: list[str]) -> bool:
    """Say whether a first row names the columns: words, a label's name, or pandas' 0, 1, 2."""
    counted = [str(i) for i in range(len(cells))]
    if cells[-1].strip().lower() in LABEL_NAMES:
        return True
    if len(cells) > 1 and cells in (counted, ["", *counted[:-1]]):
        return True
    leading = cells[:-1] or cells
    return not all(map(_is_number, leading))


def _is_number(cell: str) -> bool:
    text = cell.strip()
    return bool(PLAIN.match(text.replace(",", "."))) or text.lower() in MISSING


def _names(path: Path, first: list[str], header: bool) -> list[str]:
    if not header:
        return [f"column {i}" for i in range(1, len(first) + 1)]
    names = [cell.strip() for cell in first]
    check_names_differ([name for name in names if name], str(path))
    return [name or (ROW if i == 0 else f"column {i + 1}") for i, name in enumerate(names)]


def _parsed(
    pandas: Any, path: Path, separator: str, encoding: str, header: bool, names: list[str]
) -> Any:
    try:
        return pandas.read_csv(
            path,
            sep=separator,
            encoding=encoding,
            header=0 if header else None,
            names=names,
            index_col=False,
            na_values=["?", "-"],
            skipinitialspace=True,
            low_memory=False,
        )
    except pandas.errors.ParserError as error:
        _check_even(path, separator, encoding, len(names))
        raise DataError(f"{path} cannot be read as a CSV file ({error}): check it.") from error


def _check_even(path: Path, separator: str, encoding: str, width: int) -> None:
    """Check that all rows are equally long.

    Raises
    ------
    DataError
        Naming the first that is not.
    """
    with _opened(path, mode="rt", encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        for number, row in enumerate((row for row in reader if row), 1):
            if len(row) != width:
                raise DataError(
                    f"{path.name}: line {reader.line_num} has {len(row)} cells where the first row "
                    f"has {width}: make all rows equally long (row {number})."
                )
