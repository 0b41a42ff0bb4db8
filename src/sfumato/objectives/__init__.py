"""Objectives: pure functions ``objective(model, x)`` of named terms whose sum is minimised."""

from sfumato.objectives.base import (
    AnnealedObjective,
    Objective,
    Terms,
    is_recordable,
    objective_at,
    require_not_negative,
    require_positive,
    total,
)
from sfumato.objectives.binarized import Binarized, binarized
from sfumato.objectives.contrastive import (
    Contrasted,
    ContrastiveELBO,
    contrastive_elbo,
    squared_mmd,
)
from sfumato.objectives.corruption import Corruption, Gaussian, Masking, SaltAndPepper
from sfumato.objectives.coupled import Assigned, CoupledELBO, coupled_elbo
from sfumato.objectives.deep_clustering import (
    SelfAssigned,
    dec_targets,
    decoding,
    embedded_clustering,
    kmeans_friendly,
    likeliest_pseudo_labels,
    nearest_centres,
    pseudo_classification,
    target_distribution,
)
from sfumato.objectives.deformation import Deformation
from sfumato.objectives.elbo import ELBO, elbo, elbo_at
from sfumato.objectives.importance import IWAE, importance
from sfumato.objectives.mixtures import GMVAEBound, MixtureELBO
from sfumato.objectives.penalties import (
    Contractive,
    KLSparsity,
    KSparse,
    Penalty,
    jacobian_norm,
)
from sfumato.objectives.reconstruction import (
    Correntropy,
    Reconstruction,
    negative_log_likelihood,
    reconstruction,
    saturated_log_prob,
    squared_error,
)
from sfumato.objectives.semi_amortised import (
    SemiAmortised,
    first_parameters,
    improved_parameters,
    refinable,
    semi_amortised,
)
from sfumato.objectives.stacked import classification, layer_reconstruction

__all__ = [
    "ELBO",
    "IWAE",
    "AnnealedObjective",
    "Assigned",
    "Binarized",
    "Contractive",
    "Contrasted",
    "ContrastiveELBO",
    "Correntropy",
    "Corruption",
    "CoupledELBO",
    "Deformation",
    "GMVAEBound",
    "Gaussian",
    "KLSparsity",
    "KSparse",
    "Masking",
    "MixtureELBO",
    "Objective",
    "Penalty",
    "Reconstruction",
    "SaltAndPepper",
    "SelfAssigned",
    "SemiAmortised",
    "Terms",
    "binarized",
    "classification",
    "contrastive_elbo",
    "coupled_elbo",
    "dec_targets",
    "decoding",
    "elbo",
    "elbo_at",
    "embedded_clustering",
    "first_parameters",
    "importance",
    "improved_parameters",
    "is_recordable",
    "jacobian_norm",
    "kmeans_friendly",
    "layer_reconstruction",
    "likeliest_pseudo_labels",
    "nearest_centres",
    "negative_log_likelihood",
    "objective_at",
    "pseudo_classification",
    "reconstruction",
    "refinable",
    "require_not_negative",
    "require_positive",
    "saturated_log_prob",
    "semi_amortised",
    "squared_error",
    "squared_mmd",
    "target_distribution",
    "total",
]
