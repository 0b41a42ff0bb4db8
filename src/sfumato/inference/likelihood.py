"""Estimates of log p(x): naive Monte Carlo and importance sampling."""

from collections.abc import Callable
from math import ceil, log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.inference.blocks import RowSource
from sfumato.inference.decoding import with_fast_decoder
from sfumato.inference.seeding import seeded_rows
from sfumato.models import LatentVariableModel
from sfumato.nn import Conditional
from sfumato.noise import Noise, drawing_from
from sfumato.objectives import require_positive

# Largest number of values that a decoder returns at once.
CHUNK_VALUES = 2**22
# On a processor: largest number of samples drawn at a time; values decoded at a time, two megabytes
# that stay in its cache, which is nearly twice as fast; fewest rows of a fast product.
CHUNK_SAMPLES, CACHED_VALUES, MIN_ROWS = 1024, 2**19, 32


class LikelihoodEstimate(NamedTuple):
    """An estimate for each row; all of shape (n,), or (n, K) for K conditions."""

    log_likelihood: Tensor
    """Estimate of log p(x) in nats."""
    standard_error: Tensor
    """Its Monte Carlo standard error in nats, by the delta method; NaN for one sample."""
    effective_sample_size: Tensor
    """(sum w)^2 / sum w^2 of the importance weights, between 1 and the number of samples."""


def importance_sampling(
    model: LatentVariableModel,
    x: RowSource,
    *,
    n_samples: int = 5000,
    seed: int = 0,
    conditions: Tensor | None = None,
) -> LikelihoodEstimate:
    r"""Log p(x) by importance sampling from the encoder.

    .. math:: \log p(x) \approx \log \frac1S \sum_{s=1}^S
              \frac{p(x|z^{(s)})\, p(z^{(s)})}{q(z^{(s)}|x)}, \qquad z^{(s)} \sim q(z|x)

    Its mean over draws is the importance-weighted bound with k = S, so it errs downwards.

    Parameters
    ----------
    model : LatentVariableModel
    x : Tensor, shape (n, d)
    n_samples : int
        S, exactly as many as are drawn for each row.
    seed : int
        Draws depend on this and on the row alone.
    conditions : Tensor, shape (K, m), optional
        Of a conditional model: estimate log p(x|c) of every row under each of these.

    Examples
    --------
    See ``tests/test_likelihood.py``, where it meets a linear-Gaussian model's exact evidence.
    """
    return _estimate(model, x, model.encoder, n_samples, seed, conditions)


def naive_monte_carlo(
    model: LatentVariableModel,
    x: RowSource,
    *,
    n_samples: int = 5000,
    seed: int = 0,
    conditions: Tensor | None = None,
) -> LikelihoodEstimate:
    r"""Log p(x) by averaging the likelihood over the prior.

    .. math:: \log p(x) \approx \log \frac1S \sum_{s=1}^S p(x|z^{(s)}), \qquad z^{(s)} \sim p(z)

    Right in the limit, useless in practice once the posterior is much narrower than the prior:
    look at the effective sample size.
    """

    def proposal(row: Tensor) -> Distribution:
        return model.prior_of(row).expand(row.shape[:1])

    return _estimate(model, x, proposal, n_samples, seed, conditions)


@torch.no_grad()
def _estimate(
    model: LatentVariableModel,
    x: RowSource,
    proposal: Callable[[Tensor], Distribution],
    n_samples: int,
    seed: int,
    conditions: Tensor | None,
) -> LikelihoodEstimate:
    require_positive("n_samples", n_samples)
    prior, precise = model.prior_by_row(), with_fast_decoder(model, x[:1])
    found = []
    for row, noise in seeded_rows(x, seed):
        given = _conditioned(row, conditions)
        weights = _log_weights(precise, prior(given), given, proposal(given), n_samples, noise)
        found.append(_summary(weights))
    estimates = torch.stack(found, dim=1)
    return LikelihoodEstimate(*(estimates.squeeze(2) if conditions is None else estimates))


def _conditioned(row: Tensor, conditions: Tensor | None) -> Tensor:
    """Return one row, shape (1, d), under each of K conditions, shape (K, d + m)."""
    if conditions is None:
        return row
    return torch.cat([row.expand(len(conditions), -1), conditions.to(row)], dim=1)


def _log_weights(
    model: LatentVariableModel,
    prior: Distribution,
    x: Tensor,
    q: Distribution,
    n_samples: int,
    noise: Noise,
) -> Tensor:
    """Return log p(x, z) - log q(z|x) at samples z of q, shape (n_samples, len(x))."""
    chunks = []
    size, decoded = _chunk_sizes(model.decoder, x)
    for start in range(0, n_samples, size):
        with drawing_from(noise):
            z = q.sample((min(size, n_samples - start),))
        log_likelihood = torch.cat([model.log_likelihood(x, part) for part in z.split(decoded)])
        chunks.append(log_likelihood + prior.log_prob(z) - q.log_prob(z))
    return torch.cat(chunks)


def _chunk_sizes(decoder: nn.Module, x: Tensor) -> tuple[int, int]:
    """Return how many samples to draw, and how many of them to decode, at a time."""
    width = decoder.family.n_parameters if isinstance(decoder, Conditional) else x.shape[1]
    whole = max(1, CHUNK_VALUES // (width * len(x)))
    if x.device.type != "cpu":
        return whole, whole
    drawn = min(CHUNK_SAMPLES, whole)
    cached = max(MIN_ROWS, CACHED_VALUES // (width * len(x)))
    # Parts of one size: a small rest would cost nearly as much as a whole one.
    return drawn, ceil(drawn / ceil(drawn / cached))


def _summary(log_weights: Tensor) -> Tensor:
    n = len(log_weights)
    log_weights = log_weights.double()
    log_mean = torch.logsumexp(log_weights, 0) - log(n)
    # Relative to the mean weight, so that neither the mean nor the variance can overflow.
    weights = (log_weights - log_mean).exp()
    # One sample tells nothing of its own error: NaN.
    standard_error = (
        weights.var(0, correction=0).sqrt() / (n - 1) ** 0.5 if n > 1 else log_mean * torch.nan
    )
    effective = n**2 / weights.square().sum(0)
    return torch.stack([log_mean, standard_error, effective])
