"""Centres of clusters among codes, and the assignment of codes to them."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical


def squared_distances(z: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distances of codes (..., d) to centres (K, d), shape (..., K).

    Differences are squared one by one: an expanded product would lose small distances of codes far
    from the origin.

    Examples
    --------
    >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[25.,  1.]])
    """
    return (z.unsqueeze(-2) - centres).square().sum(-1)


class StudentAssignment(nn.Module):
    r"""Soft assignment of codes to centres by a Student t kernel; the centres are learned.

    .. math:: q(c = j|z) \propto \big(1 + \|z - \mu_j\|^2 / \alpha\big)^{-\frac{\alpha + 1}{2}}

    Parameters
    ----------
    n_clusters, dim : int
    alpha : float
        Degrees of freedom.

    References
    ----------
    Xie, Girshick and Farhadi, Unsupervised Deep Embedding for Clustering Analysis, 2016.
    """

    def __init__(self, n_clusters: int, dim: int, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.centres = nn.Parameter(torch.zeros(n_clusters, dim))

    def forward(self, z: Tensor) -> Categorical:
        """Return q(c|z) for codes of shape (..., d), batch shape (...)."""
        distance = squared_distances(z, self.centres) / self.alpha
        logits = -(self.alpha + 1) / 2 * distance.log1p()
        return Categorical(logits=logits, validate_args=False)


class RunningCentres(nn.Module):
    r"""Centres that are the means of the codes assigned to them so far.

    .. math:: n_k \leftarrow n_k + 1, \qquad m_k \leftarrow m_k + \tfrac{1}{n_k} (z_i - m_k)

    for every code i of a batch whose nearest centre is k; all at once this is the mean of what
    came before and of the batch.

    Parameters
    ----------
    n_clusters, dim : int

    References
    ----------
    Yang, Fu, Sidiropoulos and Hong, Towards K-means-friendly Spaces, 2017.
    """

    centres: Tensor
    counts: Tensor

    def __init__(self, n_clusters: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(n_clusters, dim))
        self.register_buffer("counts", torch.ones(n_clusters).double())

    def forward(self, z: Tensor) -> Tensor:
        """Return the nearest centre of every code, shape (...)."""
        return squared_distances(z, self.centres).argmin(-1)

    @torch.no_grad()
    def update(self, z: Tensor, labels: Tensor) -> None:
        """Move the centres along with codes (n, d) that belong to the clusters ``labels``."""
        added = torch.bincount(labels, minlength=len(self.counts)).to(self.counts)
        self.counts += added
        sums = torch.zeros_like(self.centres).index_add_(0, labels, z.to(self.centres))
        move = (sums - added[:, None] * self.centres) / self.counts[:, None]
        # A new tensor, not new values in the old one: gradients of this step still need that.
        self.centres = self.centres + move.to(self.centres)

    @torch.no_grad()
    def refit(self, z: Tensor, labels: Tensor) -> None:
        """Set the centres to the means of all codes; a centre without any stays where it is."""
        counts = torch.bincount(labels, minlength=len(self.counts)).to(self.counts)
        sums = torch.zeros_like(self.centres).double().index_add_(0, labels, z.double())
        means = (sums / counts.clamp_min(1)[:, None]).to(self.centres)
        self.centres = torch.where(counts[:, None] > 0, means, self.centres)
        self.counts = counts.clamp_min(1)
