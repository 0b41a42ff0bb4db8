"""Text tables: any separator, decimal mark, encoding and compression, with or without header."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from sfumato.data.bundle import DataError, require, tell
from sfumato.data.columns import LABEL_NAMES, check_names_differ
from sfumato.data.kinds import COMMA, MISSING, PLAIN, comma_numbers

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zip", ".zst")
# Tried in this order; a comma also marks decimals.
SEPARATORS = "\t;|,"
# What is read to tell encoding and layout.
N_BYTES, N_ROWS = 1 << 18, 200
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# "1.234" may be a number of thousands as well.
GROUPS = re.compile(r"^[+-]?\d{1,3}(\.\d{3})+$")
WESTERN = ("cp1252", "latin-1")
# What a nameless first column is called, such as pandas writes: it names the rows.
ROW = "row"


@dataclass(frozen=True)
class Layout:
    """How a text table is laid out."""

    separator: str
    names: list[str]
    header: bool
    decimal: str


def read_csv(path: Path) -> Any:
    """Return a text table as a pandas frame: its layout and its encoding are found.

    Raises
    ------
    DataError
        If the file holds no text or no rows, or its rows differ in length.
    """
    encoding = _encoding(path)
    try:
        frame = _read(path, encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise
        # Only far into the file does it turn out not to be UTF-8.
        encoding = "latin-1"
        frame = _read(path, encoding)
    if encoding in WESTERN:
        tell(f"{path.name} is not in UTF-8: its letters are read as Windows-1252 (Latin-1).")
    return frame.set_index(ROW) if frame.columns[0] == ROW else frame


def _read(path: Path, encoding: str) -> Any:
    import pandas as pd

    layout = _layout(path, encoding)
    with _open_text(path, encoding) as file, warnings.catch_warnings():
        # Of too long rows pandas says only that it loses cells.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(
                file,
                sep=layout.separator,
                names=layout.names,
                header=0 if layout.header else None,
                index_col=False,
                skipinitialspace=True,
                keep_default_na=False,
                na_values=_markers(),
                decimal=layout.decimal,
                low_memory=False,
            )
        except (pd.errors.ParserError, pd.errors.ParserWarning):
            _check_even(path, encoding, layout)
            raise
    if frame.iloc[:, -1].isna().any():
        _check_even(path, encoding, layout)
    return _with_decimal_commas(frame) if layout.decimal == "," else frame


def _markers() -> list[str]:
    cased = (style(word) for word in MISSING for style in (str, str.upper, str.title))
    return sorted({*cased, "NaN", "NaT"})


def _encoding(path: Path) -> str:
    with open_binary(path) as file:
        start = file.read(N_BYTES)
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            return encoding
    if b"\0" in start:
        even, odd = start[::2].count(0), start[1::2].count(0)
        if 4 * max(even, odd) < len(start):
            raise DataError(f"{path} holds zero bytes and so no text: check what it is.")
        return "utf-16-be" if even > odd else "utf-16-le"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return _western(start)
    return "utf-8"


def _western(start: bytes) -> str:
    """Return Windows' encoding of western Europe, or latin-1, which takes every byte."""
    try:
        start.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def open_binary(path: Path) -> IO[bytes]:
    """Open a file through the decompression that its name asks for."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return _open_zip(path)
    if suffix == ".zst":
        zstandard = require("zstandard", "reading .zst", "zstandard")
        stream: IO[bytes] = zstandard.open(path, "rb")
        return stream
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opened: IO[bytes] = openers.get(suffix, open)(path, "rb")
    return opened


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        archive.close()
        raise DataError(f"{path} holds {len(names)} files: unpack it and name one of them.")
    return archive.open(names[0])


@contextmanager
def _open_text(path: Path, encoding: str) -> Iterator[IO[str]]:
    with open_binary(path) as binary, io.TextIOWrapper(binary, encoding, newline="") as text:
        yield text


def _rows(file: IO[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each row that is not blank; a row of separators alone is not blank."""
    for row in csv.reader(file, delimiter=separator, skipinitialspace=True):
        if len(row) > 1 or any(map(str.strip, row)):
            yield row


def _layout(path: Path, encoding: str) -> Layout:
    samples = {}
    for separator in SEPARATORS:
        with _open_text(path, encoding) as file:
            samples[separator] = list(islice(_rows(file, separator), N_ROWS))
    separator = _separator(samples)
    first, *others = samples[separator] or [[]]
    header = bool(first) and _is_header(first)
    if not first or (header and not others):
        raise DataError(f"{path} holds no rows of data: add at least one.")
    names = _names(first) if header else [f"column {i}" for i in range(1, len(first) + 1)]
    check_names_differ(names, path.name)
    rows = others if header else [first, *others]
    return Layout(separator, names, header, _decimal(separator, rows))


def _separator(samples: dict[str, list[list[str]]]) -> str:
    """Return the first separator that makes all rows equally long, else one that occurs."""
    for separator, rows in samples.items():
        widths = {len(row) for row in rows}
        if len(widths) == 1 and widths.isdisjoint({1}):
            return separator
    return next((s for s, rows in samples.items() if rows and len(rows[0]) > 1), ",")


def _is_header(cells: list[str]) -> bool:
    """Say whether a first row names the columns: words, a label's name, or pandas' 0, 1, 2."""
    counted = [str(i) for i in range(len(cells))]
    if cells[-1].strip().lower() in LABEL_NAMES:
        return True
    if len(cells) > 1 and cells in (counted, ["", *counted[:-1]]):
        return True
    leading = cells[:-1] or cells
    return not all(map(_is_value, leading))


def _is_value(cell: str) -> bool:
    word = cell.strip()
    return word.lower() in MISSING or _is_number(word)


def _is_number(word: str) -> bool:
    return bool(PLAIN.match(word) or COMMA.match(word)) or word.lower().lstrip("+-") == "inf"


def _names(cells: Sequence[str]) -> list[str]:
    named = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, 1)]
    return named if cells[0].strip() else [ROW, *named[1:]]


def _decimal(separator: str, rows: Sequence[Sequence[str]]) -> str:
    """Return the decimal mark; a separator that is no comma suggests one."""
    if separator == ",":
        return "."
    words = [cell.strip() for row in rows for cell in row]
    commas = sum("," in word and bool(COMMA.match(word)) for word in words)
    points = sum("." in word and bool(PLAIN.match(word)) for word in words)
    grouped = sum(bool(GROUPS.match(word)) for word in words)
    return "," if commas > points - grouped else "."


def _with_decimal_commas(frame: Any) -> Any:
    """Read the numbers with points between thousands that pandas has left as text."""
    for place, dtype in enumerate(frame.dtypes):
        if dtype.kind not in "OU" and str(dtype) != "str":
            continue
        series = frame.iloc[:, place]
        codes, words = series.factorize()
        numbers = comma_numbers([str(word).strip() for word in words])
        if numbers is not None:
            frame.isetitem(place, np.append(numbers, np.nan)[codes])
    return frame


def _check_even(path: Path, encoding: str, layout: Layout) -> None:
    """Refuse rows that differ in length."""
    width = len(layout.names)
    with _open_text(path, encoding) as file:
        rows = islice(_rows(file, layout.separator), int(layout.header), None)
        for number, row in enumerate(rows, 1):
            if len(row) != width:
                raise DataError(
                    f"{path.name}: row {number} has {len(row)} cells where the first row has "
                    f"{width}: make all rows equally long."
                )
