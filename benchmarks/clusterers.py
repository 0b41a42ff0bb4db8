"""Clusterers of others, each told how many clusters there are or not; X of shape (n, d)."""

import numpy as np
from sklearn.cluster import AgglomerativeClustering, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from sfumato import Autoencoder
from sfumato.coupling import neighbour_graph
from sfumato.estimators import Umap
from sfumato.partitions.number import dense

N_COMPONENTS = 30
# Share of the rows that a cluster of HDBSCAN has at least, and neighbours of a row in its core.
LEAST_SHARE, CORE = 0.01, 5
# Neighbours of a row among the edges that Leiden divides.
N_NEIGHBOURS = 15


def principal(X: np.ndarray) -> np.ndarray:
    """Return the first principal components."""
    found: np.ndarray = PCA(min(N_COMPONENTS, *X.shape), random_state=0).fit_transform(X)
    return found


def by_ward(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster by Ward's method."""
    return AgglomerativeClustering(n_clusters).fit_predict(principal(X))


def by_spectral(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster by eigenvectors of the graph of ten neighbours."""
    model = SpectralClustering(n_clusters, affinity="nearest_neighbors", random_state=seed)
    return model.fit_predict(principal(X))


def by_hdbscan(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster by HDBSCAN, noise given to the nearest row; how many, it is not told."""
    return dense(principal(X), LEAST_SHARE, CORE)


def by_leiden(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster by modularity of the graph of neighbours; how many, it is not told."""
    import igraph
    import leidenalg

    edges = neighbour_graph(principal(X), N_NEIGHBOURS).tocoo()
    once = edges.row < edges.col
    graph = igraph.Graph(len(X), list(zip(edges.row[once], edges.col[once], strict=True)))
    weights = edges.data[once].tolist()
    found = leidenalg.find_partition(
        graph, leidenalg.ModularityVertexPartition, weights=weights, seed=seed
    )
    return np.array(found.membership)


def by_umap_hdbscan(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster codes of UMAP by HDBSCAN; how many, it is not told."""
    return dense(Umap(random_state=seed).fit(X).transform(X), LEAST_SHARE, CORE)


def by_umap_gmm(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster codes of UMAP by a Gaussian mixture."""
    codes = Umap(random_state=seed).fit(X).transform(X)
    return GaussianMixture(n_clusters, reg_covar=1e-3, random_state=seed).fit_predict(codes)


def by_n2d(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster UMAP's codes of an autoencoder's codes by a Gaussian mixture.

    McConville et al., N2D: (Not Too) Deep Clustering via Clustering the Local Manifold of an
    Autoencoded Embedding, 2021, with an autoencoder of ours.
    """
    codes = Autoencoder(random_state=seed).fit(X).transform(X)
    flat = Umap(n_components=n_clusters, random_state=seed).fit(codes).transform(codes)
    return GaussianMixture(n_clusters, reg_covar=1e-3, random_state=seed).fit_predict(flat)
