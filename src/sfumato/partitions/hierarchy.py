r"""Hierarchies along the shortest tree that joins all points: Genie.

Single linkage joins the two nearest clusters at every step, which are the ends of the next edge of
the Euclidean minimum spanning tree. Genie looks at the sizes of the clusters first: where they are
too unequal, by the Gini index, the smallest cluster has to be one of the two. Chains through noise
no longer swallow everything, and shapes may still be arbitrary.

References
----------
Gagolewski, Bartoszuk and Cena, Genie: A New, Fast, and Outlier-Resistant Hierarchical Clustering
Algorithm, 2016.
"""

from collections import Counter
from collections.abc import MutableSequence
from typing import NamedTuple

import numpy as np


class SpanningTree(NamedTuple):
    """The edges of a minimum spanning tree, the shortest first."""

    ends: np.ndarray
    """Points that an edge joins, shape (n - 1, 2)."""
    lengths: np.ndarray
    """Distances, shape (n - 1,)."""


def spanning_tree(points: np.ndarray) -> SpanningTree:
    """Return the minimum spanning tree of Euclidean distances, by Prim's algorithm.

    Takes n^2 d operations and memory for n d numbers.

    Parameters
    ----------
    points : ndarray, shape (n, d)

    Examples
    --------
    >>> spanning_tree(np.array([[0.0], [1.0], [3.0]])).lengths
    array([1., 2.])
    """
    n = len(points)
    columns = np.ascontiguousarray(points.T, dtype=np.float64)
    nearest = np.full(n, np.inf)
    link = np.zeros(n, np.int64)
    ends = np.empty((max(n - 1, 0), 2), np.int64)
    squares = np.empty(max(n - 1, 0))
    now = 0
    for step in range(n - 1):
        nearest[now] = np.nan
        square = np.zeros(n)
        for column in columns:
            square += (column - column[now]) ** 2
        # Comparisons with NaN, of points in the tree, are false.
        closer = square < nearest
        nearest[closer] = square[closer]
        link[closer] = now
        now = int(np.nanargmin(nearest))
        ends[step] = link[now], now
        squares[step] = nearest[now]
    order = np.argsort(squares, kind="stable")
    return SpanningTree(ends[order], np.sqrt(squares[order]))


def genie(tree: SpanningTree, n_clusters: int, limit: float) -> np.ndarray:
    r"""Cut a tree into clusters whose sizes are not too unequal on the way.

    Clusters are joined along the shortest edge, or, while the Gini index of their sizes s,

    .. math:: G = \frac{\sum_{i<j} |s_i - s_j|}{(m - 1) \sum_i s_i},

    exceeds the limit, along the shortest edge at one of the smallest clusters.

    Parameters
    ----------
    tree : SpanningTree
    n_clusters : int
    limit : float
        1 is single linkage.

    Returns
    -------
    ndarray of int, shape (n,)
        Clusters, numbered by their first points.

    Examples
    --------
    >>> points = np.array([[0.0], [0.1], [0.2], [0.3], [1.0], [5.0], [5.1]])
    >>> genie(spanning_tree(points), 2, 1.0), genie(spanning_tree(points), 3, 1.0)
    (array([0, 0, 0, 0, 0, 1, 1]), array([0, 0, 0, 0, 1, 2, 2]))
    """
    n = len(tree.ends) + 1
    forest = _Forest(n)
    following = list(range(1, n))
    first, passed, smallest_then = 0, -1, 0
    for _ in range(n - n_clusters):
        smallest = forest.smallest
        if forest.inequality > limit:
            # Edges that were passed before touch no smallest cluster, until there is another size.
            if smallest != smallest_then or passed < 0:
                passed, smallest_then = -1, smallest
            edge = first if passed < 0 else following[passed]
            while forest.least(tree.ends[edge]) > smallest:
                passed, edge = edge, following[edge]
            before = passed
        else:
            edge, before = first, -1
        forest.join(tree.ends[edge])
        if before < 0:
            first = following[edge]
        else:
            following[before] = following[edge]
        if passed == edge:
            passed = before
    return np.unique(_by_first(forest.labels()), return_inverse=True)[1]


def root(parent: MutableSequence[int] | np.ndarray, point: int) -> int:
    """Return where the parents of a point end, and halve the way there for the next time."""
    while parent[point] != point:
        parent[point] = parent[parent[point]]
        point = parent[point]
    return point


class _Forest:
    """Disjoint clusters that are joined, two at a time, and how unequal their sizes are."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))
        self.size = [1] * n
        self.counts: Counter[int] = Counter({1: n})
        # Sum of the differences of all pairs of sizes.
        self.spread = 0
        self.n = n

    @property
    def smallest(self) -> int:
        return min(self.counts)

    @property
    def inequality(self) -> float:
        m = self.counts.total() if self.n > 1 else 1
        return self.spread / ((m - 1) * self.n) if m > 1 else 0.0

    def least(self, ends: np.ndarray) -> int:
        return min(
            self.size[root(self.parent, int(ends[0]))], self.size[root(self.parent, int(ends[1]))]
        )

    def join(self, ends: np.ndarray) -> None:
        a, b = root(self.parent, int(ends[0])), root(self.parent, int(ends[1]))
        if self.size[a] < self.size[b]:
            a, b = b, a
        self._leave(self.size[a])
        self._leave(self.size[b])
        self.parent[b] = a
        self.size[a] += self.size[b]
        self.spread += self._differences(self.size[a])
        self.counts[self.size[a]] += 1

    def _leave(self, size: int) -> None:
        self.counts[size] -= 1
        if not self.counts[size]:
            del self.counts[size]
        self.spread -= self._differences(size)

    def _differences(self, size: int) -> int:
        return sum(abs(size - other) * count for other, count in self.counts.items())

    def labels(self) -> np.ndarray:
        return np.array([root(self.parent, point) for point in range(self.n)])


def _by_first(labels: np.ndarray) -> np.ndarray:
    """Return the first point of every point's cluster."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    found: np.ndarray = first[inverse]
    return found


def tree_of_clusters(edges: np.ndarray) -> np.ndarray:
    r"""Return the order in which clusters would be joined, as scipy's linkage, shape (K-1, 4).

    Always the two are joined of whose edges, or those of the smaller, the largest share leads to
    the other,

    .. math:: s_{kl} = \frac{T_{kl}}{\min(T_{k\cdot}, T_{l\cdot})},

    at the height 1 - s, or that of a join before it if that was higher.

    Parameters
    ----------
    edges : ndarray, shape (K, K)
        Weight of the edges between clusters; symmetric.

    Examples
    --------
    >>> edges = np.array([[4.0, 1.0, 0.0], [1.0, 4.0, 0.1], [0.0, 0.1, 4.0]])
    >>> tree_of_clusters(edges).round(2)
    array([[0.  , 1.  , 0.8 , 2.  ],
           [2.  , 3.  , 0.98, 3.  ]])
    """
    table, numbers = edges.astype(np.float64), list(range(len(edges)))
    sizes = dict.fromkeys(numbers, 1)
    steps: list[list[float]] = []
    while len(numbers) > 1:
        weight = np.maximum(table.sum(axis=1), 1e-300)
        share = table / np.minimum.outer(weight, weight)
        np.fill_diagonal(share, -1.0)
        a, b = sorted(np.unravel_index(int(share.argmax()), share.shape))
        below = steps[-1][2] if steps else 0.0
        one, other = sorted((numbers[a], numbers[b]))
        joined = len(edges) + len(steps)
        sizes[joined] = sizes[one] + sizes[other]
        steps.append([one, other, max(below, 1.0 - share[a, b]), sizes[joined]])
        table[a] += table[b]
        table[:, a] += table[:, b]
        table = np.delete(np.delete(table, b, axis=0), b, axis=1)
        numbers[a] = joined
        del numbers[b]
    return np.array(steps).reshape(-1, 4)
