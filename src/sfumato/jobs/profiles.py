"""What the clusters of a run are."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sfumato.estimators import Profile, profile
from sfumato.jobs import runs
from sfumato.jobs.files import Destination, table_of, table_writer
from sfumato.jobs.rows import require_operation
from sfumato.jobs.tables import TableOptions


def profile_run(
    run: str | os.PathLike[str],
    data: Any = None,
    *,
    out: Destination | None = None,
    columns: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    id: str | None = None,
    label: str | bool | None = None,
    trust: Sequence[str] = (),
) -> Profile:
    """Tell what the clusters of a run are: sizes, columns that set them apart, rows to look at.

    Parameters
    ----------
    run : str or path-like
    data : str, path-like, Data or array-like, optional
        By default what the run was fitted to.
    out : str, path-like or text stream, optional
        A ``.csv`` or ``.parquet`` file for the table of clusters and columns; a stream gets CSV.
    columns, drop, id, label
        As :func:`~sfumato.jobs.fit_run` takes them, for what no model saw: the columns of the fit
        are read as they were then.
    trust : sequence of str
        Code of other packages that the run may name; see :func:`~sfumato.load`.

    Returns
    -------
    Profile

    Raises
    ------
    SettingError
        If the file's ending is unknown.
    ValueError
        If the model has no clusters, or the rows do not fit it.
    ArtifactError
        If the run cannot be read, or the file cannot be written.
    DataError
        If the data cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from sfumato import fit_run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = fit_run("kmeans", "digits", folder)
    ...     int(profile_run(folder).sizes.sum())
    1797
    """
    write = None if out is None else table_writer(out)
    estimator = runs.load_model(run, trust)
    require_operation(estimator, "predict")
    options = TableOptions.of(columns, drop, id, label)
    _, bundle = runs.load_rows(run, estimator, data, options)
    found = profile(estimator, bundle)
    if write is not None:
        write(table_of(found.to_frame()))
    return found
