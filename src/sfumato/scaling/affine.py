"""From data units to model units and back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

# Statistics of a memory-mapped array are taken this many rows at a time.
CHUNK = 8192
# Rounding of a value that lies at the end of [0, 1].
ROUNDING = 1e-6


@dataclass(frozen=True)
class Scaling:
    r"""The affine map :math:`x' = (x - \mathrm{offset}) / \mathrm{scale}`.

    Attributes
    ----------
    offset, scale : list of float
        One number for all features, or one a feature.
    bounded : bool
        Keep x' within [0, 1], for models of pixels: values outside the training range are clipped.
    """

    offset: list[float]
    scale: list[float]
    bounded: bool = False

    def to_model(self, X: np.ndarray) -> Tensor:
        """Return x' in float32 for X of shape (n, d)."""
        # Centred in the data's own precision: float32 holds no time stamp to the second.
        dtype = np.result_type(X.dtype, np.float32)
        scaled = (X.astype(dtype) - np.array(self.offset, dtype)) / np.array(self.scale, dtype)
        if self.bounded:
            np.clip(scaled, 0.0, 1.0, out=scaled)
        return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32))

    def to_data(self, x: Tensor) -> np.ndarray:
        """Return x in float64 for x' of shape (n, d)."""
        return x.cpu().double().numpy() * np.array(self.scale) + np.array(self.offset)

    def log_volume(self, n_features: int) -> float:
        """Log |dx / dx'| in nats: what a log density in data units has less."""
        return float(np.log(np.broadcast_to(self.scale, n_features)).sum())

    def width(self, n_features: int) -> int:
        """Return how many values a row has in model units."""
        return n_features

    def tensors(self) -> dict[str, Tensor]:
        """Return what of the scaling is stored as tensors."""
        return {}

    def fits_pixels(self, X: np.ndarray) -> bool:
        """Return whether all x' lie within [0, 1]."""
        ends = np.stack([X.min(axis=0), X.max(axis=0)]).astype(np.float64)
        scaled = (ends - np.array(self.offset)) / np.array(self.scale)
        return bool(scaled.min() >= -ROUNDING and scaled.max() <= 1 + ROUNDING)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, as JSON takes them."""
        return asdict(self)


class Scaler(BaseEstimator, ABC):
    """How offset and scale are found in the training rows."""

    @abstractmethod
    def fitted_to(self, X: np.ndarray) -> Scaling:
        """Return the scaling for rows like X, shape (n, d)."""


class Unscaled(Scaler):
    """Leave the data as they are."""

    def fitted_to(self, X: np.ndarray) -> Scaling:
        """Return the identity."""
        return Scaling([0.0], [1.0])


class ToRange(Scaler):
    """Map the smallest value of all to 0 and the largest to 1: grey levels stay in proportion."""

    def fitted_to(self, X: np.ndarray) -> Scaling:
        """Return the scaling."""
        low, high = float(X.min()), float(X.max())
        constant = high - low <= np.finfo(np.float64).eps * max(abs(low), abs(high))
        return Scaling([low], [1.0 if constant else high - low])


class Standardised(Scaler):
    """Give every feature mean 0 and variance 1, as a table with mixed units needs it."""

    def fitted_to(self, X: np.ndarray) -> Scaling:
        """Return the scaling."""
        n = len(X)
        mean = sum(chunk.sum(0) for chunk in _chunks(X)) / n
        variance = sum(np.square(chunk - mean).sum(0) for chunk in _chunks(X)) / n
        # A variance no larger than rounding can make it belongs to a constant feature, which keeps
        # its unit (the bound is that of scikit-learn's StandardScaler).
        eps = np.finfo(np.float64).eps
        constant = variance <= n * eps * variance + (n * mean * eps) ** 2
        return Scaling(mean.tolist(), np.where(constant, 1.0, np.sqrt(variance)).tolist())


class GivenUnits(Scaler):
    """A unit for every column, given.

    Parameters
    ----------
    offset, scale : sequence of float
    """

    def __init__(self, offset: Sequence[float], scale: Sequence[float]) -> None:
        self.offset = offset
        self.scale = scale

    def fitted_to(self, X: np.ndarray) -> Scaling:
        """Return the scaling."""
        return Scaling(list(self.offset), list(self.scale))


# Units of columns one by one: NaN is missing.
Units = tuple[np.ndarray, np.ndarray]
# Outside these quantiles a value has no say in its column's unit.
QUANTILES = (0.01, 0.99)


def no_units(X: np.ndarray) -> Units:
    """Return offsets of 0 and scales of 1."""
    return np.zeros(X.shape[1]), np.ones(X.shape[1])


def range_units(X: np.ndarray) -> Units:
    """Return the columns' smallest values and ranges."""
    low = np.nanmin(X, axis=0).astype(np.float64)
    return low, _positive(np.asarray(np.nanmax(X, axis=0) - low))


def robust_units(X: np.ndarray) -> Units:
    """Return mean and deviation of every column, its hundredth at either end drawn in.

    Columns of which nearly all cells are equal have their plain deviation.
    """
    X = np.asarray(X, dtype=np.float64)
    clipped = np.clip(X, *np.nanquantile(X, QUANTILES, axis=0))
    deviation, plain = np.nanstd(clipped, axis=0), np.nanstd(X, axis=0)
    robust = deviation > 1e-9 * plain
    offset = np.where(robust, np.nanmean(clipped, axis=0), np.nanmean(X, axis=0))
    return np.asarray(offset), _positive(np.where(robust, deviation, plain))


def log_units(X: np.ndarray) -> Units:
    """Return offsets of 0 and the geometric means of positive columns."""
    return np.zeros(X.shape[1]), np.exp(np.nanmean(np.log(X), axis=0))


def _positive(scale: np.ndarray) -> np.ndarray:
    scale = scale.astype(np.float64)
    return np.where(scale > 0, scale, 1.0)


COLUMN_UNITS: Mapping[str, Callable[[np.ndarray], Units]] = {
    "standard": robust_units,
    "range": range_units,
    "log": log_units,
    "none": no_units,
}


def _chunks(X: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(X), CHUNK):
        yield np.asarray(X[start : start + CHUNK], dtype=np.float64)


SCALINGS: Mapping[str, type[Scaler]] = {
    "range": ToRange,
    "standard": Standardised,
    "none": Unscaled,
}


def scaling_of(value: Any, default: Scaler | str) -> Scaler:
    """Return the scaling that an argument names or is; "auto" is the default.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, Scaler):
        return value
    if not isinstance(value, str) or value not in ("auto", *SCALINGS):
        raise ValueError(
            f"scaling must be one of auto, {', '.join(SCALINGS)}, or a Scaler; got {value!r}."
        )
    if value == "auto" and isinstance(default, Scaler):
        return default
    return SCALINGS[default if value == "auto" else value]()
