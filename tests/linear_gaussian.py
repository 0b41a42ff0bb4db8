"""A linear-Gaussian model: evidence and posterior are known exactly."""

import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from sfumato.models import LatentVariableModel
from sfumato.nn import StandardNormal


class Decoder(nn.Module):
    """p(x|z) = N(W z + b, s^2 I)."""

    def __init__(self, W: Tensor, b: Tensor, s: float) -> None:
        super().__init__()
        self.W, self.b, self.s = W, b, s

    def forward(self, z: Tensor) -> Independent:
        return Independent(Normal(z @ self.W.T + self.b, self.s), 1)


class ExactPosterior(nn.Module):
    """q(z|x) = p(z|x) = N(S W'(x - b) / s^2, S) with S = (I + W'W / s^2)^-1, perhaps widened."""

    def __init__(self, decoder: Decoder, widen: float = 1.0) -> None:
        super().__init__()
        W, s = decoder.W, decoder.s
        self.covariance = torch.linalg.inv(torch.eye(W.shape[1]).to(W) + W.T @ W / s**2)
        self.gain = self.covariance @ W.T / s**2
        self.b, self.widen = decoder.b, widen

    def forward(self, x: Tensor) -> MultivariateNormal:
        covariance = self.covariance * self.widen**2
        return MultivariateNormal((x - self.b) @ self.gain.T, covariance)


def linear_gaussian(
    d: int = 6, latent_dim: int = 2, s: float = 0.5, widen: float = 1.0
) -> tuple[LatentVariableModel, MultivariateNormal]:
    """Return the model and its exact p(x) = N(b, W W' + s^2 I), in float64."""
    generator = torch.Generator().manual_seed(7)
    W = torch.randn(d, latent_dim, generator=generator, dtype=torch.float64)
    b = torch.randn(d, generator=generator, dtype=torch.float64)
    decoder = Decoder(W, b, s)
    model = LatentVariableModel(
        ExactPosterior(decoder, widen), decoder, StandardNormal(latent_dim).double()
    )
    covariance = W @ W.T + s**2 * torch.eye(d, dtype=torch.float64)
    return model, MultivariateNormal(b, covariance)
