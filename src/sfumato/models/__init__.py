"""Latent-variable models: modules whose parts return distributions."""

from sfumato.models.latent import LatentVariableModel

__all__ = ["LatentVariableModel"]
