"""Deep embedded clustering."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from sfumato.models.latent import LatentVariableModel
from sfumato.nn import Components, StudentAssignment


class DEC(LatentVariableModel):
    r"""An autoencoder whose codes are assigned to centres, which are learned with the encoder.

    .. math:: z = f(x), \qquad q(c = j|z) \propto
              \big(1 + \|z - \mu_j\|^2 / \alpha\big)^{-\frac{\alpha + 1}{2}}

    Parameters
    ----------
    encoder : Module, (n, d) -> a point mass at f(x)
    decoder : Module, (..., l) -> p(x|z)
    prior : Components
        Of the codes of every cluster, for generation.
    assignment : StudentAssignment
        q(c|z).
    n_rows : int
        Training rows, whose clusters are kept.

    References
    ----------
    Xie, Girshick and Farhadi, Unsupervised Deep Embedding for Clustering Analysis, 2016; Guo, Gao,
    Liu and Yin, Improved Deep Embedded Clustering with Local Structure Preservation, 2017.
    """

    prior: Components
    assignment: StudentAssignment
    frequencies: Tensor
    labels: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: Components,
        assignment: StudentAssignment,
        n_rows: int,
    ) -> None:
        super().__init__(encoder, decoder, prior)
        self.assignment = assignment
        n_clusters = len(assignment.centres)
        self.register_buffer("frequencies", torch.full((n_clusters,), 1 / n_clusters))
        self.register_buffer("labels", torch.full((n_rows,), -1))

    def assigned(self, x: Tensor) -> Categorical:
        """Return q(c|x) at the code of every row, batch shape (n,)."""
        q: Categorical = self.assignment(self.encoder(x).mean)
        return q
