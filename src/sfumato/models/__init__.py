"""Latent-variable models: modules whose parts return distributions, one file a paper."""

from sfumato.models.conditional import ConditionalModel
from sfumato.models.contrastive import (
    ContrastedBatch,
    ContrastiveELBO,
    ContrastiveModel,
    contrastive_elbo,
)
from sfumato.models.coupled import CoupledAutoencoder, shrink
from sfumato.models.dcn import DCNModel, kmeans_friendly, nearest_centres
from sfumato.models.dec import DECModel, dec_targets, embedded_clustering, target_distribution
from sfumato.models.deep_cluster import (
    DeepClusterModel,
    likeliest_pseudo_labels,
    pseudo_classification,
)
from sfumato.models.gmvae import GMVAEBound, GMVAEModel, StyledComponents, gmvae_elbo
from sfumato.models.latent import LatentVariableModel
from sfumato.models.layered import LayeredDecoder, LayeredPicture, Layers, Novelty, log_covered
from sfumato.models.mixture_vae import MixtureELBO, MixtureVAEModel, mixture_elbo
from sfumato.models.stacked import (
    Classifier,
    Layer,
    StackedModel,
    classification,
    layer_reconstruction,
    layers_of,
)

__all__ = [
    "Classifier",
    "ConditionalModel",
    "ContrastedBatch",
    "ContrastiveELBO",
    "ContrastiveModel",
    "CoupledAutoencoder",
    "DCNModel",
    "DECModel",
    "DeepClusterModel",
    "GMVAEBound",
    "GMVAEModel",
    "LatentVariableModel",
    "Layer",
    "LayeredDecoder",
    "LayeredPicture",
    "Layers",
    "MixtureELBO",
    "MixtureVAEModel",
    "Novelty",
    "StackedModel",
    "StyledComponents",
    "classification",
    "contrastive_elbo",
    "dec_targets",
    "embedded_clustering",
    "gmvae_elbo",
    "kmeans_friendly",
    "layer_reconstruction",
    "layers_of",
    "likeliest_pseudo_labels",
    "log_covered",
    "mixture_elbo",
    "nearest_centres",
    "pseudo_classification",
    "shrink",
    "target_distribution",
]
