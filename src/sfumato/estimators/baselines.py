"""scikit-learn's classical models as runs: stored as numbers, restored without running code."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA, FastICA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import Isomap
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KDTree, KernelDensity, NearestNeighbors
from sklearn.preprocessing import KernelCenterer
from torch import Tensor

from sfumato.artifacts import ArtifactError

BASELINES: dict[str, type[BaseEstimator]] = {
    cls.__name__: cls
    for cls in (
        PCA,
        KernelPCA,
        FastICA,
        NMF,
        LinearDiscriminantAnalysis,
        Isomap,
        KernelDensity,
        KMeans,
        GaussianMixture,
    )
}
# What their fitted attributes hold besides numbers and arrays.
PARTS: dict[str, type] = {cls.__name__: cls for cls in (KernelCenterer, NearestNeighbors)}
KNOWN = BASELINES | PARTS
PLAIN = (bool, int, float, str, type(None))


class Packer:
    """Takes an object apart into JSON values and named tensors."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def pack(self, value: Any, name: str) -> Any:
        """Return a JSON value for ``value``; its arrays go to ``tensors`` under ``name``.

        Raises
        ------
        ArtifactError
            If the value is neither data nor a known scikit-learn object.
        """
        if isinstance(value, PLAIN):
            return self._number(value)
        if isinstance(value, np.generic):
            return self.pack(value.item(), name)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            self.tensors[name] = torch.from_numpy(np.require(value, None, ["C", "W"]).copy())
            return {"array": name}
        if isinstance(value, np.ndarray):
            return {"texts": [str(item) for item in value.tolist()]}
        if isinstance(value, (list, tuple)):
            return [self.pack(item, f"{name}.{i}") for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {"mapping": {k: self.pack(v, f"{name}.{k}") for k, v in value.items()}}
        if isinstance(value, KDTree):
            return {"kd_tree": self.pack(np.asarray(value.data), name)}
        return self._object(value, name)

    def _number(self, value: Any) -> Any:
        is_odd = isinstance(value, float) and not np.isfinite(value)
        return {"float": repr(value)} if is_odd else value

    def _object(self, value: Any, name: str) -> Any:
        kind = type(value).__name__
        if KNOWN.get(kind) is not type(value):
            raise ArtifactError(f"A {kind} cannot be saved as data.")
        state = {k: self.pack(v, f"{name}.{k}") for k, v in vars(value).items() if _kept(v)}
        return {"object": kind, "state": state}


def _kept(value: Any) -> bool:
    # scikit-learn keeps bound functions and generators beside its numbers; both are made anew.
    return not callable(value) and not isinstance(value, np.random.RandomState)


def restore(packed: Any, tensors: Mapping[str, Tensor]) -> BaseEstimator:
    """Return the model that :meth:`Packer.pack` took apart.

    Raises
    ------
    ArtifactError
        If it is none of the catalogue's.
    """
    estimator = unpack(packed, tensors)
    if type(estimator) not in BASELINES.values():
        raise ArtifactError("The run holds no model; it is damaged: fit it anew.")
    return estimator


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo :meth:`Packer.pack`; only known classes are made, and none of their code runs."""
    if isinstance(value, list):
        return tuple(unpack(item, tensors) for item in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return tensors[value["array"]].numpy()
    if "texts" in value:
        return np.array(value["texts"], dtype=object)
    if "float" in value:
        return float(value["float"])
    if "mapping" in value:
        return {key: unpack(item, tensors) for key, item in value["mapping"].items()}
    if "kd_tree" in value:
        return KDTree(unpack(value["kd_tree"], tensors))
    instance: Any = object.__new__(KNOWN[value["object"]])
    vars(instance).update({k: unpack(v, tensors) for k, v in value["state"].items()})
    return instance
