"""Evaluation in blocks of one fixed size."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

# Matrix kernels are chosen by shape; with one shape a row's result has the same bits whether it
# is alone or among a million. 128 rows fill the kernels and cost a single row a few milliseconds.
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


def _padded(block: Tensor) -> Tensor:
    missing = BLOCK - len(block)
    return torch.cat([block, block[-1:].expand(missing, -1)]) if missing else block
