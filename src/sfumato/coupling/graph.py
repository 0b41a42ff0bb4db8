"""Who is a neighbour of whom: a sparse symmetric matrix of weights."""

import numpy as np
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

# So many times more rows than are needed are looked at closely, for so many queries at a time.
MARGIN, CHUNK = 4, 1024


def neighbour_graph(points: np.ndarray, n_neighbors: int = 15) -> csr_array:
    r"""Return the symmetrised graph of nearest neighbours.

    .. math:: w_{ij} = \tfrac12 [j \in N(i)] + \tfrac12 [i \in N(j)]

    Parameters
    ----------
    points : ndarray, shape (n, d)
    n_neighbors : int
        Size of N(i), i itself left out; at most n - 1 are taken.

    Returns
    -------
    csr_array, shape (n, n)
        Its entries sum to n times the number of neighbours.

    Examples
    --------
    >>> neighbour_graph(np.array([[0.0], [1.0], [3.0]]), 1).toarray()
    array([[0. , 1. , 0. ],
           [1. , 0. , 0.5],
           [0. , 0.5, 0. ]])
    """
    n = len(points)
    k = min(n_neighbors, n - 1)
    # Querying the fitted points themselves leaves each one out of its own list.
    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors()[1]
    ones = np.ones(n * k)
    directed = csr_array((ones, (np.repeat(np.arange(n), k), index.ravel())), shape=(n, n))
    return csr_array((directed + directed.T) / 2)


def neighbour_votes(
    queries: np.ndarray, points: np.ndarray, responsibilities: np.ndarray, n_neighbors: int = 15
) -> np.ndarray:
    r"""Sum the responsibilities of every new row's nearest known rows.

    .. math:: v_{ik} = \sum_{j \in N(i)} r_{jk}

    The votes of a query do not depend on the other queries.

    Parameters
    ----------
    queries : ndarray, shape (m, d)
    points : ndarray, shape (n, d)
    responsibilities : ndarray, shape (n, K)
        Of the points.

    Returns
    -------
    ndarray, shape (m, K)
    """
    n = len(points)
    k = min(n_neighbors, n)
    search = NearestNeighbors(n_neighbors=min(MARGIN * k, n), algorithm="brute").fit(points)
    votes = np.empty((len(queries), responsibilities.shape[1]))
    for start in range(0, len(queries), CHUNK):
        chunk = queries[start : start + CHUNK]
        # A matrix product finds who may be near; its last bits depend on the other queries, so
        # that who is nearest is decided one by one, the earlier row first where two are level.
        near = np.sort(search.kneighbors(chunk, return_distance=False), axis=1)
        offsets = np.asarray(points[near], np.float64) - np.asarray(chunk, np.float64)[:, None]
        order = np.argsort(np.square(offsets).sum(axis=2), axis=1, kind="stable")[:, :k]
        nearest = np.take_along_axis(near, order, axis=1)
        votes[start : start + CHUNK] = responsibilities[nearest].sum(axis=1)
    return votes
