"""How a mixture model is trained: codes, neighbours, a coupled mixture, and rounds of both."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from sfumato.coupling import (
    Coupling,
    coupled_bound,
    disagreement,
    mean_field,
    merge_components,
    neighbour_graph,
)
from sfumato.inference import (
    Seen,
    coupled_mixture,
    forked_rng,
    joint_of_views,
    map_blocks,
    posterior_means,
    see,
)
from sfumato.nn import ImageShape, Recogniser
from sfumato.objectives import CoupledELBO, Deformation
from sfumato.training import AssignedRows, Engine, History, Rows, Trainer, phase_of

Build = Callable[[int], Any]
# Neighbours are first looked for among so many principal components of the rows.
N_PRINCIPAL = 30
# Components that each cluster begins with, where nobody says how many.
N_SUBCOMPONENTS = 8
# Each of the components that a cluster begins with has so many rows or more.
ROWS_PER_COMPONENT = 40
# gamma: what the recogniser weighs beside the code.
DISTILLATION = 20.0
# What neighbours count beside two views of a row, where components are merged: what a view is
# taken for was taught, who is a neighbour was not.
NEIGHBOURS_WEIGHT = 2.0


@dataclass(frozen=True)
class Plan:
    """What the phases of one fit share.

    Attributes
    ----------
    rows : Rows
    trainer : Trainer
        Of all rounds together.
    engine : Engine
    description : dict or None
        Stored with checkpoints.
    seed : int
    n_clusters : int
    n_subcomponents : int
        Components that each cluster begins with.
    n_init : int
        Starts of the coupled mixture.
    coupling : Coupling
    deformation : Deformation or None
    image_shape : (channels, height, width) or None
    rounds : (int, int)
        Rounds of training before and after components are merged.
    """

    rows: Rows
    trainer: Trainer
    engine: Engine
    description: dict[str, Any] | None
    seed: int
    n_clusters: int
    n_subcomponents: int
    n_init: int
    coupling: Coupling
    deformation: Deformation | None
    image_shape: ImageShape | None
    rounds: tuple[int, int]

    @property
    def n_components(self) -> int:
        """How many components the mixture begins with."""
        return n_components_of(len(self.rows), self.n_clusters, self.n_subcomponents)

    @property
    def view(self) -> Any:
        """The deformation of a batch of rows, or None where rows are no images."""
        if self.deformation is None or self.image_shape is None:
            return None
        return partial(self.deformation, image_shape=self.image_shape)

    def phase(self, name: str, share: int = 1) -> Trainer:
        """Return the trainer of one phase that has 1 / share of the epochs."""
        return phase_of(self.trainer, name, share)


def n_components_of(n_rows: int, n_clusters: int, n_subcomponents: int) -> int:
    """Return how many components a mixture of more components than clusters begins with.

    Examples
    --------
    >>> n_components_of(70_000, 10, 8), n_components_of(300, 10, 8)
    (80, 10)
    """
    most = n_rows // ROWS_PER_COMPONENT
    return max(n_clusters, min(n_clusters * n_subcomponents, most))


def coupled_clusters(codes: Tensor, rows: Rows, n_clusters: int, seed: int) -> np.ndarray:
    """Return clusters of codes by a coupled mixture whose components are merged, shape (n,)."""
    coupling = Coupling()
    graph = neighbour_graph(principal_points(rows), coupling.n_neighbors)
    n_components = n_components_of(len(rows), n_clusters, N_SUBCOMPONENTS)
    with forked_rng(seed):
        r = coupled_mixture(
            codes, graph, n_components, strength=coupling.strength, seed=seed
        ).responsibilities
    groups = merge_components(r.T @ (graph @ r), n_clusters, seed)
    labels: np.ndarray = (r @ np.eye(n_clusters)[groups]).argmax(axis=1)
    return labels


@dataclass
class State:
    """Posterior of the labels of all rows, and how it came about.

    Attributes
    ----------
    responsibilities : ndarray, shape (n, K)
    graph : symmetric matrix, shape (n, n)
        Neighbours as they stand.
    first_graph : symmetric matrix, shape (n, n)
        Neighbours by the rows themselves.
    points : Tensor, shape (n, l), or None
        Where the rows lie, for the neighbours of new ones; None before the first round.
    bound : float
        Coupled bound in nats.
    """

    responsibilities: np.ndarray
    graph: Any
    first_graph: Any
    points: Tensor | None
    bound: float


def principal_points(rows: Rows) -> np.ndarray:
    """Return the rows' first principal components, shape (n, at most 30)."""
    x = rows[slice(None)].cpu().numpy()
    n = min(N_PRINCIPAL, *x.shape)
    # Rows that are all alike have no variance to explain a share of.
    with np.errstate(invalid="ignore"):
        points: np.ndarray = PCA(n, svd_solver="covariance_eigh").fit_transform(x)
    return points


def start(codes: Tensor, plan: Plan) -> State:
    """Fit coupled mixtures to the codes, and keep the one with the highest bound."""
    graph = neighbour_graph(principal_points(plan.rows), plan.coupling.n_neighbors)
    fits = (
        coupled_mixture(
            codes.cpu(),
            graph,
            plan.n_components,
            strength=plan.coupling.strength,
            seed=plan.seed + i,
        )
        for i in range(plan.n_init)
    )
    best = max(fits, key=lambda fit: fit.bounds[-1])
    return State(best.responsibilities, graph, graph, None, best.bounds[-1])


def train_rounds(
    build: Build, begin: Callable[[Any], None], codes: Tensor, plan: Plan
) -> tuple[Any, History, State]:
    """Train a model of more components than clusters, merge these, and train on.

    Parameters
    ----------
    build : callable (n_components) -> model
    begin : callable (model) -> None
        Gives a new model the weights of the pre-training.
    codes : Tensor, shape (n, latent_dim)
        Of the pre-training.
    plan : Plan

    Returns
    -------
    model, in evaluation mode, History, and State after the last round
    """
    state = start(codes, plan)
    model = build(state.responsibilities.shape[1]).to(plan.engine.device)
    begin(model)
    initialise(model, state, plan)
    records: list[Any] = []
    total = sum(plan.rounds)
    over = plan.rounds[0] if plan.n_components > plan.n_clusters else 0
    for number in range(total):
        if number == over:
            model = merged(build, model, state, plan)
        history = train_round(model, state, plan, number, total)
        records += _renumbered(history, len(records))
        state = assign(model, plan, state)
    if total == over:
        model = merged(build, model, state, plan)
    return model.eval(), History(records), state


def train_round(model: Any, state: State, plan: Plan, number: int, total: int) -> History:
    """Train all networks on the labels' posterior as it stands."""
    r, graph = state.responsibilities, state.graph
    rows = AssignedRows(plan.rows, _tensor(r), _tensor(disagreement(r, graph)))
    objective = CoupledELBO(
        DISTILLATION,
        plan.coupling.strength * (1 + DISTILLATION),
        plan.deformation,
        plan.image_shape,
    )
    return plan.phase(f"round-{number + 1}", total).fit(
        model,
        objective,
        rows,
        seed=plan.seed + number,
        description=plan.description,
        engine=plan.engine,
    )


def assign(model: Any, plan: Plan, state: State) -> State:
    """Recompute the neighbours, by what the recogniser sees, and the labels' posterior."""
    joined = map_blocks(lambda block: see(model, block, DISTILLATION).joined(), plan.rows)
    seen = Seen.of(joined, state.responsibilities.shape[1])
    graph = neighbour_graph(seen.points.cpu().numpy(), plan.coupling.n_neighbors)
    evidence = seen.evidence.double().cpu().numpy()
    r = mean_field(evidence, graph, plan.coupling.strength, max_sweeps=5)
    bound = coupled_bound(r, evidence, graph, plan.coupling.strength)
    return State(r, graph, state.first_graph, seen.points, bound)


def merged(build: Build, model: Any, state: State, plan: Plan) -> Any:
    """Return the model with its components merged to clusters; the state is changed to match."""
    r = state.responsibilities
    if r.shape[1] == plan.n_clusters:
        return model
    joint = joint_of_components(model, state, plan)
    groups = merge_components(joint, plan.n_clusters, plan.seed)
    state.responsibilities = r @ np.eye(plan.n_clusters)[groups]
    new = build(plan.n_clusters).to(plan.engine.device)
    own, old = new.state_dict(), model.state_dict()
    # Everything that does not count components is kept.
    new.load_state_dict(
        {name: old[name] if old[name].shape == own[name].shape else own[name] for name in own}
    )
    initialise(new, state, plan)
    return new


def initialise(model: Any, state: State, plan: Plan) -> None:
    """Set the model's mixture by its codes and the labels' posterior."""
    codes = posterior_means(model, plan.rows)
    variance = map_blocks(lambda block: model.encoder(block).variance, plan.rows)
    model.initialise(codes, _tensor(state.responsibilities).to(codes), variance)


def joint_of_components(model: Any, state: State, plan: Plan) -> np.ndarray:
    """Return how often the two ends of an edge have two components: neighbours, or two views."""
    r = state.responsibilities
    # Not the neighbours as they stand: the recogniser was taught to tell components apart, and has
    # drawn those of one cluster away from each other.
    table = r.T @ (state.first_graph @ r)
    neighbours: np.ndarray = table / max(table.sum(), 1e-300)
    # Before the first round a recogniser has nothing to say of views.
    if plan.view is None or not plan.rounds[0] or not isinstance(model.recogniser, Recogniser):
        return neighbours
    views = joint_of_views(model.recogniser, plan.rows, plan.view, plan.seed)
    return NEIGHBOURS_WEIGHT * neighbours + views


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).float()


def _renumbered(history: History, n_before: int) -> list[Any]:
    return [record | {"epoch": record["epoch"] + n_before} for record in history.records]
