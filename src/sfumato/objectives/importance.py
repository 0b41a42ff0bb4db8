"""The importance-weighted bound."""

from functools import partial
from math import log
from typing import Any

import torch
from torch import Tensor

from sfumato.checks import require_positive
from sfumato.noise import Noise, drawing_from
from sfumato.objectives.base import LatentModel, Objective, Step, Terms


def iwae_bound(
    model: LatentModel, x: Tensor, *, n_samples: int = 50, noise: Noise | None = None
) -> Terms:
    r"""Negative importance-weighted bound.

    .. math:: -\log p(x) \le -E_{z^{(1..k)} \sim q(z|x)}
              \Big[\log \frac1k \sum_{i=1}^k \frac{p(x, z^{(i)})}{q(z^{(i)}|x)}\Big]

    Parameters
    ----------
    model : module with ``encoder``, ``decoder`` and ``prior``
    x : Tensor, shape (n, d)
    n_samples : int
        k; with k = 1 this is the evidence lower bound.
    noise : Noise, optional
        What z is drawn from; torch's global generator by default.

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
    with drawing_from(noise):
        z = q.rsample((n_samples,))
    log_weights = model.log_joint(x, z) - q.log_prob(z)
    return {"importance_bound": log(n_samples) - torch.logsumexp(log_weights, dim=0)}


class IWAE(Objective):
    """The importance-weighted bound as an estimator's argument.

    Parameters
    ----------
    n_samples : int
        k, the samples of z for each row; time and memory of a step grow with it.
    """

    recordable = True
    likelihood_term = "importance_bound"

    def __init__(self, n_samples: int = 50) -> None:
        self.n_samples = n_samples

    def at(self, epoch: int) -> Step:
        """Return the step, the same in every epoch."""
        return partial(iwae_bound, n_samples=self.n_samples)

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the bound."""
        return iwae_bound(model, batch, n_samples=self.n_samples)
