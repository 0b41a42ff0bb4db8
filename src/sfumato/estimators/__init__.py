"""The public estimators, and every model by name."""

from sfumato.estimators.anomaly import AnomalyDetector
from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.base import RowEstimator
from sfumato.estimators.catalogue import (
    MODELS,
    Entry,
    as_float,
    entry_of,
    find_model,
    learned_from_labels,
    n_clusters_of,
    operations_of,
    reconstruct,
    sample,
)
from sfumato.estimators.clusters import ClusterEstimator
from sfumato.estimators.conditional import ConditionalVAE
from sfumato.estimators.contrastive import ContrastiveVAE
from sfumato.estimators.dcn import DCN
from sfumato.estimators.dec import DEC
from sfumato.estimators.deep_cluster import DeepCluster
from sfumato.estimators.gmvae import GMVAE
from sfumato.estimators.latent import LatentEstimator
from sfumato.estimators.layered import Decomposition, LayeredVAE
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.mixture_vae import MixtureVAE
from sfumato.estimators.persistence import load, save
from sfumato.estimators.pipelines import CodesThenClusters, Umap
from sfumato.estimators.priors import (
    DiagonalPosterior,
    FlowPosterior,
    FlowPrior,
    FullPosterior,
    MixturePrior,
    NormalPrior,
    VampPrior,
)
from sfumato.estimators.stacked import StackedAutoencoder
from sfumato.estimators.vade import VaDE
from sfumato.estimators.vae import VAE
from sfumato.estimators.variational import VariationalEstimator

__all__ = [
    "DCN",
    "DEC",
    "GMVAE",
    "MODELS",
    "VAE",
    "AnomalyDetector",
    "Autoencoder",
    "ClusterEstimator",
    "CodesThenClusters",
    "ConditionalVAE",
    "ContrastiveVAE",
    "Decomposition",
    "DeepCluster",
    "DiagonalPosterior",
    "Entry",
    "FlowPosterior",
    "FlowPrior",
    "FullPosterior",
    "LatentEstimator",
    "LayeredVAE",
    "MixtureEstimator",
    "MixturePrior",
    "MixtureVAE",
    "NormalPrior",
    "RowEstimator",
    "StackedAutoencoder",
    "Umap",
    "VaDE",
    "VampPrior",
    "VariationalEstimator",
    "as_float",
    "entry_of",
    "find_model",
    "learned_from_labels",
    "load",
    "n_clusters_of",
    "operations_of",
    "reconstruct",
    "sample",
    "save",
]
