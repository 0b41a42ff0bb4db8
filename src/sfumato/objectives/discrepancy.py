"""Distances between two samples."""

from torch import Tensor

from sfumato.nn import squared_distances

# Scales of the kernel in units of its expected squared distance under the prior.
KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    r"""Squared maximum mean discrepancy between two samples, a scalar between 0 and 2.

    .. math:: \frac1{n^2} \sum_{ij} k(a_i, a_j) - \frac2{nm} \sum_{ij} k(a_i, b_j)
              + \frac1{m^2} \sum_{ij} k(b_i, b_j), \qquad
              k(a, b) = \frac17 \sum_c \frac{2 c d}{2 c d + \|a - b\|^2}

    with c from 0.1 to 10; 2d is the expected squared distance of codes from the prior.

    Parameters
    ----------
    a : Tensor, shape (n, d)
    b : Tensor, shape (m, d)

    References
    ----------
    Gretton et al., A Kernel Two-Sample Test, 2012; the kernel: Tolstikhin et al., Wasserstein
    Auto-Encoders, 2018.

    Examples
    --------
    >>> import torch
    >>> a = torch.randn(5, 3)
    >>> float(squared_mmd(a, a))
    0.0
    """
    kernel = [_kernel(*pair).mean() for pair in ((a, a), (a, b), (b, b))]
    return kernel[0] - 2 * kernel[1] + kernel[2]


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    distance = squared_distances(a, b)
    scales = 2 * a.shape[1] * distance.new_tensor(KERNEL_SCALES)[:, None, None]
    values: Tensor = (scales / (scales + distance)).mean(0)
    return values
