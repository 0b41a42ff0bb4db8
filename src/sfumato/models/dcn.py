"""The deep clustering network: an autoencoder and k-means of its codes."""

import torch
from torch import Tensor, nn

from sfumato.models.latent import LatentVariableModel
from sfumato.nn import Components, RunningCentres


class DCN(LatentVariableModel):
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
