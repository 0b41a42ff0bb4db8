"""Every row's own posterior, improved from where the encoder left it."""

from typing import NamedTuple

import torch
from torch import Tensor

from sfumato.inference.blocks import BLOCK, RowSource
from sfumato.inference.seeding import seeded_rows
from sfumato.models import LatentVariableModel
from sfumato.nn import Family
from sfumato.noise import Noise
from sfumato.objectives import (
    elbo_at,
    first_parameters,
    improved_parameters,
    refinable,
    require_positive,
    total,
)

# Samples with which two posteriors of a row are compared, and then judged.
JUDGING_SAMPLES = 64


class Refinement(NamedTuple):
    """What row-by-row inference found."""

    parameters: Tensor
    """Of every row's q, shape (n, p): ``model.encoder.family(parameters)`` is the posterior."""
    amortised_bound: Tensor
    """Evidence lower bound at the encoder's q in nats, shape (n,)."""
    refined_bound: Tensor
    """The same at the refined q."""

    @property
    def amortisation_gap(self) -> Tensor:
        """What the encoder loses against inference row by row, in nats, shape (n,)."""
        return self.refined_bound - self.amortised_bound


def refine(
    model: LatentVariableModel,
    x: RowSource,
    *,
    steps: int = 100,
    learning_rate: float = 0.05,
    start: str = "encoder",
    n_samples: int = 8,
    seed: int = 0,
) -> Refinement:
    r"""Optimise every row's own posterior by gradients, all rows of a block at once.

    .. math:: \max_{\phi_i} E_{q_{\phi_i}}\Big[\log \frac{p(x_i, z)}{q_{\phi_i}(z)}\Big]

    A row keeps the encoder's posterior where that is better. All rows share their draws, so that
    a row's answer does not depend on its neighbours.

    Parameters
    ----------
    model : LatentVariableModel
        Its encoder must be a :class:`~sfumato.nn.Conditional` whose draws ``torch.func.vmap`` can
        share: Gaussians of any covariance, flows.
    x : Tensor, shape (n, d)
    steps : int
    learning_rate : float
    start : "encoder" or "zero"
        Parameters to begin with; zero is N(0, I) for a Gaussian.
    n_samples : int
        Draws of z for each row and step.
    seed : int

    Raises
    ------
    ValueError
        If the encoder cannot be refined.

    References
    ----------
    Cremer, Li and Duvenaud, Inference Suboptimality in Variational Autoencoders, 2018.
    """
    require_positive("steps", steps)
    require_positive("n_samples", n_samples)
    blocks = [x[first : first + BLOCK] for first in range(0, len(x), BLOCK)]
    found = [
        _refined(model, block, steps, learning_rate, start, n_samples, seed) for block in blocks
    ]
    return Refinement(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _refined(
    model: LatentVariableModel,
    x: Tensor,
    steps: int,
    learning_rate: float,
    start: str,
    n_samples: int,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    family = refinable(model).family
    amortised = first_parameters(model, x, "encoder")
    noise = Noise(seed)
    refined = improved_parameters(
        model,
        x,
        first_parameters(model, x, start),
        lambda phi: shared_draws(family, phi, n_samples, noise),
        steps=steps,
        learning_rate=learning_rate,
    )
    better = _gain(model, x, amortised, refined, seed + 1) > 0
    parameters = torch.where(better[:, None], refined, amortised)
    before, after = (_bound(model, x, phi, seed) for phi in (amortised, parameters))
    return parameters, before, after


@torch.no_grad()
def _gain(model: LatentVariableModel, x: Tensor, old: Tensor, new: Tensor, seed: int) -> Tensor:
    """Return how much the bound rises from old to new parameters, by the same draws for both."""
    family = refinable(model).family
    bounds = []
    for phi in (old, new):
        z = shared_draws(family, phi, JUDGING_SAMPLES, Noise(seed))
        bounds.append(-total(elbo_at(model, x, family(phi), z)))
    return bounds[1] - bounds[0]


@torch.no_grad()
def _bound(model: LatentVariableModel, x: Tensor, phi: Tensor, seed: int) -> Tensor:
    """Return every row's bound by draws of its own."""
    family = refinable(model).family
    bounds = []
    for i, (row, noise) in enumerate(seeded_rows(x, seed)):
        q = family(phi[i : i + 1])
        with noise:
            z = q.rsample((JUDGING_SAMPLES,))
        bounds.append(-total(elbo_at(model, row, q, z)))
    return torch.cat(bounds)


def shared_draws(family: Family, parameters: Tensor, n_samples: int, noise: Noise) -> Tensor:
    """Draw z for every row with the same noise, shape (n_samples, n, dim).

    Parameters
    ----------
    family : Family
    parameters : Tensor, shape (n, p)
    n_samples : int
    noise : Noise
    """
    draw = torch.func.vmap(
        lambda phi: family(phi).rsample((n_samples,)), out_dims=1, randomness="same"
    )
    with noise:
        samples: Tensor = draw(parameters)
    return samples
