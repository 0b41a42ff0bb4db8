"""Deep embedded clustering (DEC)."""

from functools import partial
from typing import Any

import numpy as np
from torch import nn

from sfumato import models
from sfumato.estimators.autoencoder import LOSSES
from sfumato.estimators.clusters import Pretrained
from sfumato.estimators.embedding import EmbeddingEstimator, relabel
from sfumato.estimators.views import random_view
from sfumato.inference import RowSource, map_blocks, map_precisely
from sfumato.nn import Components, ImageShape, StudentAssignment
from sfumato.objectives import (
    Deformation,
    SelfAssigned,
    dec_targets,
    decoding,
    embedded_clustering,
    require_not_negative,
    target_distribution,
)
from sfumato.training import Engine, History, Relabelling, Rows, Trainer, phase_of

# A decoder that was left out of the clusters' training follows the codes for a quarter of its time.
DECODING_SHARE = 4


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
        return (
            map_precisely(lambda model, block: model.assigned(block).probs, model, x).cpu().numpy()
        )

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the assignments q of every row, shape (n, n_clusters)."""
        x, dtype = self._rows(X)
        return self._posterior(self.model_, x).astype(dtype)
