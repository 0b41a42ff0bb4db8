"""The folder of a run: what it holds besides the saved estimator."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sfumato.artifacts import (
    CHECKPOINT,
    HISTORY,
    PARAMS,
    PHASES,
    WEIGHTS,
    ArtifactError,
    make_directory,
    replace_file,
    to_json,
)
from sfumato.data import Columns, Data
from sfumato.estimators import MODELS, TabularEstimator, load
from sfumato.jobs.tables import TableOptions
from sfumato.report import environment

RUN, METRICS, REPORT = "run.json", "metrics.json", "report.html"
FILES = (PARAMS, WEIGHTS, HISTORY, CHECKPOINT, RUN, METRICS, REPORT)
# What no longer holds once a run is fitted further.
OUTDATED = (PARAMS, RUN, METRICS, REPORT)
ASIDE = ".before"
# The key of the record that lists the columns.
TABLE = "table"


@contextmanager
def opened(path: str | os.PathLike[str], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Lend the folder of a new or continued run.

    A failure before anything is learned leaves the folder as it was.

    Raises
    ------
    ArtifactError
        If the folder holds a run already and neither option says what to do with it.
    """
    folder = Path(path)
    held = [name for name in FILES if (folder / name).exists()]
    if (held or (folder / PHASES).exists()) and not (resume or overwrite):
        raise ArtifactError(
            f"{str(path)!r} already holds a run; add --resume to continue it, --overwrite to start "
            "anew, or choose another folder."
        )
    if resume and PARAMS in held and CHECKPOINT not in held:
        raise ArtifactError(f"{str(path)!r} has no {CHECKPOINT} to continue from; use --overwrite.")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    make_directory(folder)
    _tidy(folder)
    moved = [name for name in held if overwrite or name in OUTDATED]
    _move(moved, folder, folder / ASIDE)
    if overwrite:
        shutil.rmtree(folder / PHASES, ignore_errors=True)
    before = _stamps(folder)
    try:
        yield folder
    except BaseException:
        if _stamps(folder) == before:
            kept = set(held) - set(moved)
            _remove([name for name in FILES if name not in kept], folder)
            _move(moved, folder / ASIDE, folder)
        raise
    finally:
        shutil.rmtree(folder / ASIDE, ignore_errors=True)
        _remove_empty(made)


def _tidy(folder: Path) -> None:
    """Remove what a killed process may have left behind."""
    shutil.rmtree(folder / ASIDE, ignore_errors=True)
    _remove([stray.name for name in FILES for stray in folder.glob(f".{name}.*")], folder)


def _move(names: Sequence[str], source: Path, target: Path) -> None:
    if names:
        target.mkdir(exist_ok=True)
    for name in names:
        os.replace(source / name, target / name)


def _remove(names: Iterable[str], folder: Path) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _remove_empty(places: Iterable[Path]) -> None:
    with suppress(OSError):
        for place in places:
            place.rmdir()


def _stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return what differs once a checkpoint, of the fit or of a phase, has been replaced."""
    paths = (folder / CHECKPOINT, *(folder / PHASES).glob(f"**/{CHECKPOINT}"))
    states = {path: path.stat() for path in paths if path.exists()}
    return {path: (status.st_ino, status.st_mtime_ns) for path, status in states.items()}


def describe(
    model: str,
    data: Any,
    seed: int,
    command: str | None,
    *,
    options: TableOptions | None = None,
    columns: Columns | None = None,
) -> dict[str, Any]:
    """Return what is known of a run when it starts; the data by name, if they have one.

    Parameters
    ----------
    model, data, seed, command
        As :func:`~sfumato.jobs.fit_run` takes them.
    options : TableOptions, optional
        How the data were read.
    columns : Columns, optional
        What the columns of a table were taken for.
    """
    asked = {} if options is None else options.asked()
    return {
        "model": model,
        "data": str(data) if isinstance(data, str | os.PathLike) else None,
        **({"options": asked} if asked else {}),
        **({} if columns is None else {"columns": columns.summary(), TABLE: columns.to_json()}),
        "seed": seed,
        **({} if command is None else {"command": command}),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
    }


def write_json(folder: Path, name: str, value: Any) -> None:
    """Write one of the run's JSON files."""
    replace_file(folder / name, to_json(value))


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what is known of a run; an estimator saved from Python has no such record.

    Raises
    ------
    ArtifactError
        If the record is damaged.
    """
    file = Path(path) / RUN
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        raise ArtifactError(f"{file} is damaged; name the data on the command line.") from None


def load_model(path: str | os.PathLike[str], trust: Sequence[str] = ()) -> Any:
    """Return the model of rows that a folder holds.

    Raises
    ------
    ArtifactError
        If the folder is no run, is damaged, or holds something else.
    """
    model = load(path, trust)
    known = isinstance(model, TabularEstimator)
    if not known and type(model) not in {entry.cls for entry in MODELS.values()}:
        kind = type(model).__name__
        raise ArtifactError(f"{str(path)!r} holds a {kind}, which is no model of rows.")
    return model


def data_of(path: str | os.PathLike[str], data: Any) -> Any:
    """Return the data to use: those given, else the ones that the run was fitted to.

    Raises
    ------
    ArtifactError
        If none are given and the run does not name any.
    """
    if data is not None:
        return data
    name = read(path).get("data")
    if name is None:
        raise ArtifactError(
            f"{str(path)!r} does not say what it was fitted to; name the data as well."
        )
    return str(name)


def load_rows(
    path: str | os.PathLike[str], estimator: Any, data: Any, options: TableOptions | None = None
) -> tuple[Any, Data]:
    """Return the source of the data to use, and the data, read as those of the fit were.

    Parameters
    ----------
    path : str or path-like
        Folder of the run.
    estimator : fitted estimator
        What the run holds.
    data : object or None
        By default what the run was fitted to.
    options : TableOptions, optional
        Columns that are to be read in another way than in the fit.

    Raises
    ------
    ArtifactError
        If no data are given and the run does not name any.
    DataError
        If they cannot be read.
    """
    source, asked = data_of(path, data), options or TableOptions()
    known = columns_of(path, estimator)
    if known is None and data is None:
        asked = asked.after(read(path).get("options", {}))
    return source, asked.load(source, known)


def columns_of(path: str | os.PathLike[str], estimator: Any) -> Columns | None:
    """Return what the columns of a run's training rows are; None where they had no names."""
    if isinstance(estimator, TabularEstimator):
        return estimator.columns_
    stored = read(path).get(TABLE)
    return None if stored is None else Columns.from_json(stored)


def data_name(source: Any, data: Data) -> str:
    """Return what loaded data are called: as they were named, or by their own name."""
    return str(source) if isinstance(source, str | os.PathLike) else data.name
