"""The Gaussian mixture variational autoencoder: its prior, its bound and its estimator's argument.

The symbols are the paper's: the data are y, the code, z elsewhere in this library, is x, the class
is z and the style w.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal, kl_divergence
from torch.nn import functional as F

from sfumato.distributions import SampleShape, categorical_kl
from sfumato.models.latent import LatentVariableModel
from sfumato.nn import Recogniser, diagonal_log_prob, mlp, moments
from sfumato.noise import Noise, drawing_from
from sfumato.objectives import Objective, Step, Terms


class StyledComponents(nn.Module):
    r"""The conditional prior: p(z) = Cat(pi), p(x|w, z = k) = N(mu_k(w), diag sigma_k(w)^2).

    A component has a centre and a scale of its own, and a network of the style moves them.

    Parameters
    ----------
    n_components, dim : int
        dim is the length of x.
    style_dim : int
        Length of w.
    hidden : int
        Width of the network's one layer.
    learned_weights : bool
        Learn pi by gradients; otherwise it is uniform.
    """

    def __init__(
        self,
        n_components: int,
        dim: int,
        style_dim: int,
        hidden: int = 120,
        *,
        learned_weights: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.style_dim = style_dim
        self.logits = nn.Parameter(torch.zeros(n_components), requires_grad=learned_weights)
        self.loc = nn.Parameter(torch.randn(n_components, dim))
        self.log_scale = nn.Parameter(torch.zeros(n_components, dim))
        self.network = mlp([style_dim, hidden, n_components * 2 * dim], "tanh")

    @property
    def log_weights(self) -> Tensor:
        """Log pi, shape (K,)."""
        return F.log_softmax(self.logits, dim=0)

    def components(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu_k(w) and log sigma_k(w), each of shape (..., K, dim)."""
        shift = self.network(w).float() if w.dtype == torch.float32 else self.network(w)
        loc, log_scale = shift.unflatten(-1, (len(self.loc), 2, self.dim)).unbind(-2)
        return self.loc + loc, (self.log_scale + log_scale).clamp(-10.0, 10.0)

    def log_prob(self, x: Tensor, w: Tensor) -> Tensor:
        """Log p(x|w, z = k) in nats, shape (..., K)."""
        return diagonal_log_prob(x.unsqueeze(-2), *self.components(w))

    @torch.no_grad()
    def fit(self, z: Tensor, responsibilities: Tensor, variance: Tensor | None = None) -> None:
        """Set centres and scales to those of codes (n, dim)."""
        count, loc, variance = moments(z, responsibilities, variance)
        if self.logits.requires_grad:
            self.logits.copy_((count / count.sum()).log())
        self.loc.copy_(loc)
        self.log_scale.copy_(0.5 * variance.log())
        # Its weights stay: components that no style moved would make every style worthless.
        self.network[-1].bias.zero_()  # type: ignore[operator]

    def draw(self, component: int, n_samples: int) -> Tensor:
        """Draw codes of one component, each with a style of its own, shape (n_samples, dim)."""
        w = torch.randn(n_samples, self.style_dim).to(self.loc)
        loc, log_scale = (part[:, component] for part in self.components(w))
        return loc + torch.randn_like(loc) * log_scale.exp()

    def forward(self) -> Distribution:
        """Return p(x), from which one can draw; its density has no closed form."""
        return StyledMarginal(self)


class GMVAEModel(LatentVariableModel):
    r"""A class z and a style w make a code x, and the code makes the data y.

    .. math:: p(y, x, w, z) = p(w)\, p(z)\, p(x|w, z)\, p(y|x), \qquad
              q(x, w, z|y) = q(x|y)\, q(w|y)\, p(z|x, w)

    Here and below the symbols are the paper's: the code, z elsewhere in this library, is x.

    Parameters
    ----------
    encoder : Module, y -> q(x|y)
    decoder : Module, x -> p(y|x)
    prior : StyledComponents
        p(z) and p(x|w, z).
    style : Module, y -> q(w|y)
    recogniser : Recogniser, optional
        q(z|y), where labels are coupled.

    References
    ----------
    Dilokthanakul et al., Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders, 2016.
    """

    prior: StyledComponents

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: StyledComponents,
        style: nn.Module,
        recogniser: Recogniser | None = None,
    ) -> None:
        super().__init__(encoder, decoder, prior)
        self.style = style
        self.recogniser = recogniser

    def divergences(self, q: Distribution, w: Tensor) -> Tensor:
        """KL(q(x|y) || p(x|w, z = k)) in nats, shape (..., n, K), for w of shape (..., n, l)."""
        loc, log_scale = self.prior.components(w)
        p = Normal(loc, log_scale.exp(), validate_args=False)
        mean, scale = q.mean.unsqueeze(-2), q.variance.sqrt().unsqueeze(-2)
        return kl_divergence(Normal(mean, scale, validate_args=False), p).sum(-1)

    def log_posterior(self, x: Tensor, w: Tensor) -> Tensor:
        r"""Log p(z = k|x, w) in nats, shape (..., K), exactly and in one pass.

        .. math:: p(z_k = 1|x, w) \propto \pi_k\, N(x; \mu_k(w), \sigma_k(w))
        """
        return F.log_softmax(self.prior.log_weights + self.prior.log_prob(x, w), dim=-1)

    def log_evidence(self, y: Tensor) -> Tensor:
        r"""Log pi_k - KL(q(x|y) || p(x|w, z = k)) at the mean style, shape (n, K)."""
        return self.prior.log_weights - self.divergences(self.encoder(y), self.style(y).mean)

    def log_class(self, y: Tensor) -> Tensor:
        """Log p(z = k|x, w) at the posterior means, shape (n, K)."""
        return self.log_posterior(self.encoder(y).mean, self.style(y).mean)

    def terms_given(self, y: Tensor, responsibilities: Tensor, noise: Noise | None = None) -> Terms:
        r"""Return the negative bound of the posterior q(x|y) q(w|y) r(z), r of shape (n, K) given.

        Returns
        -------
        dict
            As that of :func:`gmvae_elbo`.
        """
        q_x, q_w = self.encoder(y), self.style(y)
        with drawing_from(noise):
            w, x = q_w.rsample(), q_x.rsample()
        divergences = self.divergences(q_x, w)
        return {
            "reconstruction": -self.decoder(x).log_prob(y),
            "conditional_prior": (responsibilities * divergences).sum(-1),
            "w_prior": kl_divergence(q_w, standard_normal(q_w)),
            "z_prior": categorical_kl(responsibilities, self.prior.log_weights),
        }

    def initialise(
        self, codes: Tensor, responsibilities: Tensor, variance: Tensor | None = None
    ) -> None:
        """Centre the components on codes (n, l) by their responsibilities (n, K).

        With ``variance``, shape (n, l), the codes are means of posteriors that have it.
        """
        self.prior.fit(codes, responsibilities, variance)

    def continuous(self) -> LatentVariableModel:
        """Return the same model with the latent vector (x, w), as importance sampling needs it."""
        return LatentVariableModel(_JointEncoder(self), _JointDecoder(self), _JointPrior(self))


def gmvae_elbo(
    model: GMVAEModel,
    y: Tensor,
    *,
    n_samples: int = 1,
    beta: float = 1.0,
    cutoff: float = 0.0,
    noise: Noise | None = None,
) -> Terms:
    r"""Negative evidence lower bound in four terms.

    .. math:: -E_{q(x|y)} \log p(y|x)
              + E_{q(w|y) p(z|x,w)} KL(q(x|y) \| p(x|w, z)) + KL(q(w|y) \| p(w))
              + E_{q(x|y) q(w|y)} KL(p(z|x, w) \| p(z))

    Parameters
    ----------
    model : GMVAEModel
    y : Tensor, shape (n, d)
    n_samples : int
        M, samples of x and w for each row; z is summed over.
    beta : float
        Weight of the three divergences while they are annealed; 1 is the bound.
    cutoff : float
        Nats. While the batch mean of the z-prior is below, that term is constant, so that nothing
        rewards clusters for coming closer (minimum information); 0 is the bound.
    noise : Noise, optional
        What x and w are drawn from; torch's global generator by default.

    Returns
    -------
    dict
        ``reconstruction``, ``conditional_prior``, ``w_prior`` and ``z_prior``, each of shape (n,),
        in nats.
    """
    q_x, q_w = model.encoder(y), model.style(y)
    with drawing_from(noise):
        x, w = q_x.rsample((n_samples,)), q_w.rsample((n_samples,))
    posterior = model.log_posterior(x, w).exp()
    conditional = (posterior * model.divergences(q_x, w)).sum(-1).mean(0)
    z_prior = categorical_kl(posterior, model.prior.log_weights).mean(0)
    if cutoff > 0:
        z_prior = torch.where(z_prior.mean() < cutoff, torch.full_like(z_prior, cutoff), z_prior)
    return {
        "reconstruction": -model.decoder(x).log_prob(y).mean(0),
        "conditional_prior": beta * conditional,
        "w_prior": beta * kl_divergence(q_w, standard_normal(q_w)),
        "z_prior": beta * z_prior,
    }


class GMVAEBound(Objective):
    r"""The bound of a GMVAE, its divergences annealed and the z-prior cut off in training.

    In epoch e the divergences weigh :math:`\min(1, (e + 1) / \mathrm{warmup})`.

    Parameters
    ----------
    n_samples : int
        M, samples of x and w for each row.
    warmup : int
        Epochs; 0 for none.
    cutoff : float
        Nats of the z-prior's batch mean below which it is constant.
    """

    def __init__(self, n_samples: int = 1, warmup: int = 0, cutoff: float = 0.0) -> None:
        self.n_samples = n_samples
        self.warmup = warmup
        self.cutoff = cutoff

    def at(self, epoch: int) -> Step:
        """Return the step of one epoch."""
        beta = min(1.0, (epoch + 1) / max(1, self.warmup))
        return partial(gmvae_elbo, n_samples=self.n_samples, beta=beta, cutoff=self.cutoff)

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the bound's terms: no annealing, no cut-off."""
        return gmvae_elbo(model, batch, n_samples=self.n_samples)


class StyledMarginal(Distribution):
    """p(x) = E_w sum_k pi_k p(x|w, z = k): draws only."""

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)

    def __init__(self, components: StyledComponents) -> None:
        self.components = components
        super().__init__(torch.Size(), torch.Size([components.dim]), validate_args=False)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw codes, shape (*sample_shape, dim)."""
        shape = torch.Size(sample_shape)
        k = Categorical(logits=self.components.log_weights).sample((shape.numel(),))
        w = torch.randn(len(k), self.components.style_dim).to(self.components.loc)
        loc, log_scale = (part[torch.arange(len(k)), k] for part in self.components.components(w))
        return (loc + torch.randn_like(loc) * log_scale.exp()).unflatten(0, shape or (1,))


def standard_normal(q: Distribution) -> Distribution:
    """N(0, I) in the shape of q."""
    mean = torch.zeros_like(q.mean)
    return Independent(Normal(mean, torch.ones_like(mean), validate_args=False), 1)


class _JointEncoder(nn.Module):
    def __init__(self, model: GMVAEModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor) -> Distribution:
        q_x, q_w = self.model.encoder(y), self.model.style(y)
        loc = torch.cat([q_x.mean, q_w.mean], dim=-1)
        scale = torch.cat([q_x.stddev, q_w.stddev], dim=-1)
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


class _JointDecoder(nn.Module):
    def __init__(self, model: GMVAEModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor) -> Distribution:
        p: Distribution = self.model.decoder(latent[..., : self.model.prior.dim])
        return p


class _JointPrior(nn.Module):
    def __init__(self, model: GMVAEModel) -> None:
        super().__init__()
        self.model = model

    def forward(self) -> Distribution:
        return StyledPrior(self.model.prior)


class StyledPrior(Distribution):
    r"""p(x, w) = N(w; 0, I) sum_k pi_k N(x; mu_k(w), sigma_k(w)) over the vector (x, w)."""

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)

    def __init__(self, prior: StyledComponents) -> None:
        self.components = prior
        size = torch.Size([prior.dim + prior.style_dim])
        super().__init__(torch.Size(), size, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, shape value.shape[:-1]."""
        x, w = value.split([self.components.dim, self.components.style_dim], dim=-1)
        log_w = Normal(0.0, 1.0).log_prob(w).sum(-1)
        joint = self.components.log_weights + self.components.log_prob(x, w)
        return log_w + torch.logsumexp(joint, dim=-1)
