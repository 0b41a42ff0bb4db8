"""Storage that cannot run code and is never half-written: JSON and safetensors, written atomically.

Two layouts share one content, a *description* (JSON) and named tensors:

- a **directory** (``params.json``, ``weights.safetensors``, ``history.json``): a finished run;
- a **single file** (``checkpoint.safetensors``, the description in its header): a run under way.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

PARAMS = "params.json"
WEIGHTS = "weights.safetensors"
HISTORY = "history.json"
CHECKPOINT = "checkpoint.safetensors"
# Folder of the checkpoints of a fit in several phases.
PHASES = "phases"


class ArtifactError(ValueError):
    """A run cannot be written or read; the message says why and what to do."""


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        # An interrupt may come when the file is in place already.
        Path(name).unlink(missing_ok=True)
        raise


def make_directory(path: str | os.PathLike[str]) -> Path:
    """Return the directory, made if it is missing.

    Raises
    ------
    ArtifactError
        If it cannot be made or written to.
    """
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise ArtifactError(
            f"Cannot write to the folder {str(directory)!r} ({error.strerror}); "
            "choose another one or change its permissions."
        ) from None
    return directory


def to_json(value: Any) -> bytes:
    """Return indented JSON, refusing what JSON cannot hold."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses views that share memory.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def write_directory(
    path: str | os.PathLike[str],
    description: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    history: Any,
) -> None:
    """Write a run; ``params.json`` comes last and seals the rest: it names the weights' sha256.

    A crash while a run is being replaced leaves it unsealed, or at its checkpoint, never mixed.
    """
    directory = make_directory(path)
    weights = tensors_to_bytes(_contiguous(tensors))
    sealed = to_json({**description, "weights_sha256": sha256(weights).hexdigest()})
    (directory / PARAMS).unlink(missing_ok=True)
    replace_file(directory / WEIGHTS, weights)
    replace_file(directory / HISTORY, to_json(history))
    replace_file(directory / PARAMS, sealed)


def read_directory(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor], Any]:
    """Read description, tensors and history of a finished run.

    Raises
    ------
    ArtifactError
        If a file is missing, cut short, corrupt, or not the one that belongs to the run.
    """
    directory = Path(path)
    description = read_json(directory / PARAMS)
    history = read_json(directory / HISTORY)
    content = _read_bytes(directory / WEIGHTS)
    if not isinstance(description, dict) or "weights_sha256" not in description:
        raise ArtifactError(f"{directory / PARAMS} does not describe a run.")
    if sha256(content).hexdigest() != description.pop("weights_sha256"):
        raise ArtifactError(
            f"{directory / WEIGHTS} is damaged or cut short (its checksum is not the recorded "
            "one); copy the run again or fit it anew."
        )
    try:
        return description, tensors_from_bytes(content), history
    except (SafetensorError, ValueError, KeyError, TypeError):
        raise ArtifactError(
            f"{directory / WEIGHTS} holds no safetensors; fit the run anew."
        ) from None


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Turn whatever a description of the wrong shape leads to into one sentence."""
    try:
        yield
    except ArtifactError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError):
        raise ArtifactError(
            f"{str(path)!r} is damaged or was written by another version of sfumato; fit it anew."
        ) from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"Cannot read {path} ({error.strerror}); is it a run?") from None


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    ArtifactError
        If there is no such file, or it is damaged.
    """
    content = _read_bytes(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{path} is damaged: it is not JSON; fit the run anew.") from None


def write_checkpoint(
    path: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a checkpoint: one file, replaced whole."""
    header = {"description": json.dumps(description, allow_nan=False)}
    replace_file(path, tensors_to_bytes(_contiguous(tensors), metadata=header))


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read description and tensors of a checkpoint.

    Raises
    ------
    ArtifactError
        If the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads(file.metadata()["description"])
            return description, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(
            f"{path} is missing or damaged; delete it and fit the run anew."
        ) from None


def tensor_tree(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Prefix every name: ``{"w": t}`` under "model" becomes ``{"model.w": t}``."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def subtree(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`tensor_tree` for one prefix.

    Examples
    --------
    >>> list(subtree("model", tensor_tree("model", {"w": Tensor()})))
    ['w']
    """
    start = f"{prefix}."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
