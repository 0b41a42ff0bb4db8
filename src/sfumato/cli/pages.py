"""The page of one run."""

from pathlib import Path
from typing import Any

from sfumato.artifacts import make_directory, replace_file
from sfumato.cli import output, runs
from sfumato.data import load_data
from sfumato.estimators import learned_from_labels, load
from sfumato.evaluation import as_fitted, measure_beside
from sfumato.report import environment, page, sections


def write_run_report(run: str, data: str | None, n_samples: int) -> Path:
    """Measure a run and write its page; returns the page's path."""
    estimator = load(run)
    record = runs.read(run)
    bundle = load_data(runs.data_of(run, data))
    split = as_fitted(bundle)
    with output.working(f"Measuring {len(split.X_eval)} rows, {n_samples} samples each"):
        results = measure_beside(estimator, split, n_samples=n_samples)
    made_in: dict[str, Any] = record.pop("environment", environment())
    content = {"Asked": sections.asked(record, estimator)}
    content |= sections.of_estimator(estimator, split, bundle.image_shape)
    content["Measures"] = sections.measures(
        results, split, supervised=learned_from_labels(estimator)
    )
    content["Environment"] = page.pairs(made_in)
    rows, values = bundle.X.shape
    lead = f"{type(estimator).__name__} fitted to {bundle.name}: {rows} rows of {values} values."
    path = make_directory(run) / runs.REPORT
    replace_file(path, page.render(f"sfumato: {bundle.name}", lead, content).encode())
    return path
