"""Objectives: pure functions ``objective(model, x)`` of named terms whose sum is minimised."""

from sfumato.objectives.base import (
    AnnealedObjective,
    Objective,
    Terms,
    objective_at,
    require_positive,
)
from sfumato.objectives.binarized import Binarized, binarized
from sfumato.objectives.coupled import Assigned, CoupledELBO, coupled_elbo
from sfumato.objectives.deformation import Deformation
from sfumato.objectives.elbo import ELBO, elbo
from sfumato.objectives.importance import IWAE, importance
from sfumato.objectives.mixtures import GMVAEBound, MixtureELBO
from sfumato.objectives.reconstruction import (
    negative_log_likelihood,
    reconstruction,
    squared_error,
)

__all__ = [
    "ELBO",
    "IWAE",
    "AnnealedObjective",
    "Assigned",
    "Binarized",
    "CoupledELBO",
    "Deformation",
    "GMVAEBound",
    "MixtureELBO",
    "Objective",
    "Terms",
    "binarized",
    "coupled_elbo",
    "elbo",
    "importance",
    "negative_log_likelihood",
    "objective_at",
    "reconstruction",
    "require_positive",
    "squared_error",
]
