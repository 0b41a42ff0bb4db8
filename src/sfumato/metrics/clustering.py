"""Agreement between labels and clusters."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix


def clustering_accuracy(y: np.ndarray, labels: np.ndarray) -> float:
    r"""Share of rows whose cluster is matched to their class, one cluster to one class.

    .. math:: \max_m \frac1n \sum_i [y_i = m(c_i)]

    over one-to-one maps m (Hungarian algorithm).

    Parameters
    ----------
    y : array of shape (n,)
        Classes.
    labels : array of shape (n,)
        Clusters; their names do not matter.

    Examples
    --------
    >>> clustering_accuracy([0, 0, 1, 1], [5, 5, 3, 5])
    0.75
    """
    table = contingency_matrix(y, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / table.sum())


def calibration_error(y: np.ndarray, probabilities: np.ndarray, n_bins: int = 15) -> float:
    r"""Return how far confidence is from accuracy, the expected calibration error.

    .. math:: \sum_b \frac{n_b}{n} |\mathrm{accuracy}_b - \mathrm{confidence}_b|

    over bins of equal width of the confidence, the largest probability of a row. Clusters are
    matched to classes as in :func:`clustering_accuracy`.

    Parameters
    ----------
    y : array of shape (n,)
        Classes.
    probabilities : array of shape (n, K)
        Of clusters.
    n_bins : int

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, 2017.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    >>> round(calibration_error([0, 0, 1, 1], p), 3), round(calibration_error([0, 0, 1, 0], p), 3)
    (0.15, 0.2)
    """
    labels = probabilities.argmax(axis=1)
    table = contingency_matrix(y, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    classes, clusters = np.unique(y), np.unique(labels)
    matched = dict(zip(clusters[columns], classes[rows], strict=True))
    right = np.array([matched.get(k) == c for k, c in zip(labels, y, strict=True)], dtype=float)
    return confidence_error(probabilities.max(axis=1), right, n_bins)


def confidence_error(confidence: np.ndarray, right: np.ndarray, n_bins: int = 15) -> float:
    """Return the expected calibration error where it is known which rows are right, shape (n,)."""
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [abs((right - confidence)[bins == b].sum()) for b in np.unique(bins)]
    return float(sum(gaps) / len(right))


def purity(y: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows in their cluster's most frequent class: many clusters to one class.

    Examples
    --------
    >>> purity([0, 0, 1, 1], [1, 2, 3, 3])
    1.0
    """
    table = contingency_matrix(y, labels)
    return float(table.max(axis=0).sum() / table.sum())


def normalized_mutual_information(y: np.ndarray, labels: np.ndarray) -> float:
    """Mutual information over the arithmetic mean of the two entropies, in [0, 1]."""
    return float(normalized_mutual_info_score(y, labels, average_method="arithmetic"))


def adjusted_rand_index(y: np.ndarray, labels: np.ndarray) -> float:
    """Rand index corrected for chance: 0 on average for random labels, 1 for equal partitions."""
    return float(adjusted_rand_score(y, labels))
