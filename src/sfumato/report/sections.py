"""Sections of the page: what was asked, what was learned, how good it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from sfumato.estimators import (
    Exhibit,
    Figures,
    entry_of,
    is_deep,
    learned_from_labels,
    operations_of,
    reconstruct,
    sample,
)
from sfumato.estimators.exhibits import MAX_GROUPS, N_PICTURES, spread
from sfumato.evaluation import MEANINGS, Measures, Split, Table, best, columns_of, meaning_of
from sfumato.report import figures, page

N_SAMPLES = 48
N_CODES = 5000


def asked(run: Mapping[str, Any], estimator: Any) -> str:
    """Return what was asked: command, data and every setting."""
    settings = {
        name.replace("__", "."): type(value).__name__ if hasattr(value, "get_params") else value
        for name, value in estimator.get_params(deep=True).items()
    }
    return page.pairs(run) + page.folded("All settings", page.pairs(settings))


def learning(estimator: Any) -> str:
    """Return the curves of every term."""
    history = estimator.history_
    watched = ["loss", *history.terms] if len(history.terms) > 1 else list(history.terms)
    if history.records and "validation_loss" in history.records[0]:
        watched.append("validation_loss")
    n = len(history)
    caption = (
        f"Mean over the training rows of each epoch, {n} epochs, in "
        f"{sum(history['seconds']):.1f} seconds."
    )
    return page.picture(figures.curves(history.records, watched), caption)


def codes(estimator: Any, split: Split) -> str:
    """Return the map of the codes."""
    rows, y = split.X_eval[:N_CODES], None if split.y_eval is None else split.y_eval[:N_CODES]
    z = estimator.transform(split.given(estimator, rows))
    if z.shape[1] < 2:
        return page.paragraph("The code has one dimension, so there is no map.", "note")
    axis = "code dimension"
    if z.shape[1] > 2:
        z, axis = PCA(2, random_state=0).fit_transform(z), "principal component of the codes"
    caption = f"Codes of {len(z)} {split.rows}{_colouring(estimator, y)}."
    return page.picture(figures.latent_map(z, y, axis), caption)


def _colouring(estimator: Any, y: np.ndarray | None) -> str:
    if y is None:
        return ""
    seen = "was fitted to" if entry_of(estimator).supervised else "never saw"
    return f", coloured by their classes, which the model {seen}"


def reconstructions(estimator: Any, split: Split, shape: tuple[int, int, int]) -> str:
    """Return rows and their reconstructions, the same way as PCA's."""
    X = spread(split.X_eval)
    rebuilt = np.asarray(reconstruct(estimator, split.given(estimator, X)))
    groups = {"data": X, "reconstruction": rebuilt, "difference": np.abs(X - rebuilt)}
    caption = f"{len(X)} {split.rows}, their reconstructions, and the absolute difference."
    return page.picture(figures.image_rows(groups, figures.Look.of(X, shape)), caption)


def samples(estimator: Any, split: Split, shape: tuple[int, int, int]) -> str:
    """Return generated pictures."""
    X = sample(estimator, N_SAMPLES, 0)
    look = figures.Look.of(split.X_eval, shape)
    caption = f"{N_SAMPLES} pictures generated from the prior, in the order drawn."
    return page.picture(figures.image_grid(X, look), caption)


def shown(exhibit: Exhibit, X: np.ndarray, shape: tuple[int, int, int] | None) -> str:
    """Return what an estimator shows of itself, drawn; pictures only where rows are images."""
    if isinstance(exhibit, Figures):
        return page.grid(list(exhibit.header), exhibit.rows)
    if shape is None:
        return ""
    if exhibit.signed:
        look = figures.Look(shape, -1.0, 1.0, ink=False)
        rows = np.concatenate(list(exhibit.groups.values()))
        return page.picture(figures.image_grid(rows, look), exhibit.caption)
    look = figures.Look.of(X, shape)
    return page.picture(figures.image_rows(dict(exhibit.groups), look), exhibit.caption)


def clusters(estimator: Any, split: Split, shape: tuple[int, int, int]) -> str:
    """Return the first rows of every cluster, the largest cluster first."""
    X = np.asarray(split.X_eval)
    labels = np.asarray(estimator.predict(split.given(estimator, X)))
    found, sizes = np.unique(labels, return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:MAX_GROUPS]
    groups = {
        f"{found[k]}: {sizes[k]:,}": X[np.flatnonzero(labels == found[k])[:N_PICTURES]]
        for k in order
    }
    caption = f"The first {split.rows} of every cluster, with its number and its size."
    return page.picture(figures.image_rows(groups, figures.Look.of(X, shape)), caption)


def diagnosis(estimator: Any, split: Split) -> str:
    """Return how code and classes are used, and the remedy where they are not."""
    found = estimator.diagnose(split.given(estimator, split.X_eval)).to_dict()
    verdict = found.pop("remedy") or "No sign of collapse."
    shown = {
        name.replace("_", " "): _figures(value)
        for name, value in found.items()
        if value is not None
    }
    about = f"Over {len(split.X_eval)} {split.rows}; information and divergences in nats."
    return page.paragraph(verdict) + page.pairs(shown) + page.paragraph(about, "note")


def _figures(value: Any) -> str:
    return ", ".join(f"{number:.4g}" for number in np.atleast_1d(value))


def measures(results: Mapping[str, Measures], split: Split, *, supervised: bool = False) -> str:
    """Return the measures of the model and of its baselines."""
    found = dict.fromkeys(name for row in results.values() for name in row)
    names = [name for name in MEANINGS if name in found]
    names += [name for name in found if name not in MEANINGS]
    rows = [
        [model, *(f"{row[name]:.4g}" if name in row else "" for name in names)]
        for model, row in results.items()
    ]
    use = "fitting and measuring" if supervised else "measuring only"
    intro = f"Measured on {len(split.X_eval)} {split.rows}. Labels, if any, were used for {use}."
    return page.paragraph(intro) + _grid([""], names, rows) + _legend(names)


def _grid(first: list[str], names: list[str], rows: list[list[str]], marked: Any = ()) -> str:
    return page.grid(first + [meaning_of(name).label for name in names], rows, marked)


def _legend(names: list[str]) -> str:
    text = "; ".join(f"{meaning_of(name).label}: {meaning_of(name).text}" for name in names)
    return page.paragraph(text + ".", "note")


def comparison(table: Table) -> str:
    """Return the table and the figure of several models."""
    names = columns_of(table)
    winners = best(table)
    models = list(table)
    rows = [[model, *(str(table[model].get(name, "")) for name in names)] for model in models]
    marked = [(models.index(winners[n]), names.index(n) + 1) for n in names if n in winners]
    n_seeds = max(cell.n for row in table.values() for cell in row.values())
    note = f"Mean ± standard deviation over {n_seeds} seed(s); the best of each column is marked."
    figure = page.picture(figures.comparison(table), "The same table as bars; a dot is a seed.")
    return page.paragraph(note) + _grid(["model"], names, rows, marked) + _legend(names) + figure


def of_estimator(
    estimator: Any, split: Split, shape: tuple[int, int, int] | None
) -> dict[str, str]:
    """Return the sections that a fitted model and its data allow, by heading."""
    operations, deep = operations_of(estimator), is_deep(estimator)
    sections: dict[str, str] = {}
    if deep:
        sections["Learning"] = learning(estimator)
    if "transform" in operations:
        sections["Codes"] = codes(estimator, split)
    if shape and "reconstruct" in operations:
        sections["Reconstructions"] = reconstructions(estimator, split, shape)
    if shape and "sample" in operations:
        sections["Samples"] = samples(estimator, split, shape)
    for exhibit in estimator.exhibits(np.asarray(split.X_eval)) if deep else ():
        sections[exhibit.heading] = shown(exhibit, split.X_eval, shape)
    if shape and "predict" in operations and not learned_from_labels(estimator):
        sections["Clusters"] = clusters(estimator, split, shape)
    if deep:
        sections["Diagnosis"] = diagnosis(estimator, split)
    return {heading: content for heading, content in sections.items() if content}
