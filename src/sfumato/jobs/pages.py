"""The page of a run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfumato.artifacts import make_directory, replace_file
from sfumato.estimators import learned_from_labels
from sfumato.jobs import runs
from sfumato.jobs.evaluation import MeasuredRun, measure_run
from sfumato.jobs.progress import SILENT, Display
from sfumato.jobs.tables import TableOptions
from sfumato.report import environment, page, sections


def report_run(
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
) -> Path:
    """Measure a run and write its page, ``report.html`` in its folder.

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
    Path
        The page.

    Raises
    ------
    ArtifactError
        If the run cannot be read or written to, or does not name its data and none are given.
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
    ...     report_run(folder).name
    'report.html'
    """
    options = TableOptions.of(columns, drop, id, label)
    measured = measure_run(run, data, n_samples, trust, progress, options)
    content = _content(measured, runs.read(run))
    rows, values = measured.data.X.shape
    name, model = measured.data.name, type(measured.estimator).__name__
    lead = f"{model} fitted to {name}: {rows} rows of {values} values."
    path = make_directory(run) / runs.REPORT
    replace_file(path, page.render(f"sfumato: {name}", lead, content).encode())
    return path


def _content(measured: MeasuredRun, record: dict[str, Any]) -> dict[str, str]:
    """Return the sections of the page, heading -> HTML."""
    estimator, split = measured.estimator, measured.split
    made_in: dict[str, Any] = record.pop("environment", environment())
    record.pop(runs.TABLE, None)
    supervised = learned_from_labels(estimator)
    return {
        "Asked": sections.asked(record, estimator),
        **sections.of_estimator(estimator, split, measured.data.image_shape),
        "Measures": sections.measures(measured.results, split, supervised=supervised),
        "Environment": page.pairs(made_in),
    }
