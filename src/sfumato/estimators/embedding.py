"""What DEC and DCN share: clusters of codes that the encoder learns to tell apart."""

import warnings
from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.estimators.base import CLUSTERS, CODES, GENERATES, UNKNOWN, TabularEstimator
from sfumato.estimators.capabilities import (
    Clusters,
    Decodes,
    HasLoss,
    SamplesComponents,
    check_clusters,
    component_pictures,
)
from sfumato.estimators.deforming import DeformsPictures
from sfumato.estimators.fit import Fit
from sfumato.estimators.mixture import CLUSTER_TRAINER
from sfumato.estimators.pretraining import Pretraining, StartsFromCodes, codes_of
from sfumato.estimators.recipe import (
    MOST_ROWS,
    N_CLUSTERS,
    coupled_clusters,
    label_rows,
    number_by_some,
)
from sfumato.inference import posterior_means
from sfumato.likelihoods import Loss, loss_of
from sfumato.nn import (
    Components,
    Conditional,
    Deformation,
    GaussianComponents,
    PointMassFamily,
    RunningCentres,
    backbone_of,
    chained,
)
from sfumato.noise import Noise
from sfumato.objectives import SelfLabelled
from sfumato.partitions import SimpleModels
from sfumato.scaling import Scaler
from sfumato.training import (
    History,
    RelabelledBatches,
    Relabelling,
    check_choice,
    check_count,
    few_distinct,
)

# What gives the first clusters.
INITS = ("auto", "neighbours", "kmeans")
# Starts of k-means.
N_INIT = 20


class SelfTraining(BaseEstimator):
    """How clusters of codes are found and taught, as an argument of :class:`DEC` and :class:`DCN`.

    Parameters
    ----------
    init : "auto", "neighbours" or "kmeans"
        Clusters to start from. "neighbours": of the pre-trained codes, by a mixture in which
        neighbouring rows share a label, its components merged; "kmeans": of the codes by k-means,
        as in the papers. "auto" is "neighbours" for pictures; tables of up to 20,000 rows are
        labelled by the best of simple models (:class:`~sfumato.partitions.SimpleModels`), and these
        labels are held: they are the targets, and the model learns codes that gather around them.
        DCN holds the first clusters of pictures, too: left free, centres lose some of them.
    n_init : int, optional
        Starts of k-means, of which the one of least inertia is kept; 20 by default.
    update_interval : int, "auto" or None
        Steps between two assignments of all rows; None is a pass over the rows. "auto" is 140 for
        DEC, as in its paper, and a pass for DCN.
    tolerance : float
        Training ends when a smaller share of the rows changes its cluster.
    pretrained : Autoencoder or StackedAutoencoder, optional
        A fitted one to start from, with the same layers, loss and scaling.
    deformation : "auto", Deformation, or None
        Under which an image keeps its cluster; "auto" deforms images a little, in pre-training too.
    """

    def __init__(
        self,
        init: str = "auto",
        n_init: int | None = None,
        update_interval: int | str | None = "auto",
        tolerance: float = 1e-3,
        pretrained: Any = None,
        deformation: Deformation | str | None = "auto",
    ) -> None:
        self.init = init
        self.n_init = n_init
        self.update_interval = update_interval
        self.tolerance = tolerance
        self.pretrained = pretrained
        self.deformation = deformation

    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            Naming the setting and what it takes.
        """
        check_choice("init", self.init, INITS)
        if self.n_init is not None:
            check_count("n_init", self.n_init, "None or ")
            if self.init != "kmeans":
                raise ValueError(f"n_init has no effect with init={self.init!r}: leave it out.")
        if self.update_interval not in (None, "auto"):
            check_count("update_interval", self.update_interval, "'auto', None or ")
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"tolerance must lie between 0 and 1, got {self.tolerance}.")


def recipe_or_default(value: SelfTraining | None) -> SelfTraining:
    """Return the recipe that an argument is, by default ``SelfTraining()``."""
    return SelfTraining() if value is None else value


class EmbeddingEstimator(
    HasLoss,
    Decodes,
    SamplesComponents,
    Clusters,
    StartsFromCodes,
    DeformsPictures,
    TabularEstimator,
):
    """Clusters of codes that the encoder is trained to tell apart."""

    operations = CODES | CLUSTERS | {"score"} | GENERATES
    clusters_named = "n_clusters"
    resolvers = {"backbone": backbone_of, "loss": loss_of, "recipe": recipe_or_default}
    # What update_interval="auto" stands for.
    update_interval: ClassVar[int | None] = None
    # Whether the first clusters are held where the recipe says "auto", and not of tables alone.
    holds_first: ClassVar[bool] = False
    shows = (component_pictures,)
    stored = ("n_rows_", "loss_", "deforms_", "n_found_", "choice_", "number_")
    # Choice or None: whoever knows that there is one need not ask.
    choice_: Any = None
    trained_in_phases = True
    trainer_defaults = CLUSTER_TRAINER
    homes = {
        "activation": "backbone",
        **dict.fromkeys(SelfTraining().get_params(), "recipe"),
    }

    n_clusters: int | str | None
    recipe: SelfTraining | None

    n_rows_: int

    @abstractmethod
    def _assembled(self, encoder: nn.Module, decoder: nn.Module, prior: Components) -> Any:
        """Return the model of these parts."""

    @abstractmethod
    def _relabelled(self, model: Any, fit: Fit, noise: Noise) -> Relabelling:
        """Assign all rows by the model as it stands."""

    @abstractmethod
    def _start_clusters(self, model: Any, labels: Tensor) -> None:
        """Give the model what else it starts from, its centres being set."""

    @abstractmethod
    def _train_rest(self, model: Any, fit: Fit) -> None:
        """Train what the clusters' training has left behind."""

    @abstractmethod
    def _check_own(self) -> None:
        """Check the parameters that the other model lacks."""

    @abstractmethod
    def _terms_of(self, fit: Fit | None) -> SelfLabelled:
        """Return the objective, with random views in a fit."""

    def _held_terms(self, fit: Fit) -> SelfLabelled:
        """Return the objective where the labels are given and stay."""
        return self._terms_of(fit)

    @property
    def cluster_centers_(self) -> np.ndarray:
        """Centres of the clusters among the codes, shape (n_clusters, latent_dim)."""
        centres: np.ndarray = self.model_.assignment.centres.detach().cpu().numpy()
        return centres

    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> Self:
        """Fit the model to rows X; see :meth:`TabularEstimator.fit`."""
        X = self._begin(X, columns)
        self._check_network()
        self._fit_loss(X)
        self._recipe().validate()
        check_clusters("n_clusters", self.n_clusters, len(X))
        self._check_own()
        self.n_rows_ = len(X)
        fit = self._deforming(self._start(X), self.n_clusters)
        held = self._labelled(fit)
        autoencoder = self._pretraining().model(fit)
        codes = codes_of(autoencoder, fit).cpu()
        labels = torch.from_numpy(self._first_labels(codes, fit)) if held is None else held
        model = fit.build(self._build).to(fit.engine.device)
        for part in ("encoder", "decoder"):
            getattr(model, part).load_state_dict(getattr(autoencoder, part).state_dict())
        self._start_from_clusters(model, codes, labels)
        if self.holds_first and self._recipe().init == "auto":
            held = labels
        history = self._train_clusters(model, fit, held)
        self._train_rest(model, fit)
        fit.trainer.finish_phases()
        self._settle(model, fit)
        return self._finish(model, history)

    def _given_deformation(self) -> Any:
        return self._recipe().deformation

    def _recipe(self) -> SelfTraining:
        return recipe_or_default(self.recipe)

    def _pretraining(self) -> Pretraining:
        code = PointMassFamily(self.latent_dim)
        return Pretraining(
            self._backbone(),
            self.latent_dim,
            self._judge(),
            code,
            self.scaling_,
            self._recipe().pretrained,
        )

    @property
    def starts_pretrained(self) -> bool:
        """Whether a fit starts with an autoencoder: always."""
        return True

    def _first_loss(self) -> Loss:
        return loss_of(self.loss)

    def _first_scaling(self) -> Scaler | str:
        chosen: Scaler | str = loss_of(self.loss).scaling
        return chosen

    def _build(self) -> Any:
        code, loss = PointMassFamily(self.latent_dim), self._judge()
        output = loss.family(self.row_width_)
        encoder, decoder = self._networks(code.n_parameters, output.n_parameters)
        return self._assembled(
            Conditional(chained(*loss.input_layers(), encoder), code),
            Conditional(decoder, output),
            GaussianComponents(self._n_clusters, self.latent_dim),
        )

    def _objective(self) -> SelfLabelled:
        return self._terms_of(None)

    def _start_from_clusters(self, model: Any, codes: Tensor, labels: Tensor) -> None:
        model.labels.copy_(labels)
        with torch.no_grad():
            model.assignment.centres.copy_(first_centres(codes, labels, self._n_clusters))
        self._start_clusters(model, labels)

    def _first_labels(self, codes: Tensor, fit: Fit) -> np.ndarray:
        """Return the clusters of codes that training starts from, and find how many there are."""
        recipe, known = self._recipe(), self.n_clusters_
        alike = few_distinct(fit.rows, N_CLUSTERS if known is None else known)
        if alike is not None:
            if known is None:
                self.n_found_ = int(alike.max()) + 1
            warn_of_empty(self._n_clusters, int(alike.max()) + 1)
            return alike
        if recipe.init != "kmeans" or known is None:
            labels, number = coupled_clusters(codes, fit.seen, known, fit.seed)
            if number is not None:
                self._note_number(number)
            # Few or equal rows can leave clusters empty.
            if recipe.init != "kmeans" and len(np.unique(labels)) == self._n_clusters:
                return labels
        n_init = N_INIT if recipe.n_init is None else recipe.n_init
        kmeans = KMeans(self._n_clusters, n_init=n_init, random_state=fit.seed)
        nearest: np.ndarray = kmeans.fit_predict(codes.numpy()).astype(np.int64)
        return nearest

    def _labelled(self, fit: Fit) -> Tensor | None:
        """Return labels that are held, those of simple models of a table, or None.

        How many clusters there are is found here, too, but for pictures that keep their clusters
        when they are deformed.
        """
        self.choice_ = None
        self._note_number(None)
        pictures = fit.image_shape is not None and self.deforms_
        unknown = self.n_clusters in UNKNOWN
        if self._recipe().init != "auto" or pictures or len(fit.rows) > MOST_ROWS:
            if unknown and fit.view is None:
                self._note_number(number_by_some(fit))
            return None
        if not unknown and few_distinct(fit.rows, self._n_clusters) is not None:
            return None
        found, self.choice_, number = label_rows(SimpleModels(), self.n_clusters, fit)
        self._note_number(number)
        return torch.from_numpy(found.labels)

    @property
    def _n_clusters(self) -> int:
        return int(self.n_clusters_ or 0)

    def _train_clusters(self, model: Any, fit: Fit, held: Tensor | None) -> History:
        """Train on targets that the model makes, until they rest, or on labels that are held."""
        recipe, trainer, n = self._recipe(), fit.trainer, len(fit.rows)
        given: Any = recipe.update_interval
        interval = (self.update_interval if given == "auto" else given) or trainer.steps_for(n)

        def relabel(noise: Noise) -> Relabelling:
            found = self._relabelled(model, fit, noise)
            if held is None:
                return found
            targets = F.one_hot(held, self._n_clusters).to(found.targets)
            changed = model.labels.cpu() != held
            return Relabelling(targets, float(changed.double().mean()))

        batches = RelabelledBatches(
            fit.rows, relabel, trainer.batch_size, interval, recipe.tolerance
        )
        passes = trainer.passes_for(n, interval)
        objective = self._terms_of(fit) if held is None else self._held_terms(fit)
        return fit.phase("clusters", model, objective, batches, max_epochs=passes, min_steps=0)

    def _settle(self, model: Any, fit: Fit) -> None:
        """Assign the training rows, and fit to their codes what samples are drawn from."""
        self.labels_ = self._posterior(model, fit.rows).argmax(axis=1)
        codes = posterior_means(model, fit.rows)
        one_hot = F.one_hot(torch.from_numpy(self.labels_), self._n_clusters).to(codes)
        model.prior.fit(codes, one_hot)
        model.labels.copy_(torch.from_numpy(self.labels_))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())


def warn_of_empty(n_clusters: int, n_distinct: int) -> None:
    """Warn if there are fewer distinct rows than clusters."""
    if n_distinct < n_clusters:
        warnings.warn(
            f"n_clusters={n_clusters} exceeds the number of distinct rows, {n_distinct}: some "
            "clusters stay empty.",
            ConvergenceWarning,
            stacklevel=5,
        )


def first_centres(codes: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Return the means of the clusters, shape (n_clusters, d).

    An empty cluster shares the centre of the largest: as a centre of its own it would draw rows
    from clusters that are there.
    """
    centres = RunningCentres(n_clusters, codes.shape[1])
    centres.refit(codes, labels)
    counts = torch.bincount(labels, minlength=n_clusters)
    return torch.where(counts[:, None] > 0, centres.centres, centres.centres[counts.argmax()])


def relabel(model: Any, labels: Tensor) -> float:
    """Give the training rows their clusters; returns the share of those whose cluster is new."""
    changed = float((labels != model.labels).double().mean())
    model.labels.copy_(labels)
    return changed
