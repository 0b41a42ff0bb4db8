"""Sections of the page: what was asked, what was learned, how good it is."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from torch import nn

from sfumato.estimators import (
    Autoencoder,
    ClusterEstimator,
    ConditionalVAE,
    ContrastiveVAE,
    LayeredVAE,
    RowEstimator,
    StackedAutoencoder,
    entry_of,
    learned_from_labels,
    n_clusters_of,
    operations_of,
    reconstruct,
    sample,
)
from sfumato.evaluation import MEANINGS, Measures, Split, Table, best, columns_of
from sfumato.report import figures, page

N_PICTURES = 12
N_SAMPLES = 48
N_CODES = 5000
# Pictures of each component, and as many components as a page can show.
N_OF_COMPONENT, MAX_COMPONENTS = 12, 40
# Foregrounds, and backgrounds, that change places.
MAX_SWAPS = 6
# Rows between whose codes a walk goes, in so many steps from one to the next.
N_STATIONS, N_STEPS = 4, 4


def asked(run: Mapping[str, Any], estimator: Any) -> str:
    """Return what was asked: command, data and every setting."""
    settings = {
        name.replace("__", "."): value
        for name, value in estimator.get_params(deep=True).items()
        if not hasattr(value, "get_params")
    }
    return page.pairs(run) + page.folded("All settings", page.pairs(settings))


def learning(estimator: RowEstimator) -> str:
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


def phases(estimator: StackedAutoencoder) -> str:
    """Return what the layers, and the classifier, began and ended with."""
    rows = [
        [name, f"{losses[0]:.4g}", f"{losses[-1]:.4g}"]
        for name, losses in estimator.phase_losses_.items()
    ]
    return page.grid(["phase", "loss of the first epoch", "of the last"], rows)


def filters(estimator: RowEstimator, shape: tuple[int, int, int]) -> str:
    """Return what the units of the first layer look for, where that layer sees all pixels."""
    first = next(layer for layer in estimator.model_.encoder.modules() if not _inner(layer))
    if not isinstance(first, nn.Linear):
        return ""
    weights = first.weight.detach().cpu().numpy()
    strongest = np.argsort(-np.linalg.norm(weights, axis=1), kind="stable")[:N_SAMPLES]
    shown = weights[strongest]
    # Each by itself: what matters is its shape.
    shown = shown / np.abs(shown).max(axis=1, keepdims=True).clip(1e-12)
    look = figures.Look(shape, -1.0, 1.0, ink=False)
    caption = f"Weights of {len(shown)} of {len(weights)} units of the first layer, largest first."
    return page.picture(figures.image_grid(shown, look), caption)


def _inner(layer: nn.Module) -> bool:
    return any(True for _ in layer.children())


def codes(estimator: Any, split: Split) -> str:
    """Return the map of the codes."""
    rows, y = split.X_eval[:N_CODES], None if split.y_eval is None else split.y_eval[:N_CODES]
    z = estimator.transform(rows)
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


def _spread(X: Any, n: int) -> np.ndarray:
    """Return n rows, evenly spaced from the first to the last."""
    rows: np.ndarray = np.asarray(X)[np.linspace(0, len(X) - 1, n).astype(int)]
    return rows


def reconstructions(estimator: Any, split: Split, shape: tuple[int, int, int]) -> str:
    """Return rows and their reconstructions, the same way as PCA's."""
    X = _spread(split.X_eval, N_PICTURES)
    rebuilt = np.asarray(reconstruct(estimator, X))
    groups = {"data": X, "reconstruction": rebuilt, "difference": np.abs(X - rebuilt)}
    caption = f"{len(X)} {split.rows}, their reconstructions, and the absolute difference."
    return page.picture(figures.image_rows(groups, figures.Look.of(X, shape)), caption)


def samples(estimator: Any, split: Split, shape: tuple[int, int, int]) -> str:
    """Return generated pictures."""
    X = sample(estimator, N_SAMPLES, 0)
    look = figures.Look.of(split.X_eval, shape)
    caption = f"{N_SAMPLES} pictures generated from the prior, in the order drawn."
    return page.picture(figures.image_grid(X, look), caption)


def components(estimator: ClusterEstimator, split: Split, shape: tuple[int, int, int]) -> str:
    """Return generated pictures of every component, a row each."""
    n = min(n_clusters_of(estimator) or 1, MAX_COMPONENTS)
    groups = {
        str(k): estimator.sample(N_OF_COMPONENT, component=k, random_state=0) for k in range(n)
    }
    look = figures.Look.of(split.X_eval, shape)
    caption = f"{N_OF_COMPONENT} pictures generated from each component; a row is a component."
    return page.picture(figures.image_rows(groups, look), caption)


def conditions(estimator: ConditionalVAE, split: Split, shape: tuple[int, int, int]) -> str:
    """Return generated pictures of every class, and rows as they would be in the other classes."""
    classes = np.asarray(estimator.classes_)[:MAX_COMPONENTS]
    look = figures.Look.of(split.X_eval, shape)
    generated = {
        str(value): estimator.sample(N_OF_COMPONENT, y=value, random_state=0) for value in classes
    }
    caption = f"{N_OF_COMPONENT} pictures generated for each class; a column is one draw."
    drawn = page.picture(figures.image_rows(generated, look), caption)
    X = _spread(split.X_eval, N_PICTURES)
    y = estimator.predict(X)
    groups = {"data": X} | {str(v): estimator.swap(X, y, np.full(len(X), v)) for v in classes}
    caption = f"{len(X)} {split.rows}, and below each the same code in every class."
    return drawn + page.picture(figures.image_rows(groups, look), caption)


def layers(estimator: LayeredVAE, split: Split, shape: tuple[int, int, int]) -> str:
    """Return pictures taken apart, and foregrounds before other pictures' backgrounds."""
    X = _spread(split.X_eval, N_PICTURES)
    parts = estimator.decompose(X)
    look = figures.Look.of(split.X_eval, shape)
    low, high = look.low, look.high
    masks = np.repeat(parts.coverage[:, None], shape[0], axis=1).reshape(len(X), -1)
    groups = {
        "data": X,
        "coverage": low + (high - low) * masks,
        "foreground": parts.foregrounds,
        "background": parts.backgrounds,
    }
    caption = f"{len(X)} {split.rows}: how much of a pixel the foreground covers, and the layers."
    apart = page.picture(figures.image_rows(groups, look), caption)
    shown = X[:MAX_SWAPS]
    swapped = {
        f"before {k + 1}": estimator.compose(shown, np.repeat(row[None], len(shown), axis=0))
        for k, row in enumerate(shown)
    }
    caption = "The same pictures' foregrounds, each row before one picture's background."
    return apart + page.picture(figures.image_rows({"data": shown} | swapped, look), caption)


def contrasts(estimator: ContrastiveVAE, split: Split, shape: tuple[int, int, int]) -> str:
    """Return what is salient in pictures and what they share, and walks of either code alone."""
    X = _spread(split.X_eval, N_PICTURES)
    groups = {
        "data": X,
        "reconstruction": estimator.reconstruct(X),
        "salient": estimator.remove_background(X),
        "background": estimator.remove_foreground(X),
    }
    look = figures.Look.of(X, shape)
    caption = (
        f"{len(X)} {split.rows}, their reconstructions, what is salient in them on the average "
        "background, and their backgrounds."
    )
    apart = page.picture(figures.image_rows(groups, look), caption)
    stations = np.unique(np.linspace(0, len(split.X_eval) - 1, N_STATIONS).astype(int))
    if len(stations) < 2:
        return apart
    codes = estimator.transform(np.asarray(split.X_eval)[stations], "both")
    n_salient = estimator.latent_dim
    parts = {"salient code": slice(None, n_salient), "shared code": slice(n_salient, None)}
    walks = {
        name: estimator.inverse_transform(walked(codes, part, N_STEPS))
        for name, part in parts.items()
    }
    caption = (
        f"From one of the {split.rows} to {len(codes) - 1} others: above the salient code alone "
        "walks, and the background should stay; below the shared code, and the foreground should."
    )
    return apart + page.picture(figures.image_rows(walks, look), caption)


def walked(codes: np.ndarray, part: slice, n_steps: int) -> np.ndarray:
    """Return the first code with one part on straight lines to those of the others in turn.

    Parameters
    ----------
    codes : ndarray, shape (m, l)
        Two or more.
    part : slice
        What walks of a code.
    n_steps : int
        Codes on each line, its end included.

    Returns
    -------
    ndarray, shape (1 + (m - 1) * n_steps, l)
    """
    steps = np.linspace(0, 1, n_steps + 1)[1:, None]
    lines = [(1 - steps) * a + steps * b for a, b in pairwise(codes[:, part])]
    path = np.repeat(codes[:1], 1 + len(lines) * n_steps, axis=0)
    path[1:, part] = np.concatenate(lines)
    return path


def clusters(estimator: Any, split: Split, shape: tuple[int, int, int]) -> str:
    """Return the first rows of every cluster, the largest cluster first."""
    X = np.asarray(split.X_eval)
    labels = np.asarray(estimator.predict(X))
    found, sizes = np.unique(labels, return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:MAX_COMPONENTS]
    groups = {
        f"{found[k]}: {sizes[k]:,}": X[np.flatnonzero(labels == found[k])[:N_PICTURES]]
        for k in order
    }
    caption = f"The first {split.rows} of every cluster, with its number and its size."
    return page.picture(figures.image_rows(groups, figures.Look.of(X, shape)), caption)


def diagnosis(estimator: RowEstimator, split: Split) -> str:
    """Return how code and classes are used, and the remedy where they are not."""
    found = estimator.diagnose(split.X_eval).to_dict()
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
    """Return the measures of the model and of the baselines beside it."""
    names = [name for name in MEANINGS if any(name in row for row in results.values())]
    rows = [
        [model, *(f"{row[name]:.4g}" if name in row else "" for name in names)]
        for model, row in results.items()
    ]
    use = "fitting and measuring" if supervised else "measuring only"
    intro = f"Measured on {len(split.X_eval)} {split.rows}. Labels, if any, were used for {use}."
    return page.paragraph(intro) + _grid([""], names, rows) + _legend(names)


def _grid(first: list[str], names: list[str], rows: list[list[str]], marked: Any = ()) -> str:
    return page.grid(first + [MEANINGS[name].label for name in names], rows, marked)


def _legend(names: list[str]) -> str:
    text = "; ".join(f"{MEANINGS[name].label}: {MEANINGS[name].text}" for name in names)
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
    operations = operations_of(estimator)
    sections: dict[str, str] = {}
    if isinstance(estimator, RowEstimator):
        sections["Learning"] = learning(estimator)
    if isinstance(estimator, StackedAutoencoder) and estimator.phase_losses_:
        sections["Layers"] = phases(estimator)
    if shape and isinstance(estimator, (Autoencoder, StackedAutoencoder)):
        sections["Filters"] = filters(estimator, shape)
    if "transform" in operations:
        sections["Codes"] = codes(estimator, split)
    if shape and "reconstruct" in operations:
        sections["Reconstructions"] = reconstructions(estimator, split, shape)
    if shape and "sample" in operations:
        sections["Samples"] = samples(estimator, split, shape)
    if shape and isinstance(estimator, ClusterEstimator):
        sections["Samples of each component"] = components(estimator, split, shape)
    if shape and isinstance(estimator, ConditionalVAE) and estimator.classes_ is not None:
        sections["Samples and swaps of each class"] = conditions(estimator, split, shape)
    if shape and isinstance(estimator, LayeredVAE) and estimator.condition_ is None:
        sections["Layers of the pictures"] = layers(estimator, split, shape)
    if shape and isinstance(estimator, ContrastiveVAE) and estimator.contrasted_:
        sections["Salient against shared"] = contrasts(estimator, split, shape)
    if shape and "predict" in operations and not learned_from_labels(estimator):
        sections["Clusters"] = clusters(estimator, split, shape)
    if isinstance(estimator, RowEstimator):
        sections["Diagnosis"] = diagnosis(estimator, split)
    return {heading: content for heading, content in sections.items() if content}
