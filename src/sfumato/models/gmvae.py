"""The Gaussian mixture variational autoencoder."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, kl_divergence
from torch.nn import functional as F

from sfumato.models.latent import LatentVariableModel
from sfumato.models.mixture_vae import Terms, class_divergence
from sfumato.nn import Recogniser, StyledComponents


class GMVAE(LatentVariableModel):
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

    def terms_given(self, y: Tensor, responsibilities: Tensor) -> Terms:
        r"""Return the negative bound of the posterior q(x|y) q(w|y) r(z), r of shape (n, K) given.

        Returns
        -------
        dict
            As that of :func:`gmvae_elbo`.
        """
        q_x, q_w = self.encoder(y), self.style(y)
        divergences = self.divergences(q_x, q_w.rsample())
        return {
            "reconstruction": -self.decoder(q_x.rsample()).log_prob(y),
            "conditional_prior": (responsibilities * divergences).sum(-1),
            "w_prior": kl_divergence(q_w, standard_normal(q_w)),
            "z_prior": class_divergence(responsibilities, self.prior.log_weights),
        }

    def initialise(
        self, codes: Tensor, responsibilities: Tensor, variance: Tensor | None = None
    ) -> None:
        """Centre the components on codes (n, l) by their responsibilities (n, K).

        With ``variance``, shape (n, l), the codes are means of posteriors that have it.
        """
        self.prior.fit(codes, responsibilities, variance)

    def joint(self) -> LatentVariableModel:
        """Return the same model with the latent vector (x, w), as importance sampling needs it."""
        return LatentVariableModel(_JointEncoder(self), _JointDecoder(self), _JointPrior(self))


def gmvae_elbo(
    model: GMVAE, y: Tensor, *, n_samples: int = 1, beta: float = 1.0, cutoff: float = 0.0
) -> Terms:
    r"""Negative evidence lower bound in four terms.

    .. math:: -E_{q(x|y)} \log p(y|x)
              + E_{q(w|y) p(z|x,w)} KL(q(x|y) \| p(x|w, z)) + KL(q(w|y) \| p(w))
              + E_{q(x|y) q(w|y)} KL(p(z|x, w) \| p(z))

    Parameters
    ----------
    model : GMVAE
    y : Tensor, shape (n, d)
    n_samples : int
        M, samples of x and w for each row; z is summed over.
    beta : float
        Weight of the three divergences while they are annealed; 1 is the bound.
    cutoff : float
        Nats. While the batch mean of the z-prior is below, that term is constant, so that nothing
        rewards clusters for coming closer (minimum information); 0 is the bound.

    Returns
    -------
    dict
        ``reconstruction``, ``conditional_prior``, ``w_prior`` and ``z_prior``, each of shape (n,),
        in nats.
    """
    q_x, q_w = model.encoder(y), model.style(y)
    x, w = q_x.rsample((n_samples,)), q_w.rsample((n_samples,))
    posterior = model.log_posterior(x, w).exp()
    conditional = (posterior * model.divergences(q_x, w)).sum(-1).mean(0)
    z_prior = class_divergence(posterior, model.prior.log_weights).mean(0)
    if cutoff > 0:
        z_prior = torch.where(z_prior.mean() < cutoff, torch.full_like(z_prior, cutoff), z_prior)
    return {
        "reconstruction": -model.decoder(x).log_prob(y).mean(0),
        "conditional_prior": beta * conditional,
        "w_prior": beta * kl_divergence(q_w, standard_normal(q_w)),
        "z_prior": beta * z_prior,
    }


def standard_normal(q: Distribution) -> Distribution:
    """N(0, I) in the shape of q."""
    mean = torch.zeros_like(q.mean)
    return Independent(Normal(mean, torch.ones_like(mean), validate_args=False), 1)


class _JointEncoder(nn.Module):
    def __init__(self, model: GMVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor) -> Distribution:
        q_x, q_w = self.model.encoder(y), self.model.style(y)
        loc = torch.cat([q_x.mean, q_w.mean], dim=-1)
        scale = torch.cat([q_x.stddev, q_w.stddev], dim=-1)
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


class _JointDecoder(nn.Module):
    def __init__(self, model: GMVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor) -> Distribution:
        p: Distribution = self.model.decoder(latent[..., : self.model.prior.dim])
        return p


class _JointPrior(nn.Module):
    def __init__(self, model: GMVAE) -> None:
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
