"""Noise that belongs to a row: the same row, the same draws, whatever stands beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch
from torch import Tensor

from sfumato.inference.blocks import RowSource


@contextmanager
def forked_rng(seed: int) -> Iterator[None]:
    """Seed torch's generators inside the block and put back their state after it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def row_seed(row: Tensor, seed: int) -> int:
    """Return a 63-bit seed made of the row's bytes and ``seed``."""
    digest = blake2b(row.cpu().numpy().tobytes(), digest_size=8, salt=seed.to_bytes(8, "little"))
    return int.from_bytes(digest.digest(), "little") >> 1


def seeded_rows(x: RowSource, seed: int) -> Iterator[Tensor]:
    """Yield each row as a batch of one, shape (1, d), torch's generators seeded for that row."""
    with torch.random.fork_rng():
        for i in range(len(x)):
            row = x[i : i + 1]
            torch.manual_seed(row_seed(row, seed))
            yield row
