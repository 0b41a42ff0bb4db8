"""The evidence lower bound."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from sfumato.checks import require_not_negative, require_positive
from sfumato.distributions import kl, kl_per_dimension
from sfumato.noise import Noise, drawing_from
from sfumato.objectives.base import LatentModel, Objective, Step, Terms


def elbo(
    model: LatentModel,
    x: Tensor,
    *,
    beta: float = 1.0,
    free_bits: float = 0.0,
    n_samples: int = 1,
    noise: Noise | None = None,
) -> Terms:
    r"""Negative evidence lower bound, in two terms.

    .. math:: -\log p(x) \le -\frac1L \sum_{l=1}^L \log p(x | z^{(l)}) + \beta\, KL(q(z|x) \| p(z)),
              \qquad z^{(l)} \sim q(z|x)

    With ``free_bits`` :math:`\lambda` each dimension's divergence counts as
    :math:`\max(\lambda, \overline{KL}_j)`, the mean taken over the batch, so that no dimension is
    rewarded for carrying less than :math:`\lambda` nats.

    Parameters
    ----------
    model : module with ``encoder``, ``decoder`` and ``prior``
    x : Tensor, shape (n, d)
    beta : float
        Weight of the divergence; 1 is the bound.
    free_bits : float
        Nats per latent dimension that cost nothing extra; 0 is the bound. Needs a factorised
        posterior and prior.
    n_samples : int
        L, the samples of z for each row.
    noise : Noise, optional
        What z is drawn from; torch's global generator by default.

    Returns
    -------
    dict
        ``reconstruction`` and ``kl``, each of shape (n,), in nats.

    Raises
    ------
    ValueError
        If ``free_bits`` is set and the divergence is not a sum over dimensions.

    References
    ----------
    Kingma and Welling 2014; Higgins et al., beta-VAE, 2017; free bits: Kingma et al. 2016, eq. 15.
    """
    require_positive("n_samples", n_samples)
    require_not_negative(beta=beta, free_bits=free_bits)
    q = model.encoder(x)
    with drawing_from(noise):
        z = q.rsample((n_samples,))
    return elbo_at(model, x, q, z, beta=beta, free_bits=free_bits)


def elbo_at(
    model: LatentModel,
    x: Tensor,
    q: Distribution,
    z: Tensor,
    *,
    beta: float = 1.0,
    free_bits: float = 0.0,
) -> Terms:
    """Return the terms of :func:`elbo` for any q(z|x), at its samples z.

    Parameters
    ----------
    model : module with ``encoder``, ``decoder`` and ``prior``
    x : Tensor, shape (n, d)
    q : Distribution
        Batch shape (n,).
    z : Tensor, shape (L, n, latent_dim)
    beta, free_bits : float
        See :func:`elbo`.
    """
    p = model.prior_of(x)
    log_likelihood = model.log_likelihood(x, z).mean(0)
    divergence = _floored_kl(q, p, free_bits) if free_bits > 0 else kl(q, p, z)
    return {"reconstruction": -log_likelihood, "kl": beta * divergence}


def _floored_kl(q: Distribution, p: Distribution, free_bits: float) -> Tensor:
    divergence = kl_per_dimension(q, p)
    if divergence is None:
        raise ValueError("free_bits needs a posterior and a prior that factorise over dimensions.")
    floor = torch.full_like(divergence, free_bits)
    return torch.where(divergence.mean(0) < free_bits, floor, divergence).sum(-1)


class ELBO(Objective):
    r"""The bound as an estimator's argument: :func:`elbo` with a linear warm-up of beta.

    In epoch e the weight is :math:`\beta \min(1, (e + 1) / \mathrm{warmup})`.

    Parameters
    ----------
    beta : float
        Final weight of the divergence.
    warmup : int
        Epochs over which the weight rises; 0 for none.
    free_bits : float
        Nats per dimension, used in training only.
    n_samples : int
        Samples of z for each row.

    Examples
    --------
    >>> ELBO(warmup=10).weight(0)
    0.1
    """

    recordable = True

    def __init__(
        self, beta: float = 1.0, warmup: int = 0, free_bits: float = 0.0, n_samples: int = 1
    ) -> None:
        self.beta = beta
        self.warmup = warmup
        self.free_bits = free_bits
        self.n_samples = n_samples

    def weight(self, epoch: int) -> float:
        """Weight of the divergence in an epoch, counted from 0."""
        require_not_negative(warmup=self.warmup)
        return self.beta * min(1.0, (epoch + 1) / max(1, self.warmup))

    def at(self, epoch: int) -> Step:
        """Return the step of one epoch."""
        return partial(
            elbo, beta=self.weight(epoch), free_bits=self.free_bits, n_samples=self.n_samples
        )

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the terms with the final weight and no free bits."""
        return elbo(model, batch, beta=self.beta, n_samples=self.n_samples)
