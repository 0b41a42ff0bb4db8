"""Metrics: pure functions of arrays."""

from sfumato.metrics.change_detection import Counts, cdnet_scores, count_pixels
from sfumato.metrics.clustering import (
    adjusted_rand_index,
    calibration_error,
    clustering_accuracy,
    confidence_error,
    normalized_mutual_information,
    purity,
)
from sfumato.metrics.density import MeanWithError, negative_log_likelihood
from sfumato.metrics.pictures import psnr, ssim

__all__ = [
    "Counts",
    "MeanWithError",
    "adjusted_rand_index",
    "calibration_error",
    "cdnet_scores",
    "clustering_accuracy",
    "confidence_error",
    "count_pixels",
    "negative_log_likelihood",
    "normalized_mutual_information",
    "psnr",
    "purity",
    "ssim",
]
