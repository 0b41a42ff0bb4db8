"""The comparison, with its progress, its files and its page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sklearn.base import BaseEstimator

from sfumato.artifacts import replace_file, to_json
from sfumato.cli import output
from sfumato.estimators import find_model
from sfumato.evaluation import Result, Split, Table, run
from sfumato.jobs.settings import SettingError, apply_settings
from sfumato.report import environment, figures, page, sections
from sfumato.training import Progress


def compare(
    split: Split,
    models: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    n_samples: int,
    special: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[Result]:
    """Fit and measure, a line on standard error for each fit; ``special`` settings go by model."""
    _check_used(models, settings)

    def configure(name: str, estimator: BaseEstimator) -> BaseEstimator:
        apply_settings(estimator, settings, strict=False)
        estimator.set_params(**special.get(name, {}))
        if find_model(name).deep and output.errors.is_terminal:
            estimator.set_params(trainer__loggers=(Progress(name),))
        return estimator

    results: list[Result] = []
    for result in run(models, split, seeds, configure=configure, n_samples=n_samples):
        results.append(result)
        seconds = result.measures["seconds"]
        line = f"{result.model} seed {result.seed}: {seconds:.1f} s"
        output.errors.print(line, highlight=False)
    return results


def _check_used(models: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Refuse a setting that no model has: a slip of the pen would go unnoticed."""
    used = {"max_epochs", "min_steps"}
    for name in models:
        used |= apply_settings(find_model(name).build(0), settings, strict=False)
    unused = [name for name in settings if name not in used]
    if unused:
        raise SettingError(f"None of these models has the setting {unused[0]!r}.")


def write(folder: Path, table: Table, title: str) -> None:
    """Write compare.json, compare.md, compare.png and report.html."""
    replace_file(folder / "compare.json", to_json(output.finite(output.as_dict(table))))
    replace_file(folder / "compare.md", output.as_markdown(table).encode())
    figures.comparison(table).savefig(folder / "compare.png", dpi=144, facecolor="white")
    content = {"Comparison": sections.comparison(table), "Environment": page.pairs(environment())}
    html = page.render("sfumato: comparison", title, content)
    replace_file(folder / "report.html", html.encode())
