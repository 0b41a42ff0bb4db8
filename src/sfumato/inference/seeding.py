"""Noise that belongs to a row: the same row, the same draws, whatever stands beside it."""

from collections.abc import Iterator
from hashlib import blake2b

from torch import Tensor

from sfumato.inference.blocks import RowSource
from sfumato.noise import Noise


def row_seed(row: Tensor, seed: int) -> int:
    """Return a 63-bit seed made of the row's bytes and ``seed``."""
    digest = blake2b(row.cpu().numpy().tobytes(), digest_size=8, salt=seed.to_bytes(8, "little"))
    return int.from_bytes(digest.digest(), "little") >> 1


def seeded_rows(x: RowSource, seed: int) -> Iterator[tuple[Tensor, Noise]]:
    """Yield each row as a batch of one, shape (1, d), and what its draws come from.

    The generators are the same objects for all rows, seeded anew for each.
    """
    noise = Noise(seed)
    for i in range(len(x)):
        row = x[i : i + 1]
        noise.reseed(row_seed(row, seed))
        yield row, noise
