"""Coupled assignments: labels that know their neighbours."""

from sfumato.coupling.grid import (
    box_mean,
    coupled_probability,
    grid_bound,
    local_mean,
    neighbourhood,
)
from sfumato.coupling.mean_field import (
    Coupling,
    coupled_bound,
    disagreement,
    mean_field,
    neighbour_graph,
    neighbour_votes,
)
from sfumato.coupling.merging import (
    edge_information,
    grouped,
    merge_by_modularity,
    merge_components,
    merge_to_each,
    merge_to_each_by_modularity,
    modularity,
)

__all__ = [
    "Coupling",
    "box_mean",
    "coupled_bound",
    "coupled_probability",
    "disagreement",
    "edge_information",
    "grid_bound",
    "grouped",
    "local_mean",
    "mean_field",
    "merge_by_modularity",
    "merge_components",
    "merge_to_each",
    "merge_to_each_by_modularity",
    "modularity",
    "neighbour_graph",
    "neighbour_votes",
    "neighbourhood",
]
