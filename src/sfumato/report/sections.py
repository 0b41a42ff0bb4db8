"""Sections of the page: what was asked, what was learned, how good it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from sfumato.data import Data
from sfumato.estimators import (
    Exhibit,
    Figures,
    Profile,
    entry_of,
    is_deep,
    learned_from_labels,
    operations_of,
    profile,
    reconstruct,
    sample,
)
from sfumato.estimators.exhibits import MAX_GROUPS, spread
from sfumato.evaluation import MEANINGS, Measures, Split, Table, best, columns_of, meaning_of
from sfumato.partitions import tree_of_clusters
from sfumato.report import figures, page

N_SAMPLES = 48
N_CODES = 5000
# Clusters whose columns are set side by side, and columns that are.
MOST_SIDE_BY_SIDE, MOST_COLUMNS = 12, 40
# What decided among labellings, by its name.
BY = {
    "gaussians": "No Gaussian mixture of more components fits better: the rows are so many "
    "Gaussians.",
    "edges": "The labelling was chosen whose clusters share the fewest edges between nearest "
    "neighbours.",
    "densities": "Clusters overlap: the labelling was chosen that Gaussians fit best.",
    "number": "The rows are one cluster.",
}


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


def clusters(estimator: Any, split: Split, shape: tuple[int, int, int] | None) -> str:
    """Return what the clusters are: a sentence each, columns or pictures, and who is near whom."""
    X = np.asarray(split.X_eval)
    found = profile(estimator, Data("the rows", X, columns=split.columns, image_shape=shape))
    if shape is not None:
        return _gallery(found, X, shape, split.rows) + _tree(found)
    told = page.listing(found.sentences()[:MAX_GROUPS])
    header, rows = found.table()
    few = len(found.sizes) <= MOST_SIDE_BY_SIDE
    note = (
        "In brackets: how far the cluster's mean lies from that of all rows, in deviations of all "
        "rows. nats: what a column tells of the clusters, at most "
        f"{np.log(max(len(found.sizes), 1)):.2f}."
    )
    columns = page.paragraph(note, "note") + page.grid(header, rows[:MOST_COLUMNS]) if few else ""
    return told + columns + page.folded("Rows to look at", _rows_to_look_at(found)) + _tree(found)


def _gallery(found: Profile, X: np.ndarray, shape: tuple[int, int, int], rows_are: str) -> str:
    """Return pictures of every cluster, the largest first: nearest, farthest, doubtful."""
    blank = np.full((1, X.shape[1]), np.nan)
    order = np.argsort(-found.sizes, kind="stable")[:MAX_GROUPS]
    groups = {}
    for k in order[found.sizes[order] > 0]:
        parts = [X[of[k]].astype(np.float64) for of in (found.nearest, found.farthest)]
        groups[f"{k}: {found.sizes[k]:,}"] = np.concatenate(
            [parts[0], blank, parts[1], blank, X[found.doubtful[k]]]
        )
    caption = (
        f"Of every cluster, with its number and its size, among {len(X):,} {rows_are}: at the left "
        "those nearest to its middle, then those farthest from it, at the right up to as many that "
        "are hardly surer of it than of another."
    )
    return page.picture(figures.image_rows(groups, figures.Look.of(X, shape)), caption)


def _rows_to_look_at(found: Profile) -> str:
    """Return the numbers of rows, cluster by cluster."""
    sorts = ("nearest", "farthest", "doubtful")
    rows = [
        [f"cluster {k}", *(", ".join(map(str, getattr(found, sort)[k])) for sort in sorts)]
        for k in range(len(found.sizes))
    ]
    return page.grid(["", *sorts], rows)


def _tree(found: Profile) -> str:
    """Return the tree by which clusters would be joined."""
    there = np.flatnonzero(found.sizes)[:MAX_GROUPS]
    if len(there) < 3:
        return ""
    linkage = tree_of_clusters(found.edges[np.ix_(there, there)])
    caption = (
        "Clusters that share the most edges between nearest neighbours are joined first: those at "
        "the left could be one."
    )
    return page.picture(figures.tree(linkage, [str(k) for k in there]), caption)


def choice(estimator: Any) -> str:
    """Return why the rows were labelled as they were, and into so many clusters."""
    content = ""
    if getattr(estimator, "choice_", None) is not None:
        content += page.paragraph(BY[estimator.choice_.by]) + _frame(estimator.choice_.to_frame())
    number = getattr(estimator, "number_", None)
    if number is None:
        return content
    content += page.paragraph(f"Number of clusters that was found: {number.n_clusters}.")
    if number.names:
        return content + _frame(number.to_frame())
    measured = {
        "agreement": number.agreement,
        "largest crossing": number.crossing,
        "modularity": number.modularity,
    }
    lines = {name: values for name, values in measured.items() if values}
    caption = (
        "What speaks for each number of clusters: the agreement of components joined by edges of "
        "two kinds, the largest share of a cluster's edges that leads to one other, or the share "
        "of edges within clusters beyond that of chance."
    )
    drawn = figures.numbers_of_clusters(number.proposed, lines, number.n_clusters)
    return content + page.picture(drawn, caption)


def _frame(frame: Any) -> str:
    """Return a pandas frame as a table."""
    rows = [
        [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in frame.itertuples(index=False)
    ]
    return page.grid(list(frame.columns), rows)


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
    if "predict" in operations and not learned_from_labels(estimator):
        sections["Clusters"] = clusters(estimator, split, shape)
        sections["Choice of the clusters"] = choice(estimator)
    if deep:
        sections["Diagnosis"] = diagnosis(estimator, split)
    return {heading: content for heading, content in sections.items() if content}
