"""Measuring a run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfumato.data import Data
from sfumato.estimators import complete, is_deep
from sfumato.evaluation import Measures, Split, as_fitted, measure_with_baselines
from sfumato.jobs import runs
from sfumato.jobs.files import finite
from sfumato.jobs.progress import SILENT, Display
from sfumato.jobs.tables import TableOptions


@dataclass(frozen=True)
class Evaluation:
    """The measures of a run.

    Attributes
    ----------
    data : str
        Name of the data.
    rows : str
        Which of their rows were measured.
    n_rows : int
    measures : dict
        Measure -> value, of the run's model.
    baselines : dict
        Baseline -> measure -> value.
    """

    data: str
    rows: str
    n_rows: int
    measures: Measures
    baselines: dict[str, Measures]


@dataclass(frozen=True)
class MeasuredRun:
    """A loaded run, the rows that it was measured on, and the measures by model."""

    estimator: Any = field(repr=False)
    data_name: str
    data: Data
    split: Split
    results: dict[str, Measures]


def measure_run(
    run: str | os.PathLike[str],
    data: Any,
    n_samples: int,
    trust: Sequence[str],
    progress: Display,
    options: TableOptions,
) -> MeasuredRun:
    """Load a run and measure it and the baselines, without writing anything."""
    estimator = runs.load_model(run, trust)
    source, bundle = runs.load_rows(run, estimator, data, options)
    split = as_fitted(bundle)
    if not is_deep(estimator):
        complete(split.X_eval, type(estimator).__name__)
    with progress.working(f"Measuring {len(split.X_eval)} rows, {n_samples} samples each"):
        results = measure_with_baselines(estimator, split, n_samples=n_samples)
    return MeasuredRun(estimator, runs.data_name(source, bundle), bundle, split, results)


def evaluate_run(
    run: str | os.PathLike[str],
    data: Any = None,
    *,
    n_samples: int = 500,
    columns: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    id: str | None = None,
    label: str | bool | None = None,
    trust: Sequence[str] = (),
    progress: Display = SILENT,
) -> Evaluation:
    """Measure a run on the test rows of its data, on all rows where they have no test split.

    Measures on the run's own data are also written to ``metrics.json`` in its folder.

    Parameters
    ----------
    run : str or path-like
    data : str, path-like, Data or array-like, optional
        By default what the run was fitted to.
    n_samples : int
        Importance samples for the likelihood of each row.
    columns, drop, id, label
        As :func:`~sfumato.jobs.fit_run` takes them, for what no model saw: the columns of the fit
        are read as they were then.
    trust : sequence of str
        Code of other packages that the run may name; see :func:`~sfumato.load`.
    progress : Display

    Returns
    -------
    Evaluation

    Raises
    ------
    ArtifactError
        If the run cannot be read, or does not name its data and none are given.
    DataError
        If the data cannot be read.
    ValueError
        If the rows do not fit the model.

    Examples
    --------
    >>> import tempfile
    >>> from sfumato import fit_run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = fit_run("kmeans", "digits", folder)
    ...     found = evaluate_run(folder)
    >>> found.n_rows, round(found.measures["accuracy"], 2)
    (1797, 0.79)
    """
    options = TableOptions.of(columns, drop, id, label)
    measured = measure_run(run, data, n_samples, trust, progress, options)
    results, split = dict(measured.results), measured.split
    if data is None and not options.asked():
        runs.write_json(Path(run), runs.METRICS, finite(results))
    return Evaluation(
        data=measured.data_name,
        rows=split.rows,
        n_rows=len(split.X_eval),
        measures=results.pop("model"),
        baselines=results,
    )
