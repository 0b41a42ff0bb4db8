"""What is asked of a trained model: likelihoods, codes, diagnoses."""

from sfumato.inference.assignments import (
    CoupledMixture,
    LabelEvidence,
    coupled_mixture,
    joint_of_views,
    label_evidence,
)
from sfumato.inference.blocks import RowSource, map_blocks, map_float64, posterior_means
from sfumato.inference.contrast import ContrastiveDiagnosis, diagnose_contrast
from sfumato.inference.diagnostics import Diagnosis, MixtureDiagnosis, diagnose, diagnose_mixture
from sfumato.inference.imputation import cell_log_likelihood, impute
from sfumato.inference.layers import LayeredDiagnosis, diagnose_layers
from sfumato.inference.likelihood import (
    LikelihoodEstimate,
    importance_sampling,
    naive_monte_carlo,
)
from sfumato.inference.refinement import Refinement, refine
from sfumato.inference.seeding import seeded_rows

__all__ = [
    "ContrastiveDiagnosis",
    "CoupledMixture",
    "Diagnosis",
    "LabelEvidence",
    "LayeredDiagnosis",
    "LikelihoodEstimate",
    "MixtureDiagnosis",
    "Refinement",
    "RowSource",
    "cell_log_likelihood",
    "coupled_mixture",
    "diagnose",
    "diagnose_contrast",
    "diagnose_layers",
    "diagnose_mixture",
    "importance_sampling",
    "impute",
    "joint_of_views",
    "label_evidence",
    "map_blocks",
    "map_float64",
    "naive_monte_carlo",
    "posterior_means",
    "refine",
    "seeded_rows",
]
