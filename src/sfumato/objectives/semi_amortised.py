"""Variational inference row by row: every row has parameters of q of its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sfumato.checks import require_not_negative, require_positive
from sfumato.distributions import kl
from sfumato.nn import Conditional
from sfumato.noise import Noise, drawing_from
from sfumato.objectives.base import LatentModel, Objective, Step, Terms, total
from sfumato.objectives.elbo import elbo_at

STARTS = ("encoder", "zero")
# (parameters, shape (n, p)) -> samples of their q, shape (L, n, latent_dim)
Draw = Callable[[Tensor], Tensor]


def refinable(model: LatentModel) -> Conditional:
    """Return the encoder as a network and the family of q that it parameterises.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(model.encoder, Conditional):
        raise ValueError(
            "Inference row by row needs an encoder that is a Conditional, a network and a family; "
            f"got {type(model.encoder).__name__}."
        )
    return model.encoder


def first_parameters(model: LatentModel, x: Tensor, start: str) -> Tensor:
    """Return the raw parameters of q(z|x) to begin with, shape (n, p), without a gradient.

    Parameters
    ----------
    model : module with ``encoder``, ``decoder`` and ``prior``
    x : Tensor, shape (n, d)
    start : "encoder" or "zero"
        What the encoder says of a row; or zero for all, which for a Gaussian q is N(0, I).
    """
    if start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, got {start!r}.")
    encoder = refinable(model)
    if start == "zero":
        return x.new_zeros(len(x), encoder.family.n_parameters)
    with torch.no_grad():
        parameters: Tensor = encoder.network(x)
    return parameters if parameters.dtype.itemsize >= 4 else parameters.float()


def improved_parameters(
    model: LatentModel,
    x: Tensor,
    parameters: Tensor,
    draw: Draw,
    *,
    steps: int,
    learning_rate: float,
) -> Tensor:
    r"""Raise every row's own bound by Adam on its own parameters; the model stays as it is.

    .. math:: \phi_i \leftarrow \phi_i + \eta \nabla_{\phi_i} E_{q_{\phi_i}}
              \Big[\log \frac{p(x_i, z)}{q_{\phi_i}(z)}\Big]
    """
    phi = parameters.detach().clone().requires_grad_()
    # The steep first gradients are forgotten within the few steps there are.
    optimizer = torch.optim.Adam([phi], lr=learning_rate, betas=(0.9, 0.95))
    # The rate falls to zero: what is left of the draws' noise is averaged away.
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    family = refinable(model).family
    for _ in range(steps):
        with torch.enable_grad():
            terms = elbo_at(model, x, family(phi), draw(phi))
            # A sum: the rows have nothing to do with each other.
            loss = total(terms).sum()
        (phi.grad,) = torch.autograd.grad(loss, [phi])
        optimizer.step()
        schedule.step()
    return phi.detach()


def semi_amortised(
    model: LatentModel,
    x: Tensor,
    *,
    steps: int = 10,
    learning_rate: float = 0.1,
    start: str = "encoder",
    n_samples: int = 1,
    noise: Noise | None = None,
) -> Terms:
    r"""Negative evidence lower bound at parameters of q that were improved for every row.

    .. math:: -\log p(x_i) \le -E_{q_{\phi_i}}[\log p(x_i|z)] + KL(q_{\phi_i} \| p)
              + KL(q_{\phi_i} \| q(\cdot|x_i))

    The last term teaches the encoder what was found; as it is never negative the sum stays a bound.
    The others do not reach the encoder: prior and decoder learn from the improved q alone.

    Parameters
    ----------
    model : module with ``encoder``, ``decoder`` and ``prior``
        Its encoder must be a :class:`~sfumato.nn.Conditional`.
    x : Tensor, shape (n, d)
    steps : int
        Of the inner loop over phi, before every step of the model; 0 leaves q at its start.
    learning_rate : float
        Of the inner loop.
    start : "encoder" or "zero"
        Of the inner loop; "zero" is variational inference without amortisation.
    n_samples : int
        L, the samples of z for each row and step.
    noise : Noise, optional
        What z is drawn from; torch's global generator by default.

    Returns
    -------
    dict
        ``reconstruction``, ``kl`` and ``amortisation``, each of shape (n,), in nats.

    References
    ----------
    Kim, Wiseman, Miller, Sontag and Rush, Semi-Amortized Variational Autoencoders, 2018; Krishnan,
    Liang and Hoffman, On the Challenges of Learning with Inference Networks, 2018.
    """
    require_positive("n_samples", n_samples)
    require_not_negative(steps=steps, learning_rate=learning_rate)
    family = refinable(model).family

    def draw(phi: Tensor) -> Tensor:
        with drawing_from(noise):
            samples: Tensor = family(phi).rsample((n_samples,))
        return samples

    phi = improved_parameters(
        model,
        x,
        first_parameters(model, x, start),
        draw,
        steps=steps,
        learning_rate=learning_rate,
    )
    q, z = family(phi), draw(phi)
    amortisation = kl(q, model.encoder(x), z)
    return elbo_at(model, x, q, z) | {"amortisation": amortisation}


class SemiAmortised(Objective):
    """:func:`semi_amortised` as an estimator's argument.

    Parameters
    ----------
    steps : int
        Of every row's own inference before each step of the model.
    learning_rate : float
    start : "encoder" or "zero"
        "zero" is the algorithm without amortisation: phi_i first, then theta.
    n_samples : int
        Samples of z for each row and step.
    """

    def __init__(
        self,
        steps: int = 10,
        learning_rate: float = 0.1,
        start: str = "encoder",
        n_samples: int = 1,
    ) -> None:
        self.steps = steps
        self.learning_rate = learning_rate
        self.start = start
        self.n_samples = n_samples

    def at(self, epoch: int) -> Step:
        """Return the step, the same in every epoch."""
        return partial(semi_amortised, **self.get_params())

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the terms."""
        return semi_amortised(model, batch, **self.get_params())
