"""What DEC, DCN and DeepCluster minimise."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.models import DCN, DEC, DeepCluster, LatentVariableModel
from sfumato.objectives.base import AnnealedObjective, Objective, Terms
from sfumato.objectives.coupled import Assigned
from sfumato.objectives.reconstruction import Loss, squared_error

View = Callable[[Tensor], Tensor]


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
    model: DEC,
    batch: Assigned,
    *,
    loss: Loss = squared_error,
    reconstruction_weight: float = 0.0,
) -> Terms:
    r"""Divergence of the assignments from their targets, and the weighted reconstruction.

    .. math:: KL(p_i \| q_i) + \rho\, L(x_i, g(z_i)), \qquad q_i = q(\cdot|z_i), \; z_i = f(x_i)

    Parameters
    ----------
    model : DEC
    batch : Assigned
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


def kmeans_friendly(
    model: DCN,
    batch: Assigned,
    *,
    loss: Loss = squared_error,
    clustering_weight: float = 0.05,
    online: bool = True,
) -> Terms:
    r"""Reconstruction, and the squared distance of the code to its centre.

    .. math:: L(x_i, g(f(x_i))) + \tfrac\lambda2 \|f(x_i) - M s_i\|^2

    Parameters
    ----------
    model : DCN
    batch : Assigned
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


def pseudo_classification(model: DeepCluster, batch: Assigned) -> Terms:
    r"""Cross-entropy of the clusters of the features as they were: -log q(c_i|x_i), in nats.

    Parameters
    ----------
    model : DeepCluster
    batch : Assigned
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


def decoding(model: LatentVariableModel, x: Tensor, *, loss: Loss = squared_error) -> Terms:
    """Loss of the reconstruction from codes at rest: only the decoder learns.

    Parameters
    ----------
    model : LatentVariableModel
        Its encoder returns a point mass.
    x : Tensor, shape (n, d)
    loss : callable (p(x|z), x) -> (n,)

    Returns
    -------
    dict
        ``reconstruction``, shape (n,).
    """
    with torch.no_grad():
        z = model.encoder(x).mean
    return {"reconstruction": loss(model.decoder(z), x)}


class SelfAssigned(AnnealedObjective):
    """An objective of rows with targets, trained on deformed views, reported for rows as they are.

    Parameters
    ----------
    terms : callable (model, Assigned) -> dict
        :func:`embedded_clustering`, :func:`kmeans_friendly` or :func:`pseudo_classification`.
    targets : callable (model, x) -> (n, K)
        Targets of rows outside of training.
    view : callable, optional
        Deforms a batch of rows.
    """

    def __init__(
        self,
        terms: Callable[..., Terms],
        targets: Callable[[Any, Tensor], Tensor],
        view: View | None = None,
    ) -> None:
        self.terms = terms
        self.targets = targets
        self.view = view

    def at(self, epoch: int) -> Objective:
        """Return the objective, the same in every epoch."""
        return self.terms if self.view is None else partial(_of_views, self.terms, self.view)

    def __call__(self, model: Any, x: Tensor) -> Terms:
        """Return the terms of rows by what the model says of them."""
        return self.terms(model, Assigned(x, self.targets(model, x), x.new_zeros(len(x))))


def _of_views(terms: Callable[..., Terms], view: View, model: Any, batch: Assigned) -> Terms:
    return terms(model, replace(batch, x=view(batch.x)))


def dec_targets(model: DEC, x: Tensor) -> Tensor:
    """Return the targets of rows by the clusters' frequencies in training, shape (n, K)."""
    return target_distribution(model.assigned(x).probs, model.frequencies)


def nearest_centres(model: DCN, x: Tensor) -> Tensor:
    """Return the assignment of rows to their nearest centres, one-hot, shape (n, K)."""
    labels = model.assignment(model.encoder(x).mean)
    return F.one_hot(labels, len(model.assignment.centres)).to(x)


def likeliest_pseudo_labels(model: DeepCluster, x: Tensor) -> Tensor:
    """Return the pseudo-label that the network gives every row, one-hot, shape (n, K)."""
    log_q = model.log_class(x)
    return F.one_hot(log_q.argmax(-1), log_q.shape[-1]).to(x)
