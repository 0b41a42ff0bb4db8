"""The layer of a k-sparse code."""

import torch
from torch import Tensor, nn


class TopK(nn.Module):
    """Keep the largest values of every row and set the others to zero.

    Parameters
    ----------
    k : int
        Values kept in training.
    k_encoding : int
        Values kept otherwise.

    Examples
    --------
    >>> TopK(1, 2).eval()(torch.tensor([[3.0, 1.0, 2.0]]))
    tensor([[3., 0., 2.]])
    """

    def __init__(self, k: int, k_encoding: int) -> None:
        super().__init__()
        self.k = k
        self.k_encoding = k_encoding

    def forward(self, z: Tensor) -> Tensor:
        """Return the sparse rows, shape (n, d)."""
        k = min(self.k if self.training else self.k_encoding, z.shape[-1])
        values, index = z.topk(k, dim=-1)
        return torch.zeros_like(z).scatter(-1, index, values)
