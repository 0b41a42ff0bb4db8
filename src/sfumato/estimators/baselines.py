"""scikit-learn's classical models as runs: stored as numbers, restored without running code."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA, FastICA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import Isomap
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KDTree, KernelDensity, NearestNeighbors
from sklearn.preprocessing import KernelCenterer
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sfumato.artifacts import ArtifactError
from sfumato.estimators.pipelines import CodesThenClusters
from sfumato.storage import (
    Stored,
    find,
    is_storable,
    name_of,
    params_from_json,
    params_to_json,
    storable,
)

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
        CodesThenClusters,
    )
}
# What their fitted attributes hold besides numbers and arrays.
PARTS: dict[str, type] = {cls.__name__: cls for cls in (KernelCenterer, NearestNeighbors)}
KNOWN = BASELINES | PARTS
PLAIN = (bool, int, float, str, type(None))
# Every metric that a KDTree takes is Minkowski's, of some p.
METRICS = {1.0: "manhattan", 2.0: "euclidean", np.inf: "chebyshev"}


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
            return self._array(value, name)
        if isinstance(value, np.ndarray):
            return {"texts": [str(item) for item in value.tolist()]}
        if isinstance(value, (list, tuple)):
            return [self.pack(item, f"{name}.{i}") for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {"mapping": {k: self.pack(v, f"{name}.{k}") for k, v in value.items()}}
        if isinstance(value, KDTree):
            return {"kd_tree": self.pack(_tree_arguments(value), name)}
        return self._object(value, name)

    def _array(self, value: np.ndarray, name: str) -> dict[str, str]:
        # The order in memory is kept, for it decides the last bit of a matrix product.
        kept = value.copy(order="K")
        turned = not kept.flags.c_contiguous
        self.tensors[name] = torch.from_numpy(np.require(kept.T if turned else kept, None, "C"))
        return {"transposed" if turned else "array": name}

    def _number(self, value: Any) -> Any:
        is_odd = isinstance(value, float) and not np.isfinite(value)
        return {"float": repr(value)} if is_odd else value

    def _object(self, value: Any, name: str) -> Any:
        kind = type(value).__name__
        if KNOWN.get(kind) is not type(value):
            raise ArtifactError(f"A {kind} cannot be saved as data.")
        settings = value.get_params(deep=False)
        state = {
            k: self.pack(_seed(v), f"{name}.{k}")
            for k, v in vars(value).items()
            # scikit-learn keeps bound functions beside its numbers, and makes them anew.
            if k in settings or not callable(v)
        }
        return {"object": kind, "state": state}


def _tree_arguments(tree: KDTree) -> dict[str, Any]:
    state = tree.__getstate__()
    (p, *_), leaf_size, sample_weight = state[11].__getstate__(), state[4], state[12]
    weights = None if sample_weight is None else np.asarray(sample_weight)
    data = np.asarray(tree.data)
    return {"data": data, "leaf_size": leaf_size, "p": float(p), "sample_weight": weights}


def _make_tree(p: float, data: np.ndarray, **arguments: Any) -> KDTree:
    metric = {"metric": METRICS[p]} if p in METRICS else {"metric": "minkowski", "p": p}
    return KDTree(data, **metric, **arguments)


def _seed(value: Any) -> Any:
    # A generator belongs to the moment of the fit.
    return None if isinstance(value, np.random.RandomState) else value


@storable(adapts=BaseEstimator)
class ScikitLearnModel:
    """A model of scikit-learn as it is saved: as data.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted.
    """

    def __init__(self, estimator: Any) -> None:
        self.encoder = deep_encoder(estimator)
        self.settings = {} if self.encoder is None else params_to_json(estimator.encoder)
        rest = estimator if self.encoder is None else _without_encoder(estimator)
        self.packer = Packer()
        self.state = self.packer.pack(rest, "fitted")

    def describe(self) -> dict[str, Any]:
        """Return the model as JSON values."""
        own = {
            "format": 2,
            "scikit-learn": sklearn.__version__,
            "estimator": name_of(type(self)),
            "baseline": self.state,
        }
        if self.encoder is None:
            return own
        return own | {"encoder": {**self.encoder.describe(), "settings": self.settings}}

    def tensors(self) -> dict[str, Tensor]:
        """Return its arrays, and the weights of an encoder of ours."""
        return self.packer.tensors | ({} if self.encoder is None else self.encoder.tensors())

    def records(self) -> list[dict[str, float]]:
        """Return the records of the epochs of an encoder of ours."""
        return [] if self.encoder is None else self.encoder.records()

    @classmethod
    def restored(cls, stored: Stored) -> BaseEstimator:
        """Return the model that a folder describes.

        Raises
        ------
        ArtifactError
            If it is none of the catalogue's.
        """
        estimator = unpack(stored.description["baseline"], stored.tensors)
        if type(estimator) not in BASELINES.values():
            raise ArtifactError("The run holds no model; it is damaged: fit it anew.")
        if "encoder" in stored.description:
            described = stored.description["encoder"]
            encoder = find(described["estimator"], stored.trust).restored(
                replace(stored, description=described)
            )
            settings = params_from_json(described["settings"], stored.trust)
            estimator.encoder, estimator.encoder_ = type(encoder)(**settings), encoder
        return estimator


def deep_encoder(estimator: Any) -> Any:
    """Return the fitted encoder of ours that a model in two steps starts with, if it does."""
    if type(estimator) is not CodesThenClusters:
        return None
    check_is_fitted(estimator, "labels_")
    encoder = estimator.encoder_
    return encoder if is_storable(type(encoder)) else None


def _without_encoder(estimator: Any) -> Any:
    rest = copy(estimator)
    rest.encoder = None
    del rest.encoder_
    return rest


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo :meth:`Packer.pack`; only known classes are made, and none of their code runs."""
    if isinstance(value, list):
        return tuple(unpack(item, tensors) for item in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return tensors[value["array"]].numpy()
    if "transposed" in value:
        return tensors[value["transposed"]].numpy().T
    if "texts" in value:
        return np.array(value["texts"], dtype=object)
    if "float" in value:
        return float(value["float"])
    if "mapping" in value:
        return {key: unpack(item, tensors) for key, item in value["mapping"].items()}
    if "kd_tree" in value:
        return _make_tree(**unpack(value["kd_tree"], tensors))
    instance: Any = object.__new__(KNOWN[value["object"]])
    vars(instance).update({k: unpack(v, tensors) for k, v in value["state"].items()})
    return instance
