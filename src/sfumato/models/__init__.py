"""Latent-variable models: modules whose parts return distributions."""

from sfumato.models.coupled import CoupledAutoencoder, shrink
from sfumato.models.gmvae import GMVAE, gmvae_elbo
from sfumato.models.latent import LatentVariableModel
from sfumato.models.mixture_vae import MixtureVAE, class_divergence, mixture_elbo
from sfumato.models.stacked import Classifier, Layer, StackedModel, layers_of

__all__ = [
    "GMVAE",
    "Classifier",
    "CoupledAutoencoder",
    "LatentVariableModel",
    "Layer",
    "MixtureVAE",
    "StackedModel",
    "class_divergence",
    "gmvae_elbo",
    "layers_of",
    "mixture_elbo",
    "shrink",
]
