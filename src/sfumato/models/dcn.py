"""The deep clustering network: an autoencoder and k-means of its codes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.likelihoods import squared_error
from sfumato.models.latent import LatentVariableModel
from sfumato.nn import Components, RunningCentres
from sfumato.objectives import ErrorOf, LabelledBatch, Terms


class DCNModel(LatentVariableModel):
    r"""An autoencoder whose codes are drawn to the centres of k-means clusters.

    .. math:: z = f(x), \qquad c(x) = \arg\min_k \|z - m_k\|^2

    Parameters
    ----------
    encoder : Module, (n, d) -> a point mass at f(x)
    decoder : Module, (..., l) -> p(x|z)
    prior : Components
        Of the codes of every cluster, for generation.
    assignment : RunningCentres
    n_rows : int
        Training rows, whose clusters are kept.

    References
    ----------
    Yang, Fu, Sidiropoulos and Hong, Towards K-means-friendly Spaces: Simultaneous Deep Learning
    and Clustering, 2017.
    """

    prior: Components
    assignment: RunningCentres
    labels: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: Components,
        assignment: RunningCentres,
        n_rows: int,
    ) -> None:
        super().__init__(encoder, decoder, prior)
        self.assignment = assignment
        self.register_buffer("labels", torch.full((n_rows,), -1))


def kmeans_friendly(
    model: DCNModel,
    batch: LabelledBatch,
    *,
    loss: ErrorOf = squared_error,
    clustering_weight: float = 0.05,
    online: bool = True,
) -> Terms:
    r"""Reconstruction, and the squared distance of the code to its centre.

    .. math:: L(x_i, g(f(x_i))) + \tfrac\lambda2 \|f(x_i) - M s_i\|^2

    Parameters
    ----------
    model : DCNModel
    batch : LabelledBatch
        Rows with their assignments s, one-hot.
    loss : callable (p(x|z), x) -> (n,)
    clustering_weight : float
        lambda, in units of the loss for a squared unit of the code.
    online : bool
        In training, assign the batch by the centres as they stand, and move these along.

    Returns
    -------
    dict
        ``reconstruction`` and ``clustering``, each of shape (n,).

    References
    ----------
    Yang, Fu, Sidiropoulos and Hong, 2017.
    """
    z = model.encoder(batch.x).mean
    labels = model.assignment(z) if online else batch.responsibilities.argmax(-1)
    centres = model.assignment.centres[labels]
    terms = {
        "reconstruction": loss(model.decoder(z), batch.x),
        "clustering": clustering_weight / 2 * (z - centres).square().sum(-1),
    }
    if online and model.training:
        model.assignment.update(z.detach(), labels)
    return terms


def nearest_centres(model: DCNModel, x: Tensor) -> Tensor:
    """Return the assignment of rows to their nearest centres, one-hot, shape (n, K)."""
    labels = model.assignment(model.encoder(x).mean)
    return F.one_hot(labels, len(model.assignment.centres)).to(x)
