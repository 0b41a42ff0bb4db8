"""Mixture priors over the code: p(c) and p(z|c), whose call returns p(z)."""

from math import log, pi

import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
)
from torch.nn import functional as F

from sfumato.distributions import (
    DiagonalMixture,
    GaussianMixture,
    mixture_log_joint,
)

# Probabilities of binary codes stay this far from 0 and 1, where the logarithm ends.
MARGIN = 1e-3
# Codes that are all the same still have an invertible covariance.
TINY = 1e-9
# Rows whose products with all components are formed at a time.
CHUNK = 8192


class Components(nn.Module):
    """p(c) = Cat(pi) and p(z|c), for K components over codes of length ``dim``."""

    log_weights: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Log p(z|c = k) in nats, shape (..., K), for z of shape (..., dim)."""
        raise NotImplementedError

    def expected_log_prob(self, q: Distribution) -> Tensor:
        """E_q log p(z|c = k) in nats, shape (n, K), in closed form."""
        raise NotImplementedError

    def fit(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Set the parameters to one M-step on codes (n, dim) and responsibilities (n, K).

        With ``variance``, shape (n, dim), the codes are means of posteriors that have it.
        """
        raise NotImplementedError

    def update(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Learn from a batch in closed form; nothing where gradients do it."""

    def draw(self, component: int, n_samples: int) -> Tensor:
        """Draw codes from one component, shape (n_samples, dim)."""
        raise NotImplementedError

    def log_joint(self, z: Tensor) -> Tensor:
        """Log p(z, c = k) in nats, shape (..., K)."""
        return self.log_weights + self.log_prob(z)

    def log_posterior(self, z: Tensor) -> Tensor:
        """Log p(c = k|z) in nats, shape (..., K)."""
        return F.log_softmax(self.log_joint(z), dim=-1)


class Statistics(nn.Module):
    r"""Exponentially averaged sufficient statistics of K components.

    .. math:: N_k = \sum_i r_{ik}, \quad s_k = \sum_i r_{ik} z_i, \quad
              S_k = \sum_i r_{ik} z_i z_i^T

    Each call multiplies the old sums by ``decay`` before it adds a batch; 0 forgets them. The
    memory is then of 1 / (1 - decay) batches.
    """

    count: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, n_components: int, dim: int) -> None:
        super().__init__()
        # A variance is a difference of these sums: float32 would lose it far from the origin.
        self.register_buffer("count", torch.zeros(n_components).double())
        self.register_buffer("first", torch.zeros(n_components, dim).double())
        self.register_buffer("second", torch.zeros(n_components, dim, dim).double())

    def replace(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Forget everything and add all rows, in bounded memory."""
        self.count.zero_()
        self.first.zero_()
        self.second.zero_()
        for rows in torch.arange(len(z)).split(CHUNK):
            spread = None if variance is None else variance[rows]
            self.add(z[rows], responsibilities[rows], 1.0, spread)

    @torch.no_grad()
    def add(
        self, z: Tensor, responsibilities: Tensor, decay: float, variance: Tensor | None = None
    ) -> None:
        """Add codes of shape (n, dim) with responsibilities of shape (n, K)."""
        r = responsibilities.to(self.count)
        z = z.to(self.count)
        weighted = r.unsqueeze(-1) * z.unsqueeze(1)
        self.count.mul_(decay).add_(r.sum(0))
        self.first.mul_(decay).add_(weighted.sum(0))
        self.second.mul_(decay).add_(torch.einsum("nki,nj->kij", weighted, z))
        if variance is not None:
            self.second.add_(torch.diag_embed(r.T @ variance.to(self.second)))


class GaussianComponents(Components):
    r"""p(z|c) = N(mu_c, Sigma_c) with full covariances, updated in closed form.

    .. math:: \mu_k = \frac{\sum_i r_{ik} z_i}{\sum_i r_{ik}}, \qquad
              \Sigma_k = \frac{\sum_i r_{ik} (z_i - \mu_k)(z_i - \mu_k)^T}{\sum_i r_{ik}}

    Each covariance is shrunk towards the pooled one as if ``shrinkage`` further rows had shown
    that, and ``ridge`` is added to its diagonal.

    Parameters
    ----------
    n_components, dim : int
    decay : float
        Of the averaged statistics per batch (:meth:`update`).
    shrinkage : float
        In rows.
    ridge : float
        In units of the mean variance within components, or absolute.
    relative : bool
        Which of the two.
    uniform : bool
        Keep pi uniform.
    """

    loc: Tensor
    scale_tril: Tensor

    def __init__(
        self,
        n_components: int,
        dim: int,
        *,
        decay: float = 0.99,
        shrinkage: float = 10.0,
        ridge: float = 1e-2,
        relative: bool = True,
        uniform: bool = False,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.shrinkage = shrinkage
        self.ridge = ridge
        self.relative = relative
        self.uniform = uniform
        self.register_buffer("log_weights", torch.full((n_components,), -log(n_components)))
        # Components that start alike would stay alike for ever.
        self.register_buffer("loc", torch.randn(n_components, dim))
        self.register_buffer("scale_tril", torch.eye(dim).repeat(n_components, 1, 1))
        self.statistics = Statistics(n_components, dim)

    def forward(self) -> Distribution:
        """Return p(z), batch shape ()."""
        return GaussianMixture(self.log_weights, self.loc, self.scale_tril)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log N(z; mu_k, Sigma_k) in nats, shape (..., K)."""
        return mixture_log_joint(z, torch.zeros_like(self.log_weights), self.loc, self.scale_tril)

    def expected_log_prob(self, q: Distribution) -> Tensor:
        r"""Return E_q log N(z; mu_k, Sigma_k), shape (n, K).

        .. math:: \log N(E_q z; \mu_k, \Sigma_k)
                  - \tfrac12 \mathrm{tr}(\Sigma_k^{-1} \mathrm{Var}_q z)
        """
        precision = torch.cholesky_inverse(self.scale_tril).diagonal(dim1=-2, dim2=-1)
        # No matrix product: under autocast that would lose 16 of its 24 bits.
        return self.log_prob(q.mean) - 0.5 * (q.variance.unsqueeze(-2) * precision).sum(-1)

    def fit(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Set weights, means and covariances to one M-step on all rows."""
        self.statistics.replace(z, responsibilities, variance)
        self._maximise()

    def update(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Take a batch into the averaged statistics and recompute the parameters."""
        self.statistics.add(z, responsibilities, self.decay, variance)
        self._maximise()

    @torch.no_grad()
    def _maximise(self) -> None:
        count = self.statistics.count.double().clamp_min(1e-10)
        size = count[:, None, None]
        loc = self.statistics.first.double() / count[:, None]
        scatter = self.statistics.second.double() / size - loc.unsqueeze(-1) * loc.unsqueeze(-2)
        pooled = (scatter * size).sum(0) / count.sum()
        covariance = (size * scatter + self.shrinkage * pooled) / (size + self.shrinkage)
        unit = pooled.diagonal().mean() if self.relative else 1.0
        ridge = self.ridge * unit + TINY
        covariance = covariance + ridge * torch.eye(len(pooled)).to(pooled)
        # New tensors, not new values in the old ones: gradients of this step still need those.
        if not self.uniform:
            self.log_weights = (count / count.sum()).log().to(self.log_weights)
        self.loc = loc.to(self.loc)
        self.scale_tril = torch.linalg.cholesky(covariance).to(self.scale_tril)

    def draw(self, component: int, n_samples: int) -> Tensor:
        """Draw codes from one component, shape (n_samples, dim)."""
        noise = torch.randn(n_samples, self.loc.shape[1]).to(self.loc)
        return self.loc[component] + noise @ self.scale_tril[component].T


class BernoulliComponents(Components):
    r"""p(z|c) = prod_j Bernoulli(mu_cj) over binary codes, updated in closed form.

    .. math:: \mu_k = \frac{\sum_i r_{ik} z_i}{\sum_i r_{ik}}

    Parameters
    ----------
    n_components, dim : int
    decay : float
        Of the averaged statistics per batch.
    uniform : bool
        Keep pi uniform.
    """

    probs: Tensor

    def __init__(
        self, n_components: int, dim: int, *, decay: float = 0.99, uniform: bool = False
    ) -> None:
        super().__init__()
        self.decay = decay
        self.uniform = uniform
        self.register_buffer("log_weights", torch.full((n_components,), -log(n_components)))
        # Components that start alike would stay alike for ever.
        self.register_buffer("probs", 0.25 + 0.5 * torch.rand(n_components, dim))
        self.statistics = Statistics(n_components, dim)

    def forward(self) -> Distribution:
        """Return p(z), batch shape ()."""
        weights = Categorical(logits=self.log_weights, validate_args=False)
        bernoulli = Independent(Bernoulli(self.probs, validate_args=False), 1, validate_args=False)
        return MixtureSameFamily(weights, bernoulli, validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log mass in nats, linear in z between 0 and 1, shape (..., K)."""
        # No matrix product: under autocast that would lose 16 of its 24 bits.
        z = z.unsqueeze(-2)
        return (z * self.probs.log() + (1 - z) * (-self.probs).log1p()).sum(-1)

    def expected_log_prob(self, q: Distribution) -> Tensor:
        """E_q log p(z|c = k): the log mass is linear in z, so its value at the mean."""
        return self.log_prob(q.mean)

    def fit(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Set weights and probabilities to one M-step on all rows."""
        self.statistics.replace(z, responsibilities, variance)
        self._maximise()

    def update(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Take a batch into the averaged statistics and recompute the parameters."""
        self.statistics.add(z, responsibilities, self.decay, variance)
        self._maximise()

    @torch.no_grad()
    def _maximise(self) -> None:
        count = self.statistics.count.clamp_min(1e-10)
        probs = self.statistics.first / count[:, None]
        if not self.uniform:
            self.log_weights = (count / count.sum()).log().to(self.log_weights)
        self.probs = probs.clamp(MARGIN, 1 - MARGIN).to(self.probs)

    def draw(self, component: int, n_samples: int) -> Tensor:
        """Draw codes from one component, shape (n_samples, dim)."""
        return torch.bernoulli(self.probs[component].expand(n_samples, -1))


class LearnedComponents(Components):
    r"""p(c) = Cat(pi), p(z|c) = N(mu_c, diag sigma_c^2), all learned by gradients.

    Parameters
    ----------
    n_components, dim : int
    """

    def __init__(self, n_components: int, dim: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_components))
        # Components that start alike would stay alike for ever.
        self.loc = nn.Parameter(torch.randn(n_components, dim))
        self.log_scale = nn.Parameter(torch.zeros(n_components, dim))

    @property
    def log_weights(self) -> Tensor:  # type: ignore[override]
        """Log pi, shape (K,)."""
        return F.log_softmax(self.logits, dim=0)

    def forward(self) -> Distribution:
        """Return p(z), batch shape ()."""
        return DiagonalMixture(self.log_weights, self.loc, self.log_scale.exp())

    def log_prob(self, z: Tensor) -> Tensor:
        """Log N(z; mu_k, diag sigma_k^2) in nats, shape (..., K)."""
        return diagonal_log_prob(z.unsqueeze(-2), self.loc, self.log_scale)

    def expected_log_prob(self, q: Distribution) -> Tensor:
        """E_q log N(z; mu_k, diag sigma_k^2) in nats, shape (n, K)."""
        precision = (-2 * self.log_scale).exp()
        return self.log_prob(q.mean) - 0.5 * (q.variance.unsqueeze(-2) * precision).sum(-1)

    @torch.no_grad()
    def fit(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Set weights, means and scales to those of the rows."""
        count, loc, variance = moments(z, responsibilities, variance)
        self.logits.copy_((count / count.sum()).log())
        self.loc.copy_(loc)
        self.log_scale.copy_(0.5 * variance.log())

    def draw(self, component: int, n_samples: int) -> Tensor:
        """Draw codes from one component, shape (n_samples, dim)."""
        noise = torch.randn(n_samples, self.loc.shape[1]).to(self.loc)
        return (self.loc[component] + noise * self.log_scale[component].exp()).detach()


def diagonal_log_prob(z: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """Log N(z; loc, diag exp(2 log_scale)) in nats, summed over the last axis; shapes broadcast."""
    whitened = (z - loc) * (-log_scale).exp()
    return -(0.5 * whitened.square() + log_scale + 0.5 * log(2 * pi)).sum(-1)


def moments(
    z: Tensor, responsibilities: Tensor, variance: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return count (K,), mean (K, d) and variance (K, d) of every component's share of the rows.

    A variance is at least a thousandth of the codes' own.
    """
    count = responsibilities.sum(0).clamp_min(1e-6)
    loc = responsibilities.T @ z / count[:, None]
    second = z.square() if variance is None else z.square() + variance
    square = responsibilities.T @ second / count[:, None]
    floor = 1e-3 * z.var(0, correction=0).mean() + 1e-12
    return count, loc, (square - loc.square()).clamp_min(float(floor))
