r"""Families: maps from a network's raw outputs to a distribution.

A network is exportable, a distribution is not; so a family owns no layers. It says how many raw
numbers it needs (``n_parameters``) and turns them, in float32 or better, into a distribution over
vectors of length ``dim``.
"""

from math import log

import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from torch.nn import functional as F

from sfumato.distributions import BinaryConcrete, PointMass, SampleShape

# Means that become logits keep this distance from 0 and 1.
MARGIN = 1e-6


class Family(nn.Module):
    """A parametric family of distributions over vectors of length ``dim``."""

    def __init__(self, dim: int, n_parameters: int) -> None:
        super().__init__()
        self.dim = dim
        self.n_parameters = n_parameters

    def forward(self, raw: Tensor) -> Distribution:
        """Return the distribution whose parameters are ``raw``, shape (..., n_parameters)."""
        raise NotImplementedError

    def mean_layers(self) -> tuple[nn.Module, ...]:
        """Return the layers that make the mean of the first ``dim`` raw numbers."""
        return ()

    def to_mean(self, raw: Tensor) -> Tensor:
        """Return the mean that one raw number a value stands for, so that layers can be composed.

        Raises
        ------
        NotImplementedError
            If a value has several raw numbers.
        """
        if self.n_parameters == self.dim:
            return raw
        raise NotImplementedError(f"{type(self).__name__} has several numbers a value.")

    def from_mean(self, mean: Tensor) -> Tensor:
        """Return the raw numbers of a mean: the inverse of :meth:`to_mean`."""
        return mean


class Conditional(nn.Module):
    r"""p(a | b): ``family(network(b))``, any number of leading batch axes.

    ``network`` is the exportable core (tensors in, tensors out, shape (n, in) to
    (n, family.n_parameters)); calling the module returns a distribution.
    """

    def __init__(self, network: nn.Module, family: Family) -> None:
        super().__init__()
        self.network = network
        self.family = family

    def forward(self, b: Tensor) -> Distribution:
        """Return p(. | b) for b of shape (..., in); its parameters are float32 or better."""
        raw = self.network(b.flatten(0, -2)).unflatten(0, b.shape[:-1])
        return self.family(raw if raw.dtype.itemsize >= 4 else raw.float())


class PointMassFamily(Family):
    r""":math:`\delta(z - \mu)` with :math:`\mu` = raw: a deterministic encoder."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim)

    def forward(self, raw: Tensor) -> Distribution:
        """Return the point mass at ``raw``."""
        return PointMass(raw)


class GaussianFamily(Family):
    r""":math:`N(\mu, \mathrm{diag}\,\sigma^2)` with :math:`[\mu, \log\sigma]` = raw."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 2 * dim)

    def forward(self, raw: Tensor) -> Distribution:
        """Return the diagonal Gaussian, batch shape raw.shape[:-1]."""
        loc, log_scale = raw.chunk(2, dim=-1)
        # exp overflows float32 at 88 and underflows at -87; both tails are far outside use.
        scale = log_scale.clamp(-20.0, 20.0).exp()
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


class FullGaussianFamily(Family):
    r""":math:`N(\mu, L L^T)` with :math:`[\mu, \log \mathrm{diag}\,L, \text{below}]` = raw."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 2 * dim + dim * (dim - 1) // 2)

    def forward(self, raw: Tensor) -> Distribution:
        """Return the Gaussian, batch shape raw.shape[:-1]."""
        d = self.dim
        loc, log_scale, below = raw.split([d, d, d * (d - 1) // 2], dim=-1)
        row, column = torch.tril_indices(d, d, -1).to(raw.device)
        factor = torch.diag_embed(log_scale.clamp(-20.0, 20.0).exp())
        lower = torch.zeros_like(factor)
        lower[..., row, column] = below
        return MultivariateNormal(loc, scale_tril=factor + lower, validate_args=False)


class SharedScaleGaussianFamily(Family):
    r""":math:`N(\mu, \sigma^2 I)` with :math:`\mu` = raw and one learned :math:`\sigma`.

    A scale per pixel from the network has an unbounded likelihood on constant pixels; one shared
    scale, bounded below by ``min_scale``, is learned safely (sigma-VAE, Rybkin et al. 2021).
    """

    def __init__(self, dim: int, min_scale: float = 1e-3) -> None:
        super().__init__(dim, dim)
        self.min_scale = min_scale
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, raw: Tensor) -> Distribution:
        """Return the Gaussian, batch shape raw.shape[:-1]."""
        # One scale a pixel first: the gradient is then summed over rows and after that over pixels,
        # in an order that does not depend on the number of threads.
        scale = (self.log_scale.exp() + self.min_scale).expand(self.dim)
        normal = Normal(raw, scale, validate_args=False)
        return Independent(normal, 1, validate_args=False)


class FixedScaleGaussianFamily(Family):
    r""":math:`N(\mu, \sigma^2 I)` with :math:`\mu` = raw and :math:`\sigma` given.

    Parameters
    ----------
    dim : int
    scale : float
        sigma; 1 makes the negative log density half the squared error, up to a constant.
    """

    def __init__(self, dim: int, scale: float = 1.0) -> None:
        super().__init__(dim, dim)
        self.scale = scale

    def forward(self, raw: Tensor) -> Distribution:
        """Return the Gaussian, batch shape raw.shape[:-1]."""
        normal = Normal(raw, torch.full_like(raw, self.scale), validate_args=False)
        return Independent(normal, 1, validate_args=False)


class PixelScaleGaussianFamily(Family):
    r""":math:`N(\mu_i, \sigma_i^2)` for every value with :math:`[\mu_i, \log\sigma_i]` = raw.

    Parameters
    ----------
    dim : int
    min_scale : float
        Added to every scale: on constant pixels the likelihood has no other bound.
    """

    def __init__(self, dim: int, min_scale: float = 1e-2) -> None:
        super().__init__(dim, 2 * dim)
        self.min_scale = min_scale

    def forward(self, raw: Tensor) -> Distribution:
        """Return the Gaussian, batch shape raw.shape[:-1]."""
        # Both numbers of a value lie side by side, as convolutions give them.
        loc, log_scale = raw.unflatten(-1, (self.dim, 2)).unbind(-1)
        scale = log_scale.clamp(-20.0, 20.0).exp() + self.min_scale
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


class BernoulliFamily(Family):
    r"""Bernoulli(:math:`\mu`) with logit :math:`\mu` = raw.

    For x strictly between 0 and 1, ``log_prob`` is minus the cross-entropy, which is the mean of
    :math:`\log p(b|z)` over binarised pixels :math:`b \sim` Bernoulli(x).
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim)

    def forward(self, raw: Tensor) -> Distribution:
        """Return the independent Bernoullis, batch shape raw.shape[:-1]."""
        return Independent(Bernoulli(logits=raw, validate_args=False), 1, validate_args=False)

    def to_mean(self, raw: Tensor) -> Tensor:
        """Return the probabilities."""
        return raw.sigmoid()

    def from_mean(self, mean: Tensor) -> Tensor:
        """Return the logits."""
        return mean.clamp(MARGIN, 1 - MARGIN).logit()


class _LogMeanFamily(Family):
    """Counts whose log mean is raw."""

    def to_mean(self, raw: Tensor) -> Tensor:
        """Return the means."""
        # exp overflows float32 at 88; counts of 1e13 are far outside use.
        return raw.clamp(-30.0, 30.0).exp()

    def from_mean(self, mean: Tensor) -> Tensor:
        """Return the log means."""
        return mean.clamp_min(1e-13).log()


class PoissonFamily(_LogMeanFamily):
    r"""Poisson(:math:`\lambda`) with :math:`\log\lambda` = raw."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim)

    def forward(self, raw: Tensor) -> Distribution:
        """Return the independent Poissons, batch shape raw.shape[:-1]."""
        return Independent(Poisson(self.to_mean(raw), validate_args=False), 1, validate_args=False)


class OverdispersedCounts(NegativeBinomial):
    """Negative binomials whose log mass keeps its digits where they come near Poissons.

    There lgamma of ``total_count`` is large, and its difference, in float32, wrong by nats.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Log mass in nats, shape (...)."""
        r, logits, x = self.total_count.double(), self.logits.double(), value.double()
        log_mass = x * F.logsigmoid(logits) + r * F.logsigmoid(-logits) + log_choose(r, x)
        return log_mass.to(self.logits)

    def log_prob_at_mean(self, value: Tensor) -> Tensor:
        """Log mass in nats of values that are their own means, shape (...)."""
        r, x = self.total_count.double(), value.double()
        log_mass = torch.xlogy(x, x / (r + x)) - r * (x / r).log1p() + log_choose(r, x)
        return log_mass.to(self.logits)


def log_choose(r: Tensor, x: Tensor) -> Tensor:
    """Return log Gamma(r + x) / (Gamma(r) x!), shape (...)."""
    return torch.lgamma(r + x) - torch.lgamma(r) - torch.lgamma(x + 1)


class NegativeBinomialFamily(_LogMeanFamily):
    r"""Negative binomials with log mean raw, and a learned dispersion r for every value.

    .. math:: \mathrm{Var}\, x = \mu + \mu^2 / r
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim)
        self.log_dispersion = nn.Parameter(torch.zeros(dim))

    def forward(self, raw: Tensor) -> Distribution:
        """Return the independent negative binomials, batch shape raw.shape[:-1]."""
        # Beyond this the distribution is a Poisson to seven digits.
        log_r = self.log_dispersion.clamp(-10.0, 15.0).to(raw)
        logits = raw.clamp(-30.0, 30.0) - log_r
        r = log_r.exp().expand_as(raw)
        counts = OverdispersedCounts(r, logits=logits, validate_args=False)
        return Independent(counts, 1, validate_args=False)


class StudentTFamily(Family):
    r""":math:`\mu + \sigma\, t_\nu` with :math:`\mu` = raw and one learned :math:`\sigma`.

    Parameters
    ----------
    dim : int
    df : float
        nu.
    min_scale : float
        Added to sigma.
    """

    def __init__(self, dim: int, df: float, min_scale: float = 1e-3) -> None:
        super().__init__(dim, dim)
        self.df = df
        self.min_scale = min_scale
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, raw: Tensor) -> Distribution:
        """Return the independent Student t, batch shape raw.shape[:-1]."""
        scale = (self.log_scale.exp() + self.min_scale).expand_as(raw)
        df = torch.full_like(raw, self.df)
        return Independent(StudentT(df, raw, scale, validate_args=False), 1, validate_args=False)


class RelaxedBernoulliFamily(Family):
    """A binary code with logit raw; in training its reparameterised draws are relaxed.

    In evaluation they are zeros and ones, so that a bound is evaluated at codes the model has.

    Parameters
    ----------
    dim : int
    temperature : float
        Of the relaxed draws; towards 0 they become binary.
    """

    def __init__(self, dim: int, temperature: float = 0.5) -> None:
        super().__init__(dim, dim)
        self.temperature = temperature

    def mean_layers(self) -> tuple[nn.Module, ...]:
        """Return the sigmoid."""
        return (nn.Sigmoid(),)

    def forward(self, raw: Tensor) -> Distribution:
        """Return the independent Bernoullis, batch shape raw.shape[:-1]."""
        return BinaryConcrete(raw, self.temperature if self.training else 0.0)


class Levels(Distribution):
    r"""Independent categorical pixels over ``K`` equally spaced levels 0, 1/(K-1), ..., 1.

    .. math:: \log p(x) = \sum_i \log \pi_{i, k(x_i)}, \qquad k(x) = \mathrm{round}(x (K-1))

    Parameters
    ----------
    logits : Tensor, shape (..., d, K)
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    has_rsample = False

    def __init__(self, logits: Tensor) -> None:
        self.log_weights = F.log_softmax(logits, dim=-1)
        self.levels = _evenly(logits.shape[-1], like=logits)
        super().__init__(logits.shape[:-2], logits.shape[-2:-1], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Expected level, shape (..., d)."""
        return self.log_weights.exp() @ self.levels

    @property
    def variance(self) -> Tensor:
        """Variance of the level, shape (..., d)."""
        return self.log_weights.exp() @ self.levels.square() - self.mean.square()

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw levels, shape (*sample_shape, ..., d)."""
        weights = torch.distributions.Categorical(logits=self.log_weights, validate_args=False)
        return self.levels[weights.sample(torch.Size(sample_shape))]

    def log_prob(self, value: Tensor) -> Tensor:
        """Log mass in nats of the levels nearest to ``value``, shape (...)."""
        return self.log_prob_by_value(value).sum(-1)

    def log_prob_by_value(self, value: Tensor) -> Tensor:
        """Log mass in nats of the level nearest to every value, shape (..., d)."""
        n_levels = self.log_weights.shape[-1]
        index = (value * (n_levels - 1)).round().long().clamp(0, n_levels - 1)
        shape = torch.broadcast_shapes(index.shape, self.log_weights.shape[:-1])
        log_weights = self.log_weights.expand(*shape, n_levels)
        return log_weights.gather(-1, index.expand(shape).unsqueeze(-1)).squeeze(-1)


class CategoricalFamily(Family):
    """A categorical distribution over ``n_levels`` grey levels for every pixel."""

    def __init__(self, dim: int, n_levels: int) -> None:
        super().__init__(dim, dim * n_levels)
        self.n_levels = n_levels

    def forward(self, raw: Tensor) -> Distribution:
        """Return the independent categoricals, batch shape raw.shape[:-1]."""
        return Levels(raw.unflatten(-1, (self.dim, self.n_levels)))


class LogisticLevels(Distribution):
    r"""Independent pixels over ``n_levels`` levels, each a mixture of logistics cut into bins.

    .. math:: p(x_i) = \sum_k \pi_{ik} \Big[\sigma\Big(\frac{x_i^+ - \mu_{ik}}{s_{ik}}\Big)
              - \sigma\Big(\frac{x_i^- - \mu_{ik}}{s_{ik}}\Big)\Big]

    The bin of a level reaches half way to its neighbours, that of the first and the last without
    end: the masses of all levels add up to one. Levels are 0, 1/(n_levels - 1), ..., 1.

    Parameters
    ----------
    logits, loc, log_scale : Tensor, shape (..., d, K)
    n_levels : int

    References
    ----------
    Salimans, Karpathy, Chen and Kingma, PixelCNN++, 2017.
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    has_rsample = False

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, n_levels: int) -> None:
        self.log_weights = F.log_softmax(logits, dim=-1)
        self.loc = loc
        self.scale = log_scale.exp()
        self.n_levels = n_levels
        super().__init__(logits.shape[:-2], logits.shape[-2:-1], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Expected value of the mixture before it is cut, within [0, 1], shape (..., d)."""
        return (self.log_weights.exp() * self.loc).sum(-1).clamp(0.0, 1.0)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw levels, shape (*sample_shape, ..., d)."""
        shape = torch.Size(sample_shape)
        weights = torch.distributions.Categorical(logits=self.log_weights, validate_args=False)
        k = weights.sample(shape).unsqueeze(-1)
        loc, scale = (part.expand(*shape, *part.shape) for part in (self.loc, self.scale))
        noise = torch.logit(torch.rand(k.shape).to(loc), eps=1e-6)
        x = (loc.gather(-1, k) + scale.gather(-1, k) * noise).squeeze(-1).clamp(0.0, 1.0)
        return (x * (self.n_levels - 1)).round().detach() / (self.n_levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log mass in nats of the levels nearest to ``value``, shape (...)."""
        return self.log_prob_by_value(value).sum(-1)

    def log_prob_by_value(self, value: Tensor) -> Tensor:
        """Log mass in nats of the level nearest to every value, shape (..., d)."""
        step = 1 / (self.n_levels - 1)
        x = ((value / step).round() * step).unsqueeze(-1)
        above = (x + step / 2 - self.loc) / self.scale
        below = (x - step / 2 - self.loc) / self.scale
        # log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)), exact in both tails.
        inner = F.logsigmoid(above) + F.logsigmoid(-below) + _log1m_exp(step / self.scale)
        log_mass = torch.where(x < step / 2, F.logsigmoid(above), inner)
        log_mass = torch.where(x > 1 - step / 2, F.logsigmoid(-below), log_mass)
        return torch.logsumexp(self.log_weights + log_mass, dim=-1)


def _log1m_exp(a: Tensor) -> Tensor:
    """Return log(1 - exp(-a)) for a > 0."""
    return torch.log(-torch.expm1(-a))


class LogisticMixtureFamily(Family):
    """A mixture of logistics for every pixel, cut into ``n_levels`` grey levels.

    Parameters
    ----------
    dim, n_levels : int
    n_components : int
        Logistics of a pixel.
    """

    def __init__(self, dim: int, n_levels: int, n_components: int = 5) -> None:
        super().__init__(dim, dim * 3 * n_components)
        self.n_levels = n_levels
        self.n_components = n_components

    def forward(self, raw: Tensor) -> Distribution:
        """Return the mixtures, batch shape raw.shape[:-1]."""
        parts = raw.unflatten(-1, (self.dim, 3, self.n_components))
        logits, loc, log_scale = parts.unbind(-2)
        # A network that says nothing yet covers all levels: centres spread over [0, 1].
        centres = _evenly(self.n_components + 2, like=raw)[1:-1]
        # Narrower than a twentieth of a level, a logistic is a level.
        narrowest = -log(20.0 * (self.n_levels - 1))
        log_scale = (log_scale - log(2.0 * self.n_components)).clamp(narrowest, 2.0)
        return LogisticLevels(logits, centres + loc, log_scale, self.n_levels)


def _evenly(n: int, like: Tensor) -> Tensor:
    return torch.linspace(0.0, 1.0, n, dtype=like.dtype, device=like.device)
