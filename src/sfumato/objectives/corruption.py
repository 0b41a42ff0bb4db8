"""Corruptions: what a denoising autoencoder's input has to bear, in model units."""

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from sfumato.checks import require_not_negative, require_share


class Corruption(BaseEstimator):
    """A random map of rows x to corrupted rows of the same shape.

    Its draws come from the generators of the fit, whatever torch functions it calls.
    """

    def __call__(self, x: Tensor) -> Tensor:
        """Return corrupted rows, shape (n, d)."""
        raise NotImplementedError


class GaussianNoise(Corruption):
    r"""White noise: :math:`\tilde x = x + \sigma \epsilon, \; \epsilon \sim N(0, I)`.

    Parameters
    ----------
    sigma : float
        In model units; with the default scaling the data's whole range is 1.

    References
    ----------
    Vincent et al., Stacked Denoising Autoencoders, 2010.

    Examples
    --------
    >>> GaussianNoise(sigma=0.0)(torch.ones(1, 3))
    tensor([[1., 1., 1.]])
    """

    def __init__(self, sigma: float = 0.3) -> None:
        self.sigma = sigma

    def __call__(self, x: Tensor) -> Tensor:
        """Return corrupted rows, shape (n, d)."""
        require_not_negative(sigma=self.sigma)
        return x + self.sigma * torch.randn_like(x)


class MaskingNoise(Corruption):
    """Every value is set to zero with probability p.

    Parameters
    ----------
    p : float

    References
    ----------
    Vincent et al., Stacked Denoising Autoencoders, 2010.
    """

    def __init__(self, p: float = 0.3) -> None:
        self.p = p

    def __call__(self, x: Tensor) -> Tensor:
        """Return corrupted rows, shape (n, d)."""
        require_share(p=self.p)
        return x.masked_fill(torch.rand_like(x) < self.p, 0.0)


class SaltAndPepper(Corruption):
    """Every value is set, with probability p, to zero or to one, both equally likely.

    Parameters
    ----------
    p : float

    References
    ----------
    Vincent et al., Stacked Denoising Autoencoders, 2010.
    """

    def __init__(self, p: float = 0.2) -> None:
        self.p = p

    def __call__(self, x: Tensor) -> Tensor:
        """Return corrupted rows, shape (n, d)."""
        require_share(p=self.p)
        u = torch.rand_like(x)
        return x.masked_fill(u < self.p, 0.0).masked_fill(u < self.p / 2, 1.0)
