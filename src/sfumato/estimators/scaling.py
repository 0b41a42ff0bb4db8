"""From data units to model units and back."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Statistics of a memory-mapped array are taken this many rows at a time.
CHUNK = 8192


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

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, as JSON takes them."""
        return asdict(self)


def _chunks(X: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(X), CHUNK):
        yield np.asarray(X[start : start + CHUNK], dtype=np.float64)


def unscaled(X: np.ndarray) -> Scaling:
    """Leave the data as they are."""
    return Scaling([0.0], [1.0])


def to_range(X: np.ndarray) -> Scaling:
    """Map the smallest value of all to 0 and the largest to 1: grey levels stay in proportion."""
    low, high = float(X.min()), float(X.max())
    constant = high - low <= np.finfo(np.float64).eps * max(abs(low), abs(high))
    return Scaling([low], [1.0 if constant else high - low])


def standardised(X: np.ndarray) -> Scaling:
    """Give every feature mean 0 and variance 1, as a table with mixed units needs it."""
    n = len(X)
    mean = sum(chunk.sum(0) for chunk in _chunks(X)) / n
    variance = sum(np.square(chunk - mean).sum(0) for chunk in _chunks(X)) / n
    # A variance no larger than rounding can make it belongs to a constant feature, which keeps its
    # unit (the bound is that of scikit-learn's StandardScaler).
    eps = np.finfo(np.float64).eps
    constant = variance <= n * eps * variance + (n * mean * eps) ** 2
    return Scaling(mean.tolist(), np.where(constant, 1.0, np.sqrt(variance)).tolist())


SCALINGS = {"range": to_range, "standard": standardised, "none": unscaled}
