"""One save and one load: which classes a folder may name, and how settings become JSON.

A folder holds data only: JSON and safetensors. Where it names code, that code must be known
already: it is part of this package, has been registered (:func:`register`), belongs to an installed
package that declares it (entry points of the group ``sfumato.models``), or is named in ``trust``.
Nothing else is ever imported.
"""

import os
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from sfumato.artifacts import (
    CHECKPOINT,
    PARAMS,
    PHASES,
    ArtifactError,
    read_checkpoint,
    read_directory,
    subtree,
    understanding,
    write_directory,
)

GROUP = "sfumato.models"
# Belong to the moment of a fit, not to what was fitted.
TRANSIENT = {"loggers", "checkpoint", "threads", "device", "pretrained"}

Thing = TypeVar("Thing")
Trust = Collection[str]
_REGISTERED: dict[str, Any] = {}
_STORABLE: dict[type, type | None] = {}


@dataclass(frozen=True)
class Stored:
    """What a folder holds.

    Attributes
    ----------
    description : dict
        JSON: class, parameters and fitted numbers.
    tensors : dict
        Weights by name.
    history : list of dict
        Records of the epochs.
    trust : collection of str
        Code that may be imported.
    """

    description: dict[str, Any]
    tensors: dict[str, Tensor]
    history: list[dict[str, float]]
    trust: Trust = ()

    def weights(self, part: str = "model") -> dict[str, Tensor]:
        """Return the tensors of one part."""
        return subtree(part, self.tensors)

    def params(self) -> dict[str, Any]:
        """Return the constructor's parameters."""
        return params_from_json(self.description["params"], self.trust)


def register(thing: Thing, name: str | None = None) -> Thing:
    """Make a class or function known, so that saved models may name it; usable as a decorator.

    Parameters
    ----------
    thing : class or function
    name : str, optional
        What folders and the command line call it; by default ``"package.module:Name"``.

    Raises
    ------
    ValueError
        If the name belongs to something else.

    Examples
    --------
    >>> from sfumato.objectives import Objective
    >>> @register
    ... class Nothing(Objective):
    ...     def __call__(self, model, batch):
    ...         return {"nothing": batch.sum(-1) * 0}
    >>> find("sfumato.storage:Nothing") is Nothing
    True
    """
    named: Any = thing
    for key in filter(None, (name, _reference(named))):
        known = _REGISTERED.setdefault(key, thing)
        if known is not thing and not _redefined(known, named):
            raise ValueError(f"The name {key!r} is registered for {known!r} already.")
        _REGISTERED[key] = thing
    return thing


def _reference(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', '')}"


def _is_ours(reference: str) -> bool:
    return reference.startswith((f"{__package__}.", f"{__package__}:"))


def _public(name: str) -> Any:
    """Return what this package calls by a name, or None."""
    return getattr(import_module(__package__), name, None) if name.isidentifier() else None


def _redefined(known: Any, thing: Any) -> bool:
    """Return whether a notebook's cell, or a reloaded module, has defined the same name anew."""
    where = (known.__module__, known.__qualname__)
    return where == (thing.__module__, thing.__qualname__)


def storable(adapts: type | None = None) -> Callable[[type], type]:
    """Register a class whose instances are saved and loaded.

    It has ``describe()``, ``tensors()``, ``records()`` and a class method ``restored(stored)``.

    Parameters
    ----------
    adapts : type, optional
        Objects of this kind are saved through the class, which is called with them.
    """

    def mark(cls: type) -> type:
        _STORABLE[cls] = adapts
        return register(cls)

    return mark


def is_storable(cls: Any) -> bool:
    """Return whether instances of a class can be saved by themselves."""
    return isinstance(cls, type) and any(
        base in _STORABLE and _STORABLE[base] is None for base in cls.__mro__
    )


def registered(kind: type) -> dict[str, type]:
    """Return the registered classes of a kind by their shortest names."""
    found: dict[type, str] = {}
    for name, thing in _REGISTERED.items():
        if isinstance(thing, type) and issubclass(thing, kind):
            found[thing] = min(found.get(thing, name), name, key=len)
    return {name: cls for cls, name in found.items()}


def name_of(thing: Any) -> str:
    """Return what folders call a class or a function.

    Raises
    ------
    ArtifactError
        If nothing that reads a folder could find it again.
    """
    reference = _reference(thing)
    if _is_ours(reference) and _public(thing.__name__) is thing:
        return str(thing.__name__)
    names = [name for name, known in _REGISTERED.items() if known is thing]
    if names:
        return min(names, key=len)
    if _resolved(reference) is not thing:
        raise ArtifactError(
            f"{thing!r} cannot be found again by name, so a model with it cannot be saved: define "
            "it at the top of a module, or give it a name, sfumato.register(it, 'name')."
        )
    return reference


def _resolved(reference: str) -> Any:
    """Return what a reference names among the modules that are loaded, or None."""
    module, _, names = reference.partition(":")
    value: Any = sys.modules.get(module)
    for name in names.split("."):
        value = getattr(value, name, None)
    return value


def find(name: str, trust: Trust = ()) -> Any:
    """Return the class or function of a name.

    Parameters
    ----------
    name : str
        As :func:`name_of` gives it.
    trust : collection of str
        Names ``"package.module:Name"`` whose modules may be imported.

    Raises
    ------
    ArtifactError
        If the name is not known.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    public = _imported(name) if _is_ours(name) else _public(name)
    if name in _REGISTERED:
        # By the module of ours that has just been imported.
        return _REGISTERED[name]
    if isinstance(public, type) and issubclass(public, BaseEstimator):
        return public
    for point in declared(GROUP):
        if name in (point.name, point.value):
            return register(point.load(), point.name)
    if name.startswith("torch.optim."):
        optimizer = getattr(torch.optim, name.rpartition(":")[2], None)
        if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer):
            return optimizer
    if name in trust:
        return _imported(name)
    raise ArtifactError(
        f"{name!r} is not known here: import the module that registers it, or, if you trust that "
        f"code, load(path, trust=[{name!r}]); on the command line, --trust {name}."
    )


def _imported(name: str) -> Any:
    module, _, names = name.partition(":")
    try:
        import_module(module)
    except ImportError as error:
        raise ArtifactError(
            f"{name!r} cannot be imported ({error}): install its package."
        ) from None
    thing = _resolved(name)
    if thing is None:
        raise ArtifactError(f"The module {module!r} has no {names!r}.")
    return thing


@cache
def declared(group: str) -> tuple[EntryPoint, ...]:
    """Return what installed packages declare for a group of entry points."""
    return tuple(entry_points(group=group))


def to_json(value: Any) -> Any:
    """Return a JSON value for a parameter.

    Raises
    ------
    ArtifactError
        If the parameter is an object that cannot be stored as data.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufUO":
        return {"array": [to_json(item) for item in value.tolist()]}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": {str(key): to_json(item) for key, item in value.items()}}
    if isinstance(value, np.random.RandomState):
        # Its state at the fit is gone; the seed that was drawn from it is stored.
        return None
    if isinstance(value, BaseEstimator) and not is_storable(type(value)):
        return {"class": name_of(type(value)), "params": params_to_json(value)}
    if isinstance(value, type) or callable(value):
        return {"reference": name_of(value)}
    raise ArtifactError(
        f"{value!r} cannot be saved as a setting: give a number, a word, an object with "
        "get_params, or the class or function that makes it."
    )


def params_to_json(estimator: BaseEstimator) -> dict[str, Any]:
    """Return all constructor parameters that outlive the fit."""
    params = estimator.get_params(deep=False)
    return {name: to_json(value) for name, value in params.items() if name not in TRANSIENT}


def from_json(value: Any, trust: Trust = ()) -> Any:
    """Undo :func:`to_json`; sequences come back as tuples."""
    if isinstance(value, list):
        return tuple(from_json(item, trust) for item in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return np.array([from_json(item, trust) for item in value["array"]])
    if "mapping" in value:
        return {key: from_json(item, trust) for key, item in value["mapping"].items()}
    if "reference" in value:
        return find(value["reference"], trust)
    cls = find(value["class"], trust)
    if not isinstance(cls, type) or not issubclass(cls, BaseEstimator) or is_storable(cls):
        raise ArtifactError(f"{value['class']!r} is no class of settings.")
    return cls(**params_from_json(value["params"], trust))


def params_from_json(params: Mapping[str, Any], trust: Trust = ()) -> dict[str, Any]:
    """Undo :func:`params_to_json`."""
    return {name: from_json(value, trust) for name, value in params.items()}


def save(fitted: Any, path: str | os.PathLike[str]) -> None:
    """Write whatever was fitted to a folder: params.json, weights.safetensors, history.json.

    Raises
    ------
    ArtifactError
        If the folder cannot be written, or the object cannot be stored as data.
    """
    if not is_storable(type(fitted)):
        adapters = [cls for cls, kind in _STORABLE.items() if kind and isinstance(fitted, kind)]
        if not adapters:
            raise ArtifactError(f"{fitted!r} is no model that can be saved.")
        fitted = adapters[-1](fitted)
    write_directory(path, fitted.describe(), fitted.tensors(), fitted.records())


def load(path: str | os.PathLike[str], trust: Trust = ()) -> Any:
    """Load whatever was fitted, to rows, video or pictures, from the folder it was saved to.

    Nothing in the folder is executed. An interrupted run is loaded at its last complete epoch, with
    a warning.

    Parameters
    ----------
    path : str or path
        The folder, or that of a detection, which keeps its detector.
    trust : collection of str
        Classes and functions of other packages that the run may name, ``"package.module:Name"``,
        beside those that are registered or declared by installed packages: their modules are
        imported.

    Raises
    ------
    ArtifactError
        If the folder is no run, is damaged, or names code that is not known.

    Examples
    --------
    >>> import tempfile
    >>> from sfumato import Autoencoder, Trainer, load
    >>> ae = Autoencoder(random_state=0, trainer=Trainer(max_epochs=1)).fit("digits")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ae.save(folder)
    ...     same = load(folder)
    >>> bool((same.transform("digits") == ae.transform("digits")).all())
    True
    """
    folder = Path(path)
    inner = folder / "model"
    folder = inner if not (folder / PARAMS).exists() and (inner / PARAMS).exists() else folder
    if (folder / PARAMS).exists():
        return _restored(folder, Stored(*read_directory(folder), trust))
    if (folder / CHECKPOINT).exists():
        return _unfinished(folder / CHECKPOINT, trust)
    if (folder / PHASES).exists():
        raise ArtifactError(
            f"{str(path)!r} was interrupted before its last phase: continue the fit, with --resume."
        )
    raise ArtifactError(f"{str(path)!r} is not a run: it holds no {PARAMS}.")


def _restored(path: Path, stored: Stored) -> Any:
    with understanding(path):
        # Models of scikit-learn were saved without a class of ours in earlier releases.
        adapter = f"{__package__}.estimators.baselines:ScikitLearnModel"
        default = adapter if "baseline" in stored.description else None
        name = stored.description.get("estimator", default)
        if not isinstance(name, str):
            raise ArtifactError(f"{str(path)!r} does not say what it holds; fit it anew.")
        cls = find(name, stored.trust)
        if not any(base in _STORABLE for base in getattr(cls, "__mro__", ())):
            raise ArtifactError(f"{str(path)!r} holds a {name}, which is no model.")
        return cls.restored(stored)


def _unfinished(checkpoint: Path, trust: Trust) -> Any:
    description, tensors = read_checkpoint(checkpoint)
    with understanding(checkpoint):
        run, history = dict(description["run"]), list(description["history"])
    found = _restored(checkpoint, Stored(run, tensors, history, trust))
    warnings.warn(
        f"The run was interrupted; loaded as it stood after epoch {len(history)}.", stacklevel=3
    )
    return found
