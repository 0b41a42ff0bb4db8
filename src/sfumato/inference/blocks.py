"""Evaluation in blocks of one fixed size."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)
BLOCK = 128


class RowSource(Protocol):
    """A tensor of shape (n, d), or anything whose slices are such tensors."""

    def __len__(self) -> int:
        """Return n."""
        ...

    def __getitem__(self, index: slice, /) -> Tensor:
        """Return the rows of a slice."""
        ...


@torch.no_grad()
def map_blocks(function: Callable[[Tensor], Any], x: RowSource) -> Tensor:
    """Apply a row-wise function to x, shape (n, d), in bounded memory; returns (n, ...).

    Examples
    --------
    >>> map_blocks(lambda block: block.sum(1), torch.ones(300, 2)).shape
    torch.Size([300])
    """
    blocks = (x[start : start + BLOCK] for start in range(0, len(x), BLOCK))
    return torch.cat([function(_padded(block))[: len(block)] for block in blocks])


def posterior_means(model: Any, x: RowSource) -> Tensor:
    """Return E[z|x] of every row by the model as it stands, shape (n, latent_dim)."""
    return map_blocks(lambda block: model.encoder(block).mean, x)


def _padded(block: Tensor) -> Tensor:
    missing = BLOCK - len(block)
    return torch.cat([block, block[-1:].expand(missing, -1)]) if missing else block


def map_float64(function: Callable[[Model, Tensor], Tensor], model: Model, x: RowSource) -> Tensor:
    """Apply ``function(model, rows)`` to x in float64 and round to float32; returns (n, ...).

    A matrix kernel's last bits depend on where in a block a row stands. In float64 these bits lie
    nine digits below what is kept, so that a row's answer is the same alone or among a million.
    """
    precise = deepcopy(model).double()
    return map_blocks(lambda block: function(precise, block.double()).float(), x)
