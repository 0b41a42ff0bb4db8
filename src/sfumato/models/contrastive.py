"""The contrastive VAE: what is salient in some rows, and what they share with a background."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call
from torch.nn import functional as F

from sfumato.distributions import kl_per_dimension
from sfumato.models.latent import LatentVariableModel
from sfumato.noise import Noise, drawing_from
from sfumato.objectives import Objective, Step, Terms, require_not_negative, squared_mmd

# Where a decoder that composes a row of layers keeps that of the background.
BACKGROUND = "background."


class ContrastiveModel(LatentVariableModel):
    r"""A latent-variable model of rows and of a background, by one decoder.

    .. math:: z, s \sim N(0, I), \qquad x \sim p(x | z, s), \qquad b \sim p(x | z = 0, s)

    for rows x and background rows b. The code (z, s) is one vector, the salient part first.

    Parameters
    ----------
    encoder : Module, (n, d) -> q(z, s|x), factorised, event shape (latent_dim + background_dim,)
    decoder : Module, (..., latent_dim + background_dim) -> p(x|z, s)
    prior : Module, () -> p(z, s)
    latent_dim : int
        Length of z.
    critic : Module, (n, latent_dim + background_dim) to (n, 1), optional
        Log odds that z and s belong to one row, for the total correlation.

    References
    ----------
    Abid and Zou, Contrastive Variational Autoencoder Enhances Salient Features, 2019.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        latent_dim: int,
        critic: nn.Module | None = None,
    ) -> None:
        super().__init__(encoder, decoder, prior)
        self.latent_dim = latent_dim
        self.critic = critic

    def over_given_backgrounds(self, code: Tensor) -> Distribution:
        """Return p(x|z, s) through which a background of the decoder's learns nothing."""
        still = {
            name: parameter.detach()
            for name, parameter in self.decoder.named_parameters()
            if name.startswith(BACKGROUND)
        }
        likelihood: Distribution = functional_call(self.decoder, still, (code,))
        return likelihood

    def salient(self, code: Tensor) -> Tensor:
        """Return z, shape (..., latent_dim)."""
        return code[..., : self.latent_dim]

    def shared(self, code: Tensor) -> Tensor:
        """Return s, shape (..., background_dim)."""
        return code[..., self.latent_dim :]

    def without_salient(self, code: Tensor) -> Tensor:
        """Return (0, s): a row's background."""
        return torch.cat([torch.zeros_like(self.salient(code)), self.shared(code)], -1)

    def without_shared(self, code: Tensor) -> Tensor:
        """Return (z, 0): what is salient in a row, on the background at the prior's mean."""
        return torch.cat([self.salient(code), torch.zeros_like(self.shared(code))], -1)


@dataclass(frozen=True)
class ContrastedBatch:
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
    model: ContrastiveModel,
    batch: Tensor | ContrastedBatch,
    *,
    beta: float = 1.0,
    matching: float = 0.0,
    correlation: float = 0.0,
    noise: Noise | None = None,
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
    model : ContrastiveModel
    batch : Tensor of shape (n, d), or ContrastedBatch
    beta : float
        Weight of the divergences; 1 is the bound.
    matching : float
        mu, nats: of the distance, over the batch, between the shared codes of rows and of
        background rows, and of the background's salient codes from 0.
    correlation : float
        gamma: of the total correlation of z and s, estimated by the model's critic, which learns
        beside it.
    noise : Noise, optional
        What the codes are drawn from; torch's global generator by default.

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
    rows = torch.cat([batch.x, batch.background]) if isinstance(batch, ContrastedBatch) else batch
    q = model.encoder(rows)
    with drawing_from(noise):
        code = q.rsample()
    divergence = kl_per_dimension(q, model.prior())
    if divergence is None:
        raise ValueError("the contrastive bound needs a posterior and a prior that factorise.")
    salient, shared = (beta * part(divergence).sum(-1) for part in (model.salient, model.shared))
    contrasted = isinstance(batch, ContrastedBatch)
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


def mismatch(model: ContrastiveModel, code: Tensor, background: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{MMD}^2(s_x, s_b) + \mathrm{MMD}^2(z_b, 0)` of samples, a scalar.

    Parameters
    ----------
    model : ContrastiveModel
    code, background : Tensor, shape (n, latent_dim + background_dim)
        Samples of the codes of rows, and of background rows.
    """
    z = model.salient(background)
    return squared_mmd(model.shared(code), model.shared(background)) + squared_mmd(
        z, torch.zeros_like(z[:1])
    )


def total_correlation(model: ContrastiveModel, code: Tensor, weight: float) -> Terms:
    r"""Estimate :math:`KL(q(z, s) \| q(z) q(s))`, and teach the critic that estimates it.

    The critic D tells codes (z, s) of one row from codes whose s is another row's; its log odds
    are then :math:`\log q(z, s) / (q(z) q(s))`, whose mean is the total correlation.

    Parameters
    ----------
    model : ContrastiveModel
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


class ContrastiveELBO(Objective):
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

    def at(self, epoch: int) -> Step:
        """Return the step of one epoch."""
        require_not_negative(warmup=self.warmup)
        return self._weighted(min(1.0, (epoch + 1) / max(1, self.warmup)))

    def _weighted(self, weight: float) -> Step:
        return partial(
            contrastive_elbo,
            beta=self.beta * weight,
            matching=self.matching,
            correlation=self.correlation,
        )

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the bounds with the final weight, of rows alone without what keeps codes apart."""
        if isinstance(batch, ContrastedBatch):
            return self._weighted(1.0)(model, batch)
        return contrastive_elbo(model, batch, beta=self.beta)
