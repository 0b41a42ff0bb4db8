"""What a fitted model answers for rows, and rows that it generates, written to a file."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data import Columns, Data
from sfumato.estimators import (
    MODELS,
    complete,
    is_deep,
    operations_of,
    reconstruct,
    sample,
)
from sfumato.jobs import runs
from sfumato.jobs.files import Answers, Destination, answer_writer, table_of, table_writer
from sfumato.jobs.settings import SettingError, choose
from sfumato.jobs.tables import TableOptions

OPERATIONS: dict[str, Callable[[Any, Any], np.ndarray]] = {
    "predict": lambda model, X: model.predict(X),
    "transform": lambda model, X: model.transform(X),
    "score": lambda model, X: model.score_samples(X),
    "reconstruct": reconstruct,
}
# What the columns of their answers are called.
NAMES = {"predict": "cluster", "transform": "code", "score": "score", "reconstruct": "x"}


def compute_rows(
    operation: str,
    run: str | os.PathLike[str],
    data: Any = None,
    *,
    out: Destination,
    columns: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    id: str | None = None,
    label: str | bool | None = None,
    trust: Sequence[str] = (),
) -> np.ndarray:
    """Ask a run for one value or row per row of the data, and write the answers to a file.

    Parameters
    ----------
    operation : "predict", "transform", "score" or "reconstruct"
    run : str or path-like
    data : str, path-like, Data or array-like, optional
        By default what the run was fitted to.
    out : str, path-like or text stream
        A ``.npy`` or ``.npz`` file for plain numbers; a ``.csv`` or ``.parquet`` file for a table
        with a header and, where the data are a table, the names of the rows; a stream gets CSV.
    columns, drop, id, label
        As :func:`~sfumato.jobs.fit_run` takes them, for what no model saw: the columns of the fit
        are read as they were then.
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
    write = answer_writer(out)
    estimator = runs.load_model(run, trust)
    require_operation(estimator, operation)
    options = TableOptions.of(columns, drop, id, label)
    _, bundle = runs.load_rows(run, estimator, data, options)
    rows = bundle if is_deep(estimator) else complete(bundle.X, type(estimator).__name__)
    values = compute(estimator, rows)
    write(_answers(operation, values, bundle))
    return values


def _answers(operation: str, values: np.ndarray, data: Data) -> Answers:
    """Return answers with the names of their columns and rows."""
    names: Sequence[str] = [NAMES[operation]]
    if values.ndim > 1:
        names = [f"{names[0]}_{j}" for j in range(values.shape[1])]
    columns = data.columns if operation == "reconstruct" else None
    if data.row_names is not None:
        return Answers(values, names, columns, data.row_name or "row", data.row_names)
    if data.columns is not None:
        return Answers(values, names, columns, "row", np.arange(len(values)))
    return Answers(values, names)


def sample_rows(
    run: str | os.PathLike[str],
    n_samples: int = 100,
    *,
    out: Destination,
    seed: int = 0,
    component: int | None = None,
    condition: str | None = None,
    trust: Sequence[str] = (),
) -> Any:
    """Generate rows from a run and write them to a file.

    Parameters
    ----------
    run : str or path-like
    n_samples : int
    out : str, path-like or text stream
        As :func:`compute_rows` takes it.
    seed : int
    component : int, optional
        Sample from this component of a mixture model.
    condition : str, optional
        Class or attributes of a conditional model, such as "3" or "0.5,1,0".
    trust : sequence of str
        Code of other packages that the run may name; see :func:`~sfumato.load`.

    Returns
    -------
    ndarray of shape (n_samples, d), or pandas DataFrame
        A frame where the model was fitted to a table with names.

    Raises
    ------
    SettingError
        If the file's ending is unknown.
    ValueError
        If the model does not generate, or has no such component or condition.
    ArtifactError
        If the run cannot be read, or the file cannot be written.
    """
    write = answer_writer(out)
    estimator = runs.load_model(run, trust)
    require_operation(estimator, "sample")
    rows = sample(estimator, n_samples, seed, component, condition)
    columns = runs.columns_of(run, estimator)
    values = rows if isinstance(rows, np.ndarray) else _numbers(rows, columns)
    write(Answers(values, [f"x_{j}" for j in range(values.shape[1])], columns))
    return rows


def _numbers(frame: Any, columns: Columns | None) -> np.ndarray:
    """Return a frame of modelled columns as the numbers that models see."""
    return np.asarray(frame) if columns is None else columns.encode(frame)


def impute_rows(
    run: str | os.PathLike[str],
    data: Any = None,
    *,
    out: Destination,
    n_draws: int | None = None,
    seed: int = 0,
    n_samples: int = 100,
    trust: Sequence[str] = (),
) -> Any:
    """Fill the missing cells of a table and write the table to a file.

    Parameters
    ----------
    run : str or path-like
    data : str, path-like, frame or array-like, optional
        By default what the run was fitted to.
    out : str, path-like or text stream
        A ``.csv`` or ``.parquet`` file, for arrays also ``.npy`` or ``.npz``. With ``n_draws`` a
        number goes before its ending: ``filled.csv`` becomes ``filled-1.csv`` and so on.
    n_draws : int, optional
        By default each missing cell gets its best guess; else that many draws of all of them.
    seed : int
        Of the draws.
    n_samples : int
        Samples of the code for each row.
    trust : sequence of str
        Code of other packages that the run may name; see :func:`~sfumato.load`.

    Returns
    -------
    pandas DataFrame or ndarray, or a list of n_draws of them

    Raises
    ------
    SettingError
        If the file's ending is unknown, or several draws are to go to one stream.
    ValueError
        If the model does not impute, or the rows do not fit it.
    ArtifactError
        If the run cannot be read, or the file cannot be written.
    DataError
        If the data cannot be read.
    """
    writers = [answer_writer(place) for place in _places(out, n_draws)]
    estimator = runs.load_model(run, trust)
    require_operation(estimator, "impute")
    source = runs.data_of(run, data)
    found = estimator.impute(source, n_draws=n_draws, n_samples=n_samples, random_state=seed)
    tables = found if isinstance(found, list) else [found]
    for place, table, write in zip(_places(out, n_draws), tables, writers, strict=True):
        if isinstance(table, np.ndarray):
            write(Answers(table, [f"x_{j}" for j in range(table.shape[1])]))
        else:
            table_writer(place)(table_of(table))
    return found


def _places(out: Destination, n_draws: int | None) -> list[Destination]:
    """Return where every draw goes."""
    if n_draws is None:
        return [out]
    if not isinstance(out, str | os.PathLike):
        raise SettingError("Several draws need files of their own: give --out a file's name.")
    path = Path(out)
    return [path.with_name(f"{path.stem}-{i}{path.suffix}") for i in range(1, n_draws + 1)]


def require_operation(estimator: Any, operation: str) -> None:
    """Check that something can be asked of a model.

    Raises
    ------
    ValueError
        Naming the models of which it can.
    """
    if operation in operations_of(estimator):
        return
    able = ", ".join(name for name, e in MODELS.items() if e.storable and operation in e.operations)
    # A model that has the method and yet cannot do it would have learned it from labels.
    taught = operation == "predict" and hasattr(estimator, "predict")
    unless = " unless fitted with --labels" if taught else ""
    name = type(estimator).__name__
    raise ValueError(f"{name} cannot {operation}{unless}; models that can: {able}.")
