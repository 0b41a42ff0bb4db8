"""DeepCluster: a network that learns from the clusters of its own features."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.nn import Views
from sfumato.objectives import LabelledBatch, Terms

# Deviation of a new head's weights.
HEAD_DEVIATION = 0.01


class DeepClusterModel(nn.Module):
    r"""Features, and a linear classifier of the pseudo-labels that k-means found among them.

    .. math:: z = f(x), \qquad q(a|x) = \mathrm{softmax}(W z + b)_a, \qquad
              q(c|x) = \frac1V \sum_v \sum_{a \in c} q(a|T_v x)

    There are more pseudo-labels a than clusters c, which are read from several views of a row.

    Parameters
    ----------
    encoder : Module, (n, d) -> a point mass at f(x)
    n_features, n_pseudo, n_clusters : int
    n_rows : int
        Training rows, whose pseudo-labels are kept.
    views : Views, optional
        T_v; without them a row is seen as it is.

    References
    ----------
    Caron, Bojanowski, Joulin and Douze, Deep Clustering for Unsupervised Learning of Visual
    Features, 2018.
    """

    groups: Tensor
    labels: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        n_features: int,
        n_pseudo: int,
        n_clusters: int,
        n_rows: int,
        views: Views | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(n_features, n_pseudo)
        # Which cluster a pseudo-label belongs to.
        self.register_buffer("groups", torch.arange(n_pseudo) % n_clusters)
        self.register_buffer("labels", torch.full((n_rows,), -1))
        self.n_clusters = n_clusters
        self.views = Views() if views is None else views

    @torch.no_grad()
    def forget(self) -> None:
        """Begin a new head.

        It is next to nothing: a random one would push the features about before it has learned.
        """
        self.head.weight.normal_(0.0, HEAD_DEVIATION)
        self.head.bias.zero_()

    def log_class(self, x: Tensor) -> Tensor:
        """Log q(a|x) of the pseudo-labels in nats, shape (n, n_pseudo)."""
        logits = self.head(F.relu(self.encoder(x).mean))
        return F.log_softmax(logits if logits.dtype.itemsize >= 4 else logits.float(), dim=-1)

    def probabilities(self, x: Tensor) -> Tensor:
        """Return q(c|x), shape (n, n_clusters)."""
        q = torch.stack([self.log_class(view).exp() for view in self.views(x)]).mean(0)
        return q.new_zeros(len(q), self.n_clusters).index_add_(1, self.groups, q)


def pseudo_classification(model: DeepClusterModel, batch: LabelledBatch) -> Terms:
    r"""Cross-entropy of the clusters of the features as they were: -log q(c_i|x_i), in nats.

    Parameters
    ----------
    model : DeepClusterModel
    batch : LabelledBatch
        Rows with their clusters, one-hot.

    Returns
    -------
    dict
        ``cross_entropy``, shape (n,).

    References
    ----------
    Caron, Bojanowski, Joulin and Douze, Deep Clustering for Unsupervised Learning of Visual
    Features, 2018.
    """
    return {"cross_entropy": -(batch.responsibilities * model.log_class(batch.x)).sum(-1)}


def likeliest_pseudo_labels(model: DeepClusterModel, x: Tensor) -> Tensor:
    """Return the pseudo-label that the network gives every row, one-hot, shape (n, K)."""
    log_q = model.log_class(x)
    return F.one_hot(log_q.argmax(-1), log_q.shape[-1]).to(x)
