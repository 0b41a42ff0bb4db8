"""Metrics: pure functions of arrays."""

from sfumato.metrics.clustering import (
    adjusted_rand_index,
    clustering_accuracy,
    normalized_mutual_information,
    purity,
)
from sfumato.metrics.density import MeanWithError, negative_log_likelihood

__all__ = [
    "MeanWithError",
    "adjusted_rand_index",
    "clustering_accuracy",
    "negative_log_likelihood",
    "normalized_mutual_information",
    "purity",
]
