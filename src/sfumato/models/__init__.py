"""Latent-variable models: modules whose parts return distributions."""

from sfumato.models.conditional import ConditionalModel
from sfumato.models.contrastive import ContrastiveVAE, MaskedDecoder, MaskedLayers
from sfumato.models.coupled import CoupledAutoencoder, shrink
from sfumato.models.dcn import DCN
from sfumato.models.dec import DEC
from sfumato.models.deep_cluster import DeepCluster
from sfumato.models.gmvae import GMVAE, gmvae_elbo
from sfumato.models.latent import LatentVariableModel
from sfumato.models.layered import LayeredDecoder, LayeredPicture, Layers, Novelty, log_covered
from sfumato.models.mixture_vae import MixtureVAE, class_divergence, mixture_elbo
from sfumato.models.stacked import Classifier, Layer, StackedModel, layers_of

__all__ = [
    "DCN",
    "DEC",
    "GMVAE",
    "Classifier",
    "ConditionalModel",
    "ContrastiveVAE",
    "CoupledAutoencoder",
    "DeepCluster",
    "LatentVariableModel",
    "Layer",
    "LayeredDecoder",
    "LayeredPicture",
    "Layers",
    "MaskedDecoder",
    "MaskedLayers",
    "MixtureVAE",
    "Novelty",
    "StackedModel",
    "class_divergence",
    "gmvae_elbo",
    "layers_of",
    "log_covered",
    "mixture_elbo",
    "shrink",
]
