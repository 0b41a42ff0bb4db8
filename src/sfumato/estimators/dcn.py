"""The deep clustering network (DCN)."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato import models
from sfumato.estimators.autoencoder import LOSSES
from sfumato.estimators.clusters import Pretrained
from sfumato.estimators.embedding import EmbeddingEstimator, relabel
from sfumato.estimators.views import random_view
from sfumato.inference import RowSource, map_blocks, map_precisely, posterior_means
from sfumato.nn import Components, ImageShape, RunningCentres
from sfumato.objectives import (
    Deformation,
    SelfAssigned,
    kmeans_friendly,
    nearest_centres,
    require_not_negative,
)
from sfumato.training import Engine, Relabelling, Rows, Trainer, check_choice


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
            codes = posterior_means(model, rows)
        labels = model.assignment(codes)
        changed = relabel(model, labels)
        if self.centres == "offline":
            model.assignment.refit(self._drawn_codes(model, rows, codes, engine), labels)
        return Relabelling(F.one_hot(labels, self.n_clusters).to(codes), changed)

    def _drawn_codes(self, model: Any, rows: Rows, codes: Tensor, engine: Engine) -> Tensor:
        """Return the codes that the training draws to the centres: those of random views.

        They lie nearer to the middle than the rows' own. Centres of the latter would flee before
        them, and the codes grow without end.
        """
        view = random_view(self)
        if view is None:
            return codes
        with engine.autocast():
            return map_blocks(lambda block: model.encoder(view(block)).mean, rows)

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        return map_precisely(nearest_centres, model, x).cpu().numpy()
