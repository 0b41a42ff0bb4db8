"""Cells that are filled into a table, which stays what it is otherwise."""

from typing import Any

import numpy as np

from sfumato.data.bundle import require
from sfumato.data.columns import Column, Columns, as_pandas, decoded
from sfumato.data.kinds import cells_of


def fill_frame(frame: Any, columns: Columns, values: np.ndarray) -> Any:
    """Return a frame whose missing cells are filled, with its rows, columns, types and index.

    Parameters
    ----------
    frame : pandas or polars DataFrame
    columns : Columns
        Which of its columns are filled, and what the values of each stand for.
    values : ndarray, shape (n, d)
        Of the columns that are modelled, without missing cells.

    Returns
    -------
    frame of the same kind
        Texts of numbers with decimal commas, or of dates in a format of their own, become numbers
        and dates as 2026-12-31 in the whole column; all other cells that are there are untouched.
    """
    table = as_pandas(frame)
    by_name = {str(key): key for key in table.columns}
    filled = {}
    for j, column in enumerate(columns.features):
        series = table[by_name[column.name]]
        missing = cells_of(series).missing
        if missing.any():
            filled[by_name[column.name]] = _filled(series, column, values[:, j], missing)
    if table is not frame:
        return _with_columns(frame, filled)
    return _assigned(table, filled)


def _assigned(table: Any, filled: dict[Any, Any]) -> Any:
    found = table.copy()
    for key, series in filled.items():
        found[key] = series
    return found


def _filled(series: Any, column: Column, values: np.ndarray, missing: np.ndarray) -> Any:
    """Return a pandas series with its missing cells filled."""
    pandas = require("pandas", "a table with names")
    if column.kind == "date":
        return _with_dates(pandas, series, values, missing)
    whole = column.kind == "count" or getattr(series.dtype, "kind", "O") in "iu"
    numbers = np.round(values) if whole and not column.coded else values
    found = pandas.Series(decoded(column, numbers), index=series.index)
    if str(series.dtype) == "category":
        levels = [level for level in column.levels if level not in series.cat.categories]
        series = series.cat.add_categories(levels)
    elif not column.coded and getattr(series.dtype, "kind", "O") not in "iufb":
        # Texts of numbers.
        return pandas.Series(numbers, index=series.index)
    elif column.coded:
        found = found.astype(object)
    kept = series.mask(missing, found)
    return kept.infer_objects() if kept.dtype == object else kept


def _with_dates(pandas: Any, series: Any, values: np.ndarray, missing: np.ndarray) -> Any:
    """Return a pandas series of dates, of whatever type, with its missing cells filled."""
    times = pandas.Series(
        pandas.Timestamp(0) + pandas.to_timedelta(values, unit="D").round("s"), index=series.index
    )
    if getattr(series.dtype, "kind", "O") == "M":
        zone = getattr(series.dtype, "tz", None)
        times = times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)
        return series.mask(missing, times.dt.normalize().astype(series.dtype))
    seen = series[~missing]
    if len(seen) and not isinstance(seen.iloc[0], str):
        return series.mask(missing, times.dt.date)
    texts = times.dt.strftime("%Y-%m-%d")
    as_iso = seen.astype(str).str.fullmatch(r"\d{4}-\d{2}-\d{2}.*").all()
    return series.mask(missing, texts) if as_iso else texts


def _with_columns(frame: Any, filled: dict[Any, Any]) -> Any:
    """Return a polars frame with columns replaced by pandas series."""
    polars = require("polars", "a polars frame")
    made = []
    for name, series in filled.items():
        was = frame[name].dtype
        texts_of_numbers = was == polars.String and series.dtype.kind == "f"
        values = polars.Series(name, series.astype(object).tolist(), strict=False)
        made.append(values if texts_of_numbers else values.cast(was))
    return frame.with_columns(made)
