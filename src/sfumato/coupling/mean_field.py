r"""The Potts prior over all labels together, its mean field, and who is a neighbour of whom.

.. math:: p(c_1, \dots, c_n) = \frac1Z \prod_i \pi_{c_i}
          \exp\Big(-\lambda \sum_{i<j} w_{ij} [c_i \ne c_j]\Big)

Every factor is at most one, so that :math:`Z \le 1`. With a factorised posterior
:math:`q(c) = \prod_i r_i` and :math:`\ell_{ik} \le \log p(x_i, c_i = k)` without neighbours,

.. math:: \log p(x_1, \dots, x_n) \ge \sum_{ik} r_{ik} (\ell_{ik} - \log r_{ik})
          - \frac\lambda2 \sum_{ij} w_{ij} (1 - r_i \cdot r_j),

where :math:`-\log Z \ge 0` has been left out.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax, xlogy
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors

# A relative gain of the bound below this ends the sweeps.
TOLERANCE = 1e-6
# So many times more rows than are needed are looked at closely, for so many queries at a time.
MARGIN, CHUNK = 4, 1024


class Coupling(BaseEstimator):
    r"""How strongly neighbours share a label, as an estimator's argument.

    Parameters
    ----------
    strength : float
        lambda, nats that an edge of weight 1 costs when it joins different labels.
    n_neighbors : int
        Neighbours of a row in the graph.
    """

    def __init__(self, strength: float = 1.0, n_neighbors: int = 15) -> None:
        self.strength = strength
        self.n_neighbors = n_neighbors


def disagreement(responsibilities: np.ndarray, weights: Any) -> np.ndarray:
    r"""Half of the weight to neighbours times the probability of another label, shape (n,).

    .. math:: \tfrac12 \sum_j w_{ij} (1 - r_i \cdot r_j)
    """
    degree = weights @ np.ones(len(responsibilities))
    agreement = (responsibilities * (weights @ responsibilities)).sum(axis=1)
    half: np.ndarray = (degree - agreement) / 2
    return half


def coupled_bound(
    responsibilities: np.ndarray, log_evidence: np.ndarray, weights: Any, strength: float
) -> float:
    """Lower bound of log p(x_1, ..., x_n) in nats, as at the head of this file.

    Parameters
    ----------
    responsibilities : ndarray, shape (n, K)
    log_evidence : ndarray, shape (n, K)
        The log joint of each row and label, or a lower bound of it.
    weights : symmetric matrix or operator, shape (n, n)
        Anything with ``@``.
    strength : float
        lambda.
    """
    own = (responsibilities * log_evidence).sum() - xlogy(responsibilities, responsibilities).sum()
    if strength == 0:
        return float(own)
    return float(own - strength * disagreement(responsibilities, weights).sum())


def mean_field(
    log_evidence: np.ndarray,
    weights: Any,
    strength: float,
    *,
    start: np.ndarray | None = None,
    max_sweeps: int = 20,
) -> np.ndarray:
    r"""Maximise the coupled bound over the responsibilities, all rows at a time.

    .. math:: \log r_{ik} \leftarrow \frac{\ell_{ik} + \lambda (W r)_{ik} + \tau \log r_{ik}}{1 +
              \tau} + \mathrm{const}

    With damping :math:`\tau = 0` this is the usual fixed point. Rows that move together may
    overshoot; the damping is raised until the bound does not fall, which it cannot once
    :math:`\tau \ge -\lambda\, \lambda_{\min}(W)`: by Pinsker's inequality the step then maximises
    a minorant. So the bound never falls.

    Parameters
    ----------
    log_evidence : ndarray, shape (n, K)
    weights : symmetric matrix or operator, shape (n, n)
        Anything with ``@``.
    strength : float
        lambda; 0 gives the softmax of the evidence.
    start : ndarray, shape (n, K), optional
        Responsibilities; by default those of the evidence alone.
    max_sweeps : int

    Returns
    -------
    ndarray, shape (n, K)
    """
    log_r = log_softmax(log_evidence, axis=1) if start is None else np.log(np.maximum(start, 1e-30))
    r = softmax(log_r, axis=1)
    if strength == 0:
        return softmax(log_evidence, axis=1)
    bound, damping = coupled_bound(r, log_evidence, weights, strength), 0.0
    for _ in range(max_sweeps):
        target = log_evidence + strength * (weights @ r)
        proposal = log_softmax((target + damping * log_r) / (1 + damping), axis=1)
        new = np.exp(proposal)
        new_bound = coupled_bound(new, log_evidence, weights, strength)
        if new_bound < bound:
            damping = max(1.0, 2 * damping)
            continue
        gain, bound, r, log_r = new_bound - bound, new_bound, new, proposal
        if gain <= TOLERANCE * abs(bound):
            break
    return r


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
