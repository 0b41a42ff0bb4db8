"""What the columns of a table are: kind, levels, unit, missing cells; from words to numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any, overload

import numpy as np

from sfumato.data.bundle import DataError, is_sparse, require, tell
from sfumato.data.kinds import (
    FEATURES,
    KINDS,
    UNIT_OF_DATES,
    Cells,
    cells_of,
    find_kind,
    number_kinds,
)

# Other words for kinds.
WORDS = {"ignore": "ignored", "drop": "ignored", "id": "identifier", "nominal": "category"}
# Columns named so often hold labels.
LABEL_NAMES = ("label", "labels", "target", "class", "y")
# Names of a kind that a summary gives.
NAMED = 3
# Cells of an array that are looked at at a time.
CHUNK_CELLS = 2**16


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
    kind : str
        "real", "positive", "count", "binary", "category", "ordinal", "date" or "constant"; or one
        of those that are not modelled: "identifier", "label", "ignored".
    levels : tuple
        Of a binary, categorical or ordinal column, in their order.
    missing : float
        Share of missing cells.
    dtype : str
        The column's own type.
    unit : str, optional
    coded : bool
        Whether its values stand as 0, 1, ... for its levels; otherwise as they are.
    why : str
        Why a column is left out.
    """

    name: str
    kind: str
    levels: tuple[Any, ...] = ()
    missing: float = 0.0
    dtype: str = "float64"
    unit: str | None = None
    coded: bool = False
    why: str = ""

    @property
    def is_feature(self) -> bool:
        """Whether it is modelled."""
        return self.kind in FEATURES

    @property
    def codes(self) -> tuple[float, float]:
        """The values of the first and of the last level."""
        if self.coded:
            return 0.0, float(len(self.levels) - 1)
        return float(self.levels[0]), float(self.levels[-1])


@dataclass(frozen=True)
class Columns(Sequence[Column]):
    """The columns of a table, in its order.

    Parameters
    ----------
    of : tuple of Column

    Examples
    --------
    >>> columns = Columns((Column("age", "real"), Column("plan", "binary", ("a", "b"), coded=True)))
    >>> columns.summary()
    '1 real (age), 1 binary (plan)'
    """

    of: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.of)

    @overload
    def __getitem__(self, index: int) -> Column: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Column, ...]: ...

    def __getitem__(self, index: int | slice) -> Column | tuple[Column, ...]:
        return self.of[index]

    def __iter__(self) -> Iterator[Column]:
        return iter(self.of)

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that are modelled."""
        return tuple(column for column in self.of if column.is_feature)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that are modelled."""
        return tuple(column.name for column in self.features)

    @property
    def left_out(self) -> tuple[Column, ...]:
        """The columns that are not modelled."""
        return tuple(column for column in self.of if not column.is_feature)

    @property
    def words(self) -> tuple[Column, ...]:
        """The columns whose values are codes."""
        return tuple(column for column in self.features if column.coded)

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain values, as JSON takes them."""
        return [asdict(column) | {"levels": list(column.levels)} for column in self.of]

    @classmethod
    def from_json(cls, values: Sequence[Mapping[str, Any]]) -> "Columns":
        """Undo :meth:`to_json`."""
        return cls(tuple(Column(**{**v, "levels": tuple(v["levels"])}) for v in values))

    def summary(self) -> str:
        """Return one line that says what the columns were taken for."""
        parts = [_of_kind(kind, self.of) for kind in KINDS if kind in FEATURES]
        line = ", ".join(part for part in parts if part)
        if self.left_out:
            line += "; left out: " + ", ".join(
                f"{c.name} ({c.why or c.kind})" for c in self.left_out
            )
        missing = [column.missing for column in self.features]
        if any(missing):
            line += f"; {100 * sum(missing) / len(missing):.3g} % of cells missing"
        return line

    def only(self, name: str, kind: str) -> "Columns":
        """Return the columns with one of a kind: the others of that kind are left out."""
        others = {c for c in self.of if c.kind == kind and c.name != name}
        out = {c: replace(c, kind="ignored", why=c.why or f"another {kind}") for c in others}
        return Columns(tuple(out.get(column, column) for column in self.of))

    def revised(self, overrides: Mapping[str, Any], names: Sequence[str]) -> "Columns":
        """Return these columns for another table, with other roles for those that no model saw.

        Parameters
        ----------
        overrides : mapping
            As :func:`infer_columns` takes them.
        names : sequence of str
            The columns of that table.

        Raises
        ------
        DataError
            If a name is unknown, or a column would be modelled otherwise than in the fit.
        """
        found = {column.name: column for column in self.of}
        for name, wanted in _checked_overrides(dict(overrides), [*names, *found]).items():
            kind = wanted["kind"]
            known = found.get(name, Column(name, "ignored"))
            if kind not in (None, known.kind) and (known.is_feature or kind in FEATURES):
                was = known.kind if name in found else "not there"
                raise DataError(
                    f"Column {name!r} was {was} when the model was fitted and cannot be {kind} "
                    "now: fit anew, or leave this option out."
                )
            if kind in ("label", "identifier"):
                _checked_overrides({name: kind}, list(names))
            found[name] = known if kind is None else replace(known, kind=kind)
        return Columns(tuple(found.values()))

    def encode(self, frame: Any) -> np.ndarray:
        """Return the modelled columns of a frame by name, shape (n, d), with NaN for missing cells.

        Raises
        ------
        DataError
            Naming all columns that are absent, or all cells that are of no known kind or level.
        """
        frame = as_pandas(frame)
        names = [str(name) for name in frame.columns]
        absent = [name for name in self.names if name not in names]
        known = {column.name for column in self.of}
        new = [name for name in names if name not in known]
        if absent:
            also = f"; it has {_listed(new)} instead" if new else ""
            raise DataError(f"The table lacks the columns {_listed(absent)} of the fit{also}.")
        if new:
            tell(f"Columns that the fit did not see are left out: {_listed(new)}.")
        by_name = dict(zip(names, frame.columns, strict=True))
        found, wrong = [], []
        for column in self.features:
            values, problem = encoded(column, cells_of(frame[by_name[column.name]]))
            found.append(values)
            wrong += [problem] if problem else []
        if wrong:
            raise DataError(" ".join(wrong))
        return np.column_stack(found) if found else np.empty((len(frame), 0))

    def decode(self, values: np.ndarray, index: Any = None) -> Any:
        """Return values of the modelled columns as a pandas frame, in the columns' own types."""
        pandas = require("pandas", "a table with names")
        columns = {
            column.name: decoded(column, values[:, j]) for j, column in enumerate(self.features)
        }
        return pandas.DataFrame(columns, index=index)


def _of_kind(kind: str, columns: Sequence[Column]) -> str:
    same = [column for column in columns if column.kind == kind]
    if not same:
        return ""
    names = [
        f"{c.name}: {len(c.levels)} levels" if kind in ("category", "ordinal") else c.name
        for c in same[:NAMED]
    ]
    return f"{len(same)} {kind} ({', '.join(names)}{', ...' if len(same) > NAMED else ''})"


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def as_pandas(frame: Any) -> Any:
    """Return a pandas or polars frame, or an Arrow table, as a pandas frame."""
    pandas = require("pandas", "a table with names")
    if isinstance(frame, pandas.DataFrame):
        return frame
    if hasattr(frame, "to_pandas") and type(frame).__module__.startswith("pyarrow"):
        return frame.to_pandas()
    columns = {}
    for name in frame.columns:
        series = frame[name]
        numbers = series.dtype.is_numeric() and series.null_count() == 0
        values = pandas.Series(series.to_numpy() if numbers else series.to_list())
        columns[name] = values.astype("category") if "Categorical" in str(series.dtype) else values
    return pandas.DataFrame(columns)


def encoded(column: Column, cells: Cells) -> tuple[np.ndarray, str]:
    """Return a column's cells as numbers, and a sentence where one of them cannot be one."""
    if column.coded:
        values = cells.codes(column.levels)
        unknown = np.flatnonzero(np.isnan(values) & ~cells.missing)
        remedy = f"the fit saw {_listed([str(level) for level in column.levels])}"
    else:
        values = cells.dates() if column.kind == "date" else cells.numbers()
        unknown = np.flatnonzero(np.isnan(values.astype(float)) & ~cells.missing)
        remedy = "the fit saw dates" if column.kind == "date" else "the fit saw numbers"
    if not len(unknown):
        return values, ""
    row = int(unknown[0])
    return values, (
        f"Column {column.name!r} holds {str(cells.raw[row])[:40]!r} in row {row + 1}, and "
        f"{remedy}: mend the cell, or leave it empty."
    )


def decoded(column: Column, values: np.ndarray) -> Any:
    """Return numbers of a column in its own type, as a pandas array or series."""
    pandas = require("pandas", "a table with names")
    missing = np.isnan(values)
    if column.coded:
        return _decoded_levels(pandas, column, values, missing)
    if column.kind == "date":
        times = pandas.Timestamp(0) + pandas.to_timedelta(values, unit="D").round("s")
        return _decoded_dates(column.dtype, times)
    dtype = column.dtype.lower()
    if dtype.startswith(("float", "double")):
        return pandas.array(values, dtype=column.dtype)
    if dtype.startswith("timedelta"):
        return pandas.to_timedelta(values, unit="D")
    if not dtype.startswith(("int", "uint")):
        return values
    whole = pandas.array(np.where(missing, 0, np.round(values)).astype(np.int64), dtype="Int64")
    whole[missing] = pandas.NA
    if missing.any() and column.dtype == dtype and "[" not in dtype:
        return np.where(missing, np.nan, np.round(values))
    return whole.astype(column.dtype)


def _decoded_dates(dtype: str, times: Any) -> Any:
    """Return times in the type of their column; those without one as text."""
    if dtype.startswith("datetime64") and "," in dtype:
        return times.tz_localize("UTC").astype(dtype)
    if dtype.startswith(("datetime64", "timestamp", "date")):
        return times.astype(dtype)
    return times.strftime("%Y-%m-%d")


def _decoded_levels(pandas: Any, column: Column, values: np.ndarray, missing: np.ndarray) -> Any:
    places = np.where(missing, 0, np.clip(np.round(values), 0, len(column.levels) - 1)).astype(int)
    if column.dtype.startswith("category"):
        codes = np.where(missing, -1, places)
        ordered = column.kind == "ordinal"
        return pandas.Categorical.from_codes(codes, list(column.levels), ordered=ordered)
    levels = np.array(column.levels, dtype=object)[places]
    levels[missing] = None
    truths = column.dtype == "bool" and missing.any()
    return pandas.array(levels, dtype="boolean" if truths else column.dtype)


def infer_columns(frame: Any, overrides: Mapping[str, Any] | None = None) -> Columns:
    """Return what the columns of a frame are, by their types and values.

    Parameters
    ----------
    frame : pandas or polars DataFrame
    overrides : mapping, optional
        Name -> kind, or name -> {"kind": ..., "levels": [...], "unit": ...}. Besides the kinds,
        "ignore" leaves a column out, "id" takes it as names of rows, and "number" as a number.

    Raises
    ------
    DataError
        If a name is unknown, a column cannot be of the kind that is asked for, or a name is there
        twice.
    """
    frame = as_pandas(frame)
    names = [str(name) for name in frame.columns]
    check_names_differ(names)
    wanted = _checked_overrides(dict(overrides or {}), names)
    columns, wrong = [], []
    for name, key in zip(names, frame.columns, strict=True):
        cells = cells_of(frame[key])
        try:
            columns.append(_inferred(name, cells, wanted.get(name, {})))
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        raise DataError(" ".join(wrong))
    return Columns(tuple(columns))


def check_names_differ(names: Sequence[str], source: str = "the table") -> None:
    """Check that no two columns have one name.

    Raises
    ------
    DataError
        Naming those that do.
    """
    twice = (
        [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if (len(set(names)) < len(names))
        else []
    )
    if twice:
        raise DataError(f"{source} has several columns named {_listed(twice)}: rename all but one.")


def _checked_overrides(given: dict[str, Any], names: list[str]) -> dict[str, dict[str, Any]]:
    for name in given:
        if name not in names:
            near = get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {_listed(names)}"
            raise DataError(f"The table has no column {name!r}: {hint}")
    found = {}
    for name, value in given.items():
        entry = {"kind": value} if isinstance(value, str) else dict(value)
        entry["kind"] = WORDS.get(entry.get("kind", ""), entry.get("kind"))
        if entry["kind"] not in (*KINDS, "number", None):
            raise DataError(
                f"Column {name!r} cannot be of the kind {entry['kind']!r}: "
                f"give one of {', '.join(KINDS)}, number, ignore."
            )
        found[name] = entry
    return found


def _inferred(name: str, cells: Cells, wanted: Mapping[str, Any]) -> Column:
    """Return one column, of the kind that is wanted or of the one that its cells look like."""
    share = float(cells.missing.mean()) if len(cells.missing) else 0.0
    found = find_kind(name, cells, wanted.get("kind"), wanted.get("levels"))
    unit = wanted.get("unit") or _unit(found.kind, cells)
    return Column(name, found.kind, found.levels, share, cells.dtype, unit, found.coded, found.why)


def _unit(kind: str, cells: Cells) -> str | None:
    if kind == "date":
        return UNIT_OF_DATES
    return "days" if cells.dtype.startswith("timedelta") else None


def tell_left_out(columns: Columns, chosen: Sequence[str]) -> None:
    """Say which columns are left out without having been named, and which look like labels."""
    unasked = [column for column in columns.left_out if column.name not in chosen]
    if unasked:
        what = ", ".join(f"{column.name!r} ({column.why or column.kind})" for column in unasked)
        tell(f"Left out: {what}; columns={{name: kind}} or --columns says otherwise.")
    for column in columns.features:
        if column.name not in chosen and _resembles_labels(column, columns):
            tell(
                f"Column {column.name!r} looks like a label and is used as a feature: "
                f"label={column.name!r} or --label {column.name} makes it the label, --drop "
                f"{column.name} leaves it out."
            )


def _resembles_labels(column: Column, columns: Columns) -> bool:
    """Return whether a column is called like labels, or holds words where many files hold them."""
    unnamed = column == columns[-1] and column.name == f"column {len(columns)}"
    return column.name.strip().lower() in LABEL_NAMES or (unnamed and column.coded)


def array_columns(X: Any) -> Columns:
    """Return what the columns of an array of numbers are, named x0, x1, ...

    Parameters
    ----------
    X : array, sparse matrix, or whatever gives some columns as ``X[:, index]``, shape (n, d)
    """
    n, d = X.shape
    X = X.tocsc() if is_sparse(X) else X
    step = max(1, CHUNK_CELLS // max(n, 1))
    columns: list[Column] = []
    for start in range(0, d, step):
        part = X[:, start : start + step]
        part = part.toarray() if is_sparse(part) else np.asarray(part)
        kinds = number_kinds(part)
        missing = np.isnan(part).mean(0) if part.dtype.kind == "f" else np.zeros(part.shape[1])
        columns += [
            Column(f"x{start + j}", kind, levels, float(missing[j]), str(part.dtype))
            for j, (kind, levels) in enumerate(kinds)
        ]
    return Columns(tuple(columns))
