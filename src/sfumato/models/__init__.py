"""Latent-variable models: modules whose parts return distributions."""

from sfumato.models.contrastive import ContrastiveVAE, LayeredDecoder, Layers
from sfumato.models.coupled import CoupledAutoencoder, shrink
from sfumato.models.dcn import DCN
from sfumato.models.dec import DEC
from sfumato.models.deep_cluster import DeepCluster
from sfumato.models.gmvae import GMVAE, gmvae_elbo
from sfumato.models.latent import LatentVariableModel
from sfumato.models.mixture_vae import MixtureVAE, class_divergence, mixture_elbo
from sfumato.models.stacked import Classifier, Layer, StackedModel, layers_of

__all__ = [
    "DCN",
    "DEC",
    "GMVAE",
    "Classifier",
    "ContrastiveVAE",
    "CoupledAutoencoder",
    "DeepCluster",
    "LatentVariableModel",
    "Layer",
    "LayeredDecoder",
    "Layers",
    "MixtureVAE",
    "StackedModel",
    "class_divergence",
    "gmvae_elbo",
    "layers_of",
    "mixture_elbo",
    "shrink",
]
