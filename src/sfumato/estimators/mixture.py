"""What the mixture models share: clusters beside codes."""

import warnings
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from math import log
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from sfumato.coupling import Coupling, neighbour_votes
from sfumato.estimators.clusters import ClusterEstimator, Pretrained
from sfumato.estimators.networks import check_network
from sfumato.estimators.recipe import DISTILLATION, Plan, train_rounds
from sfumato.estimators.views import deformation_of, fixed_views
from sfumato.inference import (
    LikelihoodEstimate,
    RowSource,
    Seen,
    coupled_mixture,
    diagnose_mixture,
    forked_rng,
    importance_sampling,
    map_precisely,
    posterior_means,
    see,
)
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    BernoulliFamily,
    Family,
    GaussianFamily,
    Recogniser,
    SharedScaleGaussianFamily,
)
from sfumato.training import (
    Engine,
    History,
    Rows,
    Trainer,
    check_choice,
    check_count,
    finish_phases,
)

# name -> (default scaling, family of p(x|z) given the row's length)
LIKELIHOODS: dict[str, tuple[str, Callable[[int], Family]]] = {
    "bernoulli": ("range", BernoulliFamily),
    "gaussian": ("standard", SharedScaleGaussianFamily),
}
# The pre-trained encoder is a point; its posterior begins with this share of the codes' deviation.
FIRST_SCALE = 0.1


class Memory(nn.Module):
    """The training rows as neighbours of new ones: where they lie, and their labels' posterior."""

    points: Tensor
    responsibilities: Tensor

    def __init__(self, points: Tensor, responsibilities: Tensor) -> None:
        super().__init__()
        self.register_buffer("points", points)
        self.register_buffer("responsibilities", responsibilities)


class MixtureEstimator(ClusterEstimator):
    """A latent-variable model with a discrete cause: codes, clusters and samples of each."""

    recipes: tuple[str, ...]
    # Whether the recipe without coupling is pre-trained too.
    begins_with_codes = False

    n_components: int
    recipe: str
    likelihood: str
    coupling: Coupling | str | None
    n_subcomponents: int
    n_init: int
    rounds: tuple[int, int]

    memory_shape_: tuple[int, int] | None

    @property
    def _n_clusters(self) -> int:
        return self.n_components

    @property
    def begins_pretrained(self) -> bool:
        """Whether a fit begins with an autoencoder at all."""
        return self.recipe == "default" or self.begins_with_codes

    @abstractmethod
    def build(self, n_components: int) -> Any:
        """Build the untrained model with so many components."""

    def pretraining(self) -> Pretrained:
        """Return the autoencoder that ``pretrained=None`` stands for, unfitted."""
        autoencoder = super().pretraining()
        # The papers' autoencoders see the rows as they are.
        return autoencoder if self.recipe == "default" else autoencoder.set_params(deformation=None)

    def _inspect(self, X: np.ndarray) -> None:
        check_network(self)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        check_choice("recipe", self.recipe, self.recipes)
        self._coupling()
        deformation_of(self)
        self.memory_shape_ = None
        for name in ("n_subcomponents", "n_init"):
            check_count(name, getattr(self, name))
        self._check_clusters("n_components", len(X))
        if len(self.rounds) != 2 or min(self.rounds) < 0:
            raise ValueError(
                f"rounds must be two whole numbers, neither negative, got {self.rounds!r}."
            )

    def _default_scaling(self) -> str:
        return LIKELIHOODS[self.likelihood][0]

    def _takes_pixels(self) -> bool:
        return self.likelihood == "bernoulli"

    def _model(self) -> LatentVariableModel:
        with forked_rng(self.seed_):
            model = self.build(self.n_components)
        return _remembering(model, self.n_components, self.memory_shape_)

    def _train(
        self, rows: Rows, trainer: Trainer, engine: Engine, description: dict[str, Any] | None
    ) -> tuple[LatentVariableModel, History]:
        plan = self._plan(rows, trainer, engine, description)
        if self.recipe == "default":
            found = self._train_coupled(plan)
        else:
            fits = [self._train_alone(plan, start) for start in range(self.n_init)]
            found = min(fits, key=lambda fit: fit[1].records[-1]["loss"])
        finish_phases(trainer)
        return found

    def _train_coupled(self, plan: Plan) -> tuple[LatentVariableModel, History]:
        autoencoder = self._begun(plan.rows, plan.trainer)
        codes = posterior_means(autoencoder.model_, plan.rows)
        begin = partial(take_over, autoencoder=autoencoder.model_, scale=float(codes.std()))
        with forked_rng(self.seed_):
            model, history, state = train_rounds(self.build, begin, codes, plan)
        points = self._seen(model, plan.rows).points if state.points is None else state.points
        r = torch.from_numpy(state.responsibilities).to(points)
        self.memory_shape_ = (len(points), points.shape[1])
        _remembering(model, self.n_components, self.memory_shape_)
        model.memory.load_state_dict({"points": points, "responsibilities": r})
        return model, history

    def _train_alone(self, plan: Plan, start: int) -> tuple[LatentVariableModel, History]:
        """Train by the objective alone, from scratch or from a mixture of pre-trained codes."""
        with forked_rng(plan.seed + start):
            model = self.build(self.n_components)
            if self.begins_with_codes:
                self._begin_with_codes(model, plan, plan.seed + start)
        history = plan.phase(f"start-{start + 1}").fit(
            model,
            self._objective(),
            plan.rows,
            seed=plan.seed + start,
            description=plan.description,
            engine=plan.engine,
        )
        return _remembering(model, self.n_components, None), history

    def _begin_with_codes(self, model: Any, plan: Plan, seed: int) -> None:
        autoencoder = self._begun(plan.rows, plan.trainer)
        codes = posterior_means(autoencoder.model_, plan.rows)
        take_over(model, autoencoder=autoencoder.model_, scale=float(codes.std()))
        mixture = coupled_mixture(codes.cpu(), None, self.n_components, strength=0.0, seed=seed)
        model.initialise(codes, torch.from_numpy(mixture.responsibilities).to(codes))

    def _complete(self, model: Any, rows: Rows) -> None:
        if self.memory_shape_ is None:
            r = softmax(self._seen(model, rows).evidence.double().numpy(), axis=1)
        else:
            r = model.memory.responsibilities.cpu().numpy()
        self.labels_ = r.argmax(axis=1)
        some = torch.arange(min(1000, len(rows)))
        remedy = diagnose_mixture(model, rows[some], r[: len(some)]).remedy
        if remedy is not None:
            warnings.warn(remedy, ConvergenceWarning, stacklevel=3)

    def _seen(self, model: Any, x: RowSource) -> Seen:
        """Return what is to be seen of rows without neighbours, whatever rows are beside them."""
        joined = map_precisely(lambda model, rows: look(model, rows).joined(), model, x)
        return Seen.of(joined.cpu(), self.n_components)

    def _plan(
        self, rows: Rows, trainer: Trainer, engine: Engine, description: dict[str, Any] | None
    ) -> Plan:
        return Plan(
            rows=rows,
            trainer=trainer,
            engine=engine,
            description=description,
            seed=self.seed_,
            n_clusters=self.n_components,
            n_subcomponents=self.n_subcomponents,
            n_init=self.n_init,
            coupling=self._coupling(),
            deformation=deformation_of(self),
            image_shape=self.image_shape_,
            rounds=self.rounds,
        )

    def _coupling(self) -> Coupling:
        if isinstance(self.coupling, Coupling):
            return self.coupling
        check_choice("coupling", str(self.coupling), ["neighbours", "None"])
        return Coupling() if self.coupling == "neighbours" else Coupling(strength=0.0)

    @property
    def _autoencoder_loss(self) -> str:
        return "cross-entropy" if self.likelihood == "bernoulli" else "mse"

    def family(self) -> Family:
        """Return the family of p(x|z)."""
        return LIKELIHOODS[self.likelihood][1](self.n_features_in_)

    def recogniser(self, n_components: int) -> Recogniser | None:
        """Build the untrained network of q(c|x), which rounds of joint training have."""
        if self.recipe != "default" or not sum(self.rounds):
            return None
        return Recogniser(self.n_features_in_, n_components, self.image_shape_, fixed_views(self))

    def predict_proba(self, X: Any) -> np.ndarray:
        r"""Return the posterior of the label of every row, shape (n, n_components).

        .. math:: r_{ik} \propto \exp\Big(\frac{\ell_{ik} + \gamma \log q(c=k|x_i)}{1 + \gamma}
                  + \lambda \sum_{j \in N(i)} r_{jk}\Big),

        the neighbours N(i) taken from the training rows.
        """
        x, dtype = self._rows(X)
        return self._posterior(self.model_, x).astype(dtype)

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        seen = self._seen(model, x)
        coupling = self._coupling()
        votes: float | np.ndarray = 0.0
        if coupling.strength and self.memory_shape_ is not None:
            memory = model.memory
            votes = neighbour_votes(
                seen.points.numpy(),
                memory.points.cpu().numpy(),
                memory.responsibilities.double().cpu().numpy(),
                coupling.n_neighbors,
            )
        r: np.ndarray = softmax(seen.evidence.double().numpy() + coupling.strength * votes, axis=1)
        return r

    def log_likelihood(self, X: Any, n_samples: int = 5000) -> LikelihoodEstimate:
        """Estimate log p(x) of every row in nats by importance sampling, with standard errors.

        The row alone is meant, without neighbours. For "gaussian" a log density in data units; for
        "bernoulli" grey rows score a lower bound of the mean over their binarisations.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_samples : int
            Samples of the latent variables for each row.
        """
        check_count("n_samples", n_samples)
        x, _ = self._rows(X)
        model = self._latent_model()
        estimate = importance_sampling(model, x, n_samples=n_samples, seed=self.seed_)
        if self.likelihood != "gaussian":
            return estimate
        volume = self.scaling_.log_volume(self.n_features_in_)
        return estimate._replace(log_likelihood=estimate.log_likelihood - volume)

    def _latent_model(self) -> LatentVariableModel:
        """Return the model as one of a single continuous latent vector."""
        return self.model_

    def score_samples(self, X: Any, n_samples: int = 100) -> np.ndarray:
        """Estimate log p(x) of every row in nats by importance sampling, shape (n,)."""
        return self.log_likelihood(X, n_samples).log_likelihood.cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())

    def _fitted_extras(self) -> dict[str, Any]:
        return {"memory_shape_": self.memory_shape_}


def look(model: Any, x: Tensor) -> Seen:
    """Return what a model makes of rows; where it has no recogniser, q(c|z) at the code's mean."""
    if model.recogniser is None:
        return Seen(model.log_class(x), model.encoder(x).mean)
    return see(model, x, DISTILLATION)


def _remembering(model: Any, n_components: int, shape: tuple[int, int] | None) -> Any:
    """Give the model room for the training rows as neighbours of new ones."""
    n, width = shape or (0, 1)
    model.memory = Memory(torch.zeros(n, width), torch.zeros(n, n_components))
    return model


def take_over(model: Any, *, autoencoder: Any, scale: float) -> None:
    """Give a mixture model the weights of a pre-trained autoencoder of the same widths.

    The posterior's deviation, which a point lacks, begins at a tenth of that of the codes.
    """
    if not isinstance(model.encoder.family, GaussianFamily):
        return
    point, posterior = autoencoder.encoder.network, model.encoder.network
    weights = dict(point.state_dict())
    last = list(posterior.state_dict())[-2:]
    with torch.no_grad():
        shapes = posterior.state_dict()
        for name in last:
            filled = torch.zeros_like(shapes[name])
            filled[: len(weights[name])] = weights[name]
            if name.endswith("bias"):
                filled[len(weights[name]) :] = log(FIRST_SCALE * scale)
            weights[name] = filled
        posterior.load_state_dict(weights)
    model.decoder.network.load_state_dict(autoencoder.decoder.network.state_dict())
