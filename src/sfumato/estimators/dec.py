"""The estimator of deep embedded clustering (DEC)."""

from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from sfumato.deprecation import accept_moved
from sfumato.estimators.capabilities import RandomState, SoftClusters
from sfumato.estimators.embedding import EmbeddingEstimator, SelfTraining, relabel
from sfumato.estimators.fit import Fit
from sfumato.inference import RowSource, map_blocks, map_float64
from sfumato.likelihoods import Loss
from sfumato.models import DECModel, dec_targets, embedded_clustering, target_distribution
from sfumato.nn import Backbone, Components, ImageShape, StudentAssignment
from sfumato.noise import Noise
from sfumato.objectives import SameStep, SelfLabelled, decoding, require_not_negative
from sfumato.scaling import Scaler
from sfumato.training import Relabelling, Trainer

# A decoder that was left out of the clusters' training follows the codes for a quarter of its time.
DECODING_SHARE = 4


class DEC(SoftClusters, EmbeddingEstimator):
    r"""Deep embedded clustering: assignments that are taught by their own confident part.

    .. math:: q_{ij} \propto \big(1 + \|z_i - \mu_j\|^2 / \alpha\big)^{-\frac{\alpha + 1}{2}},
              \quad p_{ij} \propto \frac{q_{ij}^2}{\sum_{i'} q_{i'j}}, \quad
              \min_{f, \mu} \frac1n \sum_i KL(p_i \| q_i) + \rho\, L(x_i, g(z_i))

    The targets p are made of all rows every ``update_interval`` steps. With
    ``reconstruction_weight`` rho > 0 this is IDEC.

    Parameters
    ----------
    n_clusters : int, "auto" or None
        "auto", or None, finds how many clusters there are: of tables by
        :class:`~sfumato.partitions.UnknownNumber`, of pictures by joining components
        (:func:`~sfumato.partitions.number_of_clusters`).
    latent_dim : int
        Length of z.
    hidden, backbone
        See :class:`VAE`.
    loss : "mse", "cross-entropy" or Loss
        Of the reconstruction, see :class:`Autoencoder`.
    alpha : float
        Degrees of freedom of the Student t kernel.
    reconstruction_weight : float
        rho, nats for a unit of the loss. With 0 the decoder rests while clusters are trained, and
        follows the codes afterwards.
    recipe : SelfTraining, optional
        First clusters, intervals and pre-training.
    scaling : "auto", "range", "standard", "none" or Scaler
        See :class:`Autoencoder`.
    image_shape, random_state
        See :class:`VAE`.
    trainer : Trainer, optional
        Of the clusters; the pre-training has twice its epochs. Default: 30 epochs or 2,400 steps,
        whichever is more, of 256 rows, learning rate 2e-3 falling like a cosine.

    Attributes
    ----------
    labels_ : ndarray, shape (n,)
        Clusters of the training rows.
    cluster_centers_ : ndarray, shape (n_clusters, latent_dim)
    model_, history_, scaling_, image_shape_, seed_
        See :class:`TabularEstimator`; ``history_["changed"]`` is the share of rows that changed
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

    update_interval = 140

    def __init__(
        self,
        n_clusters: int | str | None = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        loss: Loss | str = "auto",
        alpha: float = 1.0,
        reconstruction_weight: float = 0.0,
        recipe: SelfTraining | None = None,
        scaling: Scaler | str = "auto",
        image_shape: ImageShape | bool | None = None,
        random_state: RandomState = None,
        trainer: Trainer | None = None,
        **moved: Any,
    ) -> None:
        self.n_clusters = n_clusters
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.loss = loss
        self.alpha = alpha
        self.reconstruction_weight = reconstruction_weight
        self.recipe = recipe
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    def _check_own(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"alpha must be positive, got {self.alpha}.")
        require_not_negative(reconstruction_weight=self.reconstruction_weight)

    def _assembled(self, encoder: nn.Module, decoder: nn.Module, prior: Components) -> DECModel:
        assignment = StudentAssignment(self._n_clusters, self.latent_dim, self.alpha)
        return DECModel(encoder, decoder, prior, assignment, self.n_rows_)

    def _terms_of(self, fit: Fit | None) -> SelfLabelled:
        terms = partial(
            embedded_clustering,
            loss=self._judge(),
            reconstruction_weight=self.reconstruction_weight,
        )
        return SelfLabelled(terms, dec_targets, None if fit is None else fit.view)

    def _start_clusters(self, model: Any, labels: Tensor) -> None:
        """Start from the centres alone."""

    def _relabelled(self, model: Any, fit: Fit, noise: Noise) -> Relabelling:
        with fit.engine.autocast():
            q = map_blocks(lambda block: model.assigned(block).probs, fit.rows)
        changed = relabel(model, q.argmax(1))
        model.frequencies.copy_(q.mean(0))
        return Relabelling(target_distribution(q), changed)

    def _train_rest(self, model: Any, fit: Fit) -> None:
        if not self.reconstruction_weight:
            objective = SameStep(partial(decoding, loss=self._judge()))
            fit.phase("decoder", model, objective, share=DECODING_SHARE)

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        return map_float64(lambda model, block: model.assigned(block).probs, model, x).cpu().numpy()
