"""What data are: their columns, or the shape of their pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sfumato.data import Column, Columns, Data, array_columns
from sfumato.jobs.tables import TableOptions

# Levels that a line has room for.
SHOWN_LEVELS = 4


@dataclass(frozen=True)
class DescribedColumn:
    """One column.

    Attributes
    ----------
    name, kind : str
    values : str
        Levels, or the range.
    missing : float
        Share of missing cells.
    unit : str or None
    use : str
        "used", or why it is left out.
    """

    name: str
    kind: str
    values: str
    missing: float
    unit: str | None
    use: str


@dataclass(frozen=True)
class Description:
    """What data are.

    Attributes
    ----------
    name : str
    n_rows, n_features : int
    image_shape : (channels, height, width) or None
    summary : str
        One line.
    columns : list of DescribedColumn
        Empty where rows are pictures.
    """

    name: str
    n_rows: int
    n_features: int
    image_shape: tuple[int, int, int] | None
    summary: str
    columns: list[DescribedColumn]


def describe_data(
    data: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    id: str | None = None,
    label: str | bool | None = None,
) -> Description:
    """Say what data would be taken for by a fit.

    Parameters
    ----------
    data : str, path-like, Data or array-like
        Whatever :func:`~sfumato.data.load_data` takes.
    columns, drop, id, label
        As :func:`~sfumato.jobs.fit_run` takes them.

    Returns
    -------
    Description

    Raises
    ------
    DataError
        If the data cannot be read.

    Examples
    --------
    >>> describe_data("digits").summary
    '1797 rows of (1, 8, 8), with labels'
    """
    found = TableOptions.of(columns, drop, id, label).load(data)
    n, d = found.X.shape
    shape = found.image_shape
    if shape is not None:
        return Description(found.name, n, d, shape, _in_words(n, str(shape), found), [])
    known = array_columns(found.X) if found.columns is None else found.columns
    summary = f"{_in_words(n, f'{d} values', found)}: {known.summary()}"
    return Description(found.name, n, d, None, summary, _described(known, found))


def _in_words(n: int, what: str, data: Data) -> str:
    labels = "" if data.y is None else ", with labels"
    test = "" if data.X_test is None else f", and {len(data.X_test)} test rows"
    return f"{n} rows of {what}{test}{labels}"


def _described(columns: Columns, data: Data) -> list[DescribedColumn]:
    place = {name: j for j, name in enumerate(columns.names)}
    found = []
    for column in columns:
        cells = data.X[:, [place[column.name]]] if column.is_feature else None
        use = "used" if column.is_feature else f"left out: {column.why or column.kind}"
        use = {"label": "label", "identifier": "names the rows"}.get(column.kind, use)
        values = "" if cells is None else _values(column, cells)
        found.append(
            DescribedColumn(column.name, column.kind, values, column.missing, column.unit, use)
        )
    return found


def _values(column: Column, cells: Any) -> str:
    """Return the levels of a column, or its range."""
    if column.levels:
        shown = ", ".join(str(level) for level in column.levels[:SHOWN_LEVELS])
        more = len(column.levels) - SHOWN_LEVELS
        return shown + (f" and {more} more" if more > 0 else "")
    dense = cells.toarray() if hasattr(cells, "toarray") else np.asarray(cells)
    low, high = (float(fold(dense)) for fold in (np.nanmin, np.nanmax))
    if column.kind == "date":
        return " .. ".join(str(np.datetime64(int(np.floor(day)), "D")) for day in (low, high))
    return f"{low:.6g}" if low == high else f"{low:.6g} .. {high:.6g}"
