"""Evaluation in blocks of one fixed size."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Matrix kernels are chosen by shape; with one shape a row's result has the same bits whether it
# is alone or among a million. 128 rows fill the kernels and cost a single row a few milliseconds.
BLOCK = 128


@torch.no_grad()
def map_blocks(function: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    """Apply a row-wise function to x, shape (n, d), in bounded memory; returns (n, ...).

    Examples
    --------
    >>> map_blocks(lambda block: block.sum(1), torch.ones(300, 2)).shape
    torch.Size([300])
    """
    return torch.cat([function(_padded(block))[: len(block)] for block in x.split(BLOCK)])


def _padded(block: Tensor) -> Tensor:
    missing = BLOCK - len(block)
    return torch.cat([block, block[-1:].expand(missing, -1)]) if missing else block
