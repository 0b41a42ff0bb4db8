"""Posteriors of the labels: the coupled mixture of codes, and what a model says of every row."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from sfumato.coupling import coupled_bound, mean_field
from sfumato.inference.blocks import RowSource
from sfumato.nn import Components, GaussianComponents
from sfumato.noise import Noise

CHUNK = 2048


class CoupledMixture(NamedTuple):
    """A mixture of codes whose labels are coupled."""

    components: Components
    responsibilities: np.ndarray
    """Of the codes, shape (n, K)."""
    bounds: list[float]
    """The coupled bound in nats after every step; it never falls, but for shrinkage and ridge."""


def coupled_mixture(
    codes: Tensor,
    graph: Any,
    n_components: int,
    *,
    strength: float,
    seed: int,
    n_steps: int = 15,
    components: GaussianComponents | None = None,
) -> CoupledMixture:
    r"""Fit a Gaussian mixture with coupled labels by variational EM, from k-means.

    The E-step is :func:`~sfumato.coupling.mean_field`, the M-step the closed form.

    Parameters
    ----------
    codes : Tensor, shape (n, d)
    graph : symmetric matrix, shape (n, n)
    n_components : int
    strength : float
        lambda; 0 is the ordinary EM of a Gaussian mixture.
    seed : int
        Of k-means.
    n_steps : int
    components : GaussianComponents, optional
        Default has full covariances, shrunk a little.
    """
    z = codes.double()
    mixture = GaussianComponents(n_components, z.shape[1]) if components is None else components
    mixture = mixture.double()
    labels = KMeans(n_components, n_init=1, random_state=seed).fit_predict(codes.numpy())
    r = np.eye(n_components)[labels]
    bounds = []
    for _ in range(n_steps):
        mixture.fit(z, torch.from_numpy(r))
        evidence = torch.cat([mixture.log_joint(chunk) for chunk in z.split(CHUNK)]).numpy()
        r = mean_field(evidence, graph, strength, start=r, max_sweeps=3)
        bounds.append(coupled_bound(r, evidence, graph, strength))
    mixture.float()
    # Sums of many codes need float64.
    mixture.statistics.double()
    return CoupledMixture(mixture, r, bounds)


class LabelEvidence(NamedTuple):
    """What a model makes of rows by themselves, without their neighbours."""

    evidence: Tensor
    """Of each label, up to a constant of the row, shape (n, K)."""
    points: Tensor
    """Where the rows lie, neighbours being near, shape (n, l)."""

    def joined(self) -> Tensor:
        """Return both side by side, as blocks of rows are mapped to one tensor."""
        return torch.cat(self, dim=1)

    @classmethod
    def of(cls, joined: Tensor, n_components: int) -> "LabelEvidence":
        """Split what :meth:`joined` has joined."""
        return cls(joined[:, :n_components], joined[:, n_components:])


def label_evidence(model: Any, x: Tensor, distillation: float) -> LabelEvidence:
    r"""Return what code and recogniser say of each label, and where the rows lie.

    .. math:: \frac{\ell_{ik} + \gamma \log q(c = k|x_i)}{1 + \gamma}

    The softmax of this evidence is the posterior r_i that is best for the bound with distillation
    gamma. Rows lie where the recogniser's features do; without a recogniser the evidence is that of
    the code alone, and rows lie at their codes.
    """
    evidence: Tensor = model.log_evidence(x)
    if model.recogniser is None:
        return LabelEvidence(evidence, model.encoder(x).mean)
    points, log_class = model.recogniser.look(x)
    return LabelEvidence((evidence + distillation * log_class) / (1 + distillation), points)


def joint_of_views(
    log_class: Callable[[Tensor], Tensor],
    x: RowSource,
    view: Callable[[Tensor], Tensor],
    seed: int,
) -> np.ndarray:
    r"""Return the joint distribution of the labels of two views of a row, shape (K, K).

    .. math:: J_{ab} = \frac1n \sum_i q(c = a|T x_i)\, q(c = b|T' x_i)
    """
    products = []
    noise = Noise(seed)
    with torch.no_grad():
        for start in range(0, len(x), CHUNK):
            rows = x[start : start + CHUNK]
            with noise:
                pair = view(rows), view(rows)
            first, second = (log_class(seen).exp() for seen in pair)
            products.append((first.double().T @ second.double()).cpu().numpy())
    table = np.sum(products, axis=0) / len(x)
    joint: np.ndarray = (table + table.T) / 2
    return joint
