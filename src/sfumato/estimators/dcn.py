"""The estimator of the deep clustering network (DCN)."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.deprecation import accept_moved
from sfumato.estimators.capabilities import RandomState
from sfumato.estimators.embedding import EmbeddingEstimator, SelfTraining, relabel
from sfumato.estimators.fit import Fit
from sfumato.inference import RowSource, map_blocks, map_float64, posterior_means
from sfumato.likelihoods import Loss
from sfumato.models import DCNModel, kmeans_friendly, nearest_centres
from sfumato.nn import Backbone, Components, ImageShape, RunningCentres
from sfumato.noise import Noise
from sfumato.objectives import SelfLabelled, require_not_negative
from sfumato.scaling import Scaler
from sfumato.training import Relabelling, Trainer, check_choice

# lambda where clusters may change, and where they are held.
WEIGHT, HELD_WEIGHT = 0.1, 10.0


class DCN(EmbeddingEstimator):
    r"""Deep clustering network: an autoencoder whose codes k-means can tell apart.

    .. math:: \min_{f, g, M, s} \frac1n \sum_i L(x_i, g(f(x_i)))
              + \tfrac\lambda2 \|f(x_i) - M s_i\|^2, \qquad s_i \text{ one-hot}

    Parameters
    ----------
    n_clusters : int, "auto" or None
        "auto", or None, finds how many there are, see :class:`DEC`.
    latent_dim : int
        Length of z.
    hidden, backbone
        See :class:`VAE`.
    loss : "mse", "cross-entropy" or Loss
        Of the reconstruction, see :class:`Autoencoder`.
    clustering_weight : float, optional
        lambda, units of the loss for a squared unit of the code; by default 10, as the first
        clusters are held and the codes have to follow, and 0.1 where they may change.
    centres : "online" or "offline"
        Centres that move along with every batch, as running means, where clusters may change; or
        means of all rows at the start of every interval.
    recipe : SelfTraining, optional
        First clusters, intervals and pre-training; ``SelfTraining(init="kmeans")`` is the paper's,
        and lets clusters change.
    scaling : "auto", "range", "standard", "none" or Scaler
        See :class:`Autoencoder`.
    image_shape, random_state
        See :class:`VAE`.
    trainer : Trainer, optional
        See :class:`DEC`.

    Attributes
    ----------
    labels_, cluster_centers_, model_, history_, scaling_, image_shape_, seed_
        See :class:`DEC`.

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
        n_clusters: int | str | None = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        loss: Loss | str = "auto",
        clustering_weight: float | None = None,
        centres: str = "online",
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
        self.clustering_weight = clustering_weight
        self.centres = centres
        self.recipe = recipe
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    holds_first = True

    def _check_own(self) -> None:
        check_choice("centres", self.centres, ["online", "offline"])
        if self.clustering_weight is not None:
            require_not_negative(clustering_weight=self.clustering_weight)

    def _assembled(self, encoder: nn.Module, decoder: nn.Module, prior: Components) -> DCNModel:
        assignment = RunningCentres(self._n_clusters, self.latent_dim)
        return DCNModel(encoder, decoder, prior, assignment, self.n_rows_)

    def _held_terms(self, fit: Fit) -> SelfLabelled:
        return self._terms_of(fit, held=True)

    def _terms_of(self, fit: Fit | None, held: bool = False) -> SelfLabelled:
        given = HELD_WEIGHT if held else WEIGHT
        terms = partial(
            kmeans_friendly,
            loss=self._judge(),
            clustering_weight=given if self.clustering_weight is None else self.clustering_weight,
            online=self.centres == "online" and not held,
        )
        return SelfLabelled(terms, nearest_centres, None if fit is None else fit.view)

    def _start_clusters(self, model: Any, labels: Tensor) -> None:
        # An empty cluster counts its centre as a row, for a mean of none is not a number.
        counts = torch.bincount(labels, minlength=self._n_clusters).clamp_min(1)
        model.assignment.counts.copy_(counts)

    def _relabelled(self, model: Any, fit: Fit, noise: Noise) -> Relabelling:
        with fit.engine.autocast():
            codes = posterior_means(model, fit.rows)
        labels = model.assignment(codes)
        changed = relabel(model, labels)
        if self.centres == "offline":
            model.assignment.refit(_drawn_codes(model, fit, codes, noise), labels)
        return Relabelling(F.one_hot(labels, self._n_clusters).to(codes), changed)

    def _train_rest(self, model: Any, fit: Fit) -> None:
        """Train nothing more."""

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        return map_float64(nearest_centres, model, x).cpu().numpy()


def _drawn_codes(model: Any, fit: Fit, codes: Tensor, noise: Noise) -> Tensor:
    """Return the codes that the training draws to the centres: those of random views.

    They lie nearer to the middle than the rows' own. Centres of the latter would flee before them,
    and the codes grow without end.
    """
    view = fit.view
    if view is None:
        return codes

    def code(block: Tensor) -> Tensor:
        with noise:
            seen = view(block)
        mean: Tensor = model.encoder(seen).mean
        return mean

    with fit.engine.autocast():
        return map_blocks(code, fit.rows)
