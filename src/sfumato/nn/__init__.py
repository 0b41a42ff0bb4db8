"""Backbones, families of distributions, and priors."""

from sfumato.nn.assignment import RunningCentres, StudentAssignment, squared_distances
from sfumato.nn.backbones import (
    ACTIVATIONS,
    ImageShape,
    conv_pair,
    dropping_out,
    mlp,
    mlp_pair,
    tied_mlp_pair,
)
from sfumato.nn.components import (
    BernoulliComponents,
    Components,
    GaussianComponents,
    LearnedComponents,
    StyledComponents,
)
from sfumato.nn.conditional import Conditional
from sfumato.nn.families import (
    BernoulliFamily,
    CategoricalFamily,
    Family,
    FixedScaleGaussianFamily,
    FullGaussianFamily,
    GaussianFamily,
    Levels,
    LogisticLevels,
    LogisticMixtureFamily,
    PixelScaleGaussianFamily,
    PointMassFamily,
    RelaxedBernoulliFamily,
    SharedScaleGaussianFamily,
)
from sfumato.nn.flows import CouplingFlow, Flow, FlowDensity, FlowFamily, require_zuko
from sfumato.nn.initialisation import preserve_variance
from sfumato.nn.injected import ConditionedNormal, Injected, Unconditioned
from sfumato.nn.priors import FittedMixture, PseudoInputMixture, StandardNormal
from sfumato.nn.recogniser import Recogniser, normalised_conv
from sfumato.nn.residual import Residual, residual_pair
from sfumato.nn.sparsity import TopK
from sfumato.nn.unet import UNet, blocks
from sfumato.nn.views import Views, warped

__all__ = [
    "ACTIVATIONS",
    "BernoulliComponents",
    "BernoulliFamily",
    "CategoricalFamily",
    "Components",
    "Conditional",
    "ConditionedNormal",
    "CouplingFlow",
    "Family",
    "FittedMixture",
    "FixedScaleGaussianFamily",
    "Flow",
    "FlowDensity",
    "FlowFamily",
    "FullGaussianFamily",
    "GaussianComponents",
    "GaussianFamily",
    "ImageShape",
    "Injected",
    "LearnedComponents",
    "Levels",
    "LogisticLevels",
    "LogisticMixtureFamily",
    "PixelScaleGaussianFamily",
    "PointMassFamily",
    "PseudoInputMixture",
    "Recogniser",
    "RelaxedBernoulliFamily",
    "Residual",
    "RunningCentres",
    "SharedScaleGaussianFamily",
    "StandardNormal",
    "StudentAssignment",
    "StyledComponents",
    "TopK",
    "UNet",
    "Unconditioned",
    "Views",
    "blocks",
    "conv_pair",
    "dropping_out",
    "mlp",
    "mlp_pair",
    "normalised_conv",
    "preserve_variance",
    "require_zuko",
    "residual_pair",
    "squared_distances",
    "tied_mlp_pair",
    "warped",
]
