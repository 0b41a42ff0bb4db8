"""Likelihoods of tables: one for every column, and cells that may be missing."""

from collections.abc import Sequence
from math import log, pi
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.likelihoods.base import Likelihood, Loss, NegativeLogLikelihood
from sfumato.likelihoods.rows import Bernoulli
from sfumato.nn.columns import (
    ColumnInputs,
    Columnwise,
    ColumnwiseFamily,
    ConstantFamily,
    Log,
    LogNormalFamily,
    LogRatio,
    NearestLevel,
    NominalFamily,
    OneHot,
    OrdinalFamily,
    Squash,
    ZeroInflatedFamily,
)
from sfumato.nn.families import Family
from sfumato.scaling import GivenUnits, Units

# Rows that statistics of what the encoder sees are taken of at a time.
CHUNK = 8192
# A value as near to a level as this, in levels, is that level.
NEAR_A_LEVEL = 1e-6


class LogNormal(Likelihood):
    r"""Positive numbers over orders of magnitude: :math:`\log x_j \sim N(\mu_j(z), \sigma_j^2(z))`.

    Both numbers come from the network, for every value.

    Parameters
    ----------
    spread : sequence of float, optional
        Deviations of the columns' logarithms; by default those of the training rows.
    """

    scaling = "log"
    neutral = 1.0
    of_columns = True

    def __init__(self, spread: Sequence[float] | None = None) -> None:
        self.spread = spread

    def family(self, dim: int) -> Family:
        """Return the family."""
        return LogNormalFamily(dim, self.spread)

    def fitted_to_units(self, x: np.ndarray) -> Self:
        """Return the likelihood with the deviations of the columns' logarithms."""
        if self.spread is not None:
            return self
        spread = np.nanstd(np.log(x), axis=0)
        return type(self)(np.where(spread > 0, spread, 1.0).tolist())

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the likelihood itself.

        Raises
        ------
        ValueError
            If a value is not positive.
        """
        if np.nanmin(X) <= 0:
            raise ValueError("LogNormal needs positive numbers; use 'gaussian' for real ones.")
        return self

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return the logarithm."""
        return (Log(),)

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        r"""Return :math:`-\log(\sqrt{2\pi} \sigma_j x)`, the density where mu is log x."""
        base: Any = p
        return -0.5 * log(2 * pi) - base.base_dist.scale.log() - x.clamp_min(1e-12).log()


class ZeroInflated(Likelihood):
    r"""Amounts that are often nothing: :math:`p(0) = \pi_j(z)`, else log-normal.

    A mass at zero and a density elsewhere, in data units.

    Parameters
    ----------
    loc, spread : sequence of float, optional
        Mean and deviation of the logarithms of the columns' positive values; by default those of
        the training rows.
    """

    scaling = "none"
    is_density = False
    measure = "nll_mixed"
    of_columns = True

    def __init__(
        self, loc: Sequence[float] | None = None, spread: Sequence[float] | None = None
    ) -> None:
        self.loc = loc
        self.spread = spread

    def family(self, dim: int) -> Family:
        """Return the family."""
        return ZeroInflatedFamily(dim, self.loc or [0.0] * dim, self.spread or [1.0] * dim)

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the likelihood with the units of the columns' positive values.

        Raises
        ------
        ValueError
            If a value is negative, or a column has no positive one.
        """
        if np.nanmin(X) < 0 or not (X > 0).any(axis=0).all():
            raise ValueError("ZeroInflated needs zeros and positive numbers in every column.")
        logs = np.log(np.where(X > 0, X, np.nan))
        spread = np.nanstd(logs, axis=0)
        return type(self)(
            np.nanmean(logs, axis=0).tolist(), np.where(spread > 0, spread, 1.0).tolist()
        )

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return log(1 + x / c), c the geometric mean of the positive values."""
        return (LogRatio(np.exp(np.array(self.loc)).tolist()),)

    def marginal(self, x: np.ndarray) -> np.ndarray:
        """Return the logits of the columns' shares of zeros, and their own log-normals."""
        zeros, n = (x == 0).sum(axis=0), (~np.isnan(x)).sum(axis=0)
        logits = np.log((zeros + 0.5) / (n - zeros + 0.5))
        return np.stack([logits, np.zeros_like(logits), np.zeros_like(logits)], axis=1).ravel()

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return 0 for zeros, and the density at the likeliest place for others."""
        base: Any = p
        scale = base.positive.base_dist.scale
        most = -0.5 * log(2 * pi) - scale.log() - x.clamp_min(1e-30).log()
        return most.masked_fill(x == 0, 0.0)


class Nominal(Likelihood):
    """Levels without an order: a free mass for each, indicators for the encoder.

    In model units the levels are 0, 1/(L-1), ..., 1.

    Parameters
    ----------
    n_levels : int
        L.
    """

    scaling = "range"
    is_density = False
    measure = "nll_levels"
    indicators = True
    of_levels = True
    of_columns = True

    def __init__(self, n_levels: int) -> None:
        self.n_levels = n_levels

    def family(self, dim: int) -> Family:
        """Return the family."""
        return NominalFamily(dim, self.n_levels)

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return the indicators."""
        return (OneHot(self.n_levels),)

    def input_width(self, dim: int) -> int:
        """Return the number of indicators."""
        return dim * self.n_levels

    def off_level(self, x: np.ndarray) -> np.ndarray:
        """Return which values are none of the levels."""
        return off_level(x, self.n_levels)

    def marginal(self, x: np.ndarray) -> np.ndarray:
        """Return the logarithms of the levels' shares, half a row added to each."""
        return np.log(level_counts(x, self.n_levels) + 0.5).ravel()

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return 0: a level can have all the mass."""
        return torch.zeros_like(x)


class Ordinal(Likelihood):
    r"""Ordered levels by cumulative logits, :math:`P(x_j \le l) = \sigma(\theta_{jl} - h_j(z))`.

    In model units the levels are 0, 1/(L-1), ..., 1.

    Parameters
    ----------
    n_levels : int
        L.
    thresholds : sequence of sequences of float, optional
        Where training starts theta; by default at the columns' own shares.

    References
    ----------
    McCullagh, Regression Models for Ordinal Data, 1980.
    """

    scaling = "range"
    of_levels = True
    is_density = False
    measure = "nll_levels"
    of_columns = True

    def __init__(self, n_levels: int, thresholds: Sequence[Sequence[float]] | None = None) -> None:
        self.n_levels = n_levels
        self.thresholds = thresholds

    def family(self, dim: int) -> Family:
        """Return the family."""
        family = OrdinalFamily(dim, self.n_levels)
        if self.thresholds is not None:
            family.start(torch.tensor(self.thresholds))
        return family

    def fitted_to_units(self, x: np.ndarray) -> Self:
        """Return the likelihood with the thresholds of the columns' own shares."""
        if self.thresholds is not None:
            return self
        counts = level_counts(x, self.n_levels) + 0.5
        share = counts.cumsum(1)[:, :-1] / counts.sum(1, keepdims=True)
        return type(self)(self.n_levels, np.log(share / (1 - share)).tolist())

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return the nearest level."""
        return (NearestLevel(self.n_levels),)

    def off_level(self, x: np.ndarray) -> np.ndarray:
        """Return which values are none of the levels."""
        return off_level(x, self.n_levels)

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return 0: an outer level can have all the mass, an inner one nearly."""
        return torch.zeros_like(x)


class Constant(Likelihood):
    """Columns with one value in all training rows: nothing is learned, and others are unlikely.

    Parameters
    ----------
    n_rows : int
        Training rows: another value has the mass 1 / (n_rows + 2).
    """

    is_density = False
    measure = "nll_levels"
    indicators = True
    of_columns = True

    def __init__(self, n_rows: int = 0) -> None:
        self.n_rows = n_rows

    def family(self, dim: int) -> Family:
        """Return the family."""
        return ConstantFamily(dim, self.n_rows)

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the likelihood with the number of rows."""
        return type(self)(len(X))

    def units(self, X: np.ndarray) -> Units:
        """Return the values as offsets."""
        return np.nanmin(X, axis=0).astype(np.float64), np.ones(X.shape[1])

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the log mass of the one value."""
        return torch.full_like(x, log((self.n_rows + 1) / (self.n_rows + 2)))


def off_level(x: np.ndarray, n_levels: int) -> np.ndarray:
    """Return which values are none of 0, 1/(L-1), ..., 1; NaN may be one."""
    place = x * (n_levels - 1)
    nearest = np.clip(np.round(place), 0, n_levels - 1)
    return np.asarray(np.abs(place - nearest) > NEAR_A_LEVEL)


def level_counts(x: np.ndarray, n_levels: int) -> np.ndarray:
    """Return how often each level occurs, shape (g, n_levels)."""
    index = np.round(x * (n_levels - 1))
    return np.stack([(index == level).sum(axis=0) for level in range(n_levels)], axis=1)


class ColumnGroup(BaseEstimator):
    """Columns of a table that have one likelihood.

    Parameters
    ----------
    columns : sequence of int
    likelihood : Likelihood
    offset, scale : sequence of float, optional
        Units of the columns; by default those that the likelihood finds.
    """

    def __init__(
        self,
        columns: Sequence[int],
        likelihood: Likelihood,
        offset: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
    ) -> None:
        self.columns = columns
        self.likelihood = likelihood
        self.offset = offset
        self.scale = scale

    def fitted_to(self, X: np.ndarray) -> "ColumnGroup":
        """Return the group with its units and what its likelihood learns from columns X."""
        if self.offset is None or self.scale is None:
            likelihood = self.likelihood.fitted_to(X)
            offset, scale = likelihood.units(X)
        else:
            likelihood = self.likelihood
            offset, scale = np.array(self.offset), np.array(self.scale)
        fitted = likelihood.fitted_to_units((X - offset) / scale)
        return ColumnGroup(self.columns, fitted, offset.tolist(), scale.tolist())

    def in_units(self, X: np.ndarray) -> np.ndarray:
        """Return the group's columns of X in model units."""
        return (X - np.array(self.offset)) / np.array(self.scale)


class ByColumn(Likelihood):
    r"""Columns with likelihoods of their own; missing cells (NaN) are integrated out.

    .. math:: \log p(x_{\mathrm{obs}} | z) = \sum_{j\ \mathrm{observed}} \log p_j(x_j | z)

    A density is one in data units. The encoder sees numbers standardised, levels as indicators, and
    which cells are missing.

    Parameters
    ----------
    groups : sequence of ColumnGroup
        Together all columns.
    shift : sequence of float, optional
        Raw numbers of the columns' distributions without a code.
    input_mean, input_scale : sequence of float, optional
        Of the numbers that the encoder sees.
    holes : sequence of int, optional
        Columns with missing cells.
    masked : bool
        Whether the encoder sees which cells are missing, as numbers behind the row: networks of
        pictures have no place for them.

    References
    ----------
    Nazabal, Olmos, Ghahramani and Valera, Handling Incomplete Heterogeneous Data using VAEs, 2020.
    """

    is_density = False
    takes_holes = True

    def __init__(
        self,
        groups: Sequence[ColumnGroup],
        shift: Sequence[float] | None = None,
        input_mean: Sequence[float] | None = None,
        input_scale: Sequence[float] | None = None,
        holes: Sequence[int] | None = None,
        masked: bool = True,
    ) -> None:
        self.groups = groups
        self.shift = shift
        self.input_mean = input_mean
        self.input_scale = input_scale
        self.holes = holes
        self.masked = masked

    @property
    def _shown_holes(self) -> list[int]:
        return list(self.holes or ()) if self.masked else []

    @property
    def measure(self) -> str:  # type: ignore[override]
        """That of all groups, or of a mixture of densities and masses."""
        measures = {group.likelihood.measure for group in self._varying()}
        return measures.pop() if len(measures) == 1 else "nll_mixed"

    @property
    def scaling(self) -> GivenUnits:
        """The units of the columns."""
        return GivenUnits(self._by_column("offset"), self._by_column("scale"))

    @property
    def dim(self) -> int:
        """How many columns there are."""
        return sum(len(group.columns) for group in self.groups)

    def _varying(self) -> list[ColumnGroup]:
        return [group for group in self.groups if not isinstance(group.likelihood, Constant)]

    def _by_column(self, name: str) -> list[float]:
        values = np.empty(self.dim)
        for group in self.groups:
            values[list(group.columns)] = getattr(group, name)
        return [float(value) for value in values]

    def fitted_to(self, X: np.ndarray) -> Self:
        """Return the likelihood with units, marginals and thresholds of the training rows."""
        groups = [group.fitted_to(_columns(X, group.columns)) for group in self.groups]
        x = [group.in_units(_columns(X, group.columns)) for group in groups]
        parts = zip(groups, x, strict=True)
        shift = np.concatenate([group.likelihood.marginal(part) for group, part in parts])
        holes = [int(j) for j in np.flatnonzero(_missing(X))]
        found = type(self)(groups, shift.tolist(), holes=holes, masked=self.masked)
        return found._with_inputs(x)

    def _with_inputs(self, x: Sequence[np.ndarray]) -> Self:
        """Return the likelihood with mean and scale of what the encoder sees of the rows."""
        mean, scale = [], []
        for group, part in zip(self.groups, x, strict=True):
            m, s = _input_statistics(group.likelihood, part)
            mean.append(m)
            scale.append(np.ones_like(s) if group.likelihood.indicators else s)
        given = np.concatenate(mean).tolist(), np.concatenate(scale).tolist()
        return type(self)(self.groups, self.shift, *given, self.holes, self.masked)

    def family(self, dim: int) -> Family:
        """Return the family.

        Raises
        ------
        ValueError
            If there are not ``dim`` columns.
        """
        if dim != self.dim:
            raise ValueError(f"The likelihood is of {self.dim} columns, and rows have {dim}.")
        families = [group.likelihood.family(len(group.columns)) for group in self.groups]
        log_unit = np.zeros(dim)
        for group in self.groups:
            if group.likelihood.is_density:
                log_unit[list(group.columns)] = np.log(np.array(group.scale))
        n = sum(family.n_parameters for family in families)
        return ColumnwiseFamily(
            self._indices(),
            families,
            self._neutral(),
            log_unit.tolist(),
            [0.0] * n if self.shift is None else self.shift,
        )

    def _indices(self) -> list[list[int]]:
        return [list(group.columns) for group in self.groups]

    def _neutral(self) -> list[float]:
        return [group.likelihood.neutral for group in self.groups]

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return what becomes of a row before the encoder's network."""
        layers = [_layer(group.likelihood) for group in self.groups]
        given = (self.input_mean or (), self.input_scale or (), self._shown_holes)
        levels = [group.likelihood.of_levels for group in self.groups]
        return (ColumnInputs(self._indices(), layers, self._neutral(), *given, levels),)

    def input_width(self, dim: int) -> int:
        """Return how many numbers the encoder sees."""
        widths = [group.likelihood.input_width(len(group.columns)) for group in self.groups]
        return sum(widths) + len(self._shown_holes)

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return what a perfect reconstruction of every cell has, 0 of a missing one."""
        if not isinstance(p, Columnwise):
            raise TypeError(f"p must be of this likelihood's family, got {type(p).__name__}.")
        found = []
        for group, (index, part, neutral) in zip(self.groups, p.parts, strict=True):
            values = x[..., index]
            seen = ~values.isnan()
            most = group.likelihood.saturated_by_value(part, values.where(seen, neutral))
            found.append(most.where(seen, 0.0) - seen * p.log_unit[index])
        return torch.cat(found, dim=-1)[..., p.order]

    def pretraining(self) -> Loss:
        """Return the negative log-likelihood."""
        return NegativeLogLikelihood(self)


def _columns(X: Any, columns: Sequence[int]) -> np.ndarray:
    """Return some columns of X, dense, in float64."""
    return np.asarray(X[:, list(columns)], dtype=np.float64)


def _missing(X: Any) -> np.ndarray:
    """Return which columns have missing cells, shape (d,)."""
    if X.dtype.kind != "f":
        return np.zeros(X.shape[1], bool)
    found = np.zeros(X.shape[1], bool)
    for start in range(0, len(X), CHUNK):
        found |= np.isnan(X[start : start + CHUNK]).any(axis=0)
    return found


def _layer(likelihood: Likelihood) -> nn.Module:
    """Return what the encoder sees through of a group of columns."""
    layers = likelihood.input_layers()
    if isinstance(likelihood, Bernoulli):
        return nn.Hardtanh(0.0, 1.0)
    plain = likelihood.scaling == "standard" and not layers
    return nn.Sequential(Squash()) if plain else nn.Sequential(*layers)


def _input_statistics(likelihood: Likelihood, x: np.ndarray) -> Units:
    """Return mean and deviation of what the encoder sees of columns in model units."""
    index = [list(range(x.shape[1]))]
    width = likelihood.input_width(x.shape[1])
    inputs = ColumnInputs(
        index, [_layer(likelihood)], [likelihood.neutral], [0.0] * width, [1.0] * width, [], [False]
    )
    sums = np.zeros((3, width))
    for start in range(0, len(x), CHUNK):
        numbers, seen = inputs.numbers(torch.from_numpy(x[start : start + CHUNK]))
        numbers = numbers.where(seen, 0.0)
        sums += np.stack([part.sum(0).numpy() for part in (seen, numbers, numbers.square())])
    n = np.maximum(sums[0], 1)
    mean = sums[1] / n
    deviation = np.sqrt(np.maximum(sums[2] / n - mean**2, 0.0))
    return mean, np.where(deviation > 1e-6, deviation, 1.0)
