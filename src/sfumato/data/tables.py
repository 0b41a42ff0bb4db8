"""Tables with named columns: CSV, Parquet, pandas and polars frames."""

import csv
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data.bundle import NUMBERS, Data, DataError, make_data, reading, require

LABEL_NAMES = ("label", "labels", "target", "class", "y")
DELIMITERS = "\t;,"
MISSING = ("", "na", "n/a", "nan", "null", "none")


def is_label(column: str) -> bool:
    """Say whether a column's name declares it to hold labels."""
    return column.strip().lower() in LABEL_NAMES


def from_columns(name: str, columns: Mapping[str, np.ndarray]) -> Data:
    """Return the numeric columns as X and the column named like a label as y."""
    labels = [column for column in columns if is_label(column)]
    if len(labels) > 1:
        raise DataError(f"{name} has several label columns ({', '.join(labels)}): keep one.")
    kept = [_numeric(name, column, columns[column]) for column in columns if not is_label(column)]
    if not kept:
        raise DataError(f"{name} has no column of numbers besides the labels: add features.")
    return make_data(name, np.column_stack(kept), columns[labels[0]] if labels else None)


def _numeric(name: str, column: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in NUMBERS:
        return values
    if values.dtype.kind not in "OUS":
        raise DataError(f"{name}: column {column!r} holds {values.dtype}, not numbers: drop it.")
    return np.array([_number(name, column, row, value) for row, value in enumerate(values, 1)])


def _number(name: str, column: str, row: int, value: Any) -> float:
    if value is None or str(value).strip().lower() in (*MISSING, "<na>"):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(
            f"{name}: column {column!r} holds {str(value)[:40]!r} in row {row}, which is no "
            "number: drop or encode the column, or name it 'label' if it holds the labels."
        ) from None


def from_frame(frame: Any) -> Data:
    """Return the data of a pandas or polars frame."""
    _check_names_differ("the frame", list(map(str, frame.columns)))
    return from_columns("the frame", {str(name): frame[name].to_numpy() for name in frame.columns})


def read_parquet(path: Path) -> Data:
    """Read a Parquet file; a column named like a label becomes y."""
    parquet = require("pyarrow.parquet", "reading parquet")
    with reading(path, "a Parquet file"):
        table = parquet.read_table(path)
        columns = {name: table[name].to_numpy() for name in table.column_names}
    return replace(from_columns(path.name, columns), name=path.stem)


@dataclass(frozen=True)
class _Layout:
    """How a CSV file is laid out: `skip` lines before the first row of data."""

    delimiter: str
    names: list[str]
    skip: int


def read_csv(path: Path) -> Data:
    """Read a CSV file with or without header; a column named like a label becomes y."""
    with reading(path, "a CSV file"):
        layout = _layout(path)
        columns = _number_columns(path, layout)
    data = from_columns(path.name, _without_index(layout.names, columns))
    return replace(data, name=path.stem)


def _without_index(names: list[str], columns: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Name the columns, leaving out a nameless first one: the row numbers that pandas writes."""
    start = 0 if names[0].strip() else 1
    return dict(zip(names[start:], columns[start:], strict=True))


def _rows(path: Path, delimiter: str) -> Generator[tuple[int, list[str]], None, None]:
    """Yield (number of the last line read, cells) of each row that is not blank."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        # A row of delimiters alone is a row of missing values, not a blank one.
        filled = (row for row in reader if len(row) > 1 or any(map(str.strip, row)))
        yield from ((reader.line_num, row) for row in filled)


def _layout(path: Path) -> _Layout:
    delimiter = _delimiter(path)
    with closing(_rows(path, delimiter)) as rows:
        line, first = next(rows, (0, []))
        header = bool(first) and _is_header(first)
        if not first or (header and next(rows, None) is None):
            raise DataError(f"{path} holds no rows of data: add at least one.")
    if not header:
        return _Layout(delimiter, _default_names(first), 0)
    _check_names_differ(path, first)
    return _Layout(delimiter, first, line)


def _delimiter(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        line = next((line for line in file if line.strip()), "")
    return next((mark for mark in DELIMITERS if mark in line), ",")


def _is_header(cells: list[str]) -> bool:
    """Say whether a first row names the columns: words, a label's name, or pandas' 0, 1, 2."""
    counted = [str(i) for i in range(len(cells))]
    if is_label(cells[-1]) or (len(cells) > 1 and cells in (counted, ["", *counted[:-1]])):
        return True
    leading = cells[:-1] or cells
    return not all(map(_is_number, leading))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in MISSING
    return True


def _default_names(cells: list[str]) -> list[str]:
    """Name the columns by number; words in the last column of a file without header are labels."""
    names = [f"column {i}" for i in range(1, len(cells) + 1)]
    return [*names[:-1], "label"] if _is_word(cells[-1]) else names


def _is_word(cell: str) -> bool:
    return cell.strip()[:1].isalpha() and not _is_number(cell)


def _check_names_differ(source: object, names: list[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{source} has several columns named {twice[0]!r}: rename all but one.")


def _number_columns(path: Path, layout: _Layout) -> Sequence[np.ndarray]:
    """Read all cells as numbers in one go, which is fast, or else cell by cell."""
    try:
        table = np.loadtxt(
            path,
            delimiter=layout.delimiter,
            skiprows=layout.skip,
            encoding="utf-8-sig",
            comments=None,
            quotechar='"',
            ndmin=2,
        )
    except ValueError:
        return _cell_columns(path, layout)
    even = table.shape[1] == len(layout.names)
    return list(table.T) if even else _cell_columns(path, layout)


def _cell_columns(path: Path, layout: _Layout) -> Sequence[np.ndarray]:
    rows = [row for line, row in _rows(path, layout.delimiter) if line > layout.skip]
    width = len(layout.names)
    uneven = next((i for i, row in enumerate(rows, 1) if len(row) != width), None)
    if uneven is not None:
        raise DataError(
            f"{path.name}: row {uneven} has {len(rows[uneven - 1])} cells where the first row "
            f"has {width}: make all rows equally long."
        )
    return [_plain(np.array(column)) for column in zip(*rows, strict=True)]


def _plain(cells: np.ndarray) -> np.ndarray:
    try:
        return cells.astype(np.float64)
    except ValueError:
        return cells
