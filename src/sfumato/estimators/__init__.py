"""The public estimators, and every model by name."""

from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.base import LatentEstimator
from sfumato.estimators.catalogue import (
    MODELS,
    Entry,
    as_float,
    entry_of,
    find_model,
    learned_from_labels,
    operations_of,
    reconstruct,
    sample,
)
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.mixtures import GMVAE, MixtureVAE, VaDE
from sfumato.estimators.persistence import load, save
from sfumato.estimators.pipelines import CodesThenClusters, Umap
from sfumato.estimators.stacked import StackedAutoencoder
from sfumato.estimators.vae import VAE

__all__ = [
    "GMVAE",
    "MODELS",
    "VAE",
    "Autoencoder",
    "CodesThenClusters",
    "Entry",
    "LatentEstimator",
    "MixtureEstimator",
    "MixtureVAE",
    "StackedAutoencoder",
    "Umap",
    "VaDE",
    "as_float",
    "entry_of",
    "find_model",
    "learned_from_labels",
    "load",
    "operations_of",
    "reconstruct",
    "sample",
    "save",
]
