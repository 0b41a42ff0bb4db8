"""Coupled assignments: labels that know their neighbours."""

from sfumato.coupling.graph import neighbour_graph, neighbour_votes
from sfumato.coupling.mean_field import Coupling, coupled_bound, disagreement, mean_field
from sfumato.coupling.merging import edge_information, merge_components

__all__ = [
    "Coupling",
    "coupled_bound",
    "disagreement",
    "edge_information",
    "mean_field",
    "merge_components",
    "neighbour_graph",
    "neighbour_votes",
]
