r"""Joining components into clusters by what labels at the ends of an edge tell of each other.

Components that are parts of one cluster are confused with each other: neighbours, or two views of
one row, fall into different ones. With J the joint distribution of the components at the two ends
of an edge and g the cluster of a component, the clusters are those that keep most of the mutual
information,

.. math:: I(g; g') = \sum_{gh} T_{gh} \log \frac{T_{gh}}{T_{g \cdot} T_{\cdot h}}, \qquad
          T_{gh} = \sum_{a \in g,\, b \in h} J_{ab},

which is the profile likelihood of a degree-corrected block model of the edges (Karrer and Newman
2011) and the objective of invariant information clustering (Ji, Henriques and Vedaldi 2019).
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import xlogy

Loss = Callable[[np.ndarray], np.ndarray]
# Partitions from which the search climbs, besides the two that merge step by step.
N_RANDOM = 8


def edge_information(joint: np.ndarray) -> float:
    """Mutual information in nats of the two axes of a non-negative symmetric table, shape (K, K).

    Examples
    --------
    >>> round(edge_information(np.eye(2)), 4)
    0.6931
    >>> abs(round(edge_information(np.ones((2, 2))), 4))
    0.0
    """
    p = joint / joint.sum()
    return float(xlogy(p, p).sum() - 2 * xlogy(p.sum(axis=1), p.sum(axis=1)).sum())


def merge_components(joint: np.ndarray, n_clusters: int, seed: int = 0) -> np.ndarray:
    """Join components into clusters of greatest edge information.

    Step-by-step merging by information and by average link, and random partitions, are each
    improved by moving single components; the best is returned.

    Parameters
    ----------
    joint : ndarray, shape (m, m)
        Weight of the edges between components; symmetric.
    n_clusters : int
        At most m; with as many as components each is its own cluster.
    seed : int
        Of the random partitions.

    Returns
    -------
    ndarray of int, shape (m,)
        The cluster of every component.
    """
    return merge_to_each(joint, [n_clusters], seed)[0]


def merge_to_each(joint: np.ndarray, numbers: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Join components as :func:`merge_components` does, to each of several numbers of clusters."""
    m = len(joint)
    # A component without an edge has no information: a trace of weight keeps the logarithms finite.
    joint = joint / max(joint.sum(), 1e-300) + np.eye(m) * 1e-12
    trees = [_agglomerate(joint, numbers, loss) for loss in (_information_loss, _link_loss)]
    return [
        np.arange(m) if n >= m else _best(joint, [tree[n] for tree in trees], n, seed)
        for n in numbers
    ]


def _best(joint: np.ndarray, starts: list[np.ndarray], n_clusters: int, seed: int) -> np.ndarray:
    """Return the partition of greatest information, climbing from these and from random ones."""
    generator = np.random.default_rng(seed)
    starts = starts + [
        _random_partition(generator, len(joint), n_clusters) for _ in range(N_RANDOM)
    ]
    climbed = [_climb(joint, labels, n_clusters) for labels in starts]
    return max(climbed, key=lambda labels: edge_information(grouped(joint, labels, n_clusters)))


def grouped(joint: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Sum a table of components, shape (m, m), to one of clusters, shape (n_clusters, ...)."""
    member = np.eye(n_clusters)[labels]
    table: np.ndarray = member.T @ joint @ member
    return table


def _random_partition(generator: np.random.Generator, m: int, n_clusters: int) -> np.ndarray:
    # The first labels are all different, so that no cluster is empty.
    labels = np.concatenate([np.arange(n_clusters), generator.integers(n_clusters, size=m)])[:m]
    return generator.permutation(labels)


def _agglomerate(joint: np.ndarray, numbers: Sequence[int], loss: Loss) -> dict[int, np.ndarray]:
    """Join components step by step; returns the partitions into the wanted numbers of clusters."""
    labels = np.arange(len(joint))
    table, found = joint, {}
    while len(table) > min(numbers, default=len(joint)):
        costs = loss(table)
        np.fill_diagonal(costs, np.inf)
        a, b = np.unravel_index(np.argmin(costs), costs.shape)
        keep, gone = min(a, b), max(a, b)
        labels[labels == gone] = keep
        labels[labels > gone] -= 1
        table = grouped(joint, labels, len(table) - 1)
        if len(table) in numbers:
            found[len(table)] = labels.copy()
    return found


def _information_loss(table: np.ndarray) -> np.ndarray:
    """Return what joining a and b takes from the information of a normalised table, for all."""
    own, each, margin = np.diag(table), xlogy(table, table), table.sum(axis=1)
    phi_own, phi_margin = xlogy(own, own), xlogy(margin, margin)
    pairs = table[:, None, :] + table[None, :, :]
    to_own = table + own[:, None]
    ends = xlogy(to_own, to_own)
    # Rows a and b as one, their own two columns left out ...
    joined = xlogy(pairs, pairs).sum(axis=2) - ends - ends.T
    apart = each.sum(axis=1) - phi_own
    others = joined - (apart[:, None] - each) - (apart[None, :] - each)
    # ... and the square block that they become.
    block = own[:, None] + own[None, :] + 2 * table
    inner = xlogy(block, block) - phi_own[:, None] - phi_own[None, :] - 2 * each
    margins = margin[:, None] + margin[None, :]
    outer = xlogy(margins, margins) - phi_margin[:, None] - phi_margin[None, :]
    return -(2 * others + inner - 2 * outer)


def _link_loss(table: np.ndarray) -> np.ndarray:
    """Return minus the average link, the weight between a and b over the product of their sizes."""
    margin = table.sum(axis=1)
    return -table / np.outer(margin, margin)


def _climb(joint: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Move single components between clusters while that raises the information."""
    labels = labels.copy()
    table = grouped(joint, labels, n_clusters)
    moved = True
    while moved:
        moved = False
        for component in range(len(labels)):
            home, own = labels[component], joint[component, component]
            if (labels == home).sum() == 1:
                continue
            weights = np.bincount(labels, joint[component], minlength=n_clusters)
            weights[home] -= own
            without = _moved(table, weights, own, home, -1)
            gains = _gains(without, weights, own)
            target = int(np.argmax(gains))
            if gains[target] > gains[home] + 1e-12:
                labels[component], moved = target, True
                table = _moved(without, weights, own, target, 1)
    return labels


def _moved(
    table: np.ndarray, weights: np.ndarray, own: float, cluster: int, sign: int
) -> np.ndarray:
    """Return the table of clusters with a component more, or less, in one of them.

    Parameters
    ----------
    table : ndarray, shape (K, K)
    weights : ndarray, shape (K,)
        Weight of the component's edges to the others of every cluster.
    own : float
        Weight of its edges to itself.
    cluster : int
    sign : 1 or -1
    """
    moved = table.copy()
    moved[cluster] += sign * weights
    moved[:, cluster] += sign * weights
    moved[cluster, cluster] += sign * own
    return moved.clip(0)


def _gains(table: np.ndarray, weights: np.ndarray, own: float) -> np.ndarray:
    """Return what a component adds to the information in each of the clusters, but for a constant.

    Only the row and the column of its cluster change, shape (K,).
    """
    joined = table + weights
    change = xlogy(joined, joined) - xlogy(table, table)
    inner, more = np.diag(table), np.diag(table) + 2 * weights + own
    cells = 2 * (change.sum(axis=1) - np.diag(change)) + xlogy(more, more) - xlogy(inner, inner)
    margin = table.sum(axis=1) + weights
    wider = margin + weights.sum() + own
    gains: np.ndarray = cells - 2 * (xlogy(wider, wider) - xlogy(margin, margin))
    return gains


def merge_by_modularity(joint: np.ndarray, n_clusters: int) -> np.ndarray:
    r"""Join components, two at a time, by what their union adds to the modularity of the edges.

    .. math:: Q = \sum_g \Big(T_{gg} - T_{g \cdot}^2\Big)

    Clusters may differ in size by orders of magnitude, as kinds of cells do.

    Parameters
    ----------
    joint : ndarray, shape (m, m)
        Weight of the edges between components; symmetric.
    n_clusters : int
        At most m.

    Returns
    -------
    ndarray of int, shape (m,)
        The cluster of every component.

    References
    ----------
    Newman, Fast Algorithm for Detecting Community Structure in Networks, 2004.

    Examples
    --------
    >>> joint = np.array([[4.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 4.0]])
    >>> merge_by_modularity(joint, 2)
    array([0, 0, 1])
    """
    return merge_to_each_by_modularity(joint, [n_clusters])[0]


def merge_to_each_by_modularity(joint: np.ndarray, numbers: Sequence[int]) -> list[np.ndarray]:
    """Join components as :func:`merge_by_modularity` does, to each of several numbers."""
    found = _agglomerate(joint / joint.sum(), numbers, _modularity_loss)
    return [found.get(n, np.arange(len(joint))) for n in numbers]


def _modularity_loss(table: np.ndarray) -> np.ndarray:
    """Return minus half of what joining a and b adds to the modularity."""
    share = table.sum(axis=1)
    return -(table - np.outer(share, share))


def modularity(table: np.ndarray) -> float:
    """Return the share of edges within clusters beyond that of chance, of a table of edges.

    Examples
    --------
    >>> modularity(np.eye(4)), modularity(np.ones((2, 2)))
    (0.75, 0.0)
    """
    shares = table / table.sum()
    return float(np.trace(shares) - np.square(shares.sum(axis=1)).sum())
