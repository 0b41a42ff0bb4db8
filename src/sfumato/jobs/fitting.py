"""Fitting a model into the folder of a run."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfumato.data import Data, load_data
from sfumato.estimators import complete, is_deep, save, shaped
from sfumato.jobs import runs
from sfumato.jobs.progress import SILENT, Display, show_epochs
from sfumato.jobs.settings import SettingError, apply_settings, model_entry
from sfumato.jobs.tables import TableOptions


@dataclass(frozen=True)
class FittedRun:
    """A model that was fitted, and its folder.

    Attributes
    ----------
    folder : Path
    record : dict
        What ``run.json`` holds: model, data, columns, seed, date, environment, seconds.
    estimator : fitted estimator
    """

    folder: Path
    record: dict[str, Any]
    estimator: Any = field(repr=False)

    @property
    def last_epoch(self) -> dict[str, Any]:
        """Loss, terms and time of the last epoch; empty where nothing is trained by epochs."""
        if not is_deep(self.estimator):
            return {}
        records = self.estimator.history_.records
        return dict(records[-1]) if records else {}

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the objective's terms."""
        if not is_deep(self.estimator):
            return ()
        return tuple(self.estimator.history_.terms)


def fit_run(
    model: str,
    data: Any,
    out: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    labels: bool = False,
    columns: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    id: str | None = None,
    label: str | bool | None = None,
    background: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str | None = None,
    progress: Display = SILENT,
) -> FittedRun:
    """Fit a model of the catalogue and save it, with a record of the fit, in a folder.

    Parameters
    ----------
    model : str
        Its name in the catalogue, such as "vae".
    data : str, path-like, Data or array-like
        Whatever :func:`~sfumato.data.load_data` takes.
    out : str or path-like
        Folder of the run.
    settings : mapping, optional
        Settings of the model, by full, dotted or last name.
    seed : int
    labels : bool
        Learn from the labels too, where the model can. One that needs labels always does.
    columns : mapping, optional
        What columns of a table are: name -> kind; see :func:`~sfumato.data.load_data`.
    drop : sequence of str
        Columns to leave out.
    id : str, optional
        The column that names the rows.
    label : str or False, optional
        The column of labels, for measuring, and for learning with ``labels``; False reads none.
    background : like data, optional
        Rows without what is salient, for a contrastive model.
    resume : bool
        Continue the interrupted or shorter run that the folder holds.
    overwrite : bool
        Replace the run that the folder holds.
    command : str, optional
        Recorded as the command of the run.
    progress : Display
        Shows the epochs.

    Returns
    -------
    FittedRun

    Raises
    ------
    SettingError
        If the model is unknown or cannot be saved, or does not take a setting, labels or a
        background.
    ArtifactError
        If the folder holds a run and neither ``resume`` nor ``overwrite`` is set, or cannot be
        written.
    DataError
        If the data cannot be read.
    ValueError
        If labels are needed and missing, or a value is out of range.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = fit_run("pca", "digits", folder, settings={"n_components": 3})
    ...     sorted(path.name for path in run.folder.iterdir())
    ['history.json', 'params.json', 'run.json', 'weights.safetensors']
    >>> run.estimator.n_components_
    3
    """
    entry = model_entry(model)
    _check_options(model, entry, labels=labels, background=background)
    estimator = entry.build(seed if entry.seeded else None)
    apply_settings(estimator, settings or {})
    options = TableOptions.of(columns, drop, id, label)
    bundle = options.load(data)
    extra = _extra_data(model, entry, bundle, labels=labels, background=background)
    estimator = shaped(estimator, bundle.image_shape)
    rows = bundle if entry.deep else complete(bundle.X, model)
    record = runs.describe(model, data, seed, command, options=options, columns=bundle.columns)
    with runs.opened(out, resume=resume, overwrite=overwrite) as folder:
        if entry.deep:
            estimator.set_params(trainer__checkpoint=str(folder))
            show_epochs(estimator, progress, model)
        _fit_into(folder, estimator, rows, extra, record)
    return FittedRun(folder, record, estimator)


def _check_options(model: str, entry: Any, *, labels: bool, background: Any) -> None:
    if not entry.storable:
        raise SettingError(f"A run of {model!r} cannot be saved; `sfumato compare` takes it.")
    if labels and not (entry.supervised or entry.teachable):
        raise SettingError(f"The model {model!r} learns from rows alone; leave --labels out.")
    if background is not None and not entry.contrastive:
        raise SettingError(f"The model {model!r} takes no background; leave --background out.")


def _extra_data(
    model: str, entry: Any, bundle: Data, *, labels: bool, background: Any
) -> dict[str, Any]:
    """Return what ``fit`` takes besides the rows."""
    taught = entry.supervised or labels
    if taught and bundle.y is None:
        who = f"The model {model!r} needs" if entry.supervised else "--labels asks for"
        raise ValueError(f"{who} labels, and the data have none.")
    extra: dict[str, Any] = {"y": bundle.y} if taught else {}
    if background is None:
        return extra
    return extra | {"background": load_data(background, known=bundle.columns)}


def _fit_into(
    folder: Path, estimator: Any, rows: Any, extra: Mapping[str, Any], record: dict[str, Any]
) -> None:
    """Fit and save; the record stands in the folder from the start."""
    runs.write_json(folder, runs.RUN, record)
    start, cpu = time.perf_counter(), time.process_time()
    estimator.fit(rows, **extra)
    record["seconds"] = round(time.perf_counter() - start, 3)
    record["cpu_seconds"] = round(time.process_time() - cpu, 3)
    save(estimator, folder)
    runs.write_json(folder, runs.RUN, record)
