"""Comparing several models: their fits, the table, its files and its page."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sklearn.base import BaseEstimator

from sfumato.artifacts import make_directory, replace_file, to_json
from sfumato.estimators import find_model
from sfumato.evaluation import PROTOCOLS, Result, Split, Table, columns_of, run, tabulate
from sfumato.jobs.files import finite
from sfumato.jobs.progress import SILENT, Display, show_epochs
from sfumato.jobs.runs import data_name
from sfumato.jobs.settings import SettingError, apply_settings, choose, model_entry
from sfumato.jobs.tables import TableOptions
from sfumato.report import environment, figures, page, sections


@dataclass(frozen=True)
class Comparison:
    """Several models side by side.

    Attributes
    ----------
    title : str
        Which data, how many rows and seeds.
    rows : str
        Which rows were evaluated.
    results : list of Result
        One for each fit, with the fitted estimator.
    table : dict
        Model -> measure -> summary over the seeds.
    """

    title: str
    rows: str
    results: list[Result]
    table: Table


def compare_models(
    data: Any,
    models: Sequence[str],
    seeds: Sequence[int] = (0, 1, 2),
    *,
    out: str | os.PathLike[str] | None = None,
    rows: str = "split",
    settings: Mapping[str, Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    id: str | None = None,
    label: str | bool | None = None,
    n_samples: int = 200,
    progress: Display = SILENT,
) -> Comparison:
    """Fit several models with several seeds, measure them, and put them into one table.

    Parameters
    ----------
    data : str, path-like, Data or array-like
        Whatever :func:`~sfumato.data.load_data` takes.
    models : names of the catalogue
    seeds : ints
    out : str or path-like, optional
        Folder for ``compare.json``, ``compare.md``, ``compare.png`` and ``report.html``.
    rows : "split" or "all"
        Evaluate on rows held out of the fit, or fit to all rows and evaluate on the same.
    settings : mapping, optional
        Each goes to every model that has it.
    columns, drop, id, label
        As :func:`~sfumato.jobs.fit_run` takes them.
    n_samples : int
        Importance samples for the likelihood of each row.
    progress : Display
        Shows the epochs, and a line for each fit.

    Returns
    -------
    Comparison

    Raises
    ------
    SettingError
        If a model is unknown, or none of them has a setting.
    ArtifactError
        If the folder cannot be written to.
    DataError
        If the data cannot be read, or a model needs a package that is not installed.
    ValueError
        If a model needs labels that the data lack.

    Examples
    --------
    >>> found = compare_models("digits", ["pca", "kmeans"], seeds=[0])
    >>> list(found.table), round(found.table["kmeans"]["accuracy"].mean, 1)
    (['pca', 'kmeans'], 0.8)
    """
    settings = settings or {}
    protocol = choose(PROTOCOLS, rows, "rows")
    for name in models:
        model_entry(name)
    _check_used(models, settings)
    folder = None if out is None else make_directory(out)
    bundle = TableOptions.of(columns, drop, id, label).load(data)
    split = protocol(bundle)
    results = fit_and_measure(
        split, models, seeds, settings, n_samples=n_samples, progress=progress
    )
    title = f"{data_name(data, bundle)}: {len(split.X_eval)} {split.rows}, {len(seeds)} seed(s)"
    comparison = Comparison(title, split.rows, results, tabulate(results))
    if folder is not None:
        _write(folder, comparison)
    return comparison


def fit_and_measure(
    split: Split,
    models: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping[str, Any] = MappingProxyType({}),
    *,
    model_settings: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    n_samples: int = 200,
    progress: Display = SILENT,
) -> list[Result]:
    """Fit and measure every model with every seed.

    Parameters
    ----------
    settings : mapping
        Each goes to every model that has it.
    model_settings : mapping
        Model -> parameters of this model alone.
    """

    def configure(name: str, estimator: BaseEstimator) -> BaseEstimator:
        apply_settings(estimator, settings, strict=False)
        estimator.set_params(**model_settings.get(name, {}))
        if find_model(name).deep:
            show_epochs(estimator, progress, name)
        return estimator

    results: list[Result] = []
    for result in run(models, split, seeds, configure=configure, n_samples=n_samples):
        results.append(result)
        progress.note(f"{result.model} seed {result.seed}: {result.measures['seconds']:.1f} s")
    return results


def _check_used(models: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Refuse a setting that no model has: a typing error would go unnoticed."""
    used = {"max_epochs", "min_steps"}
    for name in models:
        used |= apply_settings(find_model(name).build(0), settings, strict=False)
    unused = [name for name in settings if name not in used]
    if unused:
        raise SettingError(f"None of these models has the setting {unused[0]!r}.")


def as_dict(table: Table) -> dict[str, Any]:
    """Return models by measures as plain numbers."""
    return {model: {name: vars(cell) for name, cell in row.items()} for model, row in table.items()}


def _as_markdown(table: Table) -> str:
    """Return models by measures as a Markdown table."""
    names = columns_of(table)
    lines = ["| model | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for model, row in table.items():
        lines.append(f"| {model} | " + " | ".join(str(row.get(n, "")) for n in names) + " |")
    return "\n".join(lines) + "\n"


def _write(folder: Path, comparison: Comparison) -> None:
    table = comparison.table
    replace_file(folder / "compare.json", to_json(finite(as_dict(table))))
    replace_file(folder / "compare.md", _as_markdown(table).encode())
    figures.comparison(table).savefig(folder / "compare.png", dpi=144, facecolor="white")
    content = {"Comparison": sections.comparison(table), "Environment": page.pairs(environment())}
    html = page.render("sfumato: comparison", comparison.title, content)
    replace_file(folder / "report.html", html.encode())
