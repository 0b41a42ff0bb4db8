"""Deep embedded clustering (DEC) and the deep clustering network (DCN)."""

from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato import models
from sfumato.estimators.autoencoder import LOSSES
from sfumato.estimators.clusters import ClusterEstimator, Pretrained
from sfumato.estimators.networks import build_pair, check_network
from sfumato.estimators.recipe import coupled_clusters
from sfumato.estimators.views import deformation_of, random_view
from sfumato.inference import RowSource, forked_rng, map_blocks, map_precisely
from sfumato.nn import (
    Components,
    Conditional,
    GaussianComponents,
    ImageShape,
    PointMassFamily,
    RunningCentres,
    StudentAssignment,
)
from sfumato.objectives import (
    Deformation,
    SelfAssigned,
    dec_targets,
    decoding,
    embedded_clustering,
    kmeans_friendly,
    nearest_centres,
    require_not_negative,
    target_distribution,
)
from sfumato.training import (
    Engine,
    History,
    Relabelling,
    Rows,
    SelfLabelled,
    Trainer,
    check_choice,
    check_count,
    finish_phases,
    phase_of,
)

# What gives the first clusters.
INITS = ("neighbours", "kmeans")
# Losses of the reconstruction that go with pixels or with any numbers.
EMBEDDING_LOSSES = ("mse", "cross-entropy")
# A decoder that was left out of the clusters' training follows the codes for a quarter of its time.
DECODING_SHARE = 4


class EmbeddingEstimator(ClusterEstimator):
    """Clusters of codes that the encoder is trained to tell apart."""

    n_clusters: int
    loss: str
    update_interval: int | None
    tolerance: float
    init: str
    n_init: int

    n_rows_: int

    @abstractmethod
    def _assembled(self, encoder: nn.Module, decoder: nn.Module, prior: Components) -> Any:
        """Return the model of these parts."""

    @abstractmethod
    def _relabelled(self, model: Any, rows: Rows, engine: Engine) -> Relabelling:
        """Assign all rows by the model as it stands."""

    @property
    def _n_clusters(self) -> int:
        return self.n_clusters

    @property
    def cluster_centers_(self) -> np.ndarray:
        """Centres of the clusters among the codes, shape (n_clusters, latent_dim)."""
        centres: np.ndarray = self.model_.assignment.centres.detach().cpu().numpy()
        return centres

    def _inspect(self, X: np.ndarray) -> None:
        check_network(self)
        check_choice("loss", self.loss, EMBEDDING_LOSSES)
        deformation_of(self)
        self._check_clusters("n_clusters", len(X))
        check_choice("init", self.init, INITS)
        check_count("n_init", self.n_init)
        if self.update_interval is not None:
            check_count("update_interval", self.update_interval, "None or ")
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"tolerance must lie between 0 and 1, got {self.tolerance}.")
        self.n_rows_ = len(X)

    def _default_scaling(self) -> str:
        return "range"

    def _takes_pixels(self) -> bool:
        return self.loss == "cross-entropy"

    @property
    def _autoencoder_loss(self) -> str:
        return self.loss

    def _model(self) -> Any:
        code = PointMassFamily(self.latent_dim)
        output = LOSSES[self.loss][0](self.n_features_in_)
        encoder, decoder = build_pair(self, code, output)
        return self._assembled(
            Conditional(encoder, code),
            Conditional(decoder, output),
            GaussianComponents(self.n_clusters, self.latent_dim),
        )

    def _train(
        self, rows: Rows, trainer: Trainer, engine: Engine, description: dict[str, Any] | None
    ) -> tuple[Any, History]:
        autoencoder = self._begun(rows, trainer)
        with forked_rng(self.seed_):
            model = self._model()
        for part in ("encoder", "decoder"):
            weights = getattr(autoencoder.model_, part).network.state_dict()
            getattr(model, part).network.load_state_dict(weights)
        self._begin_with_clusters(model, rows)
        common = {"seed": self.seed_, "description": description, "engine": engine}
        history = self._train_clusters(model, rows, trainer, common)
        finish_phases(trainer)
        return model, history

    def _begin_with_clusters(self, model: Any, rows: Rows) -> None:
        codes = map_blocks(lambda block: model.encoder(block).mean, rows)
        labels = torch.from_numpy(self._first_labels(codes, rows))
        centres = RunningCentres(self.n_clusters, self.latent_dim)
        centres.refit(codes, labels)
        model.labels.copy_(labels)
        with torch.no_grad():
            model.assignment.centres.copy_(centres.centres)

    def _first_labels(self, codes: Tensor, rows: Rows) -> np.ndarray:
        if self.init == "neighbours":
            labels = coupled_clusters(codes, rows, self.n_clusters, self.seed_)
            # Few or equal rows can leave clusters empty, and these would have no centre.
            if len(np.unique(labels)) == self.n_clusters:
                return labels
        kmeans = KMeans(self.n_clusters, n_init=self.n_init, random_state=self.seed_)
        nearest: np.ndarray = kmeans.fit_predict(codes.cpu().numpy()).astype(np.int64)
        return nearest

    def _train_clusters(
        self, model: Any, rows: Rows, trainer: Trainer, common: dict[str, Any]
    ) -> History:
        """Train on targets that the model makes, until they rest."""
        interval = self.update_interval or trainer.steps_for(len(rows))
        phase = phase_of(trainer, "clusters")
        phase.set_params(max_epochs=phase.passes_for(len(rows), interval), min_steps=0)
        relabel = partial(self._relabelled, model, rows, common["engine"])
        batches = SelfLabelled(rows, relabel, trainer.batch_size, interval, self.tolerance)
        return phase.fit(model, self._objective(), batches, **common)

    def _complete(self, model: Any, rows: Rows) -> None:
        """Assign the training rows, and fit to their codes what samples are drawn from."""
        self.labels_ = self._posterior(model, rows).argmax(axis=1)
        codes = map_blocks(lambda block: model.encoder(block).mean, rows)
        one_hot = F.one_hot(torch.from_numpy(self.labels_), self.n_clusters).to(codes)
        model.prior.fit(codes, one_hot)
        model.labels.copy_(torch.from_numpy(self.labels_))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction error of every row, shape (n,), as an autoencoder's.

        There is no density; the unit is that of the loss, not nats.
        """
        x, _ = self._rows(X)
        error = map_precisely(self._error, self.model_, x)
        return -error.cpu().numpy().astype(np.float64)

    def _error(self, model: Any, x: Tensor) -> Tensor:
        return decoding(model, x, loss=LOSSES[self.loss][1])["reconstruction"]

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())

    def _fitted_extras(self) -> dict[str, Any]:
        return {"n_rows_": self.n_rows_}


class DEC(EmbeddingEstimator):
    r"""Deep embedded clustering: assignments that are taught by their own confident part.

    .. math:: q_{ij} \propto \big(1 + \|z_i - \mu_j\|^2 / \alpha\big)^{-\frac{\alpha + 1}{2}},
              \quad p_{ij} \propto \frac{q_{ij}^2}{\sum_{i'} q_{i'j}}, \quad
              \min_{f, \mu} \frac1n \sum_i KL(p_i \| q_i) + \rho\, L(x_i, g(z_i))

    The targets p are made of all rows every ``update_interval`` steps. With
    ``reconstruction_weight`` rho > 0 this is IDEC.

    Parameters
    ----------
    n_clusters : int
    latent_dim : int
        Length of z.
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; channels of its convolutions where
        there are some. Default (500, 500), for "conv" (32, 64), for "resnet" (32, 64, 64).
    backbone : "mlp", "conv" or "resnet"
    loss : "mse" or "cross-entropy"
        Of the reconstruction, see :class:`Autoencoder`.
    activation : "relu", "silu", "elu", "tanh", "sigmoid" or "identity"
    alpha : float
        Degrees of freedom of the Student t kernel.
    reconstruction_weight : float
        rho, nats for a unit of the loss. With 0 the decoder rests while clusters are trained, and
        follows the codes afterwards.
    update_interval : int, optional
        Steps between two assignments of all rows; None is a pass over the rows.
    tolerance : float
        The training ends when a smaller share of the rows changes its cluster.
    init : "neighbours" or "kmeans"
        Clusters of the pre-trained codes to begin with: a mixture in which neighbouring rows share
        a label, its components merged; or k-means, as in the paper.
    n_init : int
        Starts of k-means, of which the one of least inertia is kept.
    pretrained : Autoencoder or StackedAutoencoder, optional
        A fitted one to begin from, with the same layers, loss and scaling.
    deformation : "auto", Deformation, or None
        Under which an image keeps its cluster; "auto" deforms images a little, in pre-training too.
    scaling : "auto", "range", "standard" or "none"
        See :class:`Autoencoder`.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional
        Of the clusters; the pre-training has twice its epochs. Default: 30 epochs or 2,400 steps,
        whichever is more, of 256 rows, learning rate 2e-3 falling like a cosine.

    Attributes
    ----------
    labels_ : ndarray, shape (n,)
        Clusters of the training rows.
    cluster_centers_ : ndarray, shape (n_clusters, latent_dim)
    model_, history_, scaling_, image_shape_, seed_
        See :class:`LatentEstimator`; ``history_["changed"]`` is the share of rows that changed
        their cluster.

    References
    ----------
    Xie, Girshick and Farhadi, Unsupervised Deep Embedding for Clustering Analysis, 2016; Guo, Gao,
    Liu and Yin, Improved Deep Embedded Clustering, 2017; Guo, Zhu, Liu and Yin, Deep Embedded
    Clustering with Data Augmentation, 2018.

    Examples
    --------
    >>> from sfumato import DEC, Trainer
    >>> quick = Trainer(max_epochs=5)
    >>> m = DEC(hidden=(64,), random_state=0, trainer=quick).fit("digits")
    >>> m.predict_proba("digits").shape
    (1797, 10)
    """

    def __init__(
        self,
        n_clusters: int = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        loss: str = "mse",
        activation: str = "silu",
        alpha: float = 1.0,
        reconstruction_weight: float = 0.0,
        update_interval: int | None = 140,
        tolerance: float = 1e-3,
        init: str = "neighbours",
        n_init: int = 20,
        pretrained: Pretrained | None = None,
        deformation: Deformation | str | None = "auto",
        scaling: str = "auto",
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.loss = loss
        self.activation = activation
        self.alpha = alpha
        self.reconstruction_weight = reconstruction_weight
        self.update_interval = update_interval
        self.tolerance = tolerance
        self.init = init
        self.n_init = n_init
        self.pretrained = pretrained
        self.deformation = deformation
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    def _inspect(self, X: np.ndarray) -> None:
        super()._inspect(X)
        if not self.alpha > 0:
            raise ValueError(f"alpha must be positive, got {self.alpha}.")
        require_not_negative(reconstruction_weight=self.reconstruction_weight)

    def _assembled(self, encoder: nn.Module, decoder: nn.Module, prior: Components) -> models.DEC:
        assignment = StudentAssignment(self.n_clusters, self.latent_dim, self.alpha)
        return models.DEC(encoder, decoder, prior, assignment, self.n_rows_)

    def _objective(self) -> SelfAssigned:
        terms = partial(
            embedded_clustering,
            loss=LOSSES[self.loss][1],
            reconstruction_weight=self.reconstruction_weight,
        )
        return SelfAssigned(terms, dec_targets, random_view(self))

    def _relabelled(self, model: Any, rows: Rows, engine: Engine) -> Relabelling:
        with engine.autocast():
            q = map_blocks(lambda block: model.assigned(block).probs, rows)
        changed = relabel(model, q.argmax(1))
        model.frequencies.copy_(q.mean(0))
        return Relabelling(target_distribution(q), changed)

    def _train_clusters(
        self, model: Any, rows: Rows, trainer: Trainer, common: dict[str, Any]
    ) -> History:
        history = super()._train_clusters(model, rows, trainer, common)
        if not self.reconstruction_weight:
            objective = partial(decoding, loss=LOSSES[self.loss][1])
            phase_of(trainer, "decoder", DECODING_SHARE).fit(model, objective, rows, **common)
        return history

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        return map_precisely(_assigned, model, x).cpu().numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the assignments q of every row, shape (n, n_clusters)."""
        x, dtype = self._rows(X)
        return self._posterior(self.model_, x).astype(dtype)


class DCN(EmbeddingEstimator):
    r"""Deep clustering network: an autoencoder whose codes k-means can tell apart.

    .. math:: \min_{f, g, M, s} \frac1n \sum_i L(x_i, g(f(x_i)))
              + \tfrac\lambda2 \|f(x_i) - M s_i\|^2, \qquad s_i \text{ one-hot}

    Parameters
    ----------
    n_clusters : int
    latent_dim : int
        Length of z.
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; channels of its convolutions where
        there are some. Default (500, 500), for "conv" (32, 64), for "resnet" (32, 64, 64).
    backbone : "mlp", "conv" or "resnet"
    loss : "mse" or "cross-entropy"
        Of the reconstruction, see :class:`Autoencoder`.
    activation : "relu", "silu", "elu", "tanh", "sigmoid" or "identity"
    clustering_weight : float
        lambda, units of the loss for a squared unit of the code.
    centres : "online" or "offline"
        Centres that move along with every batch, as running means; or means of all rows at the
        beginning of every interval.
    update_interval : int, optional
        Steps between two assignments of all rows; None is a pass over the rows.
    tolerance : float
        The training ends when a smaller share of the rows changes its cluster.
    init : "neighbours" or "kmeans"
        Clusters of the pre-trained codes to begin with: a mixture in which neighbouring rows share
        a label, its components merged; or k-means, as in the paper.
    n_init : int
        Starts of k-means, of which the one of least inertia is kept.
    pretrained : Autoencoder or StackedAutoencoder, optional
        A fitted one to begin from, with the same layers, loss and scaling.
    deformation : "auto", Deformation, or None
        Under which an image keeps its cluster; "auto" deforms images a little, in pre-training too.
    scaling : "auto", "range", "standard" or "none"
        See :class:`Autoencoder`.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional
        Of the clusters; the pre-training has twice its epochs. Default: 30 epochs or 2,400 steps,
        whichever is more, of 256 rows, learning rate 2e-3 falling like a cosine.

    Attributes
    ----------
    labels_ : ndarray, shape (n,)
        Clusters of the training rows.
    cluster_centers_ : ndarray, shape (n_clusters, latent_dim)
    model_, history_, scaling_, image_shape_, seed_
        See :class:`LatentEstimator`; ``history_["changed"]`` is the share of rows that changed
        their cluster.

    References
    ----------
    Yang, Fu, Sidiropoulos and Hong, Towards K-means-friendly Spaces: Simultaneous Deep Learning and
    Clustering, 2017.

    Examples
    --------
    >>> from sfumato import DCN, Trainer
    >>> quick = Trainer(max_epochs=5)
    >>> m = DCN(hidden=(64,), random_state=0, trainer=quick).fit("digits")
    >>> m.cluster_centers_.shape
    (10, 10)
    """

    def __init__(
        self,
        n_clusters: int = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        loss: str = "mse",
        activation: str = "silu",
        clustering_weight: float = 0.1,
        centres: str = "online",
        update_interval: int | None = None,
        tolerance: float = 1e-3,
        init: str = "neighbours",
        n_init: int = 20,
        pretrained: Pretrained | None = None,
        deformation: Deformation | str | None = "auto",
        scaling: str = "auto",
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.loss = loss
        self.activation = activation
        self.clustering_weight = clustering_weight
        self.centres = centres
        self.update_interval = update_interval
        self.tolerance = tolerance
        self.init = init
        self.n_init = n_init
        self.pretrained = pretrained
        self.deformation = deformation
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    def _inspect(self, X: np.ndarray) -> None:
        super()._inspect(X)
        check_choice("centres", self.centres, ["online", "offline"])
        require_not_negative(clustering_weight=self.clustering_weight)

    def _assembled(self, encoder: nn.Module, decoder: nn.Module, prior: Components) -> models.DCN:
        assignment = RunningCentres(self.n_clusters, self.latent_dim)
        return models.DCN(encoder, decoder, prior, assignment, self.n_rows_)

    def _objective(self) -> SelfAssigned:
        terms = partial(
            kmeans_friendly,
            loss=LOSSES[self.loss][1],
            clustering_weight=self.clustering_weight,
            online=self.centres == "online",
        )
        return SelfAssigned(terms, nearest_centres, random_view(self))

    def _begin_with_clusters(self, model: Any, rows: Rows) -> None:
        super()._begin_with_clusters(model, rows)
        counts = np.bincount(model.labels.cpu().numpy(), minlength=self.n_clusters)
        model.assignment.counts.copy_(torch.from_numpy(counts))

    def _relabelled(self, model: Any, rows: Rows, engine: Engine) -> Relabelling:
        with engine.autocast():
            codes = map_blocks(lambda block: model.encoder(block).mean, rows)
        labels = model.assignment(codes)
        changed = relabel(model, labels)
        if self.centres == "offline":
            model.assignment.refit(codes, labels)
        return Relabelling(F.one_hot(labels, self.n_clusters).to(codes), changed)

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        return map_precisely(_nearest, model, x).cpu().numpy()


def relabel(model: Any, labels: Tensor) -> float:
    """Give the training rows their clusters; returns the share of those whose cluster is new."""
    changed = float((labels != model.labels).double().mean())
    model.labels.copy_(labels)
    return changed


def _assigned(model: Any, x: Tensor) -> Tensor:
    q: Tensor = model.assigned(x).probs
    return q


def _nearest(model: Any, x: Tensor) -> Tensor:
    return nearest_centres(model, x)
