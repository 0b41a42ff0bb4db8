"""The bounds of the mixture models as estimators' arguments, annealed."""

from functools import partial
from math import exp
from typing import Any

from torch import Tensor

from sfumato.models import gmvae_elbo, mixture_elbo
from sfumato.objectives.base import AnnealedObjective, Objective, Terms


class MixtureELBO(AnnealedObjective):
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

    def temperature_at(self, epoch: int) -> float:
        """Temperature in an epoch, counted from 0."""
        return max(self.final_temperature, self.temperature * exp(-self.annealing * epoch))

    def at(self, epoch: int) -> Objective:
        """Return the objective of one epoch."""
        return partial(
            mixture_elbo,
            inference=self.inference,
            n_samples=self.n_samples,
            temperature=self.temperature_at(epoch),
            hard=self.hard,
            closed_form=self.closed_form,
        )

    def __call__(self, model: Any, x: Tensor) -> Terms:
        """Return the terms with labels summed out."""
        summed = "exact" if self.inference == "exact" else "marginal"
        return mixture_elbo(
            model, x, inference=summed, n_samples=self.n_samples, closed_form=self.closed_form
        )


class GMVAEBound(AnnealedObjective):
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

    def at(self, epoch: int) -> Objective:
        """Return the objective of one epoch."""
        beta = min(1.0, (epoch + 1) / max(1, self.warmup))
        return partial(gmvae_elbo, n_samples=self.n_samples, beta=beta, cutoff=self.cutoff)

    def __call__(self, model: Any, x: Tensor) -> Terms:
        """Return the bound's terms: no annealing, no cut-off."""
        return gmvae_elbo(model, x, n_samples=self.n_samples)
