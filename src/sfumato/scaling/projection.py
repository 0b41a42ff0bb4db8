r"""Wide tables by their principal axes: thousands of columns as a few scores and what they leave.

.. math:: \tilde x = \frac{x - m}{s}, \qquad t = \frac{V \tilde x}{u}, \qquad
          r = \frac{\|\tilde x - V^T V \tilde x\|^2}{(d - k)\, \sigma^2}

V holds k orthonormal axes, u is one unit for all scores, and sigma^2 the mean square that the axes
leave in a column of the training rows: a model of (t, r) is one of x whose noise off the axes is
Gaussian and the same in all directions (Tipping and Bishop, Probabilistic Principal Component
Analysis, 1999). Rows of counts are first brought to one total, and their logarithms taken,
log(1 + c x / sum x).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from sfumato.scaling.affine import Scaler, Scaling

# Axes, rows that each takes, rows that are transformed at a time, and rows up to which their
# products are formed.
N_AXES, ROWS_PER_AXIS, CHUNK, MOST_ROWS = 50, 10, 1024, 2000
# Of the randomised decomposition of more rows.
OVERSAMPLING, POWER_PASSES = 10, 2
COLUMNS_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class Projection(Scaling):
    """Scores along principal axes, and the square that they leave.

    Attributes
    ----------
    axes : ndarray, shape (k, d)
    unit : float
        Of all scores, in standardised units.
    rest : float
        sigma^2.
    total : float
        What rows of counts are brought to; 0 for real numbers.
    """

    axes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    unit: float = 1.0
    rest: float = 1.0
    total: float = 0.0

    def width(self, n_features: int) -> int:
        """Return the number of scores, and one for what they leave."""
        return len(self.axes) + 1

    def to_model(self, X: np.ndarray) -> Tensor:
        """Return (t, r), shape (n, k + 1), for X of shape (n, d); a missing cell is its mean."""
        parts = [self._scores(X[start : start + CHUNK]) for start in range(0, len(X), CHUNK)]
        return torch.from_numpy(np.concatenate(parts).astype(np.float32))

    def _scores(self, X: np.ndarray) -> np.ndarray:
        x = standardised(X, np.array(self.offset), np.array(self.scale), self.total)
        scores = x @ self.axes.T
        left = np.square(x).sum(1, dtype=np.float64) - np.square(scores).sum(1, dtype=np.float64)
        n_rest = max(self.axes.shape[1] - len(self.axes), 1)
        return np.column_stack([scores / self.unit, left.clip(0) / (n_rest * self.rest)])

    def to_data(self, x: Tensor) -> np.ndarray:
        """Return the rows on the axes, shape (n, d); counts are those of a row of usual total."""
        scores = x[..., : len(self.axes)].cpu().double().numpy() * self.unit
        rows = (scores @ self.axes.astype(np.float64)) * np.array(self.scale) + np.array(
            self.offset
        )
        return np.expm1(np.maximum(rows, 0.0)) if self.total else rows

    def log_volume(self, n_features: int) -> float:
        """Log |dx / d(t, r)| in nats; of counts that of their logarithms."""
        k = len(self.axes)
        scales = 0.0 if self.total else float(np.log(self.scale).sum())
        return (
            scales + k * float(np.log(self.unit)) + (n_features - k) / 2 * float(np.log(self.rest))
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, without the axes."""
        names = ("offset", "scale", "unit", "rest", "total")
        return {name: getattr(self, name) for name in names}

    def tensors(self) -> dict[str, Tensor]:
        """Return the axes."""
        return {"axes": torch.from_numpy(self.axes)}


class PrincipalAxes(Scaler):
    """Standardise the columns of a wide table, and find its principal axes.

    Parameters
    ----------
    n_axes : int
        k, at most; fewer for few rows.
    counts : bool
        Bring rows to one total and take logarithms first; columns keep their own spread then.
    """

    def __init__(self, n_axes: int = N_AXES, counts: bool = False) -> None:
        self.n_axes = n_axes
        self.counts = counts

    def fitted_to(self, X: Any) -> Projection:
        """Return the projection."""
        n, d = X.shape
        total = _usual_total(X) if self.counts else 0.0
        offset, scale = _moments(X, total, unit_scale=self.counts)

        def chunks() -> Iterator[np.ndarray]:
            for start in range(0, n, CHUNK):
                yield standardised(X[start : start + CHUNK], offset, scale, total)

        k = n_axes_of(n, d, self.n_axes)
        axes, variance = _axes(chunks, n, d, k)
        everything = sum(float(np.square(x, dtype=np.float64).sum()) for x in chunks()) / n
        # The axes fit their own rows: what they leave of others is more by n / (n - 1 - k).
        left = (everything - variance.sum()) * n / max(n - 1 - k, 1)
        rest = max(left, 1e-9 * everything, 1e-12) / max(d - k, 1)
        unit = float(np.sqrt(max(variance.mean(), 1e-12)))
        return Projection(offset.tolist(), scale.tolist(), False, axes, unit, rest, total)


def n_axes_of(n_rows: int, n_features: int, most: int = N_AXES) -> int:
    """Return how many axes a table of that size has."""
    return max(1, min(most, n_rows // ROWS_PER_AXIS, n_features - 1))


def standardised(X: Any, offset: np.ndarray, scale: np.ndarray, total: float) -> np.ndarray:
    """Return rows in standardised units, float32, with 0 for missing cells."""
    x = np.asarray(X, dtype=np.float64)
    if total:
        x = _logarithms(x, total)
    x = ((x - offset) / scale).astype(np.float32)
    x[np.isnan(x)] = 0.0
    return x


def _logarithms(x: np.ndarray, total: float) -> np.ndarray:
    sums = np.nansum(x, axis=1, keepdims=True)
    return np.asarray(np.log1p(total * x / np.where(sums > 0, sums, 1.0)))


def _usual_total(X: Any) -> float:
    sums = [np.nansum(X[start : start + CHUNK], axis=1) for start in range(0, len(X), CHUNK)]
    return float(max(np.median(np.concatenate(sums)), 1.0))


def _moments(X: Any, total: float, *, unit_scale: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of every column, missing cells aside."""
    n, first, second = 0.0, 0.0, 0.0
    for start in range(0, len(X), CHUNK):
        x = np.asarray(X[start : start + CHUNK], dtype=np.float64)
        x = _logarithms(x, total) if total else x
        seen = ~np.isnan(x)
        x = np.where(seen, x, 0.0)
        n, first, second = n + seen.sum(0), first + x.sum(0), second + np.square(x).sum(0)
    count = np.maximum(n, 1)
    mean = np.asarray(first / count)
    deviation = np.sqrt(np.maximum(second / count - mean**2, 0.0))
    varies = deviation > 1e-9 * np.maximum(np.abs(mean), 1e-300)
    return mean, np.where(varies & (not unit_scale), deviation, 1.0)


def _axes(chunks: Any, n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return k principal axes of centred rows, shape (k, d), and the variance along each."""
    if n <= MOST_ROWS:
        x = np.concatenate(list(chunks()))
        products = np.zeros((n, n))
        for start in range(0, d, COLUMNS_AT_ONCE):
            part = x[:, start : start + COLUMNS_AT_ONCE].astype(np.float64)
            products += part @ part.T
        values, vectors = eigh(products, subset_by_index=[n - k, n - 1])
        values = np.maximum(values[::-1], 1e-12 * max(values[-1], 1e-300))
        axes = (vectors[:, ::-1] / np.sqrt(values)).astype(np.float32).T @ x
        return _signed(axes), values / n
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((min(k + OVERSAMPLING, d), d)).astype(np.float32)
    for _ in range(POWER_PASSES + 1):
        # One pass gives X^T X of the basis; the rows' own products are never held.
        product = sum((x @ basis.T).T @ x for x in chunks())
        basis = np.linalg.qr(np.asarray(product, dtype=np.float64).T)[0].T.astype(np.float32)
    small = sum(_outer(x @ basis.T) for x in chunks())
    values, vectors = eigh(small)
    axes = vectors[:, ::-1][:, :k].T.astype(np.float32) @ basis
    return _signed(axes), np.maximum(values[::-1][:k], 1e-300) / n


def _outer(scores: np.ndarray) -> np.ndarray:
    wide = scores.astype(np.float64)
    return np.asarray(wide.T @ wide)


def _signed(axes: np.ndarray) -> np.ndarray:
    """Return the axes with their largest entries positive: the sign is arbitrary."""
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return np.ascontiguousarray(axes * np.where(largest < 0, -1, 1)[:, None], dtype=np.float32)


def scaling_from(values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Scaling:
    """Return the scaling that :meth:`Scaling.to_dict` and its tensors describe."""
    if "unit" not in values:
        return Scaling(**values)
    return Projection(**values, axes=tensors["axes"].numpy())
