"""Answers as files: arrays, and tables with a header; and values as JSON holds them."""

import csv
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from sfumato.artifacts import ArtifactError, make_directory, replace_file
from sfumato.data import Columns, require
from sfumato.jobs.settings import SettingError


def finite(value: Any) -> Any:
    """Return a JSON value with null for every number that JSON lacks.

    Examples
    --------
    >>> finite({"nll": float("inf"), "n": (1, 2)})
    {'nll': None, 'n': [1, 2]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


@dataclass(frozen=True)
class Answers:
    """What a model answers, a row for every row: numbers, and what they are called.

    Attributes
    ----------
    values : ndarray, shape (n,) or (n, d)
    names : sequence of str
        Of the columns.
    columns : Columns or None
        What the values are, where they are rows of a table with names.
    row_name : str or None
        Name of the column that names the rows; None where nothing does.
    row_names : array-like of length n, or None
    """

    values: np.ndarray
    names: Sequence[str]
    columns: Columns | None = None
    row_name: str | None = None
    row_names: Any = None

    def arrays(self) -> dict[str, Any]:
        """Return the columns by name, in their own types, those that name the rows first."""
        if self.columns is None:
            flat = self.values.reshape(len(self.values), -1)
            found = dict(zip(self.names, flat.T, strict=True))
        else:
            frame = self.columns.decode(np.asarray(self.values, dtype=np.float64))
            found = {name: frame[name] for name in frame}
        return found if self.row_name is None else {self.row_name: self.row_names} | found


def table_of(frame: Any) -> dict[str, Any]:
    """Return the columns of a pandas frame by name, an index that names the rows first."""
    named = frame if type(frame.index).__name__ == "RangeIndex" else frame.reset_index()
    return {str(name): named[name] for name in named}


def _npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _npz(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, X=array)
    return buffer.getvalue()


def _csv(arrays: Mapping[str, Any]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(arrays)
    writer.writerows(zip(*(map(_cell, column) for column in arrays.values()), strict=True))
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """Return a cell as text: nothing where it is missing, no time of day where it is midnight."""
    if value is None or str(value) in ("nan", "NaT", "<NA>"):
        return ""
    if isinstance(value, np.float32):
        return f"{value:.9g}"
    return str(value).removesuffix(" 00:00:00")


def _parquet(arrays: Mapping[str, Any]) -> bytes:
    pandas = require("pandas", "writing Parquet")
    require("pyarrow", "writing Parquet")
    buffer = BytesIO()
    pandas.DataFrame(dict(arrays)).to_parquet(buffer, index=False)
    return buffer.getvalue()


ARRAYS: dict[str, Callable[[np.ndarray], bytes]] = {".npy": _npy, ".npz": _npz}
TABLES: dict[str, Callable[[Mapping[str, Any]], bytes]] = {".csv": _csv, ".parquet": _parquet}
Destination = str | os.PathLike[str] | TextIO


def answer_writer(out: Destination) -> Callable[[Answers], None]:
    """Return the function that writes answers to a file, whole or not at all, or to a stream.

    The format is the one of the file's ending: ``.npy`` and ``.npz`` (the array is ``X``) hold
    plain numbers, ``.csv`` and ``.parquet`` a table with a header. A stream gets CSV.

    Raises
    ------
    SettingError
        If the ending is none of these.
    ArtifactError
        By the function, if the file cannot be written.
    """
    suffix = _suffix(out, (*ARRAYS, *TABLES))
    if suffix in ARRAYS:
        return lambda answers: _write(out, ARRAYS[suffix](answers.values))
    return lambda answers: _write(out, TABLES[suffix](answers.arrays()))


def table_writer(out: Destination) -> Callable[[Mapping[str, Any]], None]:
    """Return the function that writes columns by name to a CSV or Parquet file, or to a stream.

    Raises
    ------
    SettingError
        If the file's ending is neither.
    ArtifactError
        By the function, if the file cannot be written.
    """
    suffix = _suffix(out, tuple(TABLES))
    return lambda arrays: _write(out, TABLES[suffix](arrays))


def _suffix(out: Destination, known: Sequence[str]) -> str:
    if not isinstance(out, str | os.PathLike):
        return ".csv"
    suffix = os.path.splitext(out)[1].lower()
    if suffix not in known:
        raise SettingError(
            f"--out takes a file ending in {', '.join(known)}; got {os.fspath(out)!r}."
        )
    return suffix


def _write(out: Destination, content: bytes) -> None:
    if not isinstance(out, str | os.PathLike):
        out.write(content.decode())
        return
    path = Path(out)
    if path.is_dir():
        raise ArtifactError(f"{str(path)!r} is a folder; give --out the name of a file.")
    make_directory(path.parent)
    replace_file(path, content)
