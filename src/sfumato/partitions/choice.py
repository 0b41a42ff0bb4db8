r"""The choice among labellings without labels: by Gaussians that suffice, by edges, by densities.

1. *Gaussians suffice.* If no Gaussian mixture of more components than clusters has a lower Bayesian
   information criterion, rows are that many Gaussians, and the best mixture is the answer.
2. *Edges.* Otherwise clusters have other shapes, and a labelling g is judged by the edges between
   nearest neighbours: by the information that the labels at their ends have of each other, of all
   that they could have, times how closed the clusters are on average,

   .. math:: S(g) = \frac{I(g; g')}{H(g)} \cdot \frac1K \sum_k \frac{T_{kk}}{T_{k\cdot}},

   T the joint distribution of the labels at the two ends. In more than ten columns the first of
   those that are alike is kept, the simplest.
3. *Densities.* Where not even the best labelling is closed, clusters overlap, and no cut along
   edges can be right: a Gaussian with a shrunken covariance is fitted to every cluster, and the
   likelier labelling is chosen.

The first fails where clusters are few Gaussians but a single one of another shape fits worse; the
second where a cluster's rows lie among those of another, and in many rows and columns, where scores
differ by less than their noise; the third where clusters are not convex.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import xlogy
from sklearn.base import BaseEstimator
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import ConvergenceWarning

from sfumato.coupling import (
    edge_information,
    grouped,
    merge_by_modularity,
    merge_to_each_by_modularity,
    modularity,
    neighbour_graph,
)
from sfumato.partitions.candidates import (
    MERGING_NEIGHBOURS,
    MOST_COLUMNS_OF_A_TREE,
    Candidate,
    coupled,
    coupled_components,
    enough_gaussians,
    simple_candidates,
)

# Clusters that are looked for, at most.
MOST_CLUSTERS = 20
# Neighbours whose edges judge a labelling: few, so that thin shapes are closed.
NEIGHBOURS = 5
# In many columns scores that differ by less say nothing: the simplest labelling is kept.
ALIKE = 0.01
# Below this score of the best labelling, and a bit more of few rows, clusters overlap.
CLOSED = 0.8
RIDGE, ROUNDING = 1e-4, 1e-9
# Rare groups: rows of a table that may have any, their share of the rows, and how many there are.
LEAST_ROWS, MOST_OF_RARE, MOST_GROUPS = 200, 0.02, 5


class Number(BaseEstimator):
    """How many clusters were found, and what spoke for each number.

    Parameters
    ----------
    n_clusters : int
    names : tuple of str
        Who proposed it.
    proposed : tuple of int
    edges : tuple of float
        S of each proposal.
    agreement : tuple of float
        Adjusted Rand index of each with the best simple labelling of as many clusters; of
        components with those joined by edges of another kind.
    crossing : tuple of float
        Of joined components: largest share of a cluster's edges that lead to one other.
    modularity : tuple of float
        Of joined components: share of edges within clusters beyond that of chance.

    Examples
    --------
    >>> Number(2, ("valleys", "peaks"), (2, 3), (0.9, 0.8), (1.0, 0.5)).to_frame()
      proposal  clusters  edges  agreement
    0  valleys         2    0.9        1.0
    1    peaks         3    0.8        0.5
    """

    def __init__(
        self,
        n_clusters: int,
        names: tuple[str, ...] = (),
        proposed: tuple[int, ...] = (),
        edges: tuple[float, ...] = (),
        agreement: tuple[float, ...] = (),
        crossing: tuple[float, ...] = (),
        modularity: tuple[float, ...] = (),
    ) -> None:
        self.n_clusters = n_clusters
        self.names = names
        self.proposed = proposed
        self.edges = edges
        self.agreement = agreement
        self.crossing = crossing
        self.modularity = modularity

    def to_frame(self) -> Any:
        """Return a pandas frame with a row for each number that was considered."""
        import pandas

        columns = {
            "proposal": self.names,
            "clusters": self.proposed,
            "edges": self.edges,
            "agreement": self.agreement,
            "crossing": self.crossing,
            "modularity": self.modularity,
        }
        return pandas.DataFrame({name: list(values) for name, values in columns.items() if values})


class Choice(BaseEstimator):
    """Which labelling was chosen, and what spoke for each.

    Parameters
    ----------
    chosen : str
    by : "gaussians", "edges" or "densities"
        Which of the three decided, see :mod:`sfumato.partitions.choice`.
    names : tuple of str
    edges : tuple of float
        S of each labelling.
    nats : tuple of float
        Mean log-likelihood of a row under the Gaussians of each.

    Examples
    --------
    >>> names = ("k-means", "genie, 0.3")
    >>> Choice("k-means", "edges", names, (0.99, 0.9), (-2.0, -3.0)).to_frame()
        labelling  edges  nats  chosen
    0     k-means   0.99  -2.0    True
    1  genie, 0.3   0.90  -3.0   False
    """

    def __init__(
        self,
        chosen: str,
        by: str,
        names: tuple[str, ...] = (),
        edges: tuple[float, ...] = (),
        nats: tuple[float, ...] = (),
    ) -> None:
        self.chosen = chosen
        self.by = by
        self.names = names
        self.edges = edges
        self.nats = nats

    def to_frame(self) -> Any:
        """Return a pandas frame with a row for each labelling."""
        import pandas

        found = {"labelling": self.names, "edges": self.edges, "nats": self.nats}
        columns: dict[str, Any] = {name: list(values) for name, values in found.items() if values}
        columns["chosen"] = [name == self.chosen for name in self.names]
        return pandas.DataFrame(columns)


def edge_score(graph: Any, labels: np.ndarray) -> float:
    """Return S of a labelling, from 0 to 1.

    Parameters
    ----------
    graph : symmetric matrix, shape (n, n)
    labels : ndarray of int, shape (n,)
    """
    table = edges_between(graph, labels)
    closed = float((np.diag(table) / table.sum(axis=1)).mean())
    return _kept(table) * closed


def kept_information(graph: Any, labels: np.ndarray) -> float:
    """Return I(g; g') / H(g), from 0 to 1; 0 for a single cluster."""
    return _kept(edges_between(graph, labels))


def _kept(table: np.ndarray) -> float:
    share = table.sum(axis=1) / table.sum()
    entropy = -float(xlogy(share, share).sum())
    return edge_information(table) / entropy if entropy > 0 else 0.0


def edges_between(graph: Any, labels: np.ndarray) -> np.ndarray:
    """Return the weight of edges between the clusters that have rows, shape (m, m)."""
    labels = np.unique(labels, return_inverse=True)[1]
    member = np.eye(labels.max() + 1)[labels]
    table: np.ndarray = member.T @ (graph @ member)
    return table


def gaussian_nats(points: np.ndarray, labels: np.ndarray) -> float:
    r"""Return the mean log-likelihood of rows and labels, a Gaussian for every cluster, in nats.

    .. math:: \frac1n \sum_i \log \pi_{g_i} N(x_i; \mu_{g_i}, \Sigma_{g_i}),

    with the covariances of Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional
    Covariance Matrices, 2004.
    """
    n, d = points.shape
    total = 0.0
    pooled = np.cov(points.T).reshape(d, d)
    for label in np.unique(labels):
        rows = points[labels == label]
        # Of very few rows the covariance is not known: it is that of all.
        covariance = ledoit_wolf(rows)[0] if len(rows) > 2 else pooled
        covariance = covariance + RIDGE * np.eye(d)
        centred = rows - rows.mean(axis=0)
        square = np.einsum("ij,ij->", centred, np.linalg.solve(covariance, centred.T).T)
        log_volume = np.linalg.slogdet(covariance)[1] + d * np.log(2 * np.pi)
        total += len(rows) * (np.log(len(rows) / n) - 0.5 * log_volume) - 0.5 * square
    return total / n


class Labelling(BaseEstimator, ABC):
    """How rows are labelled before a deep model is taught the labels, as an argument."""

    @abstractmethod
    def choose(self, points: np.ndarray, n_clusters: int, seed: int) -> tuple[Candidate, Choice]:
        """Return the chosen labelling, and why.

        Parameters
        ----------
        points : ndarray, shape (n, d)
            In units in which columns weigh alike.
        n_clusters : int
        seed : int
        """

    def count(self, points: np.ndarray, seed: int) -> Number | None:
        """Return how many clusters there are, where the labelling has a way of its own to find it.

        Parameters
        ----------
        points : ndarray, shape (n, d)
        seed : int
        """
        return None


class SimpleModels(Labelling):
    """The best of k-means, Gaussian mixtures, coupled mixtures and Genie.

    Examples
    --------
    >>> points = np.concatenate([np.zeros((20, 2)), np.ones((20, 2))])
    >>> points = points + np.random.default_rng(0).normal(0, 0.1, points.shape)
    >>> best, choice = SimpleModels().choose(points, 2, seed=0)
    >>> best.labels[:2], best.labels[-2:], choice.by
    (array([1, 1]), array([0, 0]), 'gaussians')
    """

    def choose(self, points: np.ndarray, n_clusters: int, seed: int) -> tuple[Candidate, Choice]:
        """Return the chosen labelling, and why."""
        with warnings.catch_warnings():
            # Few or equal rows: what that gives is judged like the rest.
            warnings.simplefilter("ignore", ConvergenceWarning)
            enough = enough_gaussians(points, n_clusters, seed)
            if enough is not None:
                nats = gaussian_nats(points, enough.labels)
                return enough, Choice(enough.name, "gaussians", (enough.name,), (), (nats,))
            candidates = list(simple_candidates(points, n_clusters, seed))
        graph = neighbour_graph(points, NEIGHBOURS)
        edges = tuple(edge_score(graph, candidate.labels) for candidate in candidates)
        nats_of = tuple(gaussian_nats(points, candidate.labels) for candidate in candidates)
        # The best of several scores is above what it is worth by about as much as they are unsure.
        by = "edges" if max(edges) >= CLOSED + 1 / np.sqrt(len(points)) else "densities"
        many = points.shape[1] > MOST_COLUMNS_OF_A_TREE
        place = first_best(edges, ALIKE if many else 0.0) if by == "edges" else np.argmax(nats_of)
        best = candidates[int(place)]
        names = tuple(candidate.name for candidate in candidates)
        return best, Choice(best.name, by, names, edges, nats_of)


def first_best(scores: Sequence[float], alike: float) -> int:
    """Return the place of the first score that is the largest, or less by no more than ``alike``.

    Examples
    --------
    >>> first_best((0.5, 0.95, 0.955, 0.94), 0.01), first_best((0.5, 0.95, 0.955, 0.94), 0.0)
    (1, 2)
    """
    return next(i for i, score in enumerate(scores) if score >= max(scores) - alike)


class CoupledStarts(Labelling):
    """The best of several coupled mixtures whose components are merged by modularity.

    For clusters that differ much in size, as kinds of cells do. The labelling whose edges keep the
    largest share of what labels could tell, I(g; g') / H(g), is chosen.

    Parameters
    ----------
    strength : float
        Of the coupling.
    n_starts : int
    """

    def __init__(self, strength: float = 3.0, n_starts: int = 5) -> None:
        self.strength = strength
        self.n_starts = n_starts

    def choose(self, points: np.ndarray, n_clusters: int, seed: int) -> tuple[Candidate, Choice]:
        """Return the chosen labelling, and why."""
        graph = neighbour_graph(points, MERGING_NEIGHBOURS)
        found = [
            coupled(points, graph, n_clusters, self.strength, seed + i, merge_by_modularity)
            for i in range(self.n_starts)
        ]
        candidates = [Candidate(f"start {i + 1}", r) for i, r in enumerate(found)]
        kept = tuple(kept_information(graph, candidate.labels) for candidate in candidates)
        best = candidates[int(np.argmax(kept))]
        return best, Choice(best.name, "edges", tuple(c.name for c in candidates), kept)

    def count(self, points: np.ndarray, seed: int) -> Number:
        """Return to how many clusters components are merged while the modularity rises."""
        graph = neighbour_graph(points, MERGING_NEIGHBOURS)
        r = coupled_components(points, graph, MOST_CLUSTERS, self.strength, seed)
        edges = r.T @ (graph @ r)
        tried = range(1, min(MOST_CLUSTERS, edges.shape[0]) + 1)
        merged = merge_to_each_by_modularity(edges, tried)
        found = [modularity(grouped(edges, g, k)) for g, k in zip(merged, tried, strict=True)]
        # Clusters of components that have no row add nothing.
        best = first_best(found, ROUNDING)
        return Number(tried[best], proposed=tuple(tried), modularity=tuple(found))


def rare_groups(points: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Return the rows of small groups that no edge joins to the rest of their cluster.

    Each may be a rare cluster that was swallowed. Where there are many, the data are grains, and
    nothing is said.

    Parameters
    ----------
    points : ndarray, shape (n, d)
    labels : ndarray of int, shape (n,)
    """
    n = len(points)
    if n < LEAST_ROWS:
        return []
    part = connected_components(neighbour_graph(points, NEIGHBOURS), directed=False)[1]
    sizes = np.bincount(part)
    small = np.flatnonzero((sizes > NEIGHBOURS) & (sizes <= MOST_OF_RARE * n))
    groups = [np.flatnonzero(part == i) for i in small[: MOST_GROUPS + 1]]
    swallowed = [rows for rows in groups if (labels == labels[rows[0]]).sum() > len(rows)]
    return swallowed if len(small) <= MOST_GROUPS else []
