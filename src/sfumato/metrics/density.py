"""Summaries of log-likelihoods."""

from typing import NamedTuple

import numpy as np


class MeanWithError(NamedTuple):
    """A mean over rows, its sampling error and its Monte Carlo error."""

    mean: float
    standard_error: float
    """Of the mean, from the spread of the rows: how far another test set would lead."""
    monte_carlo_error: float
    """Of the mean, from the estimates' own errors: how far other draws would lead."""


def negative_log_likelihood(
    log_likelihood: np.ndarray, monte_carlo_error: np.ndarray | None = None
) -> MeanWithError:
    """Mean of minus the log-likelihoods, in nats per row, with both errors.

    Parameters
    ----------
    log_likelihood : array of shape (n,)
        In nats.
    monte_carlo_error : array of shape (n,), optional
        Standard error of each estimate; None for exact ones.

    Examples
    --------
    >>> negative_log_likelihood(np.array([-1.0, -3.0])).mean
    2.0
    """
    n = len(log_likelihood)
    spread = float(np.std(log_likelihood, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    noise = 0.0 if monte_carlo_error is None else float(np.sqrt(np.sum(monte_carlo_error**2)) / n)
    return MeanWithError(float(-np.mean(log_likelihood)), spread, noise)
