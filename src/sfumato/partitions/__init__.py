"""Labellings of rows by simple models, and the choice among them without labels."""

from sfumato.partitions.candidates import Candidate, Gaussians, enough_gaussians, simple_candidates
from sfumato.partitions.choice import (
    Choice,
    CoupledStarts,
    Labelling,
    Number,
    SimpleModels,
    edge_score,
    gaussian_nats,
    kept_information,
    rare_groups,
)
from sfumato.partitions.components import joined_table, number_of_clusters
from sfumato.partitions.hierarchy import SpanningTree, genie, spanning_tree, tree_of_clusters
from sfumato.partitions.number import Proposal, UnknownNumber

__all__ = [
    "Candidate",
    "Choice",
    "CoupledStarts",
    "Gaussians",
    "Labelling",
    "Number",
    "Proposal",
    "SimpleModels",
    "SpanningTree",
    "UnknownNumber",
    "edge_score",
    "enough_gaussians",
    "gaussian_nats",
    "genie",
    "joined_table",
    "kept_information",
    "number_of_clusters",
    "rare_groups",
    "simple_candidates",
    "spanning_tree",
    "tree_of_clusters",
]
