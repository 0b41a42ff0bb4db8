"""What is asked of a trained model: likelihoods, codes, diagnoses."""

from sfumato.inference.blocks import RowSource, map_blocks, map_precisely
from sfumato.inference.diagnostics import Diagnosis, diagnose
from sfumato.inference.likelihood import (
    LikelihoodEstimate,
    importance_sampling,
    naive_monte_carlo,
)
from sfumato.inference.noise import forked_rng, seeded_rows

__all__ = [
    "Diagnosis",
    "LikelihoodEstimate",
    "RowSource",
    "diagnose",
    "forked_rng",
    "importance_sampling",
    "map_blocks",
    "map_precisely",
    "naive_monte_carlo",
    "seeded_rows",
]
