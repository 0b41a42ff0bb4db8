r"""How many clusters there are: where two methods that know nothing of each other agree.

Four proposals, each with a number K of its own:

- *valleys*: the clusters of HDBSCAN, rows of none given to the nearest; two are joined while the
  density between them falls by less than 0.4 nats;
- *dense clusters*: those of HDBSCAN that hold a twenty-fifth of the rows or more;
- *peaks*: every row climbs to its densest neighbour, and a peak whose prominence is below one nat
  belongs to the higher one beside it (Chazal et al., Persistence-Based Clustering in Riemannian
  Manifolds, 2013);
- *joined Gaussians*: the mixture with the lowest Bayesian information criterion, of which two
  components are joined while rows of one would be taken for the other with a probability above
  0.025 (Hennig, Methods for Merging Gaussian Mixture Components, 2010).

For each K the rows are labelled once more, by the best of simple models that are told K. The K is
kept whose proposal has good edges and agrees with that labelling: the largest S times the adjusted
Rand index of the two. Before it goes the smallest K at which Gaussians suffice, if its edges are
nearly as good as the best. A single cluster is the answer where both the valleys and the joined
Gaussians say so.

Columns of few values, such as levels, would have valleys between any two of these: while the number
is looked for, each takes its mean over a row's neighbours among the other columns.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from sfumato.coupling import neighbour_graph
from sfumato.partitions.candidates import (
    KINDS,
    ROWS_FOR_A_GAUSSIAN,
    Candidate,
    enough_gaussians,
    gaussians,
)
from sfumato.partitions.choice import (
    MOST_CLUSTERS,
    NEIGHBOURS,
    Choice,
    Labelling,
    Number,
    edge_score,
)
from sfumato.partitions.hierarchy import root

# Nats that the density falls between two clusters, at least; and quantile of a cluster's densities
# that stands for its height.
VALLEY, HEIGHT = 0.4, 0.9
# Nats that a peak rises above the pass to a higher one, at least.
PROMINENCE = 1.0
# Probability that a row of one component is taken for the other, at most.
CONFUSION = 0.025
# Neighbours of densities.
NEAR, PEAK_NEAR = 10, 20
# Rows of a cluster of HDBSCAN as a share of all, and neighbours of a row in its core.
SMALL, SMALL_CORE, LARGE, LARGE_CORE = 0.01, 10, 0.04, 5
# Neighbours that a column of few values takes its mean over, and share of the rows that have one
# value of it, at most.
SMOOTHING, MOST_OF_ONE = 20, 0.9
# Components that are tried.
MOST_COMPONENTS = 25
# A mixture that grows worse so many times in a row is not tried with more components.
PATIENCE = 3
# Gaussians that suffice may have edges that are worse by the first; fewer clusters are preferred
# where scores differ by less than the second.
NEARLY, ALIKE = 0.03, 0.01


class Proposal(NamedTuple):
    """A labelling with a number of clusters of its own."""

    name: str
    labels: np.ndarray
    """Shape (n,), from 0 on."""

    @property
    def n_clusters(self) -> int:
        """How many clusters there are."""
        return int(self.labels.max()) + 1


def log_density(points: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Return :math:`-d \log r_k` of every row, and its neighbours, shapes (n,) and (n, k)."""
    k = min(n_neighbors, len(points) - 1)
    distances, index = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    radius = np.maximum(distances[:, -1], 1e-12)
    return -points.shape[1] * np.log(radius), index


def smoothed(points: np.ndarray, few: np.ndarray) -> np.ndarray:
    """Return points with columns of few values as means over neighbours among the others.

    Without two other columns there is nothing to go by, and points stay as they are.
    """
    # Hardly anybody has another value of these: no cluster is made by it.
    same = np.array([np.unique(column, return_counts=True)[1].max() for column in points.T])
    few = few & (same <= MOST_OF_ONE * len(points))
    if not few.any() or (~few).sum() < 2:
        return points
    k = min(SMOOTHING, len(points))
    others = points[:, ~few]
    index = NearestNeighbors(n_neighbors=k).fit(others).kneighbors(others, return_distance=False)
    found = points.copy()
    found[:, few] = points[index][:, :, few].mean(axis=1)
    return found


def valleys(points: np.ndarray) -> Proposal:
    """Return the clusters of HDBSCAN that have a valley between them."""
    labels = dense(points, SMALL, SMALL_CORE)
    density, index = log_density(points, NEAR)
    around = np.column_stack([np.arange(len(points)), index])
    return Proposal("valleys", joined_by_valleys(labels, density[around].mean(axis=1), index))


def dense_clusters(points: np.ndarray) -> Proposal:
    """Return the large clusters of HDBSCAN."""
    labels = dense(points, LARGE, LARGE_CORE)
    return Proposal("dense clusters", np.unique(labels, return_inverse=True)[1])


def dense(points: np.ndarray, share: float, core: int) -> np.ndarray:
    """Return clusters of HDBSCAN, rows of none given to the nearest."""
    n = len(points)
    size = min(n, max(5, round(share * n)))
    found = HDBSCAN(min_cluster_size=size, min_samples=min(core, n - 1), copy=True)
    return filled(points, found.fit_predict(points))


def filled(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give rows of no cluster, -1, to that of the nearest row that has one."""
    noise = labels < 0
    if noise.all():
        return np.zeros(len(points), np.int64)
    known = np.flatnonzero(~noise)
    found = labels.copy()
    if noise.any():
        nearest = NearestNeighbors(n_neighbors=1).fit(points[known]).kneighbors(points[noise])[1]
        found[noise] = labels[known[nearest[:, 0]]]
    return found


def joined_by_valleys(labels: np.ndarray, density: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Join clusters while the shallowest valley between two is not deep enough.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    density : ndarray, shape (n,)
        In nats.
    index : ndarray of int, shape (n, k)
        Neighbours of every row.
    """
    labels = np.unique(labels, return_inverse=True)[1]
    ends = np.repeat(np.arange(len(labels)), index.shape[1]), index.ravel()
    height_of_edge = np.minimum(density[ends[0]], density[ends[1]])
    while labels.max() > 0:
        m = labels.max() + 1
        top = np.array([np.quantile(density[labels == g], HEIGHT) for g in range(m)])
        passes = np.full((m, m), -np.inf)
        np.maximum.at(passes, (labels[ends[0]], labels[ends[1]]), height_of_edge)
        passes = np.maximum(passes, passes.T)
        depth = np.minimum(top[:, None], top[None, :]) - passes
        np.fill_diagonal(depth, np.inf)
        a, b = np.unravel_index(np.argmin(depth), depth.shape)
        if depth[a, b] >= VALLEY:
            break
        labels[labels == b] = a
        labels = np.unique(labels, return_inverse=True)[1]
    return labels


def peaks(points: np.ndarray) -> Proposal:
    """Return the basins of the peaks of the density that are prominent."""
    density, index = log_density(points, PEAK_NEAR)
    n = len(points)
    symmetric = neighbour_lists(index, n)
    parent = np.arange(n)

    rank = np.empty(n, np.int64)
    order = np.argsort(-density, kind="stable")
    rank[order] = np.arange(n)
    for i in order:
        higher = [j for j in symmetric[i] if rank[j] < rank[i]]
        if not higher:
            continue
        parent[i] = root(parent, min(higher, key=lambda j: rank[j]))
        for j in higher:
            a, b = root(parent, i), root(parent, j)
            low, high = (a, b) if rank[a] > rank[b] else (b, a)
            if low != high and density[low] - density[i] < PROMINENCE:
                parent[low] = high
    labels = np.unique([root(parent, i) for i in range(n)], return_inverse=True)[1]
    return Proposal("peaks", labels)


def neighbour_lists(index: np.ndarray, n: int) -> list[np.ndarray]:
    """Return whom each row is a neighbour of, or has as one."""
    a = np.concatenate([np.repeat(np.arange(n), index.shape[1]), index.ravel()])
    b = np.concatenate([index.ravel(), np.repeat(np.arange(n), index.shape[1])])
    order = np.argsort(a, kind="stable")
    return np.split(b[order], np.cumsum(np.bincount(a, minlength=n))[:-1])


def joined_gaussians(points: np.ndarray, seed: int) -> Proposal:
    """Return the components of the likeliest mixture by BIC, those joined that are confused."""
    best, lowest = None, np.inf
    for kind in KINDS:
        worse = 0
        for k in range(1, MOST_COMPONENTS + 1):
            if len(points) < ROWS_FOR_A_GAUSSIAN * k or worse == PATIENCE:
                break
            fit = gaussians(points, k, kind, 1, seed)
            bic = fit.bic(points)
            worse = 0 if bic < lowest else worse + 1
            if bic < lowest:
                best, lowest = fit, bic
    if best is None:
        return Proposal("joined gaussians", np.zeros(len(points), np.int64))
    return Proposal("joined gaussians", joined_by_confusion(best, points))


def joined_by_confusion(mixture: Any, points: np.ndarray) -> np.ndarray:
    """Join components while the most confused two are confused too often."""
    posterior = mixture.predict_proba(points)
    groups = [[k] for k in range(posterior.shape[1])]
    while len(groups) > 1:
        r = np.stack([posterior[:, members].sum(axis=1) for members in groups], axis=1)
        labels, share = r.argmax(axis=1), np.maximum(r.mean(axis=0), 1e-12)
        taken = np.eye(len(groups))[labels]
        # Of the rows of i, by their posterior, the share that is labelled j.
        wrong = (r.T @ taken) / (len(points) * share[:, None])
        confusion = np.maximum(wrong, wrong.T)
        np.fill_diagonal(confusion, -1.0)
        a, b = sorted(np.unravel_index(np.argmax(confusion), confusion.shape))
        if confusion[a, b] <= CONFUSION:
            break
        groups[a] += groups.pop(b)
    r = np.stack([posterior[:, members].sum(axis=1) for members in groups], axis=1)
    return np.unique(r.argmax(axis=1), return_inverse=True)[1]


PROPOSALS: tuple[Callable[[np.ndarray], Proposal], ...] = (valleys, dense_clusters, peaks)


class UnknownNumber:
    """Find the number of clusters, and label the rows.

    Parameters
    ----------
    labelling : Labelling
        Of rows whose number of clusters is told.
    """

    def __init__(self, labelling: Labelling) -> None:
        self.labelling = labelling

    def find(
        self, points: np.ndarray, seed: int, of_levels: np.ndarray | None = None
    ) -> tuple[Candidate, Choice, Number]:
        """Return the labelling of the number of clusters that is found, and why.

        Parameters
        ----------
        points : ndarray, shape (n, d)
            In units in which columns weigh alike.
        seed : int
        of_levels : ndarray of bool, shape (d,), optional
            Which columns have few values.
        """
        n = len(points)
        if n < ROWS_FOR_A_GAUSSIAN:
            return _single(n)
        counted = self.labelling.count(points, seed)
        if counted is not None:
            return *self.labelling.choose(points, counted.n_clusters, seed), counted
        smooth = points if of_levels is None else smoothed(points, of_levels)
        candidate, choice, number = self._find(smooth, seed)
        if smooth is not points and number.n_clusters > 1:
            candidate, choice = self.labelling.choose(points, number.n_clusters, seed)
        return candidate, choice, number

    def _find(self, points: np.ndarray, seed: int) -> tuple[Candidate, Choice, Number]:
        with warnings.catch_warnings():
            # Few or equal rows: what that gives is judged like the rest.
            warnings.simplefilter("ignore", ConvergenceWarning)
            proposed = [propose(points) for propose in PROPOSALS]
            proposed.append(joined_gaussians(points, seed))
        valley, *_, joined = proposed
        graph = neighbour_graph(points, NEIGHBOURS)
        edges = [edge_score(graph, each.labels) for each in proposed]
        found: dict[int, tuple[Candidate, Choice]] = {}
        agreement = [self._agreement(each, points, seed, found) for each in proposed]
        given = (
            tuple(each.name for each in proposed),
            tuple(each.n_clusters for each in proposed),
            tuple(edges),
            tuple(agreement),
        )
        if not found or (valley.n_clusters == 1 and joined.n_clusters == 1):
            candidate, choice, _ = _single(len(points))
            return candidate, choice, Number(1, *given)
        k = self._gaussian_number(points, seed, graph, max(edges))
        if k is None:
            k = best_number(given[1], np.array(edges) * np.array(agreement))
        if k not in found:
            found[k] = self.labelling.choose(points, k, seed)
        return *found[k], Number(k, *given)

    def _agreement(
        self,
        each: Proposal,
        points: np.ndarray,
        seed: int,
        found: dict[int, tuple[Candidate, Choice]],
    ) -> float:
        """Return how far a proposal agrees with the labelling that is told its number."""
        k = each.n_clusters
        if not 1 < k <= MOST_CLUSTERS:
            return 0.0
        if k not in found:
            found[k] = self.labelling.choose(points, k, seed)
        return float(adjusted_rand_score(each.labels, found[k][0].labels))

    def _gaussian_number(
        self, points: np.ndarray, seed: int, graph: Any, best: float
    ) -> int | None:
        """Return the smallest number of Gaussians that suffice, if their edges are nearly best."""
        for k in range(2, MOST_CLUSTERS + 1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                enough = enough_gaussians(points, k, seed)
            if enough is not None:
                return k if edge_score(graph, enough.labels) >= best - NEARLY else None
        return None


def best_number(proposed: tuple[int, ...], scores: np.ndarray) -> int:
    """Return the number with the largest score, the smaller one where two are alike.

    Examples
    --------
    >>> best_number((3, 2, 5), np.array([0.9, 0.895, 0.5]))
    2
    """
    return min(
        k for k, score in zip(proposed, scores, strict=True) if score >= scores.max() - ALIKE
    )


def _single(n: int) -> tuple[Candidate, Choice, Number]:
    one = Candidate("one cluster", np.ones((n, 1)))
    return one, Choice("one cluster", "number", ("one cluster",)), Number(1)
