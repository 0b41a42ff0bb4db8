"""Which parts of the code carry information."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor
from torch.distributions import Independent

from sfumato.distributions import PointMass, kl_per_dimension
from sfumato.inference.blocks import RowSource, map_blocks, posterior_means
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
    means = posterior_means(model, x)
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


@dataclass(frozen=True)
class MixtureDiagnosis(Diagnosis):
    """How the code and the classes are used.

    Attributes
    ----------
    mutual_information : float
        I(x; c) = H(mean q(c|x)) - mean H(q(c|x)), nats; at most log K. Near 0 the classes are never
        told apart.
    class_entropy : float
        H(mean q(c|x)), nats: log K when all classes are used alike.
    class_kl : float
        Mean KL(q(c|x) || uniform), nats. Alone it says little: near 0 the components are alike,
        near log K every row is sure of its class, be there one class or K.
    used_components : int
        Classes with more than a tenth of an even share of the rows.
    separation : float
        Mean over components of the distance to the nearest other centre, in mean deviations of the
        codes within components.
    """

    mutual_information: float
    class_entropy: float
    class_kl: float
    used_components: int
    separation: float


# Below these shares of log K, and this number of deviations, a mixture has collapsed.
MIN_INFORMATION, MIN_ENTROPY, MIN_SEPARATION = 0.1, 0.5, 1.0


def diagnose_mixture(
    model: LatentVariableModel, x: RowSource, responsibilities: np.ndarray
) -> MixtureDiagnosis:
    """Measure the use of the code and of the classes over the rows of x.

    Parameters
    ----------
    model : LatentVariableModel
    x : Tensor, shape (n, d)
    responsibilities : ndarray, shape (n, K)
        Posterior of every row's class.
    """
    code = diagnose(model, x)
    means = posterior_means(model, x).double().cpu().numpy()
    r = responsibilities.astype(np.float64)
    n_components = r.shape[1]
    share = r.mean(axis=0)
    class_entropy = float(entropy(share))
    information = class_entropy - float(entropy(r, axis=1).mean())
    figures = {
        "mutual_information": information,
        "class_entropy": class_entropy,
        "class_kl": float(np.log(n_components) - entropy(r, axis=1).mean()),
        "used_components": int((share > 0.1 / n_components).sum()),
        "separation": _separation(means, r),
    }
    remedy = UNUSED if code.remedy else _remedy(figures, n_components)
    return MixtureDiagnosis(**(code.to_dict() | figures | {"remedy": remedy}))


def _separation(codes: np.ndarray, r: np.ndarray) -> float:
    used = r.sum(axis=0) > 1
    if used.sum() < 2:
        return 0.0
    weights = r[:, used] / r[:, used].sum(axis=0)
    centres = weights.T @ codes
    variance = (weights.T @ np.square(codes) - np.square(centres)).clip(min=0).mean()
    distances = np.linalg.norm(centres[:, None] - centres[None, :], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min(axis=1).mean() / max(np.sqrt(variance), 1e-12))


def _remedy(figures: dict[str, Any], n_components: int) -> str | None:
    if n_components == 1:
        return None
    most = np.log(n_components)
    if figures["class_entropy"] < MIN_ENTROPY * most:
        return UNBALANCED
    if figures["mutual_information"] < MIN_INFORMATION * most:
        return ALIKE
    return OVERLAPPING if figures["separation"] < MIN_SEPARATION else None


UNUSED = (
    "The code has collapsed: no unit is active. Train longer, or check the scaling of the data and "
    "the likelihood."
)
UNBALANCED = (
    "The mixture has collapsed: nearly all rows fall into a few of its classes. Train longer, use "
    "the default recipe, ask for fewer components, or try more starts (recipe=Coupled(n_init=3))."
)
ALIKE = (
    "The mixture has collapsed: its classes are never told apart (I(x; c) is near 0). Train "
    "longer, use the default recipe, or, from scratch, cut the z-prior off "
    "(recipe=Published(GMVAEBound(cutoff=1.0)))."
)
OVERLAPPING = (
    "The components lie on top of each other: their centres are closer than their widths. Train "
    "longer, use recipe=Coupled(coupling='neighbours'), or ask for fewer components."
)
REMEDY = (
    "The code has collapsed: no unit is active. Warm the divergence up (ELBO(warmup=10)), grant "
    "free bits (ELBO(free_bits=0.5)), lower beta, or train longer."
)


def _mean_kl(model: LatentVariableModel, x: RowSource) -> list[float] | None:
    if not isinstance(model.encoder(x[:1]), Independent):
        return None

    def per_dimension(block: Tensor) -> Tensor | None:
        return kl_per_dimension(model.encoder(block), model.prior_of(block))

    if per_dimension(x[:1]) is None:
        return None
    return map_blocks(per_dimension, x).double().mean(0).tolist()
