"""Saving and loading of every estimator, ours and scikit-learn's."""

import os
import warnings
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sfumato.artifacts import (
    CHECKPOINT,
    PARAMS,
    ArtifactError,
    read_checkpoint,
    read_directory,
    subtree,
    tensor_tree,
    understanding,
    write_directory,
)
from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.base import RowEstimator
from sfumato.estimators.baselines import Packer, restore
from sfumato.estimators.conditional import ConditionalVAE
from sfumato.estimators.contrastive import ContrastiveVAE
from sfumato.estimators.dcn import DCN
from sfumato.estimators.dec import DEC
from sfumato.estimators.deep_cluster import DeepCluster
from sfumato.estimators.gmvae import GMVAE
from sfumato.estimators.layered import LayeredVAE
from sfumato.estimators.mixture_vae import MixtureVAE
from sfumato.estimators.pipelines import CodesThenClusters
from sfumato.estimators.scaling import Scaling
from sfumato.estimators.settings import params_from_json, params_to_json
from sfumato.estimators.stacked import StackedAutoencoder
from sfumato.estimators.vade import VaDE
from sfumato.estimators.vae import VAE
from sfumato.training import PHASES, History

ESTIMATORS: dict[str, type[RowEstimator]] = {
    cls.__name__: cls
    for cls in (
        Autoencoder,
        StackedAutoencoder,
        VAE,
        ConditionalVAE,
        LayeredVAE,
        ContrastiveVAE,
        MixtureVAE,
        GMVAE,
        VaDE,
        DEC,
        DCN,
        DeepCluster,
    )
}


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write any estimator of the catalogue to a folder.

    Raises
    ------
    ArtifactError
        If the folder cannot be written, or the estimator cannot be stored as data.
    """
    if isinstance(estimator, RowEstimator):
        estimator.save(path)
        return
    encoder = _deep_encoder(estimator)
    packer = Packer()
    state = packer.pack(estimator if encoder is None else _without_encoder(estimator), "fitted")
    description = {"format": 1, "scikit-learn": sklearn.__version__, "baseline": state}
    if encoder is None:
        write_directory(path, description, packer.tensors, [])
        return
    settings = params_to_json(estimator.encoder)
    description["encoder"] = {**encoder.describe(), "settings": settings}
    tensors = packer.tensors | tensor_tree("model", encoder.model_.state_dict())
    write_directory(path, description, tensors, encoder.history_.records)


def _deep_encoder(estimator: BaseEstimator) -> RowEstimator | None:
    """Return the fitted encoder of ours that a model in two steps begins with, if it does."""
    if not isinstance(estimator, CodesThenClusters):
        return None
    check_is_fitted(estimator, "labels_")
    return estimator.encoder_ if isinstance(estimator.encoder_, RowEstimator) else None


def _without_encoder(estimator: CodesThenClusters) -> CodesThenClusters:
    rest = copy(estimator)
    rest.encoder = None
    del rest.encoder_
    return rest


def load(path: str | os.PathLike[str]) -> Any:
    """Load a fitted estimator that ``save`` wrote; nothing in the folder is executed.

    An interrupted run is loaded at its last complete epoch, with a warning.

    Parameters
    ----------
    path : str or path
        The folder.

    Raises
    ------
    ArtifactError
        If the folder is no run, or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from sfumato import Autoencoder, Trainer
    >>> from sfumato.estimators import load
    >>> ae = Autoencoder(random_state=0, trainer=Trainer(max_epochs=1)).fit("digits")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ae.save(folder)
    ...     same = load(folder)
    >>> bool((same.transform("digits") == ae.transform("digits")).all())
    True
    """
    folder = Path(path)
    if not (folder / PARAMS).exists() and (folder / CHECKPOINT).exists():
        return _load_unfinished(folder / CHECKPOINT)
    if not (folder / PARAMS).exists() and (folder / PHASES).exists():
        raise ArtifactError(
            f"{str(path)!r} was interrupted before its last phase: continue the fit, with --resume."
        )
    if not (folder / PARAMS).exists():
        raise ArtifactError(f"{str(path)!r} is not a run: it holds no {PARAMS}.")
    description, tensors, history = read_directory(folder)
    kind = description.get("estimator")
    if "baseline" not in description and isinstance(kind, str) and kind not in ESTIMATORS:
        raise ArtifactError(f"{str(path)!r} holds a {kind}, which is no model of rows.")
    with understanding(folder):
        if "encoder" in description:
            return _restore_two_steps(description, tensors, history)
        if "baseline" in description:
            return restore(description["baseline"], tensors)
        return _restore(description, subtree("model", tensors), history)


def _load_unfinished(checkpoint: Path) -> RowEstimator:
    description, tensors = read_checkpoint(checkpoint)
    with understanding(checkpoint):
        history = description["history"]
        estimator = _restore(description["run"], subtree("model", tensors), history)
    warnings.warn(
        f"The run was interrupted; loaded as it stood after epoch {len(history)}.", stacklevel=3
    )
    return estimator


def _restore_two_steps(
    description: dict[str, Any], tensors: dict[str, Tensor], history: list[dict[str, float]]
) -> BaseEstimator:
    estimator = restore(description["baseline"], tensors)
    encoder = _restore(description["encoder"], subtree("model", tensors), history)
    settings = params_from_json(description["encoder"]["settings"])
    estimator.encoder, estimator.encoder_ = type(encoder)(**settings), encoder
    return estimator


def _restore(
    description: dict[str, Any], weights: dict[str, Tensor], history: list[dict[str, float]]
) -> RowEstimator:
    estimator = ESTIMATORS[description["estimator"]](**params_from_json(description["params"]))
    fitted = dict(description["fitted"])
    fitted["scaling_"] = Scaling(**fitted["scaling_"])
    shape, names = fitted["image_shape_"], fitted.pop("feature_names_in_")
    fitted["image_shape_"] = None if shape is None else tuple(shape)
    if names is not None:
        fitted["feature_names_in_"] = np.array(names, dtype=object)
    for name, value in fitted.items():
        setattr(estimator, name, value)
    with torch.random.fork_rng():
        estimator.model_ = estimator._model()
    estimator.model_.load_state_dict(weights)
    estimator.model_.eval()
    estimator.history_ = History(history)
    return estimator
