"""Base of the estimators of mixture models: clusters and codes."""

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import softmax
from torch import nn

from sfumato.estimators.base import (
    CLUSTERS,
    CODES,
    DENSITY,
    GENERATES,
    IMPUTES,
    UNKNOWN,
    TabularEstimator,
)
from sfumato.estimators.capabilities import (
    Clusters,
    Decodes,
    HasDensity,
    HasLikelihood,
    Imputes,
    SamplesComponents,
    SoftClusters,
    check_clusters,
    component_pictures,
    sampled_likelihood,
    warn_of_collapse,
)
from sfumato.estimators.deforming import DeformsPictures
from sfumato.estimators.fit import Fit, fixed_views, values_alone
from sfumato.estimators.memory import GaussianMemory, Memory, MemoryShape, empty_memory
from sfumato.estimators.pretraining import Pretraining, StartsFromCodes
from sfumato.estimators.recipe import (
    FOR_COUNTS,
    MixtureTask,
    Recipe,
    Trained,
    evidence_alone,
    label_rows,
    number_by_some,
    recipe_of,
)
from sfumato.inference import LikelihoodEstimate, RowSource, diagnose_mixture, map_blocks
from sfumato.likelihoods import Likelihood, Loss, likelihood_of
from sfumato.models import LatentVariableModel
from sfumato.nn import Family, Recogniser, backbone_of, chained
from sfumato.noise import Noise
from sfumato.partitions import Candidate
from sfumato.scaling import Scaler
from sfumato.training import MinSteps, Optimizer, Rows

# Former arguments that belong to the recipe.
RECIPE = dict.fromkeys(
    ("objective", "coupling", "n_subcomponents", "rounds", "n_init", "pretrained", "deformation"),
    "recipe",
)
# Logits are divided by no more than this.
MOST_TEMPERATURE = 1e3
# Rows that are diagnosed after a fit.
MOST_DIAGNOSED = 1000
# The trainer of clusters, unless one is given.
CLUSTER_TRAINER = {
    "max_epochs": 30,
    "min_steps": MinSteps(2400, 4 / 3),
    "batch_size": 256,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "optimizer": Optimizer(averaging=0.0),
}


class MixtureEstimator(
    HasLikelihood,
    Imputes,
    Decodes,
    SamplesComponents,
    HasDensity,
    SoftClusters,
    Clusters,
    StartsFromCodes,
    DeformsPictures,
    TabularEstimator,
):
    """A latent-variable model with a discrete cause: codes, clusters and samples of each.

    A subclass builds the model (:meth:`build`) and names the published bound (``_objective``).
    """

    operations = CODES | CLUSTERS | DENSITY | GENERATES | IMPUTES
    clusters_named = "n_components"
    resolvers = {
        "backbone": backbone_of,
        "likelihood": likelihood_of,
        "recipe": recipe_of,
    }
    shows = (component_pictures,)
    stored = (
        "likelihood_",
        "deforms_",
        "taught_",
        "memory_shape_",
        "temperature_",
        "n_found_",
        "choice_",
        "number_",
    )
    trained_in_phases = True
    trainer_defaults = CLUSTER_TRAINER
    homes = {"activation": "backbone", **RECIPE}
    # Whether the paper starts from an autoencoder's codes.
    pretrain_in_paper_recipe: ClassVar[bool] = False

    n_components: int | str | None
    recipe: Recipe | str
    likelihood: Likelihood | str

    memory_shape_: MemoryShape | None
    taught_: bool = False
    # What the logits of the labels are divided by, so that rows are as sure as they are right.
    temperature_: float = 1.0
    # Choice or None: whoever knows that there is one need not ask.
    choice_: Any = None

    @abstractmethod
    def build(self, n_components: int) -> Any:
        """Build the untrained model with ``n_components`` components."""

    @abstractmethod
    def _code(self) -> Family:
        """Return the family of the posterior of the code."""

    @abstractmethod
    def _check_own(self) -> None:
        """Check the parameters that the other mixture models lack."""

    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> Self:
        """Fit the model to rows X; see :meth:`TabularEstimator.fit`."""
        X = self._begin(X, columns)
        self._check_network()
        self._fit_likelihood(X)
        self.memory_shape_ = None
        self._recipe().validate()
        self._check_own()
        check_clusters("n_components", self.n_components, len(X))
        task = self._task(X)
        trained = self._recipe().train(task)
        if trained.number is not None:
            self._note_number(trained.number)
        task.fit.trainer.finish_phases()
        model = self._remembering(trained)
        r = self._training_labels(model, task.fit.rows)
        self.labels_ = r.argmax(axis=1)
        self.temperature_ = self._fitted_temperature(model, task.fit.rows, trained.agreement)
        if not self.taught_:
            # Rows may be sorted by their classes.
            some = torch.arange(0, len(X), -(-len(X) // MOST_DIAGNOSED))
            warn_of_collapse(diagnose_mixture(model, task.fit.rows[some], r[some.numpy()]))
        return self._finish(model, trained.history)

    def _given_deformation(self) -> Any:
        return self._recipe().deformation

    def _task(self, X: np.ndarray) -> MixtureTask:
        fit = self._deforming(self._start(X), self.n_components)
        recipe = self._recipe()
        labelled = self._labelled(fit)
        pretraining = Pretraining(
            self._backbone(),
            self.latent_dim,
            self.likelihood_.pretraining(),
            self._code(),
            self.scaling_,
            recipe.pretrained,
        )
        return MixtureTask(
            fit,
            self.n_clusters_,
            self.build,
            self._objective(),
            pretraining,
            self.pretrain_in_paper_recipe,
            labelled,
        )

    def _labelled(self, fit: Fit) -> Candidate | None:
        """Return the labels that the model is to be taught, and find how many clusters there are.

        None where the model finds the labels as it is trained; of pictures that keep their clusters
        when they are deformed it then finds their number, too.
        """
        recipe = self._recipe()
        # Pictures that must not be deformed are clustered like any other rows.
        shape = self.image_shape_ if self.deforms_ else None
        labelling = recipe.labelling_for(shape, len(fit.rows))
        self.taught_ = labelling is not None
        if labelling is not None:
            labelled, self.choice_, number = label_rows(labelling, self.n_components, fit)
            self._note_number(number)
            # A labelling may give another number of clusters than it was asked for.
            self.n_found_ = labelled.responsibilities.shape[1]
            return labelled
        self.choice_ = None
        found_later = recipe.finds_number and fit.view is not None
        finds_early = self.n_components in UNKNOWN and not found_later
        self._note_number(number_by_some(fit) if finds_early else None)
        return None

    @property
    def n_components_(self) -> int:
        """How many components, and clusters, there are."""
        return int(self.n_clusters_ or 0)

    def _build(self) -> LatentVariableModel:
        with Noise(self.seed_):
            model: LatentVariableModel = self.build(self.n_components_)
        shape = None if self.memory_shape_ is None else MemoryShape(*self.memory_shape_)
        model.memory = empty_memory(shape, self.n_components_)
        return model

    def _remembering(self, trained: Trained) -> Any:
        """Return the trained model with the training rows, by which new ones go."""
        points, r, gaussians = trained.points, trained.responsibilities, trained.gaussians
        model = trained.model
        if points is None or r is None:
            model.memory = empty_memory(None, self.n_components_)
            return model
        kind = "neighbours" if gaussians is None else "gaussians"
        self.memory_shape_ = MemoryShape(kind, len(points), points.shape[1])
        model.memory = (
            Memory(points, r) if gaussians is None else GaussianMemory(points, r, gaussians)
        )
        return model

    def _training_labels(self, model: Any, rows: RowSource) -> np.ndarray:
        if self.memory_shape_ is not None:
            known: np.ndarray = model.memory.known
            return known
        evidence = evidence_alone(model, rows, self.n_components_).evidence
        alone: np.ndarray = softmax(evidence.double().numpy(), axis=1)
        return alone

    def _recipe(self) -> Recipe:
        counts = getattr(self.__dict__.get("likelihood_"), "counts", False)
        return FOR_COUNTS if counts and self.recipe == "default" else recipe_of(self.recipe)

    @property
    def starts_pretrained(self) -> bool:
        """Whether a fit starts with an autoencoder at all."""
        return self._recipe().starts_pretrained(self.pretrain_in_paper_recipe)

    def _first_loss(self) -> Loss:
        return likelihood_of(self.likelihood).pretraining()

    def _first_scaling(self) -> Scaler | str:
        chosen: Scaler | str = likelihood_of(self.likelihood).scaling
        return chosen

    def _parts(self, n_code: int) -> tuple[nn.Module, nn.Module, Family]:
        """Return the networks of encoder and decoder, and the family of p(x|z)."""
        family = self.likelihood_.family(self.row_width_)
        encoder, decoder = self._networks(n_code, family.n_parameters)
        return chained(*self._input_layers(), encoder), decoder, family

    def recogniser(self, n_components: int) -> Recogniser | None:
        """Build the untrained network of q(c|x), which rounds of joint training have."""
        recipe = self._recipe()
        if self.taught_ or not recipe.recognises:
            return None
        views = fixed_views(self._deformation(), self.image_shape_)
        return Recogniser(
            self.input_width_, n_components, self.image_shape_, views, self._input_layers()
        )

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        r"""Return the posterior of the label of every row, shape (n, n_components).

        .. math:: r_{ik} \propto \exp\Big(\frac1T \Big[
                  \frac{\ell_{ik} + \gamma \log q(c=k|x_i)}{1 + \gamma}
                  + \lambda \sum_{j \in N(i)} r_{jk}\Big]\Big),

        the neighbours N(i) taken from the training rows. T makes rows on average as sure as labels
        agree with those of the nearest rows by the rows themselves, which the networks, and the
        neighbours that they see, were not asked about.
        """
        if self.taught_:
            return self._by_memory(model, x)
        found = evidence_alone(model, x, self.n_components_)
        coupling = self._recipe().coupling_
        votes: float | np.ndarray = 0.0
        if coupling.strength and self.memory_shape_ is not None:
            votes = model.memory.votes(found.points, coupling.n_neighbors)
        logits = found.evidence.double().numpy() + coupling.strength * votes
        r: np.ndarray = softmax(logits / self.temperature_, axis=1)
        return r

    def _fitted_temperature(self, model: Any, rows: Rows, agreement: float) -> float:
        """Return T by some of the training rows, each left out of its neighbours."""
        coupling = self._recipe().coupling_
        if self.taught_ or not coupling.strength or self.memory_shape_ is None:
            return 1.0
        some = torch.arange(0, len(rows), -(-len(rows) // MOST_DIAGNOSED))
        found = evidence_alone(model, rows[some], self.n_components_)
        votes = model.memory.votes(found.points, coupling.n_neighbors + 1)
        votes = votes - model.memory.known[some.numpy()]
        logits = found.evidence.double().numpy() + coupling.strength * votes
        return temperature_for(logits, agreement)

    def _by_memory(self, model: Any, x: RowSource) -> np.ndarray:
        """Return the posterior of the label by what the model was taught of the training rows."""
        see = values_alone(self._input_layers()).to(self._device())
        found: np.ndarray = model.memory.posterior(map_blocks(see, x))
        return found

    def log_likelihood(self, X: Any, n_samples: int = 5000) -> LikelihoodEstimate:
        """Estimate log p(x) of every row in nats by importance sampling, with standard errors.

        Of the row alone, without neighbours. A log density in data units, or the log of a
        probability; under "bernoulli" grey rows score a lower bound of the mean over their
        binarisations.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_samples : int
            Samples of the latent variables for each row.
        """
        x = self._likely_rows(X)
        return sampled_likelihood(self, self.model_.continuous(), x, n_samples)


def temperature_for(logits: np.ndarray, confidence: float) -> float:
    """Return by what logits are divided so that the mean largest probability is a given one.

    At least 1: nothing is made surer than it is.

    Examples
    --------
    >>> logits = np.array([[0.0, 10.0], [4.0, 0.0]])
    >>> t = temperature_for(logits, 0.9)
    >>> round(float(softmax(logits / t, axis=1).max(axis=1).mean()), 6)
    0.9
    """

    def mean_confidence(temperature: float) -> float:
        return float(softmax(logits / temperature, axis=1).max(axis=1).mean())

    low, high = 1.0, MOST_TEMPERATURE
    if mean_confidence(low) <= confidence or mean_confidence(high) >= confidence:
        return low if mean_confidence(low) <= confidence else high
    return float(brentq(lambda t: mean_confidence(t) - confidence, low, high))
