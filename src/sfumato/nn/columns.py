r"""Rows whose columns each have a distribution of their own, and may have missing cells.

A missing cell is NaN. The encoder sees zero in its place, and a mask; the likelihood leaves it out,

.. math:: \log p(x_{\mathrm{obs}} | z) = \sum_{j\ \mathrm{observed}} \log p(x_j | z),

which is the exact marginal, as cells are independent given the code.
"""

from collections.abc import Sequence
from copy import copy
from math import log

import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    LogNormal,
    StudentT,
)
from torch.nn import functional as F

from sfumato.distributions import SampleShape
from sfumato.nn.families import Family, Levels

# Beyond this many deviations the encoder sees a value's logarithm: outliers keep their order.
SQUASHED_BEYOND = 5.0
# Smallest scale of a value, and largest of a logarithm, in deviations of its column.
MIN_SCALE, WIDEST = 1e-2, 1.5
# What stands for values that are not positive where only positive ones were seen.
TINIEST = 1e-12


class ScaledStudentTFamily(Family):
    r""":math:`\mu_j + \sigma_j t_\nu` for every value with :math:`[\mu_j, \log\sigma_j]` = raw."""

    def __init__(self, dim: int, df: float, min_scale: float = MIN_SCALE) -> None:
        super().__init__(dim, 2 * dim)
        self.df = df
        self.min_scale = min_scale

    def forward(self, raw: Tensor) -> Distribution:
        """Return the Student t, batch shape raw.shape[:-1]."""
        loc, scale = loc_and_scale(raw, self.dim, self.min_scale)
        df = torch.full_like(loc, self.df)
        return Independent(StudentT(df, loc, scale, validate_args=False), 1, validate_args=False)


class PositiveNormal(LogNormal):
    """Log-normals; a value that is not positive has the density of a tiny one, not none at all."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, shape (...)."""
        log_density: Tensor = super().log_prob(value.clamp_min(TINIEST))
        return log_density


class LogNormalFamily(Family):
    r""":math:`\log x_j \sim N(s_j \mu_j, s_j^2 \sigma_j^2)`, :math:`[\mu_j, \log\sigma_j]` = raw.

    Parameters
    ----------
    dim : int
    spread : sequence of float
        s, the deviations of the columns' logarithms.
    min_scale : float
        Added to sigma.
    """

    spread: Tensor

    def __init__(
        self, dim: int, spread: Sequence[float] | None = None, min_scale: float = MIN_SCALE
    ) -> None:
        super().__init__(dim, 2 * dim)
        self.min_scale = min_scale
        values = torch.ones(dim) if spread is None else torch.tensor(spread)
        self.register_buffer("spread", values, persistent=False)

    def forward(self, raw: Tensor) -> Distribution:
        """Return the log-normals, batch shape raw.shape[:-1]."""
        loc, scale = loc_and_scale(raw, self.dim, self.min_scale)
        # The mean grows with the exponential of the variance: never wider than the column itself.
        scale = scale.clamp(max=WIDEST) * self.spread
        # exp overflows float32 at 88.
        loc = (loc * self.spread).clamp(-30.0, 30.0)
        normal = PositiveNormal(loc, scale, validate_args=False)
        return Independent(normal, 1, validate_args=False)


class ZeroOrLogNormal(Distribution):
    r"""Zero with a probability, else log-normal: amounts that are often nothing.

    .. math:: p(0) = \pi_j, \qquad p(x) = (1 - \pi_j)\, \mathrm{LN}(x; \mu_j, \sigma_j), \ x > 0

    Parameters
    ----------
    logits : Tensor, shape (..., d)
        Of pi.
    positive : LogNormal, batch shape (..., d)
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    has_rsample = False

    def __init__(self, logits: Tensor, positive: LogNormal) -> None:
        self.logits = logits
        self.positive = positive
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean, shape (..., d)."""
        return torch.sigmoid(-self.logits) * self.positive.mean

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw values, shape (*sample_shape, ..., d)."""
        x = self.positive.sample(torch.Size(sample_shape))
        return x.where(torch.rand_like(x) < torch.sigmoid(-self.logits), 0.0)

    def log_prob_by_value(self, value: Tensor) -> Tensor:
        """Log mass of zeros, log density of others, in nats, shape (..., d)."""
        zero = value == 0
        density = self.positive.log_prob(value.masked_fill(zero, 1.0))
        return torch.where(zero, F.logsigmoid(self.logits), F.logsigmoid(-self.logits) + density)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-likelihood in nats, shape (...)."""
        return self.log_prob_by_value(value).sum(-1)


class ZeroInflatedFamily(Family):
    r"""Zeros and log-normals, with :math:`[\mathrm{logit}\,\pi_j, \mu_j, \log\sigma_j]` = raw.

    Parameters
    ----------
    dim : int
    loc, spread : sequence of float
        Mean and deviation of the logarithms of each column's positive values: mu and sigma are
        given in these units.
    min_scale : float
        Added to sigma.
    """

    loc: Tensor
    spread: Tensor

    def __init__(
        self, dim: int, loc: Sequence[float], spread: Sequence[float], min_scale: float = MIN_SCALE
    ) -> None:
        super().__init__(dim, 3 * dim)
        self.min_scale = min_scale
        self.register_buffer("loc", torch.tensor(loc), persistent=False)
        self.register_buffer("spread", torch.tensor(spread), persistent=False)

    def forward(self, raw: Tensor) -> ZeroOrLogNormal:
        """Return the zeros and log-normals, batch shape raw.shape[:-1]."""
        logits, loc, log_scale = raw.unflatten(-1, (self.dim, 3)).unbind(-1)
        scale = (log_scale.clamp(-20.0, 20.0).exp() + self.min_scale).clamp(max=WIDEST)
        loc = (self.loc + loc * self.spread).clamp(-30.0, 30.0)
        normal = PositiveNormal(loc, scale * self.spread, validate_args=False)
        return ZeroOrLogNormal(logits, normal)


def loc_and_scale(raw: Tensor, dim: int, min_scale: float) -> tuple[Tensor, Tensor]:
    """Return location and scale of every value, whose two raw numbers lie side by side."""
    loc, log_scale = raw.unflatten(-1, (dim, 2)).unbind(-1)
    return loc, log_scale.clamp(-20.0, 20.0).exp() + min_scale


class Nominal(Levels):
    """Levels without an order: their mean is the likeliest."""

    @property
    def mean(self) -> Tensor:
        """Likeliest level, shape (..., d)."""
        return self.levels[self.log_weights.argmax(-1)]


class NominalFamily(Family):
    """A free mass for each of ``n_levels`` levels without an order."""

    def __init__(self, dim: int, n_levels: int) -> None:
        super().__init__(dim, dim * n_levels)
        self.n_levels = n_levels

    def forward(self, raw: Tensor) -> Distribution:
        """Return the independent categoricals, batch shape raw.shape[:-1]."""
        return Nominal(raw.unflatten(-1, (self.dim, self.n_levels)))


class OrdinalFamily(Family):
    r"""Ordered levels by cumulative logits: raw moves a row along learned thresholds.

    .. math:: P(x_j \le l) = \sigma(\theta_{jl} - h_j), \qquad \theta_{j1} < \theta_{j2} < \dots

    Parameters
    ----------
    dim, n_levels : int

    References
    ----------
    McCullagh, Regression Models for Ordinal Data, 1980.
    """

    def __init__(self, dim: int, n_levels: int) -> None:
        super().__init__(dim, dim)
        self.n_levels = n_levels
        first = torch.linspace(-2.0, 2.0, n_levels - 1)
        self.first = nn.Parameter(first[:1].repeat(dim, 1))
        self.log_steps = nn.Parameter(first.diff().log().repeat(dim, 1))

    @torch.no_grad()
    def start(self, thresholds: Tensor) -> None:
        """Set the thresholds, shape (dim, n_levels - 1), increasing."""
        self.first.copy_(thresholds[:, :1])
        self.log_steps.copy_(thresholds.diff(dim=1).log())

    @property
    def thresholds(self) -> Tensor:
        """Theta, shape (dim, n_levels - 1)."""
        steps = self.log_steps.clamp(-10.0, 5.0).exp()
        return torch.cat([self.first, self.first + steps.cumsum(-1)], dim=-1)

    def forward(self, raw: Tensor) -> Distribution:
        """Return the ordered levels, batch shape raw.shape[:-1]."""
        below = self.thresholds - raw.unsqueeze(-1)
        # log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)), exact in both tails.
        gap = -torch.expm1(self.thresholds[:, :-1] - self.thresholds[:, 1:])
        inner = F.logsigmoid(below[..., 1:]) + F.logsigmoid(-below[..., :-1]) + gap.log()
        ends = F.logsigmoid(below[..., :1]), F.logsigmoid(-below[..., -1:])
        return Levels(torch.cat([ends[0], inner, ends[1]], dim=-1))


class ConstantFamily(Family):
    """Columns that had the value 0 in all n training rows: nothing is learned of them.

    Parameters
    ----------
    dim, n_rows : int
    """

    def __init__(self, dim: int, n_rows: int) -> None:
        super().__init__(dim, 0)
        self.n_rows = n_rows

    def forward(self, raw: Tensor) -> Distribution:
        """Return the distribution, batch shape raw.shape[:-1]."""
        return NearlyConstant(raw.new_zeros(*raw.shape[:-1], self.dim), self.n_rows)


class NearlyConstant(Distribution):
    r"""Nearly all mass at 0, by the rule of succession.

    .. math:: p(0) = \frac{n + 1}{n + 2}, \qquad p(\text{any other value}) = \frac{1}{n + 2}

    Parameters
    ----------
    zeros : Tensor, shape (..., d)
    n_rows : int
        n.
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    has_rsample = False

    def __init__(self, zeros: Tensor, n_rows: int) -> None:
        self.zeros = zeros
        self.n_rows = n_rows
        super().__init__(zeros.shape[:-1], zeros.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Zeros, shape (..., d)."""
        return self.zeros

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Return zeros, shape (*sample_shape, ..., d)."""
        return self.zeros.expand(*torch.Size(sample_shape), *self.zeros.shape)

    def log_prob_by_value(self, value: Tensor) -> Tensor:
        """Log mass of zeros and of other values in nats, shape (..., d)."""
        value = value.expand(torch.broadcast_shapes(value.shape, self.zeros.shape))
        usual, other = log((self.n_rows + 1) / (self.n_rows + 2)), -log(self.n_rows + 2)
        return torch.where(value == 0, usual, other).to(value)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log mass, shape (...)."""
        return self.log_prob_by_value(value).sum(-1)


def log_prob_by_value(p: Distribution, x: Tensor) -> Tensor:
    """Return the log density or mass of every value in nats, shape (..., d).

    Raises
    ------
    NotImplementedError
        If the values are not independent.
    """
    if isinstance(p, Independent):
        return torch.as_tensor(p.base_dist.log_prob(x))
    by_value = getattr(p, "log_prob_by_value", None)
    if by_value is None:
        raise NotImplementedError(
            f"{type(p).__name__} has no log_prob_by_value(x): columns of a table, and missing "
            "cells, need the log-likelihood of every value."
        )
    return torch.as_tensor(by_value(x))


class Columnwise(Distribution):
    r"""Independent columns, :math:`\log p(x) = \sum_j \log p_j(x_j)` over those that are not NaN.

    Parameters
    ----------
    parts : sequence of (index, Distribution, neutral)
        Which columns a distribution is of, and a value that each could have.
    order : Tensor, shape (d,)
        Where each column lies among those of all parts.
    log_unit : Tensor, shape (d,)
        Log of a column's unit, 0 for masses: densities are given in data units.
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    has_rsample = False

    def __init__(
        self,
        parts: Sequence[tuple[Tensor, Distribution, float]],
        order: Tensor,
        log_unit: Tensor,
    ) -> None:
        self.parts = parts
        self.order = order
        self.log_unit = log_unit
        batch = parts[0][1].batch_shape
        super().__init__(batch, torch.Size([len(order)]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean of every column, the likeliest level of those without an order, shape (..., d)."""
        return torch.cat([p.mean for _, p, _ in self.parts], dim=-1)[..., self.order]

    def point_estimate(self, weights: Tensor) -> Tensor:
        r"""Return the best guess under :math:`\sum_s w_s p_s(x)`, shape (d,), p of shape (S,).

        The mean of a number, the likeliest of levels without an order, the median of ordered ones.

        Parameters
        ----------
        weights : Tensor, shape (S,)
            w, summing to 1.
        """
        found = [_point_estimate(p, weights.unsqueeze(-1)) for _, p, _ in self.parts]
        return torch.cat(found, dim=-1)[self.order]

    @torch.no_grad()
    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw rows, shape (*sample_shape, ..., d)."""
        drawn = [p.sample(torch.Size(sample_shape)) for _, p, _ in self.parts]
        return torch.cat(drawn, dim=-1)[..., self.order]

    def log_prob_by_value(self, value: Tensor) -> Tensor:
        """Log density or mass of every cell in nats and data units, 0 of a missing one."""
        found = []
        for index, p, neutral in self.parts:
            x = value[..., index]
            seen = ~x.isnan()
            x = x.clamp(0.0, 1.0) if _is_bits(p) else x
            log_prob = log_prob_by_value(p, x.where(seen, neutral))
            found.append(log_prob.where(seen, 0.0) - seen * self.log_unit[index])
        return torch.cat(found, dim=-1)[..., self.order]

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-likelihood of the observed cells in nats and data units, shape (...)."""
        return self.log_prob_by_value(value).sum(-1)


def _point_estimate(p: Distribution, weights: Tensor) -> Tensor:
    if isinstance(p, Nominal):
        share = (weights.unsqueeze(-1) * p.log_weights.exp()).sum(0)
        return p.levels[share.argmax(-1)]
    if isinstance(p, Levels):
        share = (weights.unsqueeze(-1) * p.log_weights.exp()).sum(0).cumsum(-1)
        return p.levels[(share < 0.5).sum(-1).clamp(max=len(p.levels) - 1)]
    mean = (weights * p.mean).sum(0)
    return (mean > 0.5).to(mean) if _is_bits(p) else mean


def _is_bits(p: Distribution) -> bool:
    return isinstance(p, Independent) and isinstance(p.base_dist, Bernoulli)


class ColumnwiseFamily(Family):
    r"""Families of groups of columns; raw is what differs from the columns' own distributions.

    Parameters
    ----------
    indices : sequence of sequences of int
        Columns of each group; together all of them.
    families : sequence of Family
    neutral : sequence of float
        A value that the columns of a group could have.
    log_unit : sequence of float
        Of every column.
    shift : sequence of float
        Raw numbers that stand for the columns' distributions without a code.
    """

    order: Tensor
    log_unit: Tensor
    shift: Tensor

    def __init__(
        self,
        indices: Sequence[Sequence[int]],
        families: Sequence[Family],
        neutral: Sequence[float],
        log_unit: Sequence[float],
        shift: Sequence[float],
    ) -> None:
        super().__init__(sum(map(len, indices)), sum(part.n_parameters for part in families))
        self.families = nn.ModuleList(families)
        self.widths = [family.n_parameters for family in families]
        self.neutral = tuple(neutral)
        for i, index in enumerate(indices):
            self.register_buffer(f"index_{i}", torch.tensor(index), persistent=False)
        order = torch.tensor([j for index in indices for j in index]).argsort()
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("log_unit", torch.tensor(log_unit), persistent=False)
        self.register_buffer("shift", torch.tensor(shift), persistent=False)

    def forward(self, raw: Tensor) -> Columnwise:
        """Return the distribution, batch shape raw.shape[:-1]."""
        raw = raw + self.shift
        widths = self.widths
        parts = [
            (getattr(self, f"index_{i}"), family(part), neutral)
            for i, (family, part, neutral) in enumerate(
                zip(self.families, raw.split(widths, dim=-1), self.neutral, strict=True)
            )
        ]
        return Columnwise(parts, self.order, self.log_unit)


class LogRatio(nn.Module):
    """x -> log(1 + x / c), with c of every column.

    Parameters
    ----------
    unit : sequence of float
        c.
    """

    unit: Tensor

    def __init__(self, unit: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("unit", torch.tensor(unit), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithms, shape as x."""
        return (x / self.unit).clamp_min(0.0).log1p()


class Squash(nn.Module):
    r"""Values up to 5, and beyond them :math:`\pm 5 (1 + \log(|x| / 5))`, value by value."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the squashed values, shape as x."""
        beyond = (x.abs() / SQUASHED_BEYOND).clamp_min(1.0)
        return x / beyond * (1 + beyond.log())


class Log(nn.Module):
    """x -> log x of positive values, value by value."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithms, shape as x."""
        return x.clamp_min(1e-30).log()


class NearestLevel(nn.Module):
    """x -> the nearest of 0, 1/(L-1), ..., 1, value by value."""

    def __init__(self, n_levels: int) -> None:
        super().__init__()
        self.n_levels = n_levels

    def forward(self, x: Tensor) -> Tensor:
        """Return the levels, shape as x."""
        return (x * (self.n_levels - 1)).round().clamp(0, self.n_levels - 1) / (self.n_levels - 1)


class OneHot(nn.Module):
    """Levels 0, 1/(L-1), ..., 1 as indicators side by side, (n, d) to (n, d L)."""

    def __init__(self, n_levels: int) -> None:
        super().__init__()
        self.n_levels = n_levels

    def forward(self, x: Tensor) -> Tensor:
        """Return the indicators."""
        index = (x * (self.n_levels - 1)).round().long().clamp(0, self.n_levels - 1)
        return F.one_hot(index, self.n_levels).to(x).flatten(-2)


class ColumnInputs(nn.Module):
    """What an encoder sees of a row: numbers standardised, levels as indicators, and a mask.

    Parameters
    ----------
    indices : sequence of sequences of int
        Columns of each group.
    layers : sequence of Module
        What becomes of each group, (n, g) to (n, g w).
    neutral : sequence of float
        A value that the columns of a group could have.
    mean, scale : sequence of float
        Of all the numbers that the layers return.
    holes : sequence of int
        Columns that have missing cells: for each of them a number says which.
    levels : sequence of bool
        Whether the columns of a group have few values.
    """

    mean: Tensor
    scale: Tensor
    holes: Tensor

    def __init__(
        self,
        indices: Sequence[Sequence[int]],
        layers: Sequence[nn.Module],
        neutral: Sequence[float],
        mean: Sequence[float],
        scale: Sequence[float],
        holes: Sequence[int],
        levels: Sequence[bool],
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.neutral = tuple(neutral)
        self.levels = tuple(levels)
        for i, index in enumerate(indices):
            self.register_buffer(f"index_{i}", torch.tensor(index), persistent=False)
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.register_buffer("holes", torch.tensor(holes, dtype=torch.long), persistent=False)

    def without_mask(self) -> "ColumnInputs":
        """Return the same numbers without those that say which cells are missing."""
        other = copy(self)
        other._buffers = {**self._buffers, "holes": self.holes[:0]}
        return other

    def of_levels(self, x: Tensor) -> list[bool]:
        """Return of each number that is made of rows, but the mask, whether it has few values."""
        found: list[bool] = []
        for i, (layer, level) in enumerate(zip(self.layers, self.levels, strict=True)):
            found += [level] * layer(x[:1, getattr(self, f"index_{i}")]).shape[-1]
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return the numbers, shape (n, width)."""
        found, seen = self.numbers(x)
        parts = [((found - self.mean) / self.scale).where(seen, 0.0)]
        return torch.cat([*parts, x[..., self.holes].isnan().to(x)], dim=-1)

    def numbers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the layers make of x, before it is standardised, and what was observed."""
        found, observed = [], []
        for i, (layer, neutral) in enumerate(zip(self.layers, self.neutral, strict=True)):
            part = x[..., getattr(self, f"index_{i}")]
            seen = ~part.isnan()
            numbers = layer(part.where(seen, neutral))
            width = numbers.shape[-1] // part.shape[-1]
            found.append(numbers)
            observed.append(seen.repeat_interleave(width, dim=-1))
        return torch.cat(found, dim=-1), torch.cat(observed, dim=-1)
