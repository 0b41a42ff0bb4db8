"""Images of any size through a network, in bounded memory."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

# Pixels of a tile's side; a multiple of every network's own.
TILE = 512
# A tile sees this many times the network's multiple of its surroundings on every side: the more
# scales, the further a network sees.
CONTEXT_MULTIPLES = 4


@torch.no_grad()
def by_tiles(
    network: Callable[[Tensor], Tensor], x: Tensor, *, scale: int = 1, multiple: int = 8
) -> Tensor:
    """Apply a network tile by tile; returns (c_out, scale * h, scale * w).

    The image is continued by reflection where a tile would see beyond its edge.

    Parameters
    ----------
    network : callable, (1, c, h, w) to (1, c_out, scale * h, scale * w)
    x : Tensor, shape (c, h, w)
        Any size from one pixel on.
    scale : int
    multiple : int
        Of which heights and widths must be.
    """
    height, width = x.shape[1:]
    padded = _padded(x, multiple)
    rows = [
        torch.cat(
            [_tile(network, padded, down, across, scale, multiple) for across in _spans(width)],
            dim=2,
        )
        for down in _spans(height)
    ]
    return torch.cat(rows, dim=1)


def _spans(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + TILE, length)) for start in range(0, length, TILE)]


def _tile(
    network: Callable[[Tensor], Tensor],
    padded: Tensor,
    down: tuple[int, int],
    across: tuple[int, int],
    scale: int,
    multiple: int,
) -> Tensor:
    """Return one tile, the rows ``down`` and the columns ``across`` of the picture."""
    halo = CONTEXT_MULTIPLES * multiple
    sides = [end - start for start, end in (down, across)]
    seen = [2 * halo - (-side // multiple) * multiple for side in sides]
    piece = padded[:, down[0] : down[0] + seen[0], across[0] : across[0] + seen[1]]
    made = network(piece[None])[0]
    first, (height, width) = scale * halo, (scale * side for side in sides)
    return made[:, first : first + height, first : first + width]


def _padded(x: Tensor, multiple: int) -> Tensor:
    missing = [-side % multiple for side in x.shape[1:]]
    halo = CONTEXT_MULTIPLES * multiple
    pads = [(0, 0), *((halo, halo + more) for more in missing)]
    return torch.from_numpy(np.pad(x.cpu().numpy(), pads, mode="symmetric")).to(x.device)
