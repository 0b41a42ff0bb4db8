"""Base of the estimators of mixture models: clusters and codes."""

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from sfumato.coupling import neighbour_votes
from sfumato.estimators.base import CLUSTERS, CODES, DENSITY, GENERATES, IMPUTES, TabularEstimator
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
from sfumato.estimators.fit import deformation_of, fixed_views
from sfumato.estimators.pretraining import Pretraining, StartsFromCodes
from sfumato.estimators.recipe import (
    FOR_COUNTS,
    MixtureTask,
    Recipe,
    Trained,
    evidence_alone,
    recipe_of,
)
from sfumato.inference import LikelihoodEstimate, RowSource, diagnose_mixture
from sfumato.likelihoods import Likelihood, Loss, likelihood_of
from sfumato.models import LatentVariableModel
from sfumato.nn import Deformation, Family, Recogniser, backbone_of, chained
from sfumato.noise import Noise
from sfumato.scaling import Scaler
from sfumato.training import Optimizer

# Former arguments that belong to the recipe.
RECIPE = dict.fromkeys(
    ("objective", "coupling", "n_subcomponents", "rounds", "n_init", "pretrained", "deformation"),
    "recipe",
)
# The trainer of clusters, unless one is given.
CLUSTER_TRAINER = {
    "max_epochs": 30,
    "min_steps": 2400,
    "batch_size": 256,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "optimizer": Optimizer(averaging=0.0),
}


class Memory(nn.Module):
    """The training rows as neighbours of new ones: where they lie, and their labels' posterior."""

    points: Tensor
    responsibilities: Tensor

    def __init__(self, points: Tensor, responsibilities: Tensor) -> None:
        super().__init__()
        self.register_buffer("points", points)
        self.register_buffer("responsibilities", responsibilities)


class MixtureEstimator(
    HasLikelihood,
    Imputes,
    Decodes,
    SamplesComponents,
    HasDensity,
    SoftClusters,
    Clusters,
    StartsFromCodes,
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
    stored = ("likelihood_", "memory_shape_")
    trained_in_phases = True
    trainer_defaults = CLUSTER_TRAINER
    homes = {"activation": "backbone", **RECIPE}
    # Whether the paper starts from an autoencoder's codes.
    pretrain_in_paper_recipe: ClassVar[bool] = False

    n_components: int
    recipe: Recipe | str
    likelihood: Likelihood | str

    memory_shape_: tuple[int, int] | None

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
        deformation = deformation_of(self._recipe().deformation, self.image_shape_)
        task = self._task(X, deformation)
        trained = self._recipe().train(task)
        task.fit.trainer.finish_phases()
        model = self._remembering(trained)
        r = self._training_labels(model, task.fit.rows)
        self.labels_ = r.argmax(axis=1)
        some = task.fit.rows[torch.arange(min(1000, len(X)))]
        warn_of_collapse(diagnose_mixture(model, some, r[: len(some)]))
        return self._finish(model, trained.history)

    def _task(self, X: np.ndarray, deformation: Deformation | None) -> MixtureTask:
        fit = self._start(X).deforming(deformation)
        recipe = self._recipe()
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
            self.n_components,
            self.build,
            self._objective(),
            pretraining,
            self.pretrain_in_paper_recipe,
        )

    def _build(self) -> LatentVariableModel:
        with Noise(self.seed_):
            model: LatentVariableModel = self.build(self.n_components)
        return with_memory(model, self.n_components, self.memory_shape_)

    def _remembering(self, trained: Trained) -> Any:
        """Return the trained model with the training rows as neighbours of new ones."""
        points, r = trained.points, trained.responsibilities
        if points is None or r is None:
            return with_memory(trained.model, self.n_components, None)
        self.memory_shape_ = (len(points), points.shape[1])
        model = with_memory(trained.model, self.n_components, self.memory_shape_)
        model.memory.load_state_dict({"points": points, "responsibilities": r})
        return model

    def _training_labels(self, model: Any, rows: RowSource) -> np.ndarray:
        if self.memory_shape_ is not None:
            r: np.ndarray = model.memory.responsibilities.cpu().numpy()
            return r
        evidence = evidence_alone(model, rows, self.n_components).evidence
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
        if not recipe.recognises:
            return None
        deformation = deformation_of(recipe.deformation, self.image_shape_)
        views = fixed_views(deformation, self.image_shape_)
        return Recogniser(
            self.input_width_, n_components, self.image_shape_, views, self._input_layers()
        )

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        r"""Return the posterior of the label of every row, shape (n, n_components).

        .. math:: r_{ik} \propto \exp\Big(\frac{\ell_{ik} + \gamma \log q(c=k|x_i)}{1 + \gamma}
                  + \lambda \sum_{j \in N(i)} r_{jk}\Big),

        the neighbours N(i) taken from the training rows.
        """
        found = evidence_alone(model, x, self.n_components)
        coupling = self._recipe().coupling_
        votes: float | np.ndarray = 0.0
        if coupling.strength and self.memory_shape_ is not None:
            memory = model.memory
            votes = neighbour_votes(
                found.points.numpy(),
                memory.points.cpu().numpy(),
                memory.responsibilities.double().cpu().numpy(),
                coupling.n_neighbors,
            )
        logits = found.evidence.double().numpy() + coupling.strength * votes
        r: np.ndarray = softmax(logits, axis=1)
        return r

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


def with_memory(model: Any, n_components: int, shape: tuple[int, int] | None) -> Any:
    """Give the model room for the training rows as neighbours of new ones."""
    n, width = shape or (0, 1)
    model.memory = Memory(torch.zeros(n, width), torch.zeros(n, n_components))
    return model
