"""Rows of wide tables in model units: scores along principal axes, and what these leave."""

from math import log, pi

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from sfumato.distributions import SampleShape
from sfumato.nn.columns import MIN_SCALE, loc_and_scale
from sfumato.nn.families import Family


class PrincipalScores(Distribution):
    r"""Independent Gaussian scores, and m standard normal deviations off the axes.

    .. math:: \log p(t, r) = \sum_j \log N(t_j; \mu_j, \sigma_j^2) - \frac m2 \log 2\pi - \frac m2 r

    The second part is the density of the m deviations, whose mean square is r.

    Parameters
    ----------
    loc, scale : Tensor, shape (..., k)
    n_rest : int
        m.
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    has_rsample = False

    def __init__(self, loc: Tensor, scale: Tensor, n_rest: int) -> None:
        self.scores = Normal(loc, scale, validate_args=False)
        self.n_rest = n_rest
        event = torch.Size([loc.shape[-1] + 1])
        super().__init__(loc.shape[:-1], event, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean of the scores, and 1, shape (..., k + 1)."""
        loc = self.scores.mean
        return torch.cat([loc, torch.ones_like(loc[..., :1])], dim=-1)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw scores and mean squares, shape (*sample_shape, ..., k + 1)."""
        scores = self.scores.sample(torch.Size(sample_shape))
        # Of many deviations the mean square is nearly Gaussian (Wilson and Hilferty 1931).
        spread = 2 / (9 * max(self.n_rest, 1))
        noise = torch.randn_like(scores[..., :1])
        square = (1 - spread + noise * spread**0.5).clamp_min(0.0) ** 3
        return torch.cat([scores, square], dim=-1)

    def log_prob_by_value(self, value: Tensor) -> Tensor:
        """Log density of every score, and of what they leave, in nats, shape (..., k + 1)."""
        scores = self.scores.log_prob(value[..., :-1])
        rest = -0.5 * self.n_rest * (log(2 * pi) + value[..., -1:])
        return torch.cat([scores, rest.expand(*scores.shape[:-1], 1)], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, shape (...)."""
        return self.log_prob_by_value(value).sum(-1)


class PrincipalFamily(Family):
    """Scores with location and log scale side by side in raw.

    Parameters
    ----------
    dim : int
        k + 1.
    n_rest : int
        Deviations off the axes.
    """

    def __init__(self, dim: int, n_rest: int) -> None:
        super().__init__(dim, 2 * (dim - 1))
        self.n_rest = n_rest

    def forward(self, raw: Tensor) -> PrincipalScores:
        """Return the distribution, batch shape raw.shape[:-1]."""
        return PrincipalScores(*loc_and_scale(raw, self.dim - 1, MIN_SCALE), self.n_rest)


class AllButLast(nn.Module):
    """Rows without their last value."""

    def forward(self, x: Tensor) -> Tensor:
        """Return all values but the last, shape (n, d - 1)."""
        return x[..., :-1]
