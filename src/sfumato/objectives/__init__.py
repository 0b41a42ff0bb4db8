"""Objectives that many models share: named terms whose sum is minimised."""

from sfumato.checks import require_not_negative, require_positive
from sfumato.objectives.base import (
    FunctionObjective,
    LatentModel,
    Objective,
    SameStep,
    Step,
    Terms,
    View,
    as_objective,
    total,
)
from sfumato.objectives.binarized import Binarized, binarized
from sfumato.objectives.corruption import Corruption, GaussianNoise, MaskingNoise, SaltAndPepper
from sfumato.objectives.discrepancy import squared_mmd
from sfumato.objectives.elbo import ELBO, elbo, elbo_at
from sfumato.objectives.importance import IWAE, iwae_bound
from sfumato.objectives.labelled import (
    LabelledBatch,
    PenalisedBound,
    SelfLabelled,
    coupled_terms,
)
from sfumato.objectives.penalties import (
    Contractive,
    KLSparsity,
    KSparse,
    Penalty,
    jacobian_norm,
)
from sfumato.objectives.reconstruction import ErrorOf, Reconstruction, decoding, reconstruction
from sfumato.objectives.semi_amortised import (
    SemiAmortised,
    first_parameters,
    improved_parameters,
    refinable,
    semi_amortised,
)

__all__ = [
    "ELBO",
    "IWAE",
    "Binarized",
    "Contractive",
    "Corruption",
    "ErrorOf",
    "FunctionObjective",
    "GaussianNoise",
    "KLSparsity",
    "KSparse",
    "LabelledBatch",
    "LatentModel",
    "MaskingNoise",
    "Objective",
    "PenalisedBound",
    "Penalty",
    "Reconstruction",
    "SaltAndPepper",
    "SameStep",
    "SelfLabelled",
    "SemiAmortised",
    "Step",
    "Terms",
    "View",
    "as_objective",
    "binarized",
    "coupled_terms",
    "decoding",
    "elbo",
    "elbo_at",
    "first_parameters",
    "improved_parameters",
    "iwae_bound",
    "jacobian_norm",
    "reconstruction",
    "refinable",
    "require_not_negative",
    "require_positive",
    "semi_amortised",
    "squared_mmd",
    "total",
]
