r"""How many clusters the components of a mixture make: where edges of two kinds agree.

Components are joined to K clusters by either of two tables of edges that know nothing of each
other, such as neighbours among the rows and pairs of deformed views. Where clusters are real, both
join the same components; where one is split, each splits it in a way of its own. The largest K is
kept at which the two agree, the adjusted Rand index of the rows' labels being at least 0.92, and
no two clusters, joined by both tables together, are one:

.. math:: \max_{k \ne l} \frac{T_{kl}}{\min(T_{k\cdot}, T_{l\cdot})} \le 0.07.

One cluster is the answer where no K is like that. Both limits were settled with the classes of
handwritten digits, all and some of them, in view.

It fails where clusters have fewer than three components each, and where the tables have a cause in
common that is no cluster, such as a border that rows of two cameras share.
"""

import numpy as np
from sklearn.metrics import adjusted_rand_score

from sfumato.coupling import grouped, merge_to_each
from sfumato.partitions.choice import MOST_CLUSTERS, Number

# Adjusted Rand index of the two partitions, and share of a cluster's edges that leads to one other.
LEAST_AGREEMENT, MOST_CROSSING = 0.92, 0.07
# Components for each cluster, at least: each being a cluster of its own, any two tables agree.
LEAST_PARTS = 3
# Weight of the first table relative to the second, where both join components together: pairs of
# views are what a recogniser is trained on, and neighbours are not.
FIRST_WEIGHT = 2.0


def joined_table(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return two tables of edges as one, of total weight 1."""
    tables = [(table + table.T) / max(2 * table.sum(), 1e-300) for table in (first, second)]
    joined: np.ndarray = (FIRST_WEIGHT * tables[0] + tables[1]) / (FIRST_WEIGHT + 1)
    return joined


def number_of_clusters(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, seed: int
) -> Number:
    """Find how many clusters the components of a mixture make.

    Parameters
    ----------
    first, second : ndarray, shape (m, m)
        Weight of the edges between components, of two kinds.
    labels : ndarray of int, shape (n,)
        The component of every row.
    seed : int

    Examples
    --------
    >>> within = np.kron(np.eye(2), np.full((4, 4), 5.0))
    >>> one, other = np.random.default_rng(0).random((2, 8, 8))
    >>> edges = within + one / 9, within + other / 9
    >>> number_of_clusters(*edges, np.arange(8).repeat(10), seed=0).n_clusters
    2
    """
    both = joined_table(first, second)
    tried = range(2, min(MOST_CLUSTERS, len(both) // LEAST_PARTS) + 1)
    by_one, by_other, by_both = (
        merge_to_each(table, tried, seed) for table in (first, second, both)
    )
    agreement = [
        float(adjusted_rand_score(one[labels], other[labels]))
        for one, other in zip(by_one, by_other, strict=True)
    ]
    crossing = [
        crossing_of(grouped(both, groups, k)) for k, groups in zip(tried, by_both, strict=True)
    ]
    kept = [
        k
        for k, agreed, crossed in zip(tried, agreement, crossing, strict=True)
        if agreed >= LEAST_AGREEMENT and crossed <= MOST_CROSSING
    ]
    return Number(
        max(kept, default=1),
        proposed=tuple(tried),
        agreement=tuple(agreement),
        crossing=tuple(crossing),
    )


def crossing_of(table: np.ndarray) -> float:
    """Return the largest share of a cluster's edges that lead to another, not smaller one."""
    weight = np.maximum(table.sum(axis=1), 1e-300)
    share = table / np.minimum.outer(weight, weight)
    np.fill_diagonal(share, 0.0)
    return float(share.max())
