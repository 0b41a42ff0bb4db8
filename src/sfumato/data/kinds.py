"""What a column's cells are: numbers, levels, dates or names, and which are missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.bundle import DataError, require

FEATURES = ("real", "positive", "count", "binary", "category", "ordinal", "date", "constant")
KINDS = (*FEATURES, "identifier", "label", "ignored")
LEVELS = ("binary", "category", "ordinal")
UNIT_OF_DATES = "days since 1970-01-01"
# Whole cells that stand for nothing.
MISSING = frozenset(["", "na", "n/a", "nan", "null", "none", "<na>", "nat", "#n/a", "?", "-"])
# Whole numbers from 0 or 1 on with at most this many levels, all of them there, are ordinal.
MAX_ORDINAL = 10
# Counts have no bound. Whole numbers that end where so many rows lie, this share and this number
# at least, have one, as marks, percentages, pixels and coordinates do.
SHARE_AT_A_BOUND, ROWS_AT_A_BOUND = 0.01, 3
# Two different fractions in fewer rows than this say nothing about others.
ROWS_OF_TWO_FRACTIONS = 20
# More different numbers than this beside fewer words are numbers with mistakes, not levels.
MAX_NUMBERS_AMONG_WORDS = 10
# What cells of a column of objects may be.
CELLS = (str, bool, int, float, np.bool_, np.integer, np.floating, Decimal, date)
# Words are levels of a category if they are this many at most, or this share of the rows.
FEW_LEVELS, LEVELS_PER_ROW, MAX_LEVELS = 20, 0.1, 1000
# From this share of different cells on, words are names of rows.
NEARLY_ALL = 0.9
FEW_ROWS = 20
# A logarithm has to raise the mean log density of a column by this many nats.
NATS_FOR_LOG = 0.1
SPREAD_FOR_LOG = 10.0
ID_NAME = re.compile(r"^(id|uuid|guid|index|row|key)$|(_|\b)(id|uuid|guid)$", re.IGNORECASE)
PLAIN = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
COMMA = re.compile(r"^[+-]?(\d{1,3}([.\s'\u00a0\u202f]\d{3})+|\d+),\d+$|^[+-]?\d{1,3}(\.\d{3})+$")
WHOLE = re.compile(r"^[+-]?\d+$")
GROUPED = re.compile(r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$")
DATE = re.compile(r"^\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([T ].*)?$")
FORMATS = ("ISO8601", "%Y/%m/%d", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")
AMBIGUOUS = ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
TRUTHS = {"no": 0, "n": 0, "false": 0, "f": 0, "off": 0, "yes": 1, "y": 1, "true": 1, "on": 1}


class Kind(NamedTuple):
    """What a column was found to be."""

    kind: str
    levels: tuple[Any, ...] = ()
    coded: bool = False
    why: str = ""


@dataclass(frozen=True)
class Cells:
    """The cells of one column.

    Parameters
    ----------
    raw : ndarray, shape (n,)
        As they were given: numbers, booleans, dates or objects.
    missing : ndarray of bool, shape (n,)
    dtype : str
        The column's own type.
    categories : tuple, optional
        Levels that the type declares.
    ordered : bool
        Whether these are in an order.
    """

    raw: np.ndarray
    missing: np.ndarray
    dtype: str
    categories: tuple[Any, ...] | None = None
    ordered: bool = False

    @property
    def are_numbers(self) -> bool:
        """Whether the type is one of numbers."""
        return self.raw.dtype.kind in "iuf"

    @cached_property
    def seen(self) -> np.ndarray:
        """The cells that are not missing."""
        return self.raw[~self.missing]

    @cached_property
    def texts(self) -> np.ndarray:
        """The cells that are not missing as text."""
        return np.array([str(cell).strip() for cell in self.seen], dtype=object)

    @cached_property
    def distinct(self) -> list[Any]:
        """The different cells, sorted."""
        if self.raw.dtype.kind != "O":
            return list(np.unique(self.seen).tolist())
        return sorted(
            {_plain(cell) for cell in self.seen}, key=lambda cell: (str(type(cell)), cell)
        )

    def numbers(self) -> np.ndarray:
        """Return the cells as numbers, NaN where they are none."""
        if self.are_numbers or self.raw.dtype.kind == "b":
            return self.raw if not self.missing.any() else _with_holes(self.raw, self.missing)
        found = np.full(len(self.raw), np.nan)
        found[~self.missing] = parsed_numbers(self.texts)
        return found

    def dates(self) -> np.ndarray:
        """Return the cells as days since 1970-01-01, NaN where they are no dates."""
        found = np.full(len(self.raw), np.nan)
        found[~self.missing] = parsed_dates(self.seen)
        return found

    def codes(self, levels: Sequence[Any]) -> np.ndarray:
        """Return the cells as places among the levels, NaN where they are none of them."""
        place = {level: float(i) for i, level in enumerate(levels)}
        place |= {str(level): i for level, i in place.items() if str(level) not in place}
        found = np.full(len(self.raw), np.nan)
        keys = [_plain(cell) for cell in self.seen]
        found[~self.missing] = [place.get(key, place.get(str(key), np.nan)) for key in keys]
        return found


def _plain(cell: Any) -> Any:
    """Return a cell as a level: words without spaces around them."""
    if isinstance(cell, str):
        return cell.strip()
    return cell.item() if isinstance(cell, np.generic) else cell


def _with_holes(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    found = values.astype(np.float64)
    found[missing] = np.nan
    return found


def cells_of(series: Any) -> Cells:
    """Return the cells of a pandas series."""
    dtype = str(series.dtype)
    missing = series.isna().to_numpy()
    if dtype == "category":
        categories = tuple(series.cat.categories.tolist())
        raw = series.astype(object).to_numpy()
        inner = f"category[{series.cat.categories.dtype}]"
        return Cells(raw, missing, inner, categories, bool(series.cat.ordered))
    kind = getattr(series.dtype, "kind", "O")
    if kind in "iufb":
        return Cells(_plain_numbers(series, missing), missing, dtype)
    if kind == "m":
        pandas = require("pandas", "reading times")
        return Cells(np.asarray(series / pandas.Timedelta(days=1), np.float64), missing, dtype)
    raw = series.astype(object).to_numpy()
    if kind == "M":
        return Cells(raw, missing, dtype)
    empty = np.array([isinstance(c, str) and c.strip().lower() in MISSING for c in raw], dtype=bool)
    return Cells(raw, missing | empty, dtype)


def _plain_numbers(series: Any, missing: np.ndarray) -> np.ndarray:
    """Return numbers in numpy's own types, nullable and Arrow ones too."""
    values = series.to_numpy()
    if values.dtype.kind in "iufb":
        return np.asarray(values)
    filled = series.astype(object).where(~missing, 0).to_numpy()
    kind = {"b": bool, "i": np.int64, "u": np.uint64}.get(series.dtype.kind, np.float64)
    return np.array(filled, dtype=kind)


def parsed_numbers(texts: np.ndarray) -> np.ndarray:
    """Return texts as numbers, NaN where one is none: with decimal points, or with commas.

    A comma before three digits alone groups thousands only if no cell says otherwise.
    """
    plain = np.array([bool(PLAIN.match(text)) for text in texts], dtype=bool)
    if plain.all():
        return np.array([float(text) for text in texts])
    comma = np.array([bool(COMMA.match(text)) for text in texts], dtype=bool)
    grouped = np.array([bool(GROUPED.match(text)) for text in texts], dtype=bool)
    by_comma = comma | np.array([text.lstrip("+-").isdigit() for text in texts], dtype=bool)
    if (by_comma | (~plain & ~grouped)).all() and comma.any():
        return np.array(
            [_comma_number(t) if ok else np.nan for t, ok in zip(texts, by_comma, strict=True)]
        )
    usable = plain | grouped
    return np.array(
        [float(t.replace(",", "")) if ok else np.nan for t, ok in zip(texts, usable, strict=True)]
    )


def comma_numbers(texts: Sequence[str]) -> np.ndarray | None:
    """Return texts as numbers with decimal commas, None if one is none: "1.234" is 1234."""
    if not texts or not all(COMMA.match(text) or WHOLE.match(text) for text in texts):
        return None
    return np.array([_comma_number(text) for text in texts])


def _comma_number(text: str) -> float:
    return float(re.sub(r"[.\s'\u00a0\u202f]", "", text).replace(",", "."))


def parsed_dates(cells: np.ndarray) -> np.ndarray:
    """Return dates, or texts of one format, as days since 1970-01-01, NaN where one is none."""
    pandas = require("pandas", "reading dates")
    if not len(cells):
        return np.empty(0)
    if not isinstance(cells[0], str):
        return _days(pandas.to_datetime(list(cells), utc=True, errors="coerce"))
    best = np.full(len(cells), np.nan)
    for style in (*FORMATS, *AMBIGUOUS):
        found = _days(pandas.to_datetime(list(cells), format=style, utc=True, errors="coerce"))
        if not np.isnan(found).any():
            return found
        if np.isnan(found).sum() < np.isnan(best).sum():
            best = found
    return best


def _days(times: Any) -> np.ndarray:
    seconds = np.array(times.tz_localize(None).to_numpy(), dtype="datetime64[us]")
    days = seconds.astype(np.float64) / (86400 * 1e6)
    return np.where(np.isnat(seconds), np.nan, days)


def ambiguous_dates(texts: np.ndarray) -> bool:
    """Return whether dates could be of two formats, the month first or second."""
    pandas = require("pandas", "reading dates")
    fitting = [
        not pandas.isna(pandas.to_datetime(list(texts), format=style, errors="coerce")).any()
        for style in AMBIGUOUS
    ]
    return sum(fitting) > 1


def find_kind(name: str, cells: Cells, wanted: str | None, levels: Sequence[Any] | None) -> Kind:
    """Return the kind of a column: the one that is wanted, or what its cells look like.

    Raises
    ------
    DataError
        If the cells cannot be of the kind that is wanted.
    """
    if wanted in ("identifier", "label", "ignored"):
        return Kind(wanted, why="left out" if wanted == "ignored" else "")
    if cells.missing.all():
        return Kind("ignored", why="no cell has a value")
    if wanted is not None or levels is not None:
        return _of_wanted(name, cells, wanted, levels)
    if cells.categories is not None:
        return _of_levels(cells.categories, "ordinal" if cells.ordered else "category")
    if cells.raw.dtype.kind == "b":
        return Kind("binary", (False, True), coded=True)
    if cells.are_numbers:
        return _number(name, cells, named=True)
    return _of_objects(name, cells)


def _of_levels(levels: Sequence[Any], kind: str) -> Kind:
    if len(levels) < 2:
        return Kind("constant", tuple(levels), coded=True)
    if len(levels) == 2:
        return Kind("binary", tuple(levels), coded=True)
    return Kind(kind, tuple(levels), coded=True)


def _of_objects(name: str, cells: Cells) -> Kind:
    """Return the kind of a column of dates, of texts, or of a mixture."""
    if not all(isinstance(cell, CELLS) for cell in cells.seen):
        return Kind("ignored", why="neither numbers, words nor dates")
    if not isinstance(cells.seen[0], str):
        if not np.isnan(_safe_dates(cells)).any():
            return Kind("date")
        if all(isinstance(cell, (bool, np.bool_)) for cell in cells.seen):
            return Kind("binary", (False, True), coded=True)
    if not np.isnan(cells.numbers()[~cells.missing]).any():
        return _number(name, cells, named=True)
    if all(DATE.match(text) for text in cells.texts) and not np.isnan(_safe_dates(cells)).any():
        if ambiguous_dates(cells.texts):
            return Kind("ignored", why="dates whose day and month could be either way round")
        return Kind("date")
    _check_words(name, cells)
    return _words(cells)


def _safe_dates(cells: Cells) -> np.ndarray:
    try:
        return parsed_dates(cells.seen)
    except (TypeError, ValueError, OverflowError):
        return np.array([np.nan])


def _check_words(name: str, cells: Cells) -> None:
    """Refuse words in a column of many different numbers: they are mistakes, not levels."""
    numbers = np.array([bool(PLAIN.match(text)) for text in cells.texts])
    n_numbers = len(set(cells.texts[numbers]))
    if n_numbers > max(MAX_NUMBERS_AMONG_WORDS, len(set(cells.texts[~numbers]))):
        row = int(np.flatnonzero(~cells.missing)[np.argmin(numbers)])
        raise DataError(
            f"Column {name!r} holds {str(cells.raw[row])[:40]!r} in row {row + 1}, among numbers: "
            "mend the cell, leave it empty, or say that the column is a category."
        )


def _words(cells: Cells) -> Kind:
    levels = cells.distinct
    n = len(cells.seen)
    if len(levels) == 1:
        return Kind("constant", tuple(levels), coded=True)
    if len(levels) == 2:
        truths = [TRUTHS.get(str(level).lower()) for level in levels]
        return Kind("binary", tuple(levels if truths != [1, 0] else levels[::-1]), coded=True)
    if len(levels) >= NEARLY_ALL * n and n >= FEW_ROWS:
        return Kind("identifier", why="names of rows")
    if len(levels) <= min(max(FEW_LEVELS, LEVELS_PER_ROW * n), MAX_LEVELS):
        return Kind("category", tuple(levels), coded=True)
    return Kind("ignored", why=f"{len(levels)} different words")


def _number(name: str, cells: Cells, *, named: bool) -> Kind:
    values = cells.numbers()
    seen = values[~cells.missing]
    _check_finite(name, values)
    if named and _is_identifier(name, seen):
        return Kind("identifier", why="numbers of rows")
    kind, levels = number_kinds(np.asarray(values)[:, None])[0]
    return Kind(kind, levels)


def _check_finite(name: str, values: np.ndarray) -> None:
    beyond = np.flatnonzero(np.abs(values.astype(np.float64)) > np.finfo(np.float32).max)
    if len(beyond):
        row = int(beyond[0])
        raise DataError(
            f"Column {name!r} holds {values[row]:g} in row {row + 1}, beyond the range of float32: "
            "give it another unit, or leave the column out."
        )


def _is_identifier(name: str, seen: np.ndarray) -> bool:
    """Return whether whole numbers, all different, number the rows."""
    if len(seen) < FEW_ROWS or not np.array_equal(seen, np.round(seen)):
        return False
    if len(np.unique(seen)) < len(seen):
        return False
    consecutive = seen[0] in (0, 1) and bool((np.diff(seen) == 1).all())
    return consecutive or bool(ID_NAME.search(name))


def number_kinds(X: np.ndarray) -> list[tuple[str, tuple[Any, ...]]]:
    """Return kind and levels of every column of numbers, shape (n, d), NaN where missing."""
    x = np.asarray(X, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        low, high = (fold.reduce(x, axis=0) for fold in (np.fmin, np.fmax))
        missing = np.isnan(x)
        whole = (missing | (x == np.round(x))).all(0)
        two = (missing | (x == low) | (x == high)).all(0)
        two &= whole | (len(x) >= ROWS_OF_TWO_FRACTIONS)
        ordinal = whole & np.isin(low, (0, 1)) & (high - low < MAX_ORDINAL)
        some = x[:, ordinal]
        present = sum((some == low[ordinal] + step).any(0) for step in range(MAX_ORDINAL))
        ordinal[ordinal] = present == (high - low + 1)[ordinal]
        at_the_end = (x == high).sum(0)
        bounded = at_the_end >= np.maximum(SHARE_AT_A_BOUND * (~missing).sum(0), ROWS_AT_A_BOUND)
        positive = (low > 0) & (high > SPREAD_FOR_LOG * low)
        positive[positive] = _logs_fit_better(x[:, positive])
    kinds: list[tuple[str, tuple[Any, ...]]] = []
    for j in range(x.shape[1]):
        if np.isnan(low[j]) or low[j] == high[j]:
            kinds.append(("constant", ()))
        elif two[j]:
            kinds.append(("binary", _levels(low[j], high[j])))
        elif ordinal[j]:
            kinds.append(("ordinal", tuple(range(int(low[j]), int(high[j]) + 1))))
        elif whole[j] and low[j] in (0, 1) and not (bounded[j] and high[j] > MAX_ORDINAL):
            kinds.append(("count", ()))
        else:
            kinds.append(("positive" if positive[j] else "real", ()))
    return kinds


def _levels(low: float, high: float) -> tuple[Any, ...]:
    return tuple(int(value) if value == round(value) else float(value) for value in (low, high))


def _logs_fit_better(x: np.ndarray) -> np.ndarray:
    """Return for each column whether its logarithms are nearer to Gaussian."""
    if x.shape[1] == 0:
        return np.zeros(0, dtype=bool)
    mean, std = (np.nanmean, np.nanstd) if np.isnan(x).any() else (np.mean, np.std)
    logs = np.log(x)
    gain = np.log(std(x, 0)) - np.log(np.maximum(std(logs, 0), 1e-12)) - mean(logs, 0)
    return np.asarray(gain > NATS_FOR_LOG)


def _of_wanted(name: str, cells: Cells, wanted: str | None, levels: Sequence[Any] | None) -> Kind:
    """Return the kind that the user has asked for, once the cells allow it."""
    kind = wanted or ("binary" if levels is not None and len(levels) == 2 else "category")
    if kind in LEVELS:
        given = cells.categories if levels is None else tuple(levels)
        found = tuple(cells.distinct) if given is None else given
        _check_levels(name, cells, found)
        if kind == "binary" and len(found) > 2:
            raise DataError(f"Column {name!r} has {len(found)} levels and cannot be binary.")
        return _of_levels(found, kind)
    if kind == "date":
        return _checked(name, cells, cells.dates(), Kind(kind), "no date")
    if kind == "constant":
        return _constant(name, cells)
    values = cells.numbers()
    if kind == "number":
        _checked(name, cells, values, Kind("real"), "no number")
        return _number(name, cells, named=False)
    bad = np.isnan(values.astype(np.float64))
    with np.errstate(invalid="ignore"):
        bad |= (values <= 0) if kind == "positive" else np.zeros(len(bad), bool)
        bad |= ((values < 0) | (values != np.round(values))) if kind == "count" else False
    _check_finite(name, values)
    why = {"positive": "not positive", "count": "no whole number from 0 on"}.get(kind, "no number")
    return _checked(name, cells, np.where(bad, np.nan, values), Kind(kind), why)


def _constant(name: str, cells: Cells) -> Kind:
    found = cells.distinct
    if len(found) > 1:
        row = int(np.flatnonzero(~cells.missing & (cells.raw != cells.seen[0]))[0])
        raise DataError(
            f"Column {name!r} holds {str(cells.raw[row])[:40]!r} in row {row + 1} and other values "
            "elsewhere, which is not constant: give the column another kind."
        )
    return Kind("constant") if cells.are_numbers else Kind("constant", tuple(found), coded=True)


def _check_levels(name: str, cells: Cells, levels: tuple[Any, ...]) -> None:
    _checked(name, cells, cells.codes(levels), Kind("category"), "none of the levels given")


def _checked(name: str, cells: Cells, values: np.ndarray, kind: Kind, why: str) -> Kind:
    wrong = np.flatnonzero(np.isnan(values.astype(np.float64)) & ~cells.missing)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"Column {name!r} holds {str(cells.raw[row])[:40]!r} in row {row + 1}, which is {why}: "
            "give the column another kind, or mend the cell."
        )
    return kind
