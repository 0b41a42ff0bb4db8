"""Deep embedded clustering."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from sfumato.likelihoods import squared_error
from sfumato.models.latent import LatentVariableModel
from sfumato.nn import Components, StudentAssignment
from sfumato.objectives import ErrorOf, LabelledBatch, Terms


class DECModel(LatentVariableModel):
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


def target_distribution(q: Tensor, frequencies: Tensor | None = None) -> Tensor:
    r"""Sharpened assignments, large clusters held back, shape (n, K).

    .. math:: p_{ij} = \frac{q_{ij}^2 / f_j}{\sum_{j'} q_{ij'}^2 / f_{j'}}, \qquad
              f_j = \sum_i q_{ij}

    Parameters
    ----------
    q : Tensor, shape (n, K)
        Of all rows: frequencies of a batch alone would make a row's target depend on its
        neighbours.
    frequencies : Tensor, shape (K,), optional
        f, or anything proportional to it, in place of that of these rows.

    Examples
    --------
    >>> target_distribution(torch.tensor([[0.8, 0.2], [0.4, 0.6]]))[0]
    tensor([0.9143, 0.0857])
    """
    weights = q.square() / (q.sum(0) if frequencies is None else frequencies)
    return weights / weights.sum(-1, keepdim=True)


def embedded_clustering(
    model: DECModel,
    batch: LabelledBatch,
    *,
    loss: ErrorOf = squared_error,
    reconstruction_weight: float = 0.0,
) -> Terms:
    r"""Divergence of the assignments from their targets, and the weighted reconstruction.

    .. math:: KL(p_i \| q_i) + \rho\, L(x_i, g(z_i)), \qquad q_i = q(\cdot|z_i), \; z_i = f(x_i)

    Parameters
    ----------
    model : DECModel
    batch : LabelledBatch
        Rows with their targets p.
    loss : callable (p(x|z), x) -> (n,)
    reconstruction_weight : float
        rho; 0 leaves the decoder out.

    Returns
    -------
    dict
        ``clustering``, in nats, and with a decoder ``reconstruction``, each of shape (n,).

    References
    ----------
    Xie, Girshick and Farhadi, 2016; Guo, Gao, Liu and Yin, 2017.
    """
    x, p = batch.x, batch.responsibilities
    z = model.encoder(x).mean
    log_q = model.assignment(z).logits
    terms = {"clustering": (torch.xlogy(p, p) - p * log_q).sum(-1)}
    if reconstruction_weight:
        terms["reconstruction"] = reconstruction_weight * loss(model.decoder(z), x)
    return terms


def dec_targets(model: DECModel, x: Tensor) -> Tensor:
    """Return the targets of rows by the clusters' frequencies in training, shape (n, K)."""
    return target_distribution(model.assigned(x).probs, model.frequencies)
