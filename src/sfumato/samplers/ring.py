"""The map that makes a ring of a Gaussian."""

from typing import Any

import numpy as np

from sfumato.samplers.base import Map


class RingMap(Map):
    r"""A Gaussian cloud becomes a ring, in three dimensions a shell, of radius 1.

    .. math:: f(z) = w z + \frac{z}{\|z\|}, \qquad
              \log |\det J_f(z)| = \log w + (d - 1) \log\Big(w + \frac{1}{\|z\|}\Big)

    The image is all outside the unit sphere: along z lengths grow by w, across it by
    :math:`\|f(z)\| / \|z\|`.

    Parameters
    ----------
    width : float
        w > 0.

    References
    ----------
    Doersch, Tutorial on Variational Autoencoders, 2016, figure 2, with w = 1/10.

    Examples
    --------
    >>> RingMap().forward([[3.0, 4.0]])
    array([[0.9, 1.2]])
    """

    def __init__(self, width: float = 0.1) -> None:
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}.")
        self.width = width

    def forward(self, x: Any) -> np.ndarray:
        """Return f of every row of x, shape (n, d)."""
        x = np.asarray(x, dtype=np.float64)
        return x * (self.width + 1 / _radius(x))[:, None]

    def inverse(self, y: Any) -> np.ndarray:
        """Return z of every row of y, shape (n, d); nan on the unit sphere and within."""
        y = np.asarray(y, dtype=np.float64)
        radius = np.linalg.norm(y, axis=-1)
        outside = radius > 1
        ratio = np.full(len(y), np.nan)
        ratio[outside] = (1 - 1 / radius[outside]) / self.width
        return y * ratio[:, None]

    def log_det(self, x: Any) -> np.ndarray:
        """Return the log determinant at every row of x, shape (n,)."""
        x = np.asarray(x, dtype=np.float64)
        across = self.width + 1 / _radius(x)
        return np.log(self.width) + (x.shape[-1] - 1) * np.log(across)


def _radius(z: np.ndarray) -> np.ndarray:
    radius = np.linalg.norm(z, axis=-1)
    if not radius.all():
        raise ValueError("The origin has no direction, so the ring map is not defined there.")
    return radius
