"""What ``torch.distributions`` lacks: a point mass, responsibilities, KL of any pair, colours."""

from math import lgamma, log, pi

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints, kl_divergence
from torch.nn import functional

SampleShape = torch.Size | list[int] | tuple[int, ...]


class PointMass(Distribution):
    r"""All probability on one point, :math:`\delta(z - \mu)`: what a deterministic encoder returns.

    Parameters
    ----------
    loc : Tensor, shape (..., d)
        The point; its last axis is the event.

    Examples
    --------
    >>> q = PointMass(torch.zeros(3, 2))
    >>> q.rsample((5,)).shape
    torch.Size([5, 3, 2])
    """

    arg_constraints = {"loc": constraints.real_vector}  # noqa: RUF012 (torch's own declaration)
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor) -> None:
        self.loc = loc
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The point itself."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Return the point, repeated."""
        return self.loc.expand(self._extended_shape(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Refuse: a point mass has no density; use ``Autoencoder`` objectives that need none."""
        raise NotImplementedError("a point mass has no density, so no likelihood can be formed")


class BinaryConcrete(Distribution):
    r"""Independent Bernoullis whose reparameterised draws are relaxed.

    .. math:: \mathrm{rsample} = \mathrm{sigmoid}\Big(\frac{a + \log u - \log(1-u)}{\tau}\Big),
              \qquad u \sim U(0, 1)

    ``sample`` draws zeros and ones; ``log_prob`` is the Bernoulli's log mass, extended linearly to
    the values between.

    Parameters
    ----------
    logits : Tensor, shape (..., d)
        a.
    temperature : float
        tau; towards 0 the relaxed draws become binary, and at 0 they are.

    References
    ----------
    Maddison, Mnih and Teh, The Concrete Distribution, 2017.
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, logits: Tensor, temperature: float) -> None:
        self.logits = logits
        self.temperature = temperature
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Probability of a one."""
        return self.logits.sigmoid()

    @property
    def variance(self) -> Tensor:
        """Variance of the binary code."""
        return self.mean * (1 - self.mean)

    def entropy(self) -> Tensor:
        """Entropy of the binary code in nats, shape (...)."""
        base = torch.distributions.Bernoulli(logits=self.logits, validate_args=False)
        return base.entropy().sum(-1)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw relaxed codes in (0, 1), shape (*sample_shape, ..., d); binary at temperature 0."""
        if not self.temperature:
            return self.sample(sample_shape)
        shape = self._extended_shape(torch.Size(sample_shape))
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        noise = torch.logit(u, eps=1e-6)
        return ((self.logits + noise) / self.temperature).sigmoid()

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw binary codes, shape (*sample_shape, ..., d)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return torch.bernoulli(self.mean.detach().expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log mass in nats, shape (...)."""
        return (value * self.logits - torch.nn.functional.softplus(self.logits)).sum(-1)


# Where responsibilities have underflown to 0 their logarithm's gradient would be infinite; an empty
# component's weight is 0, whose logarithm would turn 0 log 0 into NaN.
TINY, MIN_LOG_WEIGHT = 1e-30, -69.0


def categorical_kl(responsibilities: Tensor, log_weights: Tensor) -> Tensor:
    """KL(r || p(c)) in nats, shape (...), for r and log weights of shape (..., K)."""
    log_r = responsibilities.clamp_min(TINY).log()
    return (responsibilities * (log_r - log_weights.clamp_min(MIN_LOG_WEIGHT))).sum(-1)


def relaxed_one_hot(logits: Tensor, temperature: float, *, hard: bool = False) -> Tensor:
    r"""Draw relaxed one-hot labels (Gumbel-softmax), shape (..., K).

    .. math:: c = \mathrm{softmax}\big((\log \pi + g) / \tau\big), \qquad g_k \sim \mathrm{Gumbel}

    Parameters
    ----------
    logits : Tensor, shape (..., K)
    temperature : float
        tau.
    hard : bool
        Straight-through: one-hot labels whose gradient is that of the relaxed ones.

    References
    ----------
    Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017.
    """
    gumbels = -torch.empty_like(logits).exponential_().log()
    soft = ((logits + gumbels) / temperature).softmax(-1)
    if not hard:
        return soft
    one_hot = functional.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
    return one_hot - soft.detach() + soft


def mixture_log_joint(z: Tensor, log_weights: Tensor, loc: Tensor, scale_tril: Tensor) -> Tensor:
    r"""Log joint of point and component, :math:`\log \pi_k + \log N(z; \mu_k, L_k L_k^T)`.

    Plain tensor operations, so that it can be exported.

    Parameters
    ----------
    z : Tensor, shape (..., d)
    log_weights : Tensor, shape (K,)
    loc : Tensor, shape (K, d)
    scale_tril : Tensor, shape (K, d, d)
        Lower Cholesky factors of the covariances.

    Returns
    -------
    Tensor, shape (..., K)
        In nats.
    """
    d = loc.shape[-1]
    # Under autocast the solve's matrices would lose 16 of their 24 bits.
    with torch.autocast(z.device.type, enabled=False):
        centred = (z.reshape(-1, d).T - loc.unsqueeze(-1)).contiguous()
        whitened = torch.linalg.solve_triangular(scale_tril, centred, upper=False)
        distance = whitened.square().sum(1).T.reshape(*z.shape[:-1], len(loc))
    log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return log_weights - 0.5 * (d * log(2 * pi) + distance) - log_det


class MixtureOfGaussians(Distribution):
    """What Gaussian mixtures share; how a component spreads its noise is theirs.

    Parameters
    ----------
    log_weights : Tensor, shape (K,)
        Normalised.
    loc : Tensor, shape (K, d)
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    support = constraints.real_vector
    has_rsample = False

    def __init__(self, log_weights: Tensor, loc: Tensor) -> None:
        self.log_weights = log_weights
        self.loc = loc
        super().__init__(torch.Size(), loc.shape[-1:], validate_args=False)

    def _log_joint(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _spread(self, noise: Tensor, k: Tensor) -> Tensor:
        """Give noise of shape (..., d) the covariances of the components k, shape (...)."""
        raise NotImplementedError

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, shape value.shape[:-1]."""
        return torch.logsumexp(self._log_joint(value), dim=-1)

    def responsibilities(self, z: Tensor) -> Tensor:
        """Posterior probability of every component, shape (..., K); rows sum to one."""
        return torch.softmax(self._log_joint(z), dim=-1)

    @property
    def mean(self) -> Tensor:
        """Mean of the mixture, shape (d,)."""
        return self.log_weights.exp() @ self.loc

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw points, shape (*sample_shape, d)."""
        shape = torch.Size(sample_shape)
        k = torch.distributions.Categorical(logits=self.log_weights).sample(shape)
        noise = torch.randn(*shape, self.loc.shape[-1]).to(self.loc)
        return (self.loc[k] + self._spread(noise, k)).detach()


class GaussianMixture(MixtureOfGaussians):
    r"""Gaussian mixture with full covariances.

    .. math:: p(z) = \sum_k \pi_k N(z; \mu_k, \Sigma_k), \qquad
              r_k(z) = \frac{\pi_k N(z; \mu_k, \Sigma_k)}{\sum_j \pi_j N(z; \mu_j, \Sigma_j)}

    Parameters
    ----------
    log_weights : Tensor, shape (K,)
        Normalised.
    loc : Tensor, shape (K, d)
    scale_tril : Tensor, shape (K, d, d)
        Lower Cholesky factors of the covariances.

    Examples
    --------
    >>> mixture = GaussianMixture(torch.tensor([0.5, 0.5]).log(), torch.tensor([[-9.0], [9.0]]),
    ...                           torch.ones(2, 1, 1))
    >>> mixture.responsibilities(torch.tensor([[9.0]])).round()
    tensor([[0., 1.]])
    """

    def __init__(self, log_weights: Tensor, loc: Tensor, scale_tril: Tensor) -> None:
        self.scale_tril = scale_tril
        super().__init__(log_weights, loc)

    def _log_joint(self, z: Tensor) -> Tensor:
        return mixture_log_joint(z, self.log_weights, self.loc, self.scale_tril)

    def _spread(self, noise: Tensor, k: Tensor) -> Tensor:
        return (self.scale_tril[k] @ noise.unsqueeze(-1)).squeeze(-1)


class DiagonalMixture(MixtureOfGaussians):
    r"""Gaussian mixture with diagonal covariances, for hundreds of components.

    .. math:: p(z) = \sum_k \pi_k N(z; \mu_k, \mathrm{diag}\,\sigma_k^2)

    Parameters
    ----------
    log_weights : Tensor, shape (K,)
        Normalised.
    loc, scale : Tensor, shape (K, d)

    Examples
    --------
    >>> one = DiagonalMixture(torch.zeros(1), torch.zeros(1, 2), torch.ones(1, 2))
    >>> one.log_prob(torch.zeros(3, 2))
    tensor([-1.8379, -1.8379, -1.8379])
    """

    def __init__(self, log_weights: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.scale = scale
        super().__init__(log_weights, loc)

    def _log_joint(self, z: Tensor) -> Tensor:
        precision = self.scale.square().reciprocal()
        log_det = self.scale.log().sum(-1)
        # The square multiplied out is two matrix products instead of n K d differences; under
        # autocast these would lose 16 of their 24 bits.
        with torch.autocast(z.device.type, enabled=False):
            distance = (
                z.square() @ precision.T
                - 2 * z @ (self.loc * precision).T
                + (self.loc.square() * precision).sum(-1)
            )
        d = self.loc.shape[-1]
        return self.log_weights - 0.5 * (d * log(2 * pi) + distance) - log_det

    def _spread(self, noise: Tensor, k: Tensor) -> Tensor:
        return self.scale[k] * noise


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor | None:
    r"""KL(q_j || p_j) of every latent dimension, shape (n, d).

    None where they do not factorise, or where torch knows no closed form.

    Parameters
    ----------
    q, p : Distribution
        Batch shape (n,) or (), event shape (d,).
    """
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return None
    try:
        return kl_divergence(q.base_dist, p.base_dist)
    except NotImplementedError:
        return None


def kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    r"""KL(q || p) in nats, in closed form where torch knows one, else estimated at samples z of q.

    .. math:: KL(q \| p) \approx \frac1L \sum_l \log q(z^{(l)}) - \log p(z^{(l)})

    Parameters
    ----------
    q, p : Distribution
        Batch shape (n,) or (), event shape (d,).
    z : Tensor, shape (L, n, d)
        Samples of q, used only where no closed form exists.

    Returns
    -------
    Tensor, shape (n,)

    Examples
    --------
    >>> from torch.distributions import Normal
    >>> q = Independent(Normal(torch.ones(4, 2), 1.0), 1)
    >>> p = Independent(Normal(torch.zeros(2), 1.0), 1)
    >>> kl(q, p, q.rsample((1,)))
    tensor([1., 1., 1., 1.])
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return (q.log_prob(z) - p.log_prob(z)).mean(0)


class MaxNormLaplace(Distribution):
    r"""Density that falls with the largest of the differences.

    .. math:: p(x) = \frac{\exp(-\|x - \mu\|_\infty / \tau)}{2^d\, d!\, \tau^d}.

    The channels of a pixel differ together when light or sharpness change, so that a product of
    their densities would count the same evidence several times.

    Parameters
    ----------
    loc : Tensor, shape (..., d)
    scale : Tensor, shape (...)
        tau > 0.

    Examples
    --------
    >>> p = MaxNormLaplace(torch.zeros(1), torch.tensor(2.0))
    >>> q = torch.distributions.Laplace(0.0, 2.0)
    >>> torch.allclose(p.log_prob(torch.tensor([1.5])), q.log_prob(torch.tensor(1.5)))
    True
    """

    arg_constraints = {  # noqa: RUF012 (torch's own declaration)
        "loc": constraints.real_vector,
        "scale": constraints.positive,
    }
    support = constraints.real_vector

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        d = loc.shape[-1]
        self._log_volume = d * (2 * scale).log() + lgamma(d + 1)
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The centre."""
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, shape (...)."""
        distance = (value - self.loc).abs().amax(-1)
        return -distance / self.scale - self._log_volume


class ColourHistogram(nn.Module):
    """Density of colours with values of 0 to 255, constant in each of 16 x 16 x 16 bins.

    Parameters
    ----------
    log_density : Tensor, shape (16 ** 3,)
        Log density in each bin, in nats; by default that of the uniform density.
    """

    BINS = 16
    # A share of the uniform density: no colour is impossible.
    UNIFORM = 0.2

    log_density: Tensor

    def __init__(self, log_density: Tensor | None = None) -> None:
        super().__init__()
        uniform = torch.full((self.BINS**3,), -3 * log(256.0))
        self.register_buffer("log_density", uniform if log_density is None else log_density)

    @classmethod
    def of(cls, colours: Tensor, weights: Tensor) -> "ColourHistogram":
        """Return the density of weighted colours, each spread over the bins beside its own.

        Parameters
        ----------
        colours : Tensor, shape (n, 3)
        weights : Tensor, shape (n,)
        """
        counts = torch.zeros(cls.BINS**3).index_add_(0, cls._bins(colours), weights.float())
        cube = counts.reshape(1, 1, cls.BINS, cls.BINS, cls.BINS)
        spread = functional.avg_pool3d(cube, 3, 1, 1, count_include_pad=False).flatten()
        if not spread.any():
            return cls()
        share = spread / spread.sum()
        share = (1 - cls.UNIFORM) * share + cls.UNIFORM / len(share)
        return cls(share.log() - 3 * log(256.0 / cls.BINS))

    @classmethod
    def _bins(cls, colours: Tensor) -> Tensor:
        q = (colours * (cls.BINS / 256.0)).int().clamp(0, cls.BINS - 1)
        return (q[..., 0] * cls.BINS + q[..., 1]) * cls.BINS + q[..., 2]

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats of colours of shape (..., 3)."""
        bins = self._bins(value)
        return self.log_density.index_select(0, bins.flatten()).reshape(bins.shape)
