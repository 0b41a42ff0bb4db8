r"""Luminance and two colour differences, in which white noise of red, green and blue stays white.

.. math:: (l, a, b) = M (r, g, b), \qquad M M^T = \tfrac13 I

so that :math:`M^{-1} = 3 M^T`, the luminance is the mean of the three, and noise of deviation
sigma in each colour is noise of deviation :math:`\sigma / \sqrt3` in each of l, a and b.
"""

from math import sqrt

import torch
from torch import Tensor

_M = torch.tensor(
    [
        [1 / 3, 1 / 3, 1 / 3],
        [1 / sqrt(6), 0.0, -1 / sqrt(6)],
        [1 / sqrt(18), -2 / sqrt(18), 1 / sqrt(18)],
    ]
)
# Deviation in l, a and b of noise of deviation 1 in each colour.
NOISE = 1 / sqrt(3)


def to_opponent(x: Tensor) -> Tensor:
    """Return (l, a, b) for colours x of shape (..., 3, h, w); grey (..., 1, h, w) stays as it is.

    Examples
    --------
    >>> to_opponent(torch.ones(3, 1, 1)).flatten().round(decimals=6).abs()
    tensor([1., 0., 0.])
    """
    return x if x.shape[-3] == 1 else torch.einsum("ij,...jhw->...ihw", _M.to(x), x)


def to_colours(x: Tensor) -> Tensor:
    """Undo :func:`to_opponent`."""
    return x if x.shape[-3] == 1 else torch.einsum("ji,...jhw->...ihw", 3 * _M.to(x), x)
