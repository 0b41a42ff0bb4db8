"""The mixture variational autoencoder."""

from functools import partial
from math import exp
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.distributions import categorical_kl, relaxed_one_hot
from sfumato.models.latent import LatentVariableModel
from sfumato.nn import Components, Recogniser
from sfumato.noise import Noise, drawing_from
from sfumato.objectives import Objective, Step, Terms


class MixtureVAEModel(LatentVariableModel):
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

    def terms_given(self, x: Tensor, responsibilities: Tensor, noise: Noise | None = None) -> Terms:
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
        with drawing_from(noise):
            z = q.rsample()
        terms = {
            "reconstruction": -self.decoder(z).log_prob(x),
            "conditional_prior": (responsibilities * divergence).sum(-1),
            "class_prior": categorical_kl(responsibilities, self.prior.log_weights),
        }
        if self.classifier is None:
            return terms
        learned = categorical_kl(responsibilities, self.log_assignment(q.mean.detach()))
        return terms | {"classifier": learned}

    def initialise(
        self, codes: Tensor, responsibilities: Tensor, variance: Tensor | None = None
    ) -> None:
        """Set the mixture by one M-step on codes (n, l) and responsibilities (n, K).

        With ``variance``, shape (n, l), the codes are means of posteriors that have it.
        """
        self.prior.fit(codes, responsibilities, variance)


def mixture_elbo(
    model: MixtureVAEModel,
    x: Tensor,
    *,
    n_samples: int = 1,
    inference: str = "exact",
    temperature: float = 1.0,
    hard: bool = False,
    closed_form: bool = False,
    noise: Noise | None = None,
) -> Terms:
    r"""Negative evidence lower bound in three terms.

    .. math:: -\log p(x) \le -E_q \log p(x|z)
              + E_q \log \frac{q(z|x)}{p(z|c)} + E_q \log \frac{q(c|z)}{p(c)}

    Parameters
    ----------
    model : MixtureVAEModel
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
    noise : Noise, optional
        What z and c are drawn from; torch's global generator by default.

    Returns
    -------
    dict
        ``reconstruction``, ``conditional_prior`` and ``class_prior``, each of shape (n,), in nats.
    """
    q = model.encoder(x)
    with drawing_from(noise):
        z = q.rsample((n_samples,))
    log_q_c = model.prior.log_posterior(z) if inference == "exact" else model.log_assignment(z)
    c = log_q_c.exp()
    if inference == "gumbel":
        with drawing_from(noise):
            c = relaxed_one_hot(log_q_c, temperature, hard=hard)
    if closed_form:
        log_ratio = -q.entropy().unsqueeze(-1) - model.prior.expected_log_prob(q)
    else:
        log_ratio = q.log_prob(z).unsqueeze(-1) - model.prior.log_prob(z)
    if model.training:
        model.prior.update(z.detach().flatten(0, 1), log_q_c.detach().exp().flatten(0, 1))
    return {
        "reconstruction": -model.decoder(z).log_prob(x).mean(0),
        "conditional_prior": (c * log_ratio).sum(-1).mean(0),
        "class_prior": categorical_kl(log_q_c.exp(), model.prior.log_weights).mean(0),
    }


class MixtureELBO(Objective):
    r"""The bound of a MixtureVAE, with a falling temperature of the relaxed labels.

    In epoch e the temperature is :math:`\max(\tau_\infty, \tau_0 e^{-\rho e})`.

    Parameters
    ----------
    inference : "exact", "marginal" or "gumbel"
    n_samples : int
        L, samples of z for each row.
    temperature, final_temperature : float
        tau_0 and its floor.
    annealing : float
        rho, per epoch.
    hard : bool
        Straight-through labels.
    closed_form : bool
        Weigh the closed form of KL(q(z|x) || p(z|c)), as the report does.

    Examples
    --------
    >>> round(MixtureELBO(annealing=0.5).temperature_at(1), 3)
    0.607
    """

    def __init__(
        self,
        inference: str = "exact",
        n_samples: int = 1,
        temperature: float = 1.0,
        final_temperature: float = 0.3,
        annealing: float = 0.05,
        hard: bool = False,
        closed_form: bool = False,
    ) -> None:
        self.inference = inference
        self.n_samples = n_samples
        self.temperature = temperature
        self.final_temperature = final_temperature
        self.annealing = annealing
        self.hard = hard
        self.closed_form = closed_form

    def validate(self) -> None:
        """Check that no setting of relaxed labels is given where labels are not relaxed.

        Raises
        ------
        ValueError
            Naming the setting.
        """
        given, plain = self.get_params(), MixtureELBO().get_params()
        relaxing = ("temperature", "final_temperature", "annealing", "hard")
        idle = [name for name in relaxing if given[name] != plain[name]]
        if idle and self.inference != "gumbel":
            raise ValueError(
                f"{idle[0]} has no effect with inference={self.inference!r}: it is of 'gumbel'."
            )

    def temperature_at(self, epoch: int) -> float:
        """Temperature in an epoch, counted from 0."""
        return max(self.final_temperature, self.temperature * exp(-self.annealing * epoch))

    def at(self, epoch: int) -> Step:
        """Return the step of one epoch."""
        return partial(
            mixture_elbo,
            inference=self.inference,
            n_samples=self.n_samples,
            temperature=self.temperature_at(epoch),
            hard=self.hard,
            closed_form=self.closed_form,
        )

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the terms with labels summed out."""
        summed = "exact" if self.inference == "exact" else "marginal"
        return mixture_elbo(
            model, batch, inference=summed, n_samples=self.n_samples, closed_form=self.closed_form
        )
