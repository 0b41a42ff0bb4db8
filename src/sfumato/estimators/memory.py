"""What a mixture model knows of its training rows beside its weights: who new rows go by."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sfumato.coupling import neighbour_votes
from sfumato.partitions import Gaussians

# Neighbours that a new row goes by, where a model was taught labels; fewer of small clusters.
MOST_NEIGHBOURS = 10


class MemoryShape(NamedTuple):
    """What a memory holds, so that an empty one can be built and filled from a folder."""

    kind: str
    """ "neighbours" or "gaussians"."""
    n_points: int
    width: int


class Memory(nn.Module):
    """The training rows as neighbours of new ones: where they lie, and their labels' posterior.

    Parameters
    ----------
    points : Tensor, shape (n, l)
    responsibilities : Tensor, shape (n, K)
    """

    points: Tensor
    responsibilities: Tensor

    def __init__(self, points: Tensor, responsibilities: Tensor) -> None:
        super().__init__()
        self.register_buffer("points", points)
        self.register_buffer("responsibilities", responsibilities)

    @property
    def known(self) -> np.ndarray:
        """The posterior of the labels of the training rows, shape (n, K)."""
        found: np.ndarray = self.responsibilities.cpu().numpy()
        return found

    def votes(self, points: Tensor, n_neighbors: int) -> np.ndarray:
        """Return the summed posteriors of new rows' neighbours, shape (m, K)."""
        return neighbour_votes(
            points.cpu().numpy(),
            self.points.cpu().numpy(),
            self.responsibilities.double().cpu().numpy(),
            n_neighbors,
        )

    def posterior(self, points: Tensor) -> np.ndarray:
        r"""Return the posterior of the labels of new rows by their neighbours, shape (m, K).

        .. math:: r_{ik} = \frac{\pi_k + \sum_{j \in N(i)} r_{jk}}{1 + |N(i)|},

        pi the shares of the clusters.
        """
        n, n_clusters = self.responsibilities.shape
        k = max(1, min(MOST_NEIGHBOURS, n // (4 * n_clusters)))
        shares = self.responsibilities.double().mean(dim=0).cpu().numpy()
        found: np.ndarray = (self.votes(points, k) + shares) / (1 + k)
        return found


class GaussianMemory(Memory):
    r"""The training rows, and the Gaussians that told them apart: new rows go by these.

    .. math:: r_{ik} \propto \pi_k N(x_i; \mu_k, \Sigma_k)

    Parameters
    ----------
    points : Tensor, shape (n, l)
    responsibilities : Tensor, shape (n, K)
    gaussians : Gaussians
    """

    log_weights: Tensor
    means: Tensor
    whitening: Tensor

    def __init__(self, points: Tensor, responsibilities: Tensor, gaussians: Gaussians) -> None:
        super().__init__(points, responsibilities)
        for name, value in gaussians._asdict().items():
            self.register_buffer(name, torch.from_numpy(value))

    def posterior(self, points: Tensor) -> np.ndarray:
        """Return the posterior of the labels of new rows, shape (m, K)."""
        offsets = points.double().cpu().unsqueeze(-2) - self.means.cpu()
        white = torch.einsum("nkd,kde->nke", offsets, self.whitening.cpu())
        log_volume = self.whitening.cpu().diagonal(dim1=1, dim2=2).log().sum(-1)
        logits = self.log_weights.cpu() + log_volume - 0.5 * white.square().sum(-1)
        found: np.ndarray = logits.softmax(dim=-1).numpy()
        return found


def empty_memory(shape: MemoryShape | None, n_clusters: int) -> Memory:
    """Return a memory of a shape, to be filled; None: one that holds no row."""
    kind, n, width = shape or MemoryShape("neighbours", 0, 1)
    rows = torch.zeros(n, width), torch.zeros(n, n_clusters)
    if kind == "neighbours":
        return Memory(*rows)
    zeros = np.zeros(n_clusters), np.zeros((n_clusters, width))
    return GaussianMemory(*rows, Gaussians(*zeros, np.zeros((n_clusters, width, width))))
