r"""What clusters are: their sizes, the columns that set them apart, and rows to look at.

A column's effect in a cluster is how far the cluster's mean lies from that of all rows, in
deviations of all rows,

.. math:: e_{kj} = \frac{\bar x_{kj} - \bar x_j}{s_j};

of levels the one with the largest effect of its indicator counts. What a column says of the
clusters altogether is their mutual information, I(x_j; c), in nats: of levels by their frequencies,
less the bias of these (Miller and Madow, 1955); of numbers by nearest neighbours (Ross, Mutual
Information between Discrete and Continuous Data Sets, 2014).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import xlogy
from sklearn.feature_selection import mutual_info_classif

from sfumato.coupling import neighbour_graph
from sfumato.data import Column, Columns

# Kinds of columns whose values are levels, and not more or less of something.
OF_LEVELS = ("binary", "category", "ordinal")
# Rows of each sort that are named, and how sure a row is of its cluster that is not doubtful.
N_ROWS, SURE = 5, 0.9
# Columns that a sentence names, and the least effect that is worth it.
N_NAMED, WORTH_NAMING = 3, 0.5
# Rows that tell the information of a column, rows whose edges are counted, and edges of each.
MOST_ROWS, ROWS_OF_EDGES, N_NEIGHBOURS = 10_000, 5000, 15


class ColumnProfile(NamedTuple):
    """One column, cluster by cluster."""

    name: str
    kind: str
    information: float
    """I(x_j; c) in nats."""
    means: np.ndarray
    """Of its values, or the share of the level, shape (K,)."""
    deviations: np.ndarray
    """Of its values, shape (K,); NaN of levels."""
    effects: np.ndarray
    """In deviations of all rows, shape (K,)."""
    levels: tuple[str, ...]
    """The level that stands out in each cluster; empty for numbers."""


@dataclass(frozen=True, eq=False)
class Profile:
    """What the clusters of some rows are.

    Attributes
    ----------
    sizes : ndarray of int, shape (K,)
    columns : tuple of ColumnProfile
        The most informative first; empty where rows are pictures.
    edges : ndarray, shape (K, K)
        Share of the edges between nearest neighbours, by their codes, that lead from one cluster to
        another.
    nearest, farthest, doubtful : tuple of ndarray
        Of every cluster the numbers, or names, of the rows whose codes lie nearest to and farthest
        from their mean, and of those that are hardly surer of it than of another.

    Examples
    --------
    >>> from sfumato.data import array_columns
    >>> X = np.array([[0.0, 5.0], [0.2, 4.0], [3.0, 5.0], [3.2, 4.0]])
    >>> sure = np.eye(2)[[0, 0, 1, 1]]
    >>> print(profile_of(X, array_columns(X), sure, X))
    cluster 0, 2 rows (50 %): x0 0.1 (-1.00)
    cluster 1, 2 rows (50 %): x0 3.1 (+1.00)
    """

    sizes: np.ndarray
    columns: tuple[ColumnProfile, ...]
    edges: np.ndarray
    nearest: tuple[np.ndarray, ...]
    farthest: tuple[np.ndarray, ...]
    doubtful: tuple[np.ndarray, ...]

    @property
    def shares(self) -> np.ndarray:
        """Shares of the rows, shape (K,)."""
        shares: np.ndarray = self.sizes / max(self.sizes.sum(), 1)
        return shares

    def sentences(self) -> list[str]:
        """Return a line for every cluster: its size, and what sets it apart."""
        return [self._sentence(k) for k in range(len(self.sizes))]

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def _sentence(self, k: int) -> str:
        size, share = self.sizes[k], 100 * self.shares[k]
        head = f"cluster {k}, {size:,} rows ({share:.3g} %)"
        apart = sorted(self.columns, key=lambda column: -abs(column.effects[k]))[:N_NAMED]
        told = [_told(column, k) for column in apart if abs(column.effects[k]) >= WORTH_NAMING]
        if told:
            return f"{head}: {', '.join(told)}"
        return f"{head}: like all rows" if size and self.columns else head

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of a table for people: a line for each column of the data."""
        header = ["column", "nats", *(f"cluster {k}" for k in range(len(self.sizes)))]
        rows = [
            [column.name, f"{column.information:.2f}", *(_shown(column, k) for k in range(n))]
            for n, column in ((len(self.sizes), column) for column in self.columns)
        ]
        return header, rows

    def to_frame(self) -> Any:
        """Return a pandas frame with a row for each cluster and column, or for each cluster."""
        import pandas

        rows = []
        for k, size in enumerate(self.sizes):
            cluster = {"cluster": k, "size": int(size), "share": float(self.shares[k])}
            rows += [cluster | _cells(column, k) for column in self.columns] or [cluster]
        return pandas.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON takes them."""
        clusters = [
            {
                "cluster": k,
                "size": int(size),
                "share": float(self.shares[k]),
                **{
                    name: getattr(self, name)[k].tolist()
                    for name in ("nearest", "farthest", "doubtful")
                },
                "columns": {column.name: _plain(column, k) for column in self.columns},
            }
            for k, size in enumerate(self.sizes)
        ]
        information = {column.name: column.information for column in self.columns}
        return {"clusters": clusters, "information": information}


def _told(column: ColumnProfile, k: int) -> str:
    effect = f"({column.effects[k]:+.2f})"
    if column.levels:
        return f"{column.name} = {column.levels[k]} {100 * column.means[k]:.3g} % {effect}"
    return f"{column.name} {_value(column, k)} {effect}"


def _shown(column: ColumnProfile, k: int) -> str:
    if column.levels:
        return f"{column.levels[k]} {100 * column.means[k]:.3g} %"
    return f"{_value(column, k)} ({column.effects[k]:+.1f})"


def _value(column: ColumnProfile, k: int) -> str:
    """Return the mean as people write it."""
    mean = column.means[k]
    if column.kind == "date" and np.isfinite(mean):
        return str(np.datetime64(int(np.floor(mean)), "D"))
    return f"{mean:.4g}"


def _cells(column: ColumnProfile, k: int) -> dict[str, Any]:
    return {
        "column": column.name,
        "kind": column.kind,
        "level": column.levels[k] if column.levels else None,
        "mean": float(column.means[k]),
        "deviation": float(column.deviations[k]),
        "effect": float(column.effects[k]),
        "information": column.information,
    }


def _plain(column: ColumnProfile, k: int) -> dict[str, Any]:
    found = _cells(column, k)
    kept = ("level",) if column.levels else ("deviation",)
    values = {name: found[name] for name in ("mean", *kept, "effect")}
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value
        for name, value in values.items()
    }


def profile_of(
    values: Any,
    columns: Columns | None,
    posterior: np.ndarray,
    codes: np.ndarray,
    names: Any = None,
) -> Profile:
    """Return what the clusters of rows are.

    Parameters
    ----------
    values : array or sparse table, shape (n, d)
        The rows in data units, NaN where cells are missing.
    columns : Columns or None
        None where rows are pictures, whose columns say nothing alone.
    posterior : ndarray, shape (n, K)
    codes : ndarray, shape (n, l)
    names : array-like of length n, optional
        Of the rows, instead of their numbers.
    """
    labels, n_clusters = posterior.argmax(axis=1), posterior.shape[1]
    called = np.arange(len(labels)) if names is None else np.asarray(names)
    near, far, unsure = [], [], []
    for k in range(n_clusters):
        rows = np.flatnonzero(labels == k)
        offsets = codes[rows] - codes[rows].mean(axis=0) if len(rows) else codes[rows]
        order = rows[np.argsort(np.square(offsets).sum(axis=1), kind="stable")]
        doubt = rows[np.argsort(posterior[rows, k], kind="stable")]
        near.append(called[order[:N_ROWS]])
        far.append(called[order[::-1][:N_ROWS]])
        unsure.append(called[doubt[posterior[doubt, k] < SURE][:N_ROWS]])
    found = [
        column_profile(column, _dense(values[:, j]), labels, n_clusters)
        for j, column in enumerate(() if columns is None else columns.features)
    ]
    found.sort(key=lambda column: -column.information)
    sizes = np.bincount(labels, minlength=n_clusters)
    edges = edges_of(codes, labels, n_clusters)
    return Profile(sizes, tuple(found), edges, tuple(near), tuple(far), tuple(unsure))


def edges_of(codes: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return the shares of edges between nearest neighbours by clusters, shape (K, K)."""
    step = max(1, -(-len(codes) // ROWS_OF_EDGES))
    some, member = codes[::step], np.eye(n_clusters)[labels[::step]]
    if len(some) <= 1:
        return np.zeros((n_clusters, n_clusters))
    table = member.T @ (neighbour_graph(some, min(N_NEIGHBOURS, len(some) - 1)) @ member)
    shares: np.ndarray = table / max(table.sum(), 1e-300)
    return shares


def _dense(column: Any) -> np.ndarray:
    dense = column.toarray() if hasattr(column, "toarray") else column
    return np.asarray(dense, dtype=np.float64).ravel()


def column_profile(
    column: Column, values: np.ndarray, labels: np.ndarray, n_clusters: int
) -> ColumnProfile:
    """Return what a column is in every cluster; missing cells are left out.

    Parameters
    ----------
    column : Column
    values : ndarray, shape (n,)
    labels : ndarray of int, shape (n,)
    n_clusters : int
    """
    there = np.isfinite(values)
    values, labels = values[there], labels[there]
    if column.kind in OF_LEVELS:
        return _of_levels(column, values, labels, n_clusters)
    means, deviations = _moments(values, labels, n_clusters)
    spread = values.std() if len(values) else 0.0
    effects = np.zeros(n_clusters) if spread == 0 else (means - values.mean()) / spread
    return ColumnProfile(
        column.name,
        column.kind,
        information_of_numbers(values, labels),
        means,
        deviations,
        np.nan_to_num(effects),
        (),
    )


def _of_levels(
    column: Column, values: np.ndarray, labels: np.ndarray, n_clusters: int
) -> ColumnProfile:
    found, place = np.unique(values, return_inverse=True)
    counts = np.zeros((n_clusters, max(len(found), 1)))
    np.add.at(counts, (labels, place), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    overall = counts.sum(axis=0) / max(counts.sum(), 1)
    spread = np.sqrt(np.maximum(overall * (1 - overall), 1e-300))
    every = np.where(overall * (1 - overall) > 0, (share - overall) / spread, 0.0)
    every[counts.sum(axis=1) == 0] = 0.0
    top = every.argmax(axis=1)
    at = np.arange(n_clusters), top
    return ColumnProfile(
        column.name,
        column.kind,
        information_of_levels(counts),
        share[at],
        np.full(n_clusters, np.nan),
        every[at],
        tuple(_level(column, found[j]) if len(found) else "" for j in top),
    )


def _level(column: Column, value: float) -> str:
    return str(column.levels[int(value)]) if column.coded else f"{value:g}"


def _moments(
    values: np.ndarray, labels: np.ndarray, n_clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return means and deviations by cluster; NaN of clusters without a value."""
    groups = [values[labels == k] for k in range(n_clusters)]
    means = [group.mean() if len(group) else np.nan for group in groups]
    deviations = [group.std() if len(group) else np.nan for group in groups]
    return np.array(means), np.array(deviations)


def information_of_levels(counts: np.ndarray) -> float:
    """Return the mutual information of a table of counts in nats, its bias taken off.

    Examples
    --------
    >>> round(information_of_levels(np.array([[1000.0, 0.0], [0.0, 1000.0]])), 3)  # log 2
    0.693
    >>> information_of_levels(np.array([[50.0, 50.0], [50.0, 50.0]]))
    0.0
    """
    n = counts.sum()
    if n == 0:
        return 0.0

    def entropy(table: np.ndarray) -> float:
        share = table[table > 0] / n
        return float(-xlogy(share, share).sum() + (len(share) - 1) / (2 * n))

    joint = entropy(counts.ravel())
    return max(0.0, entropy(counts.sum(axis=0)) + entropy(counts.sum(axis=1)) - joint)


def information_of_numbers(values: np.ndarray, labels: np.ndarray) -> float:
    """Return the mutual information of numbers and labels in nats, by nearest neighbours."""
    step = max(1, -(-len(values) // MOST_ROWS))
    some, of = values[::step], labels[::step]
    if len(np.unique(of)) < 2 or len(np.unique(some)) < 2:
        return 0.0
    found = mutual_info_classif(some[:, None], of, discrete_features=False, random_state=0)
    return float(found[0])
