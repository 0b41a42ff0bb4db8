"""Which parts of the code carry information."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent

from sfumato.distributions import PointMass, kl_per_dimension
from sfumato.inference.blocks import RowSource, map_blocks
from sfumato.models import LatentVariableModel

# Burda et al. 2016, section 5.2: a unit is active if its mean varies over the data by more.
ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class Diagnosis:
    """How the latent code is used.

    Attributes
    ----------
    code_variance : list of float, length latent_dim
        Variance over the data of the posterior mean.
    active_units : int
        Dimensions whose variance exceeds 0.01; for a deterministic code, which has no unit of its
        own, a hundredth of the largest.
    kl : list of float, length latent_dim, or None
        Mean KL(q(z_j|x) || p(z_j)) in nats; None where q or p does not factorise or is a point.
    remedy : str or None
        What to do, where the code has collapsed.
    """

    code_variance: list[float]
    active_units: int
    kl: list[float] | None
    remedy: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, as JSON takes them."""
        return asdict(self)


@torch.no_grad()
def diagnose(model: LatentVariableModel, x: RowSource) -> Diagnosis:
    """Measure the use of every latent dimension over the rows of x, shape (n, d)."""
    means = map_blocks(lambda block: model.encoder(block).mean, x)
    variance = means.double().var(0, correction=0)
    deterministic = isinstance(model.encoder(x[:1]), PointMass)
    unit = float(variance.max()) if deterministic else 1.0
    active = int((variance > ACTIVE_VARIANCE * unit).sum())
    return Diagnosis(
        code_variance=variance.tolist(),
        active_units=active,
        kl=_mean_kl(model, x),
        remedy=None if active or deterministic else REMEDY,
    )


REMEDY = (
    "The code has collapsed: no unit is active. Warm the divergence up (ELBO(warmup=10)), grant "
    "free bits (ELBO(free_bits=0.5)), lower beta, or train longer."
)


def _mean_kl(model: LatentVariableModel, x: RowSource) -> list[float] | None:
    if not isinstance(model.encoder(x[:1]), Independent):
        return None
    prior = model.prior()

    def per_dimension(block: Tensor) -> Tensor | None:
        return kl_per_dimension(model.encoder(block), prior)

    if per_dimension(x[:1]) is None:
        return None
    return map_blocks(per_dimension, x).double().mean(0).tolist()
