"""Backbones, families of distributions, and priors."""

from sfumato.nn.backbones import ACTIVATIONS, ImageShape, conv_pair, mlp, mlp_pair, tied_mlp_pair
from sfumato.nn.conditional import Conditional
from sfumato.nn.families import (
    BernoulliFamily,
    CategoricalFamily,
    Family,
    GaussianFamily,
    Levels,
    PointMassFamily,
    SharedScaleGaussianFamily,
)
from sfumato.nn.priors import FittedMixture, StandardNormal

__all__ = [
    "ACTIVATIONS",
    "BernoulliFamily",
    "CategoricalFamily",
    "Conditional",
    "Family",
    "FittedMixture",
    "GaussianFamily",
    "ImageShape",
    "Levels",
    "PointMassFamily",
    "SharedScaleGaussianFamily",
    "StandardNormal",
    "conv_pair",
    "mlp",
    "mlp_pair",
    "tied_mlp_pair",
]
