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
        Keep x' within [0, 1]: values outside the training range are clipped.
    """

    offset: list[float]
    scale: list[float]
    bounded: bool

    def to_model(self, x: Tensor) -> Tensor:
        """Return x' for x of shape (n, d)."""
        scaled = (x - torch.tensor(self.offset)) / torch.tensor(self.scale)
        return scaled.clamp(0.0, 1.0) if self.bounded else scaled

    def to_data(self, x: Tensor) -> Tensor:
        """Return x for x' of shape (n, d)."""
        return x * torch.tensor(self.scale) + torch.tensor(self.offset)

    def log_volume(self, n_features: int) -> float:
        """Log |dx / dx'| in nats: what a log density in data units has less."""
        return float(np.log(np.broadcast_to(self.scale, n_features)).sum())

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, as JSON takes them."""
        return asdict(self)


def _chunks(X: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(X), CHUNK):
        yield np.asarray(X[start : start + CHUNK], dtype=np.float64)


def _positive(scale: np.ndarray) -> list[float]:
    # A constant feature, up to rounding, keeps its unit.
    return np.where(scale > 1e-12, scale, 1.0).tolist()


def unscaled(X: np.ndarray) -> Scaling:
    """Leave the data as they are."""
    return Scaling([0.0], [1.0], bounded=False)


def to_range(X: np.ndarray) -> Scaling:
    """Map the smallest value of all to 0 and the largest to 1: grey levels stay in proportion."""
    low, high = float(X.min()), float(X.max())
    return Scaling([low], _positive(np.array([high - low])), bounded=True)


def standardised(X: np.ndarray) -> Scaling:
    """Give every feature mean 0 and variance 1, as a table with mixed units needs it."""
    mean = sum(chunk.sum(0) for chunk in _chunks(X)) / len(X)
    variance = sum(np.square(chunk - mean).sum(0) for chunk in _chunks(X)) / len(X)
    return Scaling(mean.tolist(), _positive(np.sqrt(variance)), bounded=False)


SCALINGS = {"range": to_range, "standard": standardised, "none": unscaled}
