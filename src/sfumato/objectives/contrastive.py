"""The bounds of the contrastive VAE, and what keeps its two codes apart."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from sfumato.distributions import kl_per_dimension
from sfumato.models import ContrastiveVAE
from sfumato.nn import squared_distances
from sfumato.objectives.base import AnnealedObjective, Objective, Terms, require_not_negative

# Scales of the kernel in units of its expected squared distance under the prior.
KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Contrasted:
    """A batch of rows, and as many rows of the background.

    Attributes
    ----------
    x, background : Tensor, shape (n, d)
    """

    x: Tensor
    background: Tensor

    def __len__(self) -> int:
        return len(self.x)


def contrastive_elbo(
    model: ContrastiveVAE,
    batch: Tensor | Contrasted,
    *,
    beta: float = 1.0,
    matching: float = 0.0,
    correlation: float = 0.0,
) -> Terms:
    r"""Negative evidence lower bounds of rows x and of background rows b.

    .. math::
        -\log p(x) &\le -E_q \log p(x|z, s) + \beta\, KL(q(z|x) \| p(z))
                        + \beta\, KL(q(s|x) \| p(s)) \\
        -\log p(b) &\le -E_q \log p(b|0, s) + \beta\, KL(q(s|b) \| p(s))

    to which are added what keeps the codes apart,

    .. math:: \mu \big(\mathrm{MMD}^2(q(s|x), q(s|b)) + \mathrm{MMD}^2(q(z|b), \delta_0)\big)
              + \gamma\, KL(q(z, s) \| q(z)\, q(s)).

    What backgrounds look like is learned from background rows alone, where the decoder has a part
    for it: rows x then cannot teach it to draw what is salient in them. Rows without a background
    have the first bound alone.

    Parameters
    ----------
    model : ContrastiveVAE
    batch : Tensor of shape (n, d), or Contrasted
    beta : float
        Weight of the divergences; 1 is the bound.
    matching : float
        mu, nats: of the distance, over the batch, between the shared codes of rows and of
        background rows, and of the background's salient codes from 0.
    correlation : float
        gamma: of the total correlation of z and s, estimated by the model's critic, which learns
        beside it.

    Returns
    -------
    dict
        ``reconstruction``, ``salient_kl`` and ``shared_kl``, with a background
        ``background_reconstruction`` and ``background_kl``, and where they are asked for
        ``matching``, ``total_correlation`` and ``critic``; each of shape (n,), in nats.

    Raises
    ------
    ValueError
        If a weight is negative, or the posterior or the prior does not factorise.

    References
    ----------
    Abid and Zou, Contrastive Variational Autoencoder Enhances Salient Features, 2019; Weinberger,
    Beebe-Wang and Lee, Moment Matching Deep Contrastive Latent Variable Models, 2022; the critic:
    Kim and Mnih, Disentangling by Factorising, 2018.
    """
    require_not_negative(beta=beta, matching=matching, correlation=correlation)
    n = len(batch)
    # Both kinds of rows pass through the encoder together.
    rows = torch.cat([batch.x, batch.background]) if isinstance(batch, Contrasted) else batch
    q = model.encoder(rows)
    code = q.rsample()
    divergence = kl_per_dimension(q, model.prior())
    if divergence is None:
        raise ValueError("the contrastive bound needs a posterior and a prior that factorise.")
    salient, shared = (beta * part(divergence).sum(-1) for part in (model.salient, model.shared))
    contrasted = isinstance(batch, Contrasted)
    likelihood = model.over_given_backgrounds(code[:n]) if contrasted else model.decoder(code)
    terms = {
        "reconstruction": -likelihood.log_prob(rows[:n]),
        "salient_kl": salient[:n],
        "shared_kl": shared[:n],
    }
    if contrasted:
        background = model.decoder(model.without_salient(code[n:]))
        error = -background.log_prob(rows[n:])
        terms |= {"background_reconstruction": error, "background_kl": shared[n:]}
        if matching:
            terms["matching"] = matching * mismatch(model, code[:n], code[n:]).expand(n)
    if model.critic is not None and correlation:
        terms |= total_correlation(model, code[:n], correlation)
    return terms


def mismatch(model: ContrastiveVAE, code: Tensor, background: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{MMD}^2(s_x, s_b) + \mathrm{MMD}^2(z_b, 0)` of samples, a scalar.

    Parameters
    ----------
    model : ContrastiveVAE
    code, background : Tensor, shape (n, latent_dim + background_dim)
        Samples of the codes of rows, and of background rows.
    """
    z = model.salient(background)
    return squared_mmd(model.shared(code), model.shared(background)) + squared_mmd(
        z, torch.zeros_like(z[:1])
    )


def squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    r"""Squared maximum mean discrepancy between two samples, a scalar between 0 and 2.

    .. math:: \frac1{n^2} \sum_{ij} k(a_i, a_j) - \frac2{nm} \sum_{ij} k(a_i, b_j)
              + \frac1{m^2} \sum_{ij} k(b_i, b_j), \qquad
              k(a, b) = \frac17 \sum_c \frac{2 c d}{2 c d + \|a - b\|^2}

    with c from 0.1 to 10; 2d is the expected squared distance of codes from the prior.

    Parameters
    ----------
    a : Tensor, shape (n, d)
    b : Tensor, shape (m, d)

    References
    ----------
    Gretton et al., A Kernel Two-Sample Test, 2012; the kernel: Tolstikhin et al., Wasserstein
    Auto-Encoders, 2018.

    Examples
    --------
    >>> a = torch.randn(5, 3)
    >>> float(squared_mmd(a, a))
    0.0
    """
    kernel = [_kernel(*pair).mean() for pair in ((a, a), (a, b), (b, b))]
    return kernel[0] - 2 * kernel[1] + kernel[2]


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    distance = squared_distances(a, b)
    scales = 2 * a.shape[1] * distance.new_tensor(KERNEL_SCALES)[:, None, None]
    values: Tensor = (scales / (scales + distance)).mean(0)
    return values


def total_correlation(model: ContrastiveVAE, code: Tensor, weight: float) -> Terms:
    r"""Estimate :math:`KL(q(z, s) \| q(z) q(s))`, and teach the critic that estimates it.

    The critic D tells codes (z, s) of one row from codes whose s is another row's; its log odds
    are then :math:`\log q(z, s) / (q(z) q(s))`, whose mean is the total correlation.

    Parameters
    ----------
    model : ContrastiveVAE
        With a critic.
    code : Tensor, shape (n, latent_dim + background_dim)
        Samples.
    weight : float

    Returns
    -------
    dict
        ``total_correlation``, which moves the codes alone, and ``critic``, the cross-entropy,
        which moves the critic alone; each of shape (n,).
    """
    critic = model.critic
    assert critic is not None
    still = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    log_ratio = functional_call(critic, still, (code,)).squeeze(-1)
    code = code.detach()
    # Turned by one, no row keeps its own s.
    apart = torch.cat([model.salient(code), model.shared(code).roll(1, 0)], -1)
    own, other = (critic(codes).squeeze(-1) for codes in (code, apart))
    return {
        "total_correlation": weight * log_ratio,
        "critic": (F.softplus(-own) + F.softplus(other)) / 2,
    }


class ContrastiveELBO(AnnealedObjective):
    r"""The contrastive bounds as an estimator's argument: :func:`contrastive_elbo`.

    In epoch e, beta is :math:`\beta \min(1, (e + 1) / \mathrm{warmup})`.

    Parameters
    ----------
    beta : float
        Final weight of the divergences.
    warmup : int
        Epochs over which it rises; 0 for none.
    matching : float
        Weight of moment matching, nats.
    correlation : float
        Weight of the total correlation; 0 for no critic.

    Examples
    --------
    >>> ContrastiveELBO(matching=0.0)
    ContrastiveELBO(matching=0.0)
    """

    def __init__(
        self,
        beta: float = 1.0,
        warmup: int = 0,
        matching: float = 100.0,
        correlation: float = 0.0,
    ) -> None:
        self.beta = beta
        self.warmup = warmup
        self.matching = matching
        self.correlation = correlation

    def at(self, epoch: int) -> Objective:
        """Return the objective of one epoch."""
        require_not_negative(warmup=self.warmup)
        return self._weighted(min(1.0, (epoch + 1) / max(1, self.warmup)))

    def _weighted(self, weight: float) -> Any:
        return partial(
            contrastive_elbo,
            beta=self.beta * weight,
            matching=self.matching,
            correlation=self.correlation,
        )

    def __call__(self, model: Any, x: Any) -> Terms:
        """Return the bounds with the final weight, of rows alone without what keeps codes apart."""
        if isinstance(x, Contrasted):
            return self._weighted(1.0)(model, x)
        return contrastive_elbo(model, x, beta=self.beta)
