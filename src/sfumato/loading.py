"""One way to load whatever was saved."""

import os
from pathlib import Path
from typing import Any

from sfumato import estimators
from sfumato.artifacts import PARAMS, read_description
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
    found = _OF_PICTURES.get(str(read_description(path).get("estimator")))
    return estimators.load(path) if found is None else found.load(path)
