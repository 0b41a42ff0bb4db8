"""What is asked of single cells of a table: how strange they are, and what they could have been."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sfumato.inference import cell_log_likelihood
from sfumato.likelihoods import ByColumn

# Samples of z for each cell.
N_SAMPLES = 50


@torch.no_grad()
def cell_surprise(estimator: Any, X: Any) -> np.ndarray:
    """Return what each cell's likelihood, given the row's others, lacks, shape (n, d), in nats.

    Parameters
    ----------
    estimator : fitted estimator with a likelihood
    X : whatever ``predict`` takes
    """
    x, _ = estimator._rows(X)
    model = (
        estimator.model_.continuous()
        if hasattr(estimator.model_, "continuous")
        else (estimator.model_)
    )
    hides = isinstance(estimator.likelihood_, ByColumn)
    found = cell_log_likelihood(model, x, n_samples=N_SAMPLES, seed=estimator.seed_, hide=hides)
    rows: Tensor = x[slice(None)]
    p = model.decoder(model.encoder(rows).mean)
    most = estimator.likelihood_.saturated_by_value(p, rows)
    surprise: np.ndarray = (most - found).cpu().double().numpy()
    return np.where(np.isnan(rows.cpu().numpy()), 0.0, surprise)
