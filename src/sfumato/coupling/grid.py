r"""The Potts prior on a grid of pixels, for two labels.

Each pixel is coupled to the pixels around it with weights :math:`w_{ij}` that a box, applied
twice, gives: all positive, summing to one, and as a matrix positive semi-definite.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over windows of 2 radius + 1 pixels a side; outside of the image is zero.

    Parameters
    ----------
    x : Tensor, shape (..., height, width)
    radius : int

    Returns
    -------
    Tensor
        Of the same shape.
    """
    return _line_mean(_line_mean(x, radius, -1), radius, -2)


def local_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over the part of each window that lies in the image; shape as in box_mean."""
    down, right = (_line_mean(_ones(n, x), radius) for n in x.shape[-2:])
    return box_mean(x, radius) / (down[:, None] * right)


def _line_mean(x: Tensor, radius: int, dim: int = -1) -> Tensor:
    window = 2 * radius + 1
    padding = (radius + 1, radius)
    sums = F.pad(x, padding if dim == -1 else (0, 0, *padding)).cumsum(dim)
    n = x.shape[dim]
    return (sums.narrow(dim, window, n) - sums.narrow(dim, 0, n)) / window


def _ones(n: int, like: Tensor) -> Tensor:
    return torch.ones(n, dtype=like.dtype, device=like.device)


def neighbourhood(x: Tensor, radius: int) -> Tensor:
    """W x: the box applied twice, which makes W positive semi-definite."""
    return box_mean(box_mean(x, radius), radius)


def coupled_probability(
    log_odds: Tensor, strength: float, radius: int, max_sweeps: int = 4
) -> Tensor:
    r"""Mean field of the Potts prior for two labels, all pixels at a time.

    .. math:: r_i \leftarrow \sigma\Big(\ell_i + \lambda \sum_j w_{ij} (2 r_j - 1)\Big)

    It is :func:`mean_field` with log evidence :math:`(0, \ell)`. Because W is positive
    semi-definite, no sweep lowers :func:`grid_bound`.

    Parameters
    ----------
    log_odds : Tensor, shape (..., height, width)
        Of the first label, each pixel alone, in nats.
    strength : float
        lambda, in nats.
    radius : int
        Of each of the two boxes, in pixels.
    max_sweeps : int

    Returns
    -------
    Tensor
        Probability of the first label, of the same shape.
    """
    r = torch.sigmoid(log_odds)
    edge = _row_sums(log_odds, radius)
    for _ in range(max_sweeps):
        r = torch.sigmoid(log_odds + strength * (2 * neighbourhood(r, radius) - edge))
    return r


def _row_sums(like: Tensor, radius: int) -> Tensor:
    """W 1, shape (height, width): below one near the border; it is a product of two lines."""
    down, right = (_line_mean(_line_mean(_ones(n, like), radius), radius) for n in like.shape[-2:])
    return down[:, None] * right


def grid_bound(probability: Tensor, log_odds: Tensor, strength: float, radius: int) -> Tensor:
    r"""Bound of the log evidence that the mean field climbs, in nats, shape (...).

    .. math:: \sum_i \big(r_i \ell_i + H(r_i)\big) - \frac\lambda2 \sum_{ij} w_{ij} (1 -
              r_i r_j - (1 - r_i)(1 - r_j))

    The evidence of the second label is taken as zero.
    """
    r = probability
    entropy = -(torch.xlogy(r, r) + torch.xlogy(1 - r, 1 - r))
    ones = _row_sums(r, radius)
    agreement = r * neighbourhood(r, radius) + (1 - r) * (ones - neighbourhood(r, radius))
    return (r * log_odds + entropy - strength / 2 * (ones - agreement)).sum((-2, -1))
