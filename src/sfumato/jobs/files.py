"""Arrays as files, and values as JSON holds them."""

import math
import os
from collections.abc import Callable, Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.artifacts import ArtifactError, make_directory, replace_file
from sfumato.jobs.settings import SettingError


def finite(value: Any) -> Any:
    """Return a JSON value with null for every number that JSON lacks.

    Examples
    --------
    >>> finite({"nll": float("inf"), "n": (1, 2)})
    {'nll': None, 'n': [1, 2]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _npz(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, X=array)
    return buffer.getvalue()


def _csv(array: np.ndarray) -> bytes:
    text = StringIO()
    whole = array.dtype.kind in "iub"
    np.savetxt(text, np.atleast_2d(array.T).T, delimiter=",", fmt="%d" if whole else "%.9g")
    return text.getvalue().encode()


FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {".npy": _npy, ".npz": _npz, ".csv": _csv}


def array_writer(path: str | os.PathLike[str]) -> Callable[[np.ndarray], None]:
    """Return the function that writes an array to a file, whole or not at all.

    The format is the one of the file's ending: ``.npy``, ``.npz`` (the array is ``X``) or ``.csv``.

    Raises
    ------
    SettingError
        If the ending is none of these.
    ArtifactError
        By the function, if the file cannot be written.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in FORMATS:
        raise SettingError(
            f"--out takes a file ending in {', '.join(FORMATS)}; got {os.fspath(path)!r}."
        )
    return lambda array: _write(Path(path), FORMATS[suffix](array))


def _write(path: Path, content: bytes) -> None:
    if path.is_dir():
        raise ArtifactError(f"{str(path)!r} is a folder; give --out the name of a file.")
    make_directory(path.parent)
    replace_file(path, content)
