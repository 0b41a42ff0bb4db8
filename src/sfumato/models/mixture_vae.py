"""The mixture variational autoencoder."""

from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.models.latent import LatentVariableModel
from sfumato.nn import Components, Recogniser

Terms = dict[str, Tensor]
# An empty component has a weight of zero; its logarithm would turn 0 log 0 into NaN.
LEAST = -69.0
TINY = 1e-30


class MixtureVAE(LatentVariableModel):
    r"""A variational autoencoder whose code comes from a mixture.

    .. math:: p(x, z, c) = p(c)\, p(z|c)\, p(x|z), \qquad q(z, c|x) = q(z|x)\, q(c|z)

    Parameters
    ----------
    encoder : Module, (n, d) -> q(z|x)
    decoder : Module, (..., l) -> p(x|z)
    prior : Components
        p(c) and p(z|c): Gaussians of full covariance, or Bernoullis.
    classifier : Module, (..., l) -> (..., K), optional
        Logits of q(c|z); without it q(c|z) is the exact posterior p(c|z).
    recogniser : Recogniser, optional
        q(c|x), where labels are coupled.

    References
    ----------
    Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017.
    """

    prior: Components

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: Components,
        classifier: nn.Module | None = None,
        recogniser: Recogniser | None = None,
    ) -> None:
        super().__init__(encoder, decoder, prior)
        self.classifier = classifier
        self.recogniser = recogniser

    def log_assignment(self, z: Tensor) -> Tensor:
        """Log q(c = k|z) in nats, shape (..., K)."""
        if self.classifier is None:
            return self.prior.log_posterior(z)
        logits = self.classifier(z)
        return F.log_softmax(logits if logits.dtype.itemsize >= 4 else logits.float(), dim=-1)

    def log_evidence(self, x: Tensor) -> Tensor:
        r"""Return what the code says of each component, up to a constant of the row, shape (n, K).

        .. math:: \ell_{ik} = \log \pi_k + E_{q(z|x_i)} \log p(z|k)
        """
        return self.prior.log_weights + self.prior.expected_log_prob(self.encoder(x))

    def log_class(self, x: Tensor) -> Tensor:
        """Log q(c = k|z) at the posterior mean of the code, shape (n, K)."""
        return self.log_assignment(self.encoder(x).mean)

    def terms_given(self, x: Tensor, responsibilities: Tensor) -> Terms:
        r"""Return the negative bound of the posterior q(z|x) r(c), r of shape (n, K) given.

        .. math:: -E_q \log p(x|z) + \sum_k r_k KL(q(z|x) \| p(z|k)) + KL(r \| p(c))

        Returns
        -------
        dict
            As that of :func:`mixture_elbo`, and KL(r || q(c|z)) as ``classifier`` where a network
            learns q(c|z): never negative, so that the sum stays a bound.
        """
        q = self.encoder(x)
        if self.training:
            self.prior.update(q.mean.detach(), responsibilities, q.variance.detach())
        divergence = -q.entropy().unsqueeze(-1) - self.prior.expected_log_prob(q)
        terms = {
            "reconstruction": -self.decoder(q.rsample()).log_prob(x),
            "conditional_prior": (responsibilities * divergence).sum(-1),
            "class_prior": class_divergence(responsibilities, self.prior.log_weights),
        }
        if self.classifier is None:
            return terms
        learned = class_divergence(responsibilities, self.log_assignment(q.mean.detach()))
        return terms | {"classifier": learned}

    def initialise(
        self, codes: Tensor, responsibilities: Tensor, variance: Tensor | None = None
    ) -> None:
        """Set the mixture by one M-step on codes (n, l) and responsibilities (n, K).

        With ``variance``, shape (n, l), the codes are means of posteriors that have it.
        """
        self.prior.fit(codes, responsibilities, variance)


def mixture_elbo(
    model: MixtureVAE,
    x: Tensor,
    *,
    n_samples: int = 1,
    inference: str = "exact",
    temperature: float = 1.0,
    hard: bool = False,
    closed_form: bool = False,
) -> Terms:
    r"""Negative evidence lower bound in three terms.

    .. math:: -\log p(x) \le -E_q \log p(x|z)
              + E_q \log \frac{q(z|x)}{p(z|c)} + E_q \log \frac{q(c|z)}{p(c)}

    Parameters
    ----------
    model : MixtureVAE
        In training mode its mixture takes part in closed form: each batch is added to the averaged
        statistics, as in batch normalisation.
    x : Tensor, shape (n, d)
    n_samples : int
        L, samples of z for each row.
    inference : "exact", "marginal" or "gumbel"
        Sum over c with the posterior p(c|z) of the mixture, or with the network q(c|z), or draw
        relaxed labels from the network.
    temperature : float
        Of the relaxed labels.
    hard : bool
        Straight-through: one-hot labels whose gradient is that of the relaxed ones.
    closed_form : bool
        Weigh the closed form KL(q(z|x) || p(z|c)) with q(c|z), as the report does. By convexity
        this is a bound too: that of the posterior q(z|x) q(c|x), or looser.

    Returns
    -------
    dict
        ``reconstruction``, ``conditional_prior`` and ``class_prior``, each of shape (n,), in nats.
    """
    q = model.encoder(x)
    z = q.rsample((n_samples,))
    log_q_c = model.prior.log_posterior(z) if inference == "exact" else model.log_assignment(z)
    c = F.gumbel_softmax(log_q_c, temperature, hard) if inference == "gumbel" else log_q_c.exp()
    if closed_form:
        log_ratio = -q.entropy().unsqueeze(-1) - model.prior.expected_log_prob(q)
    else:
        log_ratio = q.log_prob(z).unsqueeze(-1) - model.prior.log_prob(z)
    if model.training:
        model.prior.update(z.detach().flatten(0, 1), log_q_c.detach().exp().flatten(0, 1))
    return {
        "reconstruction": -model.decoder(z).log_prob(x).mean(0),
        "conditional_prior": (c * log_ratio).sum(-1).mean(0),
        "class_prior": class_divergence(log_q_c.exp(), model.prior.log_weights).mean(0),
    }


def class_divergence(responsibilities: Tensor, log_weights: Tensor) -> Tensor:
    """KL(r || p(c)) in nats, shape (...), for r and log weights of shape (..., K)."""
    # Where r has underflown to 0 its logarithm's gradient is infinite, and 0 times that is NaN.
    log_r = responsibilities.clamp_min(TINY).log()
    return (responsibilities * (log_r - log_weights.clamp_min(LEAST))).sum(-1)
