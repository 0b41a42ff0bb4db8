"""Run folders: what stands beside the saved estimator."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sfumato.artifacts import (
    CHECKPOINT,
    HISTORY,
    PARAMS,
    WEIGHTS,
    ArtifactError,
    make_directory,
    replace_file,
    to_json,
)
from sfumato.report import environment

RUN, METRICS, REPORT = "run.json", "metrics.json", "report.html"
FILES = (PARAMS, WEIGHTS, HISTORY, CHECKPOINT, RUN, METRICS, REPORT)


def prepare(path: str, *, resume: bool, overwrite: bool) -> Path:
    """Return the folder of a new or continued run.

    Raises
    ------
    ArtifactError
        If the folder holds a run already and neither option says what to do with it.
    """
    folder = Path(path)
    held = [name for name in FILES if (folder / name).exists()]
    if held and not (resume or overwrite):
        raise ArtifactError(
            f"{path!r} already holds a run; add --resume to continue it, --overwrite to start anew, "
            "or choose another folder."
        )
    folder = make_directory(folder)
    for name in held if overwrite else ():
        (folder / name).unlink()
    if resume and (folder / PARAMS).exists() and not (folder / CHECKPOINT).exists():
        raise ArtifactError(f"{path!r} has no {CHECKPOINT} to continue from; use --overwrite.")
    return folder


def describe(model: str, data: str, seed: int) -> dict[str, Any]:
    """Return what is known of a run when it starts."""
    return {
        "model": model,
        "data": data,
        "seed": seed,
        "command": " ".join(["sfumato", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
    }


def write_json(folder: Path, name: str, value: Any) -> None:
    """Write one of the run's JSON files."""
    replace_file(folder / name, to_json(value))


def read(path: str) -> dict[str, Any]:
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


def data_of(path: str, data: str | None) -> str:
    """Return the data a command is to use: those named, else those of the run.

    Raises
    ------
    ArtifactError
        If neither names any.
    """
    name = data or read(path).get("data")
    if name is None:
        raise ArtifactError(f"{path!r} does not say what it was fitted to; name the data as well.")
    return str(name)
