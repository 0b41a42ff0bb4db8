"""Losses: how far a reconstruction is from its row."""

from math import pi, sqrt

import torch
from torch import Tensor
from torch.distributions import Distribution

from sfumato.likelihoods.base import Loss
from sfumato.nn.families import BernoulliFamily, Family


def minus_entropy(x: Tensor) -> Tensor:
    r"""Return :math:`x \log x + (1 - x) \log(1 - x)` of every value: 0 for zeros and ones."""
    x = x.clamp(0.0, 1.0)
    return torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)


class SquaredError(Loss):
    r""":math:`\|x - \hat x\|^2` with x-hat the mean of p, in squared model units."""

    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the error, shape (n,)."""
        return (x - p.mean).square().sum(-1)


class CrossEntropy(Loss):
    r""":math:`-\sum_i x_i \log \mu_i + (1 - x_i) \log(1 - \mu_i)` of pixels in [0, 1], in nats."""

    bounded = True

    def family(self, dim: int) -> Family:
        """Return Bernoullis."""
        return BernoulliFamily(dim)

    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the cross-entropy, shape (n,)."""
        return -p.log_prob(x)

    def saturated(self, p: Distribution, x: Tensor) -> Tensor:
        """Return minus the entropy of the pixels."""
        return minus_entropy(x).sum(-1)


class Correntropy(Loss):
    r"""Minus the correntropy of data and reconstruction: a loss that outliers cannot drive.

    .. math:: L(x, \hat x) = -\sum_k K_\sigma(x_k - \hat x_k), \qquad
              K_\sigma(a) = \frac{1}{\sqrt{2\pi}\,\sigma} \exp\Big(-\frac{a^2}{2\sigma^2}\Big)

    Errors far beyond sigma have no gradient; errors far below it count as squares.

    Parameters
    ----------
    sigma : float
        Width of the kernel, in model units.

    References
    ----------
    Qi, Wang, Zheng and Wu, Robust Feature Learning by Stacked Autoencoder with Maximum Correntropy
    Criterion, ICASSP 2014.
    """

    def __init__(self, sigma: float = 0.5) -> None:
        self.sigma = sigma

    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the loss of the mean of p, shape (n,)."""
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}.")
        kernel = (-((x - p.mean) / self.sigma).square() / 2).exp() / (sqrt(2 * pi) * self.sigma)
        return -kernel.sum(-1)
