"""Several models, several seeds, one table."""

import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, stdev
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from sfumato.estimators import complete, find_model, shaped
from sfumato.evaluation.measures import MEANINGS, Measures, meaning_of, measure
from sfumato.evaluation.split import Split

COLUMNS = (
    "mse",
    "nll",
    "nll_dynamic",
    "nll_levels",
    "nll_counts",
    "nll_density",
    "accuracy",
    "nmi",
    "ari",
    "ece",
    "codes_kmeans_accuracy",
    "codes_knn_accuracy",
    "seconds",
    "cpu_seconds",
)


@dataclass(frozen=True)
class Result:
    """One fit: the model's name, the seed, the measures, and the fitted estimator."""

    model: str
    seed: int
    measures: Measures
    estimator: Any = field(repr=False, compare=False)


@dataclass(frozen=True)
class Summary:
    """A measure over seeds: its values in the order of the seeds, and what they come to."""

    mean: float
    deviation: float | None
    minimum: float
    median: float
    maximum: float
    n: int
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summarise the values of several seeds."""
        n = len(values)
        deviation = stdev(values) if n > 1 else None
        middle = median(values)
        return cls(fmean(values), deviation, min(values), middle, max(values), n, tuple(values))

    def __str__(self) -> str:
        digits = _decimals(self.mean)
        spread = "" if self.deviation is None else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"

    def short(self, scale: float = 1.0) -> str:
        """Return the mean, and the deviation if there is one, in few characters."""
        digits = 1 if scale > 1 else min(2, _decimals(self.mean))
        spread = "" if self.deviation is None else f"±{scale * self.deviation:.{digits}f}"
        return f"{scale * self.mean:.{digits}f}{spread}"


def _decimals(value: float) -> int:
    """Return the decimals that show about three digits.

    Examples
    --------
    >>> _decimals(0.7312), _decimals(24.08), _decimals(160.2)
    (3, 2, 1)
    """
    size = abs(value)
    return 3 if size < 1 else 2 if size < 100 else 1


Table = dict[str, dict[str, Summary]]


def run(
    models: Sequence[str],
    split: Split,
    seeds: Sequence[int],
    *,
    configure: Callable[[str, BaseEstimator], BaseEstimator] = lambda name, model: model,
    n_samples: int = 200,
) -> Iterator[Result]:
    """Fit every model with every seed and yield what was measured, as it comes.

    A model that takes no seed is fitted once. Models that begin with the same autoencoder share it:
    it is fitted once for each seed, and its time is counted for all of them.

    Parameters
    ----------
    models : names of the catalogue
    split : Split
    seeds : ints
    configure : callable (name, estimator) -> estimator
        Sets parameters before a fit.
    n_samples : int
        Importance samples for each row of a deep model's likelihood.

    Raises
    ------
    ValueError
        If a model is unknown, or needs labels or cells that the data lack.
    """
    entries = {name: find_model(name) for name in models}
    for name, entry in entries.items():
        if entry.supervised and split.y_train is None:
            raise ValueError(f"The model {name!r} needs labels, and the data have none.")
        if not entry.deep:
            complete(split.X_train, name), complete(split.X_eval, name)
    shared = Pretraining()
    for name, entry in entries.items():
        for seed in seeds if entry.seeded else seeds[:1]:
            estimator = shaped(configure(name, entry.build(seed)), split.image_shape)
            y = split.y_train if entry.supervised else None
            times = _fit(estimator, split, y, shared)
            measures = measure(estimator, split, n_samples=n_samples, seed=seed) | times
            yield Result(name, seed, measures, estimator)


class Pretraining:
    """Autoencoders that several models begin with, each fitted once."""

    def __init__(self) -> None:
        self._fits: dict[str, tuple[Any, Measures]] = {}

    def give(self, estimator: Any, X: Any) -> Measures:
        """Let a model begin with a shared autoencoder; returns the time that this one took."""
        if not getattr(estimator, "starts_pretrained", False):
            return {}
        # The settings that decide the autoencoder, its seed among them.
        key = str(sorted(estimator.pretraining().get_params().items()))
        if key not in self._fits:
            clock = _Clock()
            self._fits[key] = estimator.pretrain(X), clock.times()
        autoencoder, times = self._fits[key]
        estimator.start_from(autoencoder)
        return times


class _Clock:
    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def times(self) -> Measures:
        """Return what has passed by the wall clock and over all threads, in seconds."""
        wall, cpu = self._start
        return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def _fit(estimator: Any, split: Split, y: Any, shared: Pretraining) -> Measures:
    """Fit, and return how long it took."""
    with warnings.catch_warnings():
        # A baseline that stops at its iteration limit is part of the comparison.
        warnings.simplefilter("ignore", ConvergenceWarning)
        X = split.given(estimator, split.X_train)
        before = shared.give(estimator, X)
        clock = _Clock()
        estimator.fit(X, y)
    return {name: value + before.get(name, 0.0) for name, value in clock.times().items()}


def tabulate(results: Sequence[Result]) -> Table:
    """Return model -> measure -> mean, deviation, minimum, median and maximum over seeds."""
    table: Table = {}
    for model in dict.fromkeys(result.model for result in results):
        fits = [result.measures for result in results if result.model == model]
        table[model] = {
            name: Summary.of([fit[name] for fit in fits]) for name in _columns_among(fits[0])
        }
    return table


def columns_of(table: Table) -> list[str]:
    """Return the measures that at least one model has, in their order."""
    return _columns_among(dict.fromkeys(name for row in table.values() for name in row))


def _columns_among(names: Collection[str]) -> list[str]:
    """Return the known columns in their order, then those of other packages."""
    others = [name for name in names if name not in COLUMNS and name not in MEANINGS]
    return [name for name in COLUMNS if name in names] + others


def best(table: Table) -> Mapping[str, str]:
    """Return the best model of every measure that at least two models have."""
    winners = {}
    for column in columns_of(table):
        cells = {model: row[column].mean for model, row in table.items() if column in row}
        if len(cells) > 1:
            choose = min if meaning_of(column).less_is_better else max
            winners[column] = choose(cells, key=cells.__getitem__)
    return winners
