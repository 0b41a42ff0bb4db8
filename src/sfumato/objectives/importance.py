"""The importance-weighted bound."""

from functools import partial
from math import log

import torch
from torch import Tensor

from sfumato.models import LatentVariableModel
from sfumato.objectives.base import AnnealedObjective, Objective, Terms, require_positive


def importance(model: LatentVariableModel, x: Tensor, *, n_samples: int = 50) -> Terms:
    r"""Negative importance-weighted bound.

    .. math:: -\log p(x) \le -E_{z^{(1..k)} \sim q(z|x)}
              \Big[\log \frac1k \sum_{i=1}^k \frac{p(x, z^{(i)})}{q(z^{(i)}|x)}\Big]

    Parameters
    ----------
    model : LatentVariableModel
    x : Tensor, shape (n, d)
    n_samples : int
        k; with k = 1 this is the evidence lower bound.

    Returns
    -------
    dict
        ``importance_bound``, shape (n,), in nats.

    References
    ----------
    Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016.
    """
    require_positive("n_samples", n_samples)
    q = model.encoder(x)
    z = q.rsample((n_samples,))
    log_weights = model.log_joint(x, z) - q.log_prob(z)
    return {"importance_bound": log(n_samples) - torch.logsumexp(log_weights, dim=0)}


class IWAE(AnnealedObjective):
    """The importance-weighted bound as an estimator's argument.

    Parameters
    ----------
    n_samples : int
        k, the samples of z for each row; time and memory of a step grow with it.
    """

    recordable = True

    def __init__(self, n_samples: int = 50) -> None:
        self.n_samples = n_samples

    def at(self, epoch: int) -> Objective:
        """Return the objective, the same in every epoch."""
        return partial(importance, n_samples=self.n_samples)

    def __call__(self, model: LatentVariableModel, x: Tensor) -> Terms:
        """Return the bound."""
        return importance(model, x, n_samples=self.n_samples)
