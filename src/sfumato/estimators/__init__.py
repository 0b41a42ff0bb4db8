"""The public estimators, and every model by name."""

from sfumato.estimators.anomaly import AnomalyDetector
from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.base import TabularEstimator, Unit
from sfumato.estimators.baselines import ScikitLearnModel
from sfumato.estimators.capabilities import (
    Clusters,
    Decodes,
    DiagnosesCode,
    HasDensity,
    HasLikelihood,
    HasLoss,
    Samples,
    SamplesComponents,
    SoftClusters,
)
from sfumato.estimators.catalogue import (
    MODELS,
    Entry,
    all_models,
    as_float,
    complete,
    entry_of,
    find_model,
    is_deep,
    learned_from_labels,
    n_clusters_of,
    operations_of,
    profile,
    reconstruct,
    sample,
    shaped,
)
from sfumato.estimators.conditional import ConditionalVAE
from sfumato.estimators.contrastive import ContrastiveVAE
from sfumato.estimators.dcn import DCN
from sfumato.estimators.dec import DEC
from sfumato.estimators.deep_cluster import DeepCluster
from sfumato.estimators.embedding import EmbeddingEstimator, SelfTraining
from sfumato.estimators.exhibits import Exhibit, Figures, Pictures
from sfumato.estimators.fit import Fit
from sfumato.estimators.gmvae import GMVAE
from sfumato.estimators.layered import Decomposition, LayeredVAE
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.mixture_vae import MixtureVAE
from sfumato.estimators.pipelines import CodesThenClusters, Umap
from sfumato.estimators.pretraining import StartsFromCodes
from sfumato.estimators.profiles import ColumnProfile, Profile, profile_of
from sfumato.estimators.recipe import Coupled, Published, Recipe
from sfumato.estimators.stacked import StackedAutoencoder
from sfumato.estimators.vade import VaDE
from sfumato.estimators.vae import VAE
from sfumato.scaling import Scaler, Scaling, Standardised, ToRange, Unscaled
from sfumato.storage import load, save

__all__ = [
    "DCN",
    "DEC",
    "GMVAE",
    "MODELS",
    "VAE",
    "AnomalyDetector",
    "Autoencoder",
    "Clusters",
    "CodesThenClusters",
    "ColumnProfile",
    "ConditionalVAE",
    "ContrastiveVAE",
    "Coupled",
    "Decodes",
    "Decomposition",
    "DeepCluster",
    "DiagnosesCode",
    "EmbeddingEstimator",
    "Entry",
    "Exhibit",
    "Figures",
    "Fit",
    "HasDensity",
    "HasLikelihood",
    "HasLoss",
    "LayeredVAE",
    "MixtureEstimator",
    "MixtureVAE",
    "Pictures",
    "Profile",
    "Published",
    "Recipe",
    "Samples",
    "SamplesComponents",
    "Scaler",
    "Scaling",
    "ScikitLearnModel",
    "SelfTraining",
    "SoftClusters",
    "StackedAutoencoder",
    "Standardised",
    "StartsFromCodes",
    "TabularEstimator",
    "ToRange",
    "Umap",
    "Unit",
    "Unscaled",
    "VaDE",
    "all_models",
    "as_float",
    "complete",
    "entry_of",
    "find_model",
    "is_deep",
    "learned_from_labels",
    "load",
    "n_clusters_of",
    "operations_of",
    "profile",
    "profile_of",
    "reconstruct",
    "sample",
    "save",
    "shaped",
]
