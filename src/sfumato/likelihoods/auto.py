"""The likelihood that the columns of a table, or pictures, ask for."""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from math import lgamma, log, pi
from typing import Any

import numpy as np

from sfumato.data import Column, Columns
from sfumato.likelihoods.base import Likelihood, Loss, NegativeLogLikelihood
from sfumato.likelihoods.columns import (
    CHUNK,
    ByColumn,
    ColumnGroup,
    Constant,
    LogNormal,
    Nominal,
    Ordinal,
    ZeroInflated,
)
from sfumato.likelihoods.losses import CrossEntropy, SquaredError
from sfumato.likelihoods.rows import Bernoulli, NegativeBinomial, Normal, StudentT
from sfumato.likelihoods.wide import PrincipalNormal
from sfumato.nn.families import Family
from sfumato.scaling import n_axes_of, robust_units

# A Student t, or a log-normal, has to be likelier than a Gaussian by this many nats a cell.
NATS_TO_CHANGE = 0.05
DF = 4.0
# Codes of rows with missing cells are uncertain, and a Gaussian's squares of rare large errors end
# training early.
DF_WITH_HOLES = 10.0
# Columns that are looked at at a time, and that have likelihoods of their own at most.
WIDE, MAX_COLUMNS = 1024, 1024
# Rows, evenly spaced, that a choice of likelihood looks at.
ROWS_SEEN = 20_000


class Auto(Likelihood):
    """The likelihood of every column by its kind; Bernoullis for pictures and tables of 0 and 1.

    ==================  ==========================================================
    real, date          ``Normal("pixel")``, or ``StudentT(scale="pixel")`` where tails are heavy;
                        ``StudentT(10, "pixel")`` where cells of the table are missing
    real from 0 on      ``ZeroInflated()`` where a tenth of the cells or more is zero
    positive            as real, or ``LogNormal()`` where logarithms are nearer to Gaussian
    count               ``NegativeBinomial()``
    binary              ``Bernoulli()``
    category            ``Nominal(n_levels)``
    ordinal             ``Ordinal(n_levels)``
    ==================  ==========================================================

    With one scaling for all columns, such as ``scaling="standard"``, all have one likelihood:
    ``Bernoulli()`` for "range", else ``Normal()``.

    Parameters
    ----------
    kinds : mapping, optional
        Likelihoods of one's own by kind, such as ``{"real": StudentT(scale="pixel")}``.
    """

    scaling = "auto"
    takes_holes = True

    def __init__(self, kinds: Mapping[str, Likelihood] | None = None) -> None:
        self.kinds = kinds

    def family(self, dim: int) -> Family:
        """Raise: the columns have to be known first."""
        raise ValueError("Auto() depends on the columns: call for_columns(columns, X) first.")

    def for_columns(self, columns: Columns | None, X: Any, *, scaled: str | None) -> Likelihood:
        """Return the likelihood for pictures, or for a table with such columns."""
        if scaled == "range" or (scaled is None and (columns is None or _only_bits(columns, X))):
            return Bernoulli()
        if scaled is not None or columns is None:
            return Normal()
        return by_column(columns, X, self.kinds or {})

    def pretraining(self) -> Loss:
        """Return the loss of the likelihood that is found."""
        return AutoLoss(self.kinds, CrossEntropy())


class AutoLoss(Loss):
    """The loss that the columns ask for: nats by column, and another loss of pictures.

    Parameters
    ----------
    kinds : mapping, optional
        See :class:`Auto`.
    pixels : Loss, optional
        Of pictures and of tables of 0 and 1; by default :class:`SquaredError`.
    """

    scaling = "auto"
    takes_holes = True

    def __init__(
        self, kinds: Mapping[str, Likelihood] | None = None, pixels: Loss | None = None
    ) -> None:
        self.kinds = kinds
        self.pixels = pixels

    def __call__(self, p: Any, x: Any) -> Any:
        """Raise: the columns have to be known first."""
        raise ValueError("AutoLoss() depends on the columns: call for_columns(columns, X) first.")

    def for_columns(self, columns: Columns | None, X: Any, *, scaled: str | None) -> Loss:
        """Return the loss for pictures, or for a table with such columns."""
        found = Auto(self.kinds).for_columns(columns, X, scaled=scaled)
        if isinstance(found, Bernoulli):
            return SquaredError() if self.pixels is None else self.pixels
        return SquaredError() if isinstance(found, Normal) else NegativeLogLikelihood(found)


def _only_bits(columns: Columns, X: Any) -> bool:
    """Return whether all cells are 0 or 1, or bytes of pixels, and none is missing."""
    if X.dtype == np.uint8:
        return True
    features = columns.features
    if any(column.missing or column.kind not in ("binary", "constant") for column in features):
        return False
    blocks = (X[start : start + CHUNK] for start in range(0, X.shape[0], CHUNK))
    return all(bool(((block == 0) | (block == 1)).all()) for block in blocks)


def by_column(columns: Columns, X: Any, kinds: Mapping[str, Likelihood]) -> Likelihood:
    """Return the likelihoods of the columns, those of one likelihood as one group.

    Numbers in more than a thousand columns are seen along their principal axes.
    """
    features = columns.features
    if len(features) > MAX_COLUMNS and not columns.words and not kinds:
        n_rest = len(features) - n_axes_of(X.shape[0], len(features))
        return PrincipalNormal(n_rest, counts=_are_counts(features, X))
    seen = slice(0, None, max(1, X.shape[0] // ROWS_SEEN))
    shape = _shapes(features, X, seen)
    chosen = [_chosen(column, kinds, str(shape[j])) for j, column in enumerate(features)]
    order = sorted(range(len(chosen)), key=lambda j: repr(chosen[j]))
    groups = [
        _group([features[j] for j in js], js, chosen[js[0]])
        for js in (list(same) for _, same in groupby(order, key=lambda j: repr(chosen[j])))
    ]
    return ByColumn(groups)


def _are_counts(features: tuple[Column, ...], X: Any) -> bool:
    """Return whether all columns hold whole numbers from 0 on, and some more than levels."""
    kinds = {column.kind for column in features}
    if not kinds <= {"count", "ordinal", "binary", "constant"} or "count" not in kinds:
        return False
    return float(X.min()) >= 0


def _chosen(column: Column, kinds: Mapping[str, Likelihood], shape: str) -> Likelihood:
    if column.kind in kinds:
        return kinds[column.kind]
    return OF_SHAPE[shape]() if shape in OF_SHAPE else OF_KIND[column.kind](column)


OF_KIND: Mapping[str, Callable[[Column], Likelihood]] = {
    "real": lambda column: Normal("pixel"),
    "date": lambda column: Normal("pixel"),
    "positive": lambda column: Normal("pixel"),
    "count": lambda column: NegativeBinomial(),
    "binary": lambda column: Bernoulli(),
    "category": lambda column: Nominal(len(column.levels)),
    "ordinal": lambda column: Ordinal(len(column.levels)),
    "constant": lambda column: Constant(),
}


def _group(features: Iterable[Column], columns: list[int], likelihood: Likelihood) -> ColumnGroup:
    """Return the group; levels are equally spaced from the first to the last code."""
    units = [_level_units(column) for column in features]
    if units[0] is None:
        return ColumnGroup(columns, likelihood)
    offset, scale = zip(*(unit for unit in units if unit is not None), strict=True)
    return ColumnGroup(columns, likelihood, list(offset), list(scale))


def _level_units(column: Column) -> tuple[float, float] | None:
    """Return the first code of a column of levels, and what lies between it and the last."""
    if column.kind not in ("binary", "category", "ordinal"):
        return None
    low, high = column.codes
    return float(low), float(high - low) or 1.0


# What numbers are likelier under than under a Gaussian.
OF_SHAPE: Mapping[str, Callable[[], Likelihood]] = {
    "heavy": lambda: StudentT(DF, "pixel"),
    "holes": lambda: StudentT(DF_WITH_HOLES, "pixel"),
    "log": LogNormal,
    "zeros": ZeroInflated,
}
# Of non-negative numbers, from this share of zeros on.
SHARE_OF_ZEROS = 0.1


def _shapes(features: tuple[Column, ...], X: Any, seen: slice) -> np.ndarray:
    """Return "heavy" or "log" for numbers that a Student t, or a log-normal, fits better."""
    found = np.full(len(features), "plain")
    if any(column.missing for column in features):
        numbers = [column.kind in ("real", "positive", "date") for column in features]
        found[numbers] = "holes"
    rows = X[seen]
    for kind, name, gain in (("real", "heavy", _gain_of_tails), ("positive", "log", _gain_of_log)):
        columns = [j for j, column in enumerate(features) if column.kind == kind]
        for part in (columns[i : i + WIDE] for i in range(0, len(columns), WIDE)):
            values = np.asarray(rows[:, part], dtype=np.float64)
            found[part] = np.where(gain(values) > NATS_TO_CHANGE, name, found[part])
            found[[j for j, many in zip(part, _many_zeros(values), strict=True) if many]] = "zeros"
    return found


def _many_zeros(x: np.ndarray) -> np.ndarray:
    """Return which columns are amounts that are often nothing."""
    zeros = (x == 0).sum(axis=0) / np.maximum((~np.isnan(x)).sum(axis=0), 1)
    return (np.nanmin(x, axis=0) >= 0) & (zeros >= SHARE_OF_ZEROS) & (zeros < 1)


def _gain_of_log(x: np.ndarray) -> np.ndarray:
    """Return how much likelier columns are under a log-normal than under a Gaussian, in nats."""
    logs = np.log(x)
    spread = np.maximum(np.nanstd(logs, axis=0), 1e-12)
    return np.log(np.nanstd(x, axis=0)) - np.log(spread) - np.nanmean(logs, axis=0)


def _gain_of_tails(values: np.ndarray) -> np.ndarray:
    """Return how much likelier columns are under a Student t than under a Gaussian, in nats."""
    offset, scale = robust_units(values)
    x = (values - offset) / scale
    gaussian = -0.5 * np.log(2 * pi * np.maximum(np.nanmean(x**2, axis=0), 1e-12)) - 0.5
    return _student_fit(x) - gaussian


def _student_fit(x: np.ndarray) -> np.ndarray:
    """Return the mean log density of a Student t about 0 with its likeliest scale."""
    square = np.maximum(np.nanmean(x**2, axis=0), 1e-12) / 2
    for _ in range(30):
        # EM: rows far out weigh little.
        square = np.nanmean((DF + 1) * x**2 / (DF + x**2 / square), axis=0)
        square = np.maximum(square, 1e-12)
    constant = lgamma((DF + 1) / 2) - lgamma(DF / 2) - 0.5 * log(DF * pi)
    tail = (DF + 1) / 2 * np.log1p(x**2 / (DF * square))
    return np.asarray(constant - 0.5 * np.log(square) - np.nanmean(tail, axis=0))
