"""One way to load whatever was saved."""

import os
import warnings
from pathlib import Path
from typing import Any

from sfumato import estimators
from sfumato.artifacts import CHECKPOINT, PARAMS, read_checkpoint, read_description, understanding
from sfumato.restoration import RESTORERS
from sfumato.video import BackgroundModel, ChangeDetector

_OF_PICTURES: dict[str, Any] = {
    **RESTORERS,
    **{cls.__name__: cls for cls in (BackgroundModel, ChangeDetector)},
}


def load(path: str | os.PathLike[str]) -> Any:
    """Load whatever was fitted, to rows, video or pictures, from the folder it was saved to.

    Nothing in the folder is executed. An interrupted run is loaded at its last complete epoch, with
    a warning.

    Parameters
    ----------
    path : str or path
        The folder, or that of a detection, which keeps its detector.

    Raises
    ------
    ArtifactError
        If the folder is no run, or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from sfumato import BackgroundModel, load
    >>> from sfumato.data import moving_digits
    >>> frames, _ = moving_digits(30, seed=0)
    >>> model = BackgroundModel().fit(frames)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder)
    ...     same = load(folder)
    >>> bool((same.predict(frames[:2]) == model.predict(frames[:2])).all())
    True
    """
    inner = Path(path) / "model"
    path = inner if not (Path(path) / PARAMS).exists() and (inner / PARAMS).exists() else path
    checkpoint = Path(path) / CHECKPOINT
    if not (Path(path) / PARAMS).exists() and checkpoint.exists():
        return _unfinished(checkpoint)
    found = _OF_PICTURES.get(str(read_description(path).get("estimator")))
    return estimators.load(path) if found is None else found.load(path)


def _unfinished(checkpoint: Path) -> Any:
    description, tensors = read_checkpoint(checkpoint)
    with understanding(checkpoint):
        run, history = description["run"], description["history"]
        restorer = RESTORERS.get(str(run.get("estimator")))
    if restorer is None:
        return estimators.load(checkpoint.parent)
    loaded = restorer.rebuilt(run, tensors, history, checkpoint)
    warnings.warn(
        f"The training was interrupted; loaded as it stood after epoch {len(history)}.",
        stacklevel=3,
    )
    return loaded
