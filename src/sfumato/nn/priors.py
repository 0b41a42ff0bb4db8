"""Priors over the latent code: modules whose call returns a distribution."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal


class StandardNormal(nn.Module):
    """p(z) = N(0, I) in ``dim`` dimensions."""

    loc: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self) -> Distribution:
        """Return N(0, I), batch shape ()."""
        normal = Normal(self.loc, self.scale, validate_args=False)
        return Independent(normal, 1, validate_args=False)


class FittedGaussian(nn.Module):
    r"""p(z) = N(m, S), fitted in closed form to the codes of a trained autoencoder.

    A deterministic autoencoder has no prior of its own; a density fitted to its codes afterwards
    makes it generative (Ghosh et al., From Variational to Deterministic Autoencoders, 2020).
    """

    loc: Tensor
    scale_tril: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(dim))
        self.register_buffer("scale_tril", torch.eye(dim))

    def fit(self, codes: Tensor) -> "FittedGaussian":
        """Set mean and covariance to those of ``codes``, shape (n, dim), with a small ridge."""
        centred = codes.double() - codes.double().mean(0)
        covariance = centred.T @ centred / len(codes)
        ridge = 1e-6 * covariance.diagonal().mean().clamp_min(1e-12)
        covariance = covariance + ridge * torch.eye(codes.shape[1], dtype=torch.float64)
        self.loc.copy_(codes.double().mean(0))
        self.scale_tril.copy_(torch.linalg.cholesky(covariance))
        return self

    def forward(self) -> Distribution:
        """Return N(m, S), batch shape ()."""
        return MultivariateNormal(self.loc, scale_tril=self.scale_tril, validate_args=False)
