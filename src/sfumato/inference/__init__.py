"""What is asked of a trained model: likelihoods, codes, diagnoses."""

from sfumato.inference.assignments import (
    CoupledMixture,
    Seen,
    coupled_mixture,
    joint_of_views,
    see,
)
from sfumato.inference.blocks import RowSource, map_blocks, map_precisely, posterior_means
from sfumato.inference.contrast import ContrastiveDiagnosis, diagnose_contrast
from sfumato.inference.diagnostics import Diagnosis, MixtureDiagnosis, diagnose, diagnose_mixture
from sfumato.inference.layers import LayeredDiagnosis, diagnose_layers
from sfumato.inference.likelihood import (
    LikelihoodEstimate,
    importance_sampling,
    naive_monte_carlo,
)
from sfumato.inference.noise import forked_rng, seeded_rows
from sfumato.inference.refinement import Refinement, refine

__all__ = [
    "ContrastiveDiagnosis",
    "CoupledMixture",
    "Diagnosis",
    "LayeredDiagnosis",
    "LikelihoodEstimate",
    "MixtureDiagnosis",
    "Refinement",
    "RowSource",
    "Seen",
    "coupled_mixture",
    "diagnose",
    "diagnose_contrast",
    "diagnose_layers",
    "diagnose_mixture",
    "forked_rng",
    "importance_sampling",
    "joint_of_views",
    "map_blocks",
    "map_precisely",
    "naive_monte_carlo",
    "posterior_means",
    "refine",
    "see",
    "seeded_rows",
]
