"""What is asked of single cells of a table: how strange they are, and what they could have been."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sfumato.data import Columns, Data, as_table, fill_frame, frame_of
from sfumato.inference import cell_log_likelihood, impute
from sfumato.likelihoods import ByColumn

# Samples of z for each cell.
N_SAMPLES = 50


def impute_cells(estimator: Any, X: Any, *, n_samples: int, n_draws: int | None, seed: int) -> Any:
    """Return what was given, of its own type, with its missing cells filled.

    Parameters
    ----------
    estimator : fitted estimator with a likelihood
    X : whatever ``predict`` takes
    n_samples : int
        Samples of z for each row.
    n_draws : int or None
        Draws of the missing cells; None for the best guess of each.
    seed : int

    Returns
    -------
    pandas DataFrame, polars DataFrame or ndarray, or a list of n_draws of them
        A frame as it was given; a pandas frame for the path of a table, or for ``Data`` with
        columns; else an array.
    """
    frame = frame_of(X)
    source = X if frame is None else frame
    given = np.asarray(estimator._check(source, reset=False))
    x, dtype = estimator._rows_of(given)
    model = estimator.model_.continuous()
    found = impute(model, x, n_samples=n_samples, n_draws=n_draws or 0, seed=seed)
    holes = np.isnan(given) if given.dtype.kind == "f" else np.zeros(given.shape, bool)
    tables = [np.where(holes, estimator.scaling_.to_data(part), given) for part in found]
    answers = [_as_given(estimator, X, frame, table, dtype) for table in tables]
    return answers[0] if n_draws is None else answers


def _as_given(estimator: Any, X: Any, frame: Any, values: np.ndarray, dtype: np.dtype) -> Any:
    """Return filled rows as what they were given as."""
    columns: Columns | None = estimator.columns_
    if frame is not None:
        known: Any = as_table(frame).columns if columns is None else columns
        return fill_frame(frame, known, values)
    if isinstance(X, Data) and columns is not None:
        return columns.decode(values.astype(np.float64), index=X.row_names)
    return values.astype(dtype)


def as_named(estimator: Any, rows: np.ndarray) -> Any:
    """Return generated rows as a frame in the columns' own types, if the fit was to named ones."""
    if estimator.columns_ is None:
        return rows
    return estimator.columns_.decode(rows.astype(np.float64))


@torch.no_grad()
def cell_surprise(estimator: Any, X: Any) -> np.ndarray:
    """Return what each cell's likelihood, given the row's others, lacks, shape (n, d), in nats.

    Parameters
    ----------
    estimator : fitted estimator with a likelihood
    X : whatever ``predict`` takes
    """
    x, _ = estimator._rows(X)
    model = estimator.model_.continuous()
    hides = isinstance(estimator.likelihood_, ByColumn)
    found = cell_log_likelihood(model, x, n_samples=N_SAMPLES, seed=estimator.seed_, hide=hides)
    rows: Tensor = x[slice(None)]
    p = model.decoder(model.encoder(rows).mean)
    most = estimator.likelihood_.saturated_by_value(p, rows)
    surprise: np.ndarray = (most - found).cpu().double().numpy()
    return np.where(np.isnan(rows.cpu().numpy()), 0.0, surprise)
