"""Latent-variable models: modules whose parts return distributions."""

from sfumato.models.gmvae import GMVAE, gmvae_elbo
from sfumato.models.latent import LatentVariableModel
from sfumato.models.mixture_vae import MixtureVAE, class_divergence, mixture_elbo

__all__ = [
    "GMVAE",
    "LatentVariableModel",
    "MixtureVAE",
    "class_divergence",
    "gmvae_elbo",
    "mixture_elbo",
]
