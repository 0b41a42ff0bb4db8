"""Labellings of rows by simple models: what a deep one must not be worse than."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from sfumato.coupling import merge_components, neighbour_graph
from sfumato.inference import coupled_mixture
from sfumato.noise import Noise
from sfumato.partitions.hierarchy import genie, spanning_tree

KINDS = ("full", "tied", "diag", "spherical")
# Starts of k-means and of Gaussian mixtures.
STARTS, MIXTURE_STARTS, GATE_STARTS = 10, 5, 3
# Rows that all starts of a mixture see together: with many rows one start is as good as several.
ROWS_OF_STARTS = 10_000
# Rows for each component that a Gaussian mixture has at least.
ROWS_FOR_A_GAUSSIAN = 5
# Added to variances of standardised columns.
RIDGE = 1e-4
STRENGTHS = (0.3, 1.0, 3.0)
LIMITS = (0.1, 0.3, 0.5)
# Components of a coupled mixture, for each cluster, and rows for each of them.
PARTS, ROWS_FOR_A_PART = 8, 15
MERGING_NEIGHBOURS = 15
# In more columns all distances are alike, and a tree of single ones says little of shapes.
MOST_COLUMNS_OF_A_TREE = 10


class Gaussians(NamedTuple):
    """A fitted Gaussian mixture."""

    log_weights: np.ndarray
    """Shape (K,)."""
    means: np.ndarray
    """Shape (K, d)."""
    whitening: np.ndarray
    """P with P P^T the inverse covariance, triangular, shape (K, d, d)."""


class Candidate(NamedTuple):
    """A labelling of all rows."""

    name: str
    responsibilities: np.ndarray
    """Shape (n, K)."""
    gaussians: Gaussians | None = None
    """Those that told the rows apart, where Gaussians did."""

    @property
    def labels(self) -> np.ndarray:
        """Likeliest labels, shape (n,)."""
        return np.asarray(self.responsibilities.argmax(axis=1))


def simple_candidates(points: np.ndarray, n_clusters: int, seed: int) -> Iterator[Candidate]:
    """Yield labellings by k-means, Gaussian mixtures, coupled mixtures and Genie.

    Parameters
    ----------
    points : ndarray, shape (n, d)
        In units in which columns weigh alike.
    n_clusters : int
    seed : int
    """
    labels = KMeans(n_clusters, n_init=STARTS, random_state=seed).fit_predict(points)
    yield Candidate("k-means", one_hot(labels, n_clusters))
    for kind in ("full", "diag", "tied"):
        mixture = gaussians(points, n_clusters, kind, MIXTURE_STARTS, seed)
        yield of_mixture(mixture, points)
    graph = neighbour_graph(points, MERGING_NEIGHBOURS)
    for strength in STRENGTHS:
        yield Candidate(
            f"coupled, {strength:g}", coupled(points, graph, n_clusters, strength, seed)
        )
    if points.shape[1] > MOST_COLUMNS_OF_A_TREE:
        return
    tree = spanning_tree(points)
    for limit in LIMITS:
        labels = genie(tree, n_clusters, limit)
        yield Candidate(f"genie, {limit:g}", one_hot(labels, n_clusters))


def one_hot(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return labels as responsibilities, shape (n, n_clusters)."""
    return np.eye(n_clusters)[labels]


def gaussians(
    points: np.ndarray, n_components: int, kind: str, n_init: int, seed: int
) -> GaussianMixture:
    """Return a fitted Gaussian mixture, the best of some starts, of fewer for many rows."""
    mixture = GaussianMixture(
        n_components,
        covariance_type=kind,
        n_init=max(1, min(n_init, ROWS_OF_STARTS // len(points))),
        reg_covar=RIDGE,
        random_state=seed,
    )
    return mixture.fit(points)


def of_mixture(mixture: GaussianMixture, points: np.ndarray) -> Candidate:
    """Return the labelling by a Gaussian mixture."""
    means, kind = mixture.means_, mixture.covariance_type
    k, d = means.shape
    given = mixture.precisions_cholesky_
    if kind == "full":
        whitening = given
    elif kind == "tied":
        whitening = np.broadcast_to(given, (k, d, d))
    else:
        diagonal = given if kind == "diag" else given[:, None].repeat(d, axis=1)
        whitening = diagonal[:, :, None] * np.eye(d)
    found = Gaussians(np.log(mixture.weights_), means, np.array(whitening))
    return Candidate(f"gaussians, {kind}", mixture.predict_proba(points), found)


def coupled(
    points: np.ndarray,
    graph: Any,
    n_clusters: int,
    strength: float,
    seed: int,
    merge: Callable[[np.ndarray, int], np.ndarray] = merge_components,
) -> np.ndarray:
    """Return responsibilities of merged components whose labels are coupled, shape (n, K)."""
    r = coupled_components(points, graph, n_clusters, strength, seed)
    groups = merge(r.T @ (graph @ r), n_clusters)
    return np.asarray(r @ np.eye(n_clusters)[groups])


def coupled_components(
    points: np.ndarray, graph: Any, n_clusters: int, strength: float, seed: int
) -> np.ndarray:
    """Return responsibilities of components, some for each cluster, whose labels are coupled."""
    n_components = max(n_clusters, min(PARTS * n_clusters, len(points) // ROWS_FOR_A_PART))
    codes = torch.from_numpy(np.ascontiguousarray(points)).float()
    with Noise(seed):
        r: np.ndarray = coupled_mixture(
            codes, graph, n_components, strength=strength, seed=seed
        ).responsibilities
    return r


def enough_gaussians(points: np.ndarray, n_clusters: int, seed: int) -> Candidate | None:
    """Return a Gaussian mixture where more Gaussians than clusters do not fit better, by BIC.

    Mixtures of four kinds of covariances with n_clusters components are compared with larger ones:
    if none of these has a lower Bayesian information criterion than the best, clusters are
    Gaussians, and nothing is gained by looking for other shapes.
    """
    n = len(points)
    if n < ROWS_FOR_A_GAUSSIAN * n_clusters:
        return None
    fits = [gaussians(points, n_clusters, kind, GATE_STARTS, seed) for kind in KINDS]
    bics = [fit.bic(points) for fit in fits]
    best = int(np.argmin(bics))
    for n_components, kind in _larger(n, n_clusters, KINDS):
        n_init = GATE_STARTS if n_components <= n_clusters + 2 else 1
        if gaussians(points, n_components, kind, n_init, seed).bic(points) < bics[best]:
            return None
    return of_mixture(fits[best], points)


def _larger(n: int, n_clusters: int, kinds: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield numbers of components beyond the clusters, and kinds, those that win soonest first."""
    for n_components in sorted({2 * n_clusters, n_clusters + 1, 3 * n_clusters, n_clusters + 2}):
        for kind in kinds:
            if n >= ROWS_FOR_A_GAUSSIAN * n_components:
                yield n_components, kind
