"""What a fitted model answers for rows, and rows that it generates, written to a file."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sfumato.data import load_data
from sfumato.estimators import MODELS, as_float, operations_of, reconstruct, sample
from sfumato.jobs import runs
from sfumato.jobs.files import array_writer
from sfumato.jobs.settings import choose

OPERATIONS: dict[str, Callable[[Any, np.ndarray], np.ndarray]] = {
    "predict": lambda model, X: model.predict(X),
    "transform": lambda model, X: model.transform(X),
    "score": lambda model, X: model.score_samples(X),
    "reconstruct": reconstruct,
}


def compute_rows(
    operation: str,
    run: str | os.PathLike[str],
    data: Any = None,
    *,
    out: str | os.PathLike[str],
    trust: Sequence[str] = (),
) -> np.ndarray:
    """Ask a run for one value or row per row of the data, and write the answers to a file.

    Parameters
    ----------
    operation : "predict", "transform", "score" or "reconstruct"
    run : str or path-like
    data : str, path-like, Data or array-like, optional
        By default what the run was fitted to.
    out : str or path-like
        A ``.npy``, ``.npz`` or ``.csv`` file.
    trust : sequence of str
        Code of other packages that the run may name; see :func:`~sfumato.load`.

    Returns
    -------
    ndarray of shape (n,) or (n, d)

    Raises
    ------
    SettingError
        If the operation or the file's ending is unknown.
    ValueError
        If the model has no such operation, or the rows do not fit it.
    ArtifactError
        If the run cannot be read, or the file cannot be written.
    DataError
        If the data cannot be read.
    """
    compute = choose(OPERATIONS, operation, "operation")
    write = array_writer(out)
    estimator = runs.load_model(run, trust)
    _require(estimator, operation)
    answers = compute(estimator, as_float(load_data(runs.data_of(run, data)).X))
    write(answers)
    return answers


def sample_rows(
    run: str | os.PathLike[str],
    n_samples: int = 100,
    *,
    out: str | os.PathLike[str],
    seed: int = 0,
    component: int | None = None,
    condition: str | None = None,
    trust: Sequence[str] = (),
) -> np.ndarray:
    """Generate rows from a run and write them to a file.

    Parameters
    ----------
    run : str or path-like
    n_samples : int
    out : str or path-like
        A ``.npy``, ``.npz`` or ``.csv`` file.
    seed : int
    component : int, optional
        Sample from this component of a mixture model.
    condition : str, optional
        Class or attributes of a conditional model, such as "3" or "0.5,1,0".
    trust : sequence of str
        Code of other packages that the run may name; see :func:`~sfumato.load`.

    Returns
    -------
    ndarray of shape (n_samples, d)

    Raises
    ------
    SettingError
        If the file's ending is unknown.
    ValueError
        If the model does not generate, or has no such component or condition.
    ArtifactError
        If the run cannot be read, or the file cannot be written.
    """
    write = array_writer(out)
    estimator = runs.load_model(run, trust)
    _require(estimator, "sample")
    rows = sample(estimator, n_samples, seed, component, condition)
    write(rows)
    return rows


def _require(estimator: Any, operation: str) -> None:
    if operation in operations_of(estimator):
        return
    able = ", ".join(name for name, e in MODELS.items() if e.storable and operation in e.operations)
    # A model that has the method and yet cannot do it would have learned it from labels.
    taught = operation == "predict" and hasattr(estimator, "predict")
    unless = " unless fitted with --labels" if taught else ""
    name = type(estimator).__name__
    raise ValueError(f"{name} cannot {operation}{unless}; models that can: {able}.")
