r"""The Potts prior over all labels together, and its mean field.

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
from scipy.special import log_softmax, softmax, xlogy
from sklearn.base import BaseEstimator

# A relative gain of the bound below this ends the sweeps.
TOLERANCE = 1e-6


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
