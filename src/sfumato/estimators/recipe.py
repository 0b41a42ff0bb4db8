"""How a mixture model is trained, as an argument: coupled labels, or the published way."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from sfumato.checks import check_choice, check_count, object_of
from sfumato.coupling import (
    Coupling,
    coupled_bound,
    disagreement,
    edge_information,
    grouped,
    mean_field,
    merge_by_modularity,
    merge_components,
    neighbour_graph,
)
from sfumato.data import tell
from sfumato.estimators.base import UNKNOWN
from sfumato.estimators.fit import Fit
from sfumato.estimators.pretraining import Pretraining, codes_of, take_over
from sfumato.estimators.principal import principal_points
from sfumato.inference import (
    LabelEvidence,
    RowSource,
    coupled_mixture,
    joint_of_views,
    label_evidence,
    map_blocks,
    map_float64,
    posterior_means,
)
from sfumato.nn import Deformation, ImageShape, Recogniser
from sfumato.noise import Noise
from sfumato.objectives import Objective, PenalisedBound
from sfumato.partitions import (
    Candidate,
    Choice,
    CoupledStarts,
    Gaussians,
    Labelling,
    Number,
    SimpleModels,
    UnknownNumber,
    joined_table,
    number_of_clusters,
    rare_groups,
)
from sfumato.training import History, LabelledRows

# Components that each cluster starts with, where nobody says how many, and rows that each has.
N_SUBCOMPONENTS, ROWS_PER_COMPONENT = 8, 40
# Starts of the coupled mixture that DEC and DCN begin with, and rows that all see together.
MOST_STARTS, ROWS_OF_STARTS = 5, 50_000
# Clusters that components are made for, where nobody says how many there are.
N_CLUSTERS = 10
# Rows by which the number of clusters is found, where not all rows are labelled first.
ROWS_OF_NUMBER = 5000
# Rows up to which, and columns up to which, the simple models see them all.
MOST_ROWS, MOST_COLUMNS = 20_000, 40
# Settings of the long way, as they are by default.
LONG_WAY = {
    "coupling": "neighbours",
    "n_subcomponents": N_SUBCOMPONENTS,
    "n_init": 1,
    "merging": "information",
}
# gamma: weight of the recogniser, relative to that of the code.
DISTILLATION = 20.0


class Trained(NamedTuple):
    """What a recipe gives."""

    model: Any
    history: History
    points: Tensor | None = None
    """Where the training rows lie as neighbours of new ones, shape (n, l)."""
    responsibilities: Tensor | None = None
    """Posterior of their labels, shape (n, K)."""
    gaussians: Gaussians | None = None
    """What tells new rows apart, where Gaussians told the training rows."""
    agreement: float = 1.0
    """Share of the training rows whose nearest other rows have their label."""
    number: Number | None = None
    """How many clusters were found, where the recipe was to find them."""


@dataclass(frozen=True)
class MixtureTask:
    """A mixture model to be trained.

    Attributes
    ----------
    fit : Fit
    n_clusters : int or None
        None where the recipe has to find it.
    build : callable (n_components) -> model
    objective : Objective
        The published bound.
    pretraining : Pretraining
        The autoencoder that the model may continue.
    pretrain_in_paper_recipe : bool
        Whether the paper starts from an autoencoder's codes.
    labelled : Candidate, optional
        Labels that the networks are taught, where the rows were labelled first.
    """

    fit: Fit
    n_clusters: int | None
    build: Callable[[int], Any]
    objective: Objective
    pretraining: Pretraining
    pretrain_in_paper_recipe: bool
    labelled: Candidate | None = None

    @property
    def known_number(self) -> int:
        """How many clusters there are, for a recipe that does not find it."""
        if self.n_clusters is None:
            raise ValueError("This recipe must be told the number of clusters.")
        return self.n_clusters


class Recipe(BaseEstimator, ABC):
    """How a mixture model is trained.

    Attributes
    ----------
    averages : bool
        The mixture averages its statistics over batches.
    """

    averages: ClassVar[bool] = True

    pretrained: Any
    deformation: Deformation | str | None
    n_init: int

    @property
    def recognises(self) -> bool:
        """Whether the model has a recogniser q(c|x)."""
        return False

    @property
    def coupling_(self) -> Coupling:
        """The coupling of neighbours' labels: none."""
        return Coupling(strength=0.0)

    @property
    def finds_number(self) -> bool:
        """Whether training itself finds how many clusters pictures have."""
        return False

    def labelling_for(self, image_shape: ImageShape | None, n_rows: int) -> Labelling | None:
        """Return what labels such rows first; None: the model labels them as it is trained."""
        return None

    @abstractmethod
    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            Naming the setting and what it takes.
        """

    @abstractmethod
    def starts_pretrained(self, pretrain_in_paper_recipe: bool) -> bool:
        """Return whether a fit starts with an autoencoder."""

    @abstractmethod
    def train(self, task: MixtureTask) -> Trained:
        """Train the model."""


class Published(Recipe):
    """Train by the published bound alone, every row alone.

    Parameters
    ----------
    objective : MixtureELBO or GMVAEBound, optional
        By default the paper's.
    n_init : int
        Starts, of which the one with the lowest loss is kept.
    pretrained : Autoencoder or StackedAutoencoder, optional
        A fitted one to start from, for models whose paper starts from codes.
    """

    averages = False
    # The papers' autoencoders see the rows as they are.
    deformation = None

    def __init__(
        self, objective: Objective | None = None, n_init: int = 1, pretrained: Any = None
    ) -> None:
        self.objective = objective
        self.n_init = n_init
        self.pretrained = pretrained

    def validate(self) -> None:
        """Check the settings."""
        check_count("n_init", self.n_init)

    def starts_pretrained(self, pretrain_in_paper_recipe: bool) -> bool:
        """Return whether the paper starts from codes."""
        return pretrain_in_paper_recipe

    def train(self, task: MixtureTask) -> Trained:
        """Train from several starts and keep the best."""
        if self.pretrained is not None and not task.pretrain_in_paper_recipe:
            raise ValueError(
                "pretrained has no effect here: as published, this model is trained from scratch."
            )
        fits = [self._train_once(task, start) for start in range(self.n_init)]
        return min(fits, key=lambda trained: trained.history.records[-1]["loss"])

    def _train_once(self, task: MixtureTask, start: int) -> Trained:
        fit, seed = task.fit, task.fit.seed + start
        noise = Noise(seed)
        with noise:
            model = task.build(task.known_number)
        if task.pretrain_in_paper_recipe:
            self._start_from_codes(model, task, seed, noise)
        history = fit.phase(f"start-{start + 1}", model, task.objective, seed=seed)
        return Trained(model, history)

    def _start_from_codes(self, model: Any, task: MixtureTask, seed: int, noise: Noise) -> None:
        autoencoder = task.pretraining.model(task.fit)
        codes = codes_of(autoencoder, task.fit)
        take_over(model, autoencoder, float(codes.std()))
        with noise:
            mixture = coupled_mixture(codes.cpu(), None, task.known_number, strength=0.0, seed=seed)
        model.initialise(codes, torch.from_numpy(mixture.responsibilities).to(codes))


class Coupled(Recipe):
    r"""Codes, neighbours, a coupled mixture of more components than clusters, and rounds of both.

    Tables of up to 20,000 rows are labelled first: the best of several simple labellings is chosen
    without labels (:class:`~sfumato.partitions.SimpleModels`), the model is taught it, and new rows
    go by their neighbours. Other rows take the long way:

    An autoencoder's codes are clustered by a mixture whose labels are coupled between nearest
    neighbours. Rounds of joint training follow, with a recogniser q(c|x) that learns from images
    slightly deformed; between them the components are merged to clusters, without labels.

    Parameters
    ----------
    coupling : "neighbours", Coupling, or None
        Prior that makes neighbours share a label; None leaves every row alone.
    n_subcomponents : int
        Components that each cluster starts with, where there are 40 rows or more for each.
    rounds : (int, int)
        Rounds of joint training before and after components are merged.
    n_init : int
        Starts of the coupled mixture, of which the one with the highest bound is kept.
    pretrained : Autoencoder or StackedAutoencoder, optional
        A fitted one to start from, with the same code, layers and scaling.
    deformation : "auto", Deformation, or None
        Under which an image keeps its label; "auto" deforms images a little. New rows are seen in
        four of them.
    merging : "information" or "modularity"
        What components are merged by: the information that the ends of an edge have of each other,
        or modularity, which lets clusters differ much in size.
    first : "auto", "codes", "rows" or Labelling
        What the first mixture is fitted to: the autoencoder's codes, or the rows' first principal
        components. A labelling takes the place of all mixtures; "auto" is ``SimpleModels()`` for
        tables where the other settings are the default ones, else "codes".

    Examples
    --------
    >>> Coupled(rounds=(0, 0)).recognises
    False
    """

    def __init__(
        self,
        coupling: Coupling | str | None = "neighbours",
        n_subcomponents: int = N_SUBCOMPONENTS,
        rounds: tuple[int, int] = (2, 2),
        n_init: int = 1,
        pretrained: Any = None,
        deformation: Deformation | str | None = "auto",
        merging: str = "information",
        first: Labelling | str = "auto",
    ) -> None:
        self.coupling = coupling
        self.n_subcomponents = n_subcomponents
        self.rounds = rounds
        self.n_init = n_init
        self.pretrained = pretrained
        self.deformation = deformation
        self.merging = merging
        self.first = first

    @property
    def recognises(self) -> bool:
        """Whether there is a round in which a recogniser learns."""
        return sum(self.rounds) > 0

    @property
    def coupling_(self) -> Coupling:
        """The coupling of neighbours' labels."""
        if isinstance(self.coupling, Coupling):
            return self.coupling
        check_choice("coupling", str(self.coupling), ["neighbours", "None"])
        return Coupling() if self.coupling == "neighbours" else Coupling(strength=0.0)

    def validate(self) -> None:
        """Check the settings."""
        for name in ("n_subcomponents", "n_init"):
            check_count(name, getattr(self, name))
        check_choice("merging", self.merging, ["information", "modularity"])
        if not isinstance(self.first, Labelling):
            check_choice("first", self.first, ["auto", "codes", "rows"])
        if len(self.rounds) != 2 or min(self.rounds) < 0:
            raise ValueError(
                f"rounds must be two whole numbers, neither negative, got {self.rounds!r}."
            )
        _ = self.coupling_

    def starts_pretrained(self, pretrain_in_paper_recipe: bool) -> bool:
        """Return True."""
        return True

    def labelling_for(self, image_shape: ImageShape | None, n_rows: int) -> Labelling | None:
        """Return what labels such rows first."""
        if isinstance(self.first, Labelling):
            return self.first
        # Whoever says how the mixture is to be fitted wants it fitted.
        long = any(getattr(self, name) != value for name, value in LONG_WAY.items())
        simple = self.first == "auto" and image_shape is None and n_rows <= MOST_ROWS
        return SimpleModels() if simple and not long else None

    @property
    def finds_number(self) -> bool:
        """Whether components are joined by what a recogniser says of views, too."""
        return self.rounds[0] > 0 and self.deformation is not None

    def train(self, task: MixtureTask) -> Trained:
        """Train the model, on labels where the rows have some."""
        return self._discover(task) if task.labelled is None else self._teach(task, task.labelled)

    def _teach(self, task: MixtureTask, labelled: Candidate) -> Trained:
        """Train a model on labels."""
        fit = task.fit
        seen = fit.points[slice(None)].cpu()
        autoencoder = task.pretraining.model(fit)
        with Noise(fit.seed):
            model = task.build(task.known_number).to(fit.engine.device)
        take_over(model, autoencoder, float(codes_of(autoencoder, fit).std()))
        r = labelled.responsibilities
        initialise(model, r, fit)
        records: list[Any] = []
        if sum(self.rounds):
            rows = LabelledRows(fit.rows, _tensor(r), torch.zeros(len(r)))
            records = fit.phase("round-1", model, PenalisedBound(0.0, 0.0), rows).records
        gaussians = labelled.gaussians if seen.shape[1] <= MOST_COLUMNS else None
        return Trained(model.eval(), History(records), seen, _tensor(r), gaussians)

    def _discover(self, task: MixtureTask) -> Trained:
        """Train a model of more components than clusters, merge these, and train on."""
        autoencoder = task.pretraining.model(task.fit)
        codes = codes_of(autoencoder, task.fit)
        # One stream for all that is drawn between the phases.
        noise = Noise(task.fit.seed)
        state = self._fit_initial_mixture(codes, task, noise)
        with noise:
            model = task.build(state.n_components).to(task.fit.engine.device)
        take_over(model, autoencoder, float(codes.std()))
        initialise(model, state.responsibilities, task.fit)
        records: list[Any] = []
        found: Number | None = None
        for number in range(sum(self.rounds)):
            if number == self._merging_round(task):
                model, state, found = self._merge_to_clusters(model, state, task, noise)
            history = self._train_round(model, state, task, number)
            records += _renumbered(history, len(records))
            state = self._update_labels(model, state, task.fit)
        if self._merging_round(task) == sum(self.rounds):
            model, state, found = self._merge_to_clusters(model, state, task, noise)
        points = state.points
        if points is None:
            points = evidence_alone(model, task.fit.rows, state.n_components).points
        r = torch.from_numpy(state.responsibilities).to(points)
        agreement = state.agreement_of_rows()
        history = History(records)
        return Trained(model.eval(), history, points, r, agreement=agreement, number=found)

    def _merging_round(self, task: MixtureTask) -> int:
        n = self._n_components(task)
        return self.rounds[0] if task.n_clusters is None or n > task.n_clusters else 0

    def _n_components(self, task: MixtureTask) -> int:
        n_clusters = N_CLUSTERS if task.n_clusters is None else task.n_clusters
        return n_components_of(len(task.fit.rows), n_clusters, self.n_subcomponents)

    def _fit_initial_mixture(self, codes: Tensor, task: MixtureTask, noise: Noise) -> "Labels":
        """Fit coupled mixtures to the codes, and keep the one with the highest bound."""
        coupling = self.coupling_
        principal = principal_points(task.fit.seen)
        graph = neighbour_graph(principal, coupling.n_neighbors)
        n = self._n_components(task)
        points = codes if self.first != "rows" else _unit(torch.from_numpy(principal))
        with noise:
            fits = [
                coupled_mixture(
                    points.cpu(), graph, n, strength=coupling.strength, seed=task.fit.seed + i
                )
                for i in range(self.n_init)
            ]
        best = max(fits, key=lambda fit: fit.bounds[-1])
        return Labels(best.responsibilities, graph, graph, None, best.bounds[-1])

    def _train_round(self, model: Any, state: "Labels", task: MixtureTask, number: int) -> History:
        """Train all networks on the labels' posterior as it stands."""
        r, graph, fit = state.responsibilities, state.graph, task.fit
        rows = LabelledRows(fit.rows, _tensor(r), _tensor(disagreement(r, graph)))
        strength = self.coupling_.strength * (1 + DISTILLATION)
        return fit.phase(
            f"round-{number + 1}",
            model,
            PenalisedBound(DISTILLATION, strength, fit.view),
            rows,
            share=sum(self.rounds),
            seed=fit.seed + number,
        )

    def _update_labels(self, model: Any, state: "Labels", fit: Fit) -> "Labels":
        """Recompute the neighbours, by what the recogniser sees, and the labels' posterior."""
        coupling = self.coupling_
        found = _evidence_of(model, state, fit)
        graph = neighbour_graph(found.points.cpu().numpy(), coupling.n_neighbors)
        evidence = found.evidence.double().cpu().numpy()
        r = mean_field(evidence, graph, coupling.strength, max_sweeps=5)
        bound = coupled_bound(r, evidence, graph, coupling.strength)
        return Labels(r, graph, state.first_graph, found.points, bound)

    def _merge_to_clusters(
        self, model: Any, state: "Labels", task: MixtureTask, noise: Noise
    ) -> tuple[Any, "Labels", Number | None]:
        """Return model and labels with the components merged to clusters, and why to so many."""
        if state.n_components == task.n_clusters:
            return model, state, None
        neighbours, views = state.edges_of_rows(), self._edges_of_views(model, task.fit)
        found = None
        if task.n_clusters is None and views is not None:
            labels = state.responsibilities.argmax(axis=1)
            found = number_of_clusters(neighbours, views, labels, task.fit.seed)
        n_clusters = task.known_number if found is None else found.n_clusters
        joint = neighbours if views is None else joined_table(neighbours, views)
        merged = state.merged(self._groups(joint, n_clusters, task.fit.seed), n_clusters)
        with noise:
            new = task.build(n_clusters).to(task.fit.engine.device)
        own, old = new.state_dict(), model.state_dict()
        # Everything that does not count components is kept.
        new.load_state_dict(
            {name: old[name] if old[name].shape == own[name].shape else own[name] for name in own}
        )
        initialise(new, merged.responsibilities, task.fit)
        return new, merged, found

    def _groups(self, joint: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
        """Return the cluster of every component."""
        if self.merging == "modularity":
            return merge_by_modularity(joint, n_clusters)
        return merge_components(joint, n_clusters, seed)

    def _edges_of_views(self, model: Any, fit: Fit) -> np.ndarray | None:
        """Return how often two views of a row have two components, shape (m, m)."""
        # Before the first round a recogniser has nothing to say of views.
        if fit.view is None or not self.rounds[0] or not isinstance(model.recogniser, Recogniser):
            return None
        return joint_of_views(model.recogniser, fit.rows, fit.view, fit.seed)


RECIPES: dict[str, type[Recipe]] = {
    "default": Coupled,
    "coupled": Coupled,
    "published": Published,
    "paper": Published,
    "report": Published,
}


# Counts of thousands of things, such as genes in cells: kinds of cells differ much in size.
FOR_COUNTS = Coupled(first=CoupledStarts())


def recipe_of(value: Any) -> Recipe:
    """Return the recipe that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    return object_of(Recipe, value, RECIPES)


@dataclass(frozen=True)
class Labels:
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

    @property
    def n_components(self) -> int:
        """How many components there are."""
        return int(self.responsibilities.shape[1])

    def agreement_of_rows(self) -> float:
        """Return the share of rows whose nearest rows, by the rows themselves, have their label."""
        votes = self.first_graph @ self.responsibilities
        return float((votes.argmax(axis=1) == self.responsibilities.argmax(axis=1)).mean())

    def edges_of_rows(self) -> np.ndarray:
        """Return the weight of edges between components, by neighbours among the rows.

        Not by the neighbours as they stand: the recogniser was taught to tell components apart, and
        has drawn those of one cluster away from each other.
        """
        r = self.responsibilities
        table: np.ndarray = r.T @ (self.first_graph @ r)
        return table / max(table.sum(), 1e-300)

    def merged(self, groups: np.ndarray, n_clusters: int) -> "Labels":
        """Return the labels of groups of components."""
        r = self.responsibilities @ np.eye(n_clusters)[groups]
        return Labels(r, self.graph, self.first_graph, self.points, self.bound)


def n_components_of(n_rows: int, n_clusters: int, n_subcomponents: int) -> int:
    """Return how many components a mixture of more components than clusters starts with.

    Examples
    --------
    >>> n_components_of(70_000, 10, 8), n_components_of(300, 10, 8)
    (80, 10)
    """
    most = n_rows // ROWS_PER_COMPONENT
    return max(n_clusters, min(n_clusters * n_subcomponents, most))


class JoinedStart(NamedTuple):
    """A coupled mixture of codes, and its components joined to clusters."""

    responsibilities: np.ndarray
    of_rows: np.ndarray
    """Edges between components, by neighbours among the rows, shape (m, m)."""
    of_codes: np.ndarray
    """The same by neighbours among the codes."""
    groups: np.ndarray
    information: float
    """What labels at the two ends of an edge tell of each other, in nats."""


def coupled_clusters(
    codes: Tensor, rows: RowSource, n_clusters: int | None, seed: int
) -> tuple[np.ndarray, Number | None]:
    """Return clusters of codes, shape (n,), and how many were found where nobody says.

    They are the components of a coupled mixture, merged by neighbours among the rows and among the
    codes, by which the autoencoder sees likeness; of few rows the best of several starts. The
    number is that at which the two kinds of neighbours agree.
    """
    coupling, wanted = Coupling(), N_CLUSTERS if n_clusters is None else n_clusters
    graphs = [
        neighbour_graph(points, coupling.n_neighbors)
        for points in (principal_points(rows), codes.numpy())
    ]
    n_starts = max(1, min(MOST_STARTS, ROWS_OF_STARTS // len(rows)))
    starts = [joined_start(codes, graphs, wanted, seed + start) for start in range(n_starts)]
    best = max(starts, key=lambda start: start.information)
    r, groups, number = best.responsibilities, best.groups, None
    if n_clusters is None:
        number = number_of_clusters(best.of_rows, best.of_codes, r.argmax(axis=1), seed)
        joint = joined_table(best.of_rows, best.of_codes)
        wanted = number.n_clusters
        groups = merge_components(joint, wanted, seed)
    labels: np.ndarray = (r @ np.eye(wanted)[groups]).argmax(axis=1)
    return labels, number


def joined_start(codes: Tensor, graphs: list[Any], n_clusters: int, seed: int) -> JoinedStart:
    """Fit a coupled mixture to codes, and join its components to clusters."""
    m = n_components_of(len(codes), n_clusters, N_SUBCOMPONENTS)
    with Noise(seed):
        fit = coupled_mixture(codes, graphs[0], m, strength=Coupling().strength, seed=seed)
    r = fit.responsibilities
    of_rows, of_codes = (r.T @ (graph @ r) for graph in graphs)
    joint = joined_table(of_rows, of_codes)
    groups = merge_components(joint, n_clusters, seed)
    information = edge_information(grouped(joint, groups, n_clusters))
    return JoinedStart(r, of_rows, of_codes, groups, information)


def number_by_some(fit: Fit) -> Number:
    """Find how many clusters rows have by some of them, evenly spaced."""
    some = slice(0, None, -(-len(fit.rows) // ROWS_OF_NUMBER))
    points = points_of(fit.points[some])
    return UnknownNumber(SimpleModels()).find(points, fit.seed, levels_of(points, fit))[2]


def label_rows(
    labelling: Labelling, n_clusters: Any, fit: Fit
) -> tuple[Candidate, Choice, Number | None]:
    """Return the labels of rows, and why; with "auto" how many clusters there are, too."""
    points, number = points_of(fit.points), None
    if n_clusters in UNKNOWN:
        levels = levels_of(points, fit)
        labelled, choice, number = UnknownNumber(labelling).find(points, fit.seed, levels)
    else:
        labelled, choice = labelling.choose(points, int(n_clusters), fit.seed)
    tell_of_empty(labelled)
    tell_of_rare(points, labelled.labels)
    return labelled, choice, number


def tell_of_empty(labelled: Candidate) -> None:
    """Say how many clusters have no row."""
    n_clusters = labelled.responsibilities.shape[1]
    empty = n_clusters - len(np.unique(labelled.labels))
    if empty:
        have = "has" if empty == 1 else "have"
        tell(f"{empty} of {n_clusters} clusters {have} no row: ask for fewer, or for 'auto'.")


def tell_of_rare(points: np.ndarray, labels: np.ndarray) -> None:
    """Say which rows may be a rare cluster that a larger one has swallowed."""
    groups = rare_groups(points, labels)
    if not groups:
        return
    told = [
        f"{len(rows)} rows of cluster {labels[rows[0]]} ({', '.join(map(str, rows[:3]))}, ...)"
        for rows in groups
    ]
    tell(
        f"Rows that lie apart from all others of their cluster may be rare clusters of their own: "
        f"{'; '.join(told)}."
    )


def levels_of(points: np.ndarray, fit: Fit) -> np.ndarray | None:
    """Return which columns of points have few values; None of principal components."""
    few = fit.of_levels
    return few if points.shape[1] == len(few) else None


def points_of(rows: RowSource) -> np.ndarray:
    """Return rows as points that can be labelled; of many columns the principal components."""
    width = rows[slice(0, 1)].shape[1]
    if width > MOST_COLUMNS:
        return np.asarray(_unit(torch.from_numpy(principal_points(rows))), dtype=np.float64)
    return rows[slice(None)].cpu().double().numpy()


def initialise(model: Any, responsibilities: np.ndarray, fit: Fit) -> None:
    """Set the model's mixture by its codes and the labels' posterior."""
    codes = posterior_means(model, fit.rows)
    variance = map_blocks(lambda block: model.encoder(block).variance, fit.rows)
    model.initialise(codes, _tensor(responsibilities).to(codes), variance)


def evidence_alone(model: Any, x: RowSource, n_components: int) -> LabelEvidence:
    """Return the evidence for every label of rows without neighbours, each row independently.

    Without a recogniser that is q(c|z) at the mean of the code.
    """

    def joined(model: Any, block: Tensor) -> Tensor:
        if model.recogniser is None:
            return LabelEvidence(model.log_class(block), model.encoder(block).mean).joined()
        return label_evidence(model, block, DISTILLATION).joined()

    return LabelEvidence.of(map_float64(joined, model, x).cpu(), n_components)


def _evidence_of(model: Any, state: Labels, fit: Fit) -> LabelEvidence:
    def joined(block: Tensor) -> Tensor:
        return label_evidence(model, block, DISTILLATION).joined()

    return LabelEvidence.of(map_blocks(joined, fit.rows), state.n_components)


def _unit(points: Tensor) -> Tensor:
    """Return points in units of their common deviation."""
    return points / points.std().clamp_min(1e-12)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).float()


def _renumbered(history: History, n_before: int) -> list[Any]:
    return [record | {"epoch": record["epoch"] + n_before} for record in history.records]
