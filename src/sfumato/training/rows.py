"""Rows of an array as batches of tensors, sliced by index."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sfumato.models import ContrastedBatch
from sfumato.objectives import LabelledBatch

Transform = Callable[[np.ndarray], Tensor]
# A conversion of everything at once would need room for several copies.
CHUNK = 8192


class IndexedRows(ABC):
    """What can be trained on: ``rows[index]`` is a batch."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many rows there are."""

    @abstractmethod
    def __getitem__(self, index: Tensor | slice) -> Any:
        """Return some of the rows as the objective takes them."""

    def placed(self, index: Tensor) -> Tensor:
        """Return an index where rows are looked up by it, so that no batch has to carry its own."""
        return index


class Rows(IndexedRows):
    """An array's rows in the model's units; ``rows[index]`` is a batch, float32, on the device.

    An array in memory is converted once; a memory-mapped one (``resident=False``) batch by batch,
    so that a file larger than memory trains by the same path.

    Parameters
    ----------
    X : ndarray, shape (n, d)
    transform : callable, ndarray of shape (m, d) to float32 tensor of that shape
        From data units to model units.
    device : torch.device
    resident : bool
        Keep the converted rows on the device.
    """

    def __init__(
        self,
        X: np.ndarray,
        transform: Transform,
        device: torch.device | str = "cpu",
        *,
        resident: bool = True,
    ) -> None:
        self._X = X
        self._transform = transform
        self._device = device
        self._rows: Tensor | None = None
        if resident:
            chunks = [self._convert(X[i : i + CHUNK]) for i in range(0, len(X), CHUNK)]
            self._rows = torch.cat(chunks)

    def __len__(self) -> int:
        return len(self._X)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        if self._rows is not None:
            return self._rows[index]
        return self._convert(self._X[index if isinstance(index, slice) else index.cpu().numpy()])

    def placed(self, index: Tensor) -> Tensor:
        """Return an index on the device of resident rows."""
        return index if self._rows is None else index.to(self._rows.device)

    def _convert(self, X: np.ndarray) -> Tensor:
        return self._transform(X).to(self._device)


class JoinedRows(IndexedRows):
    """Rows followed by their conditions; ``rows[index]`` is [x, c].

    Parameters
    ----------
    rows : Rows
    conditions : Tensor, shape (n, n_conditions)
    """

    def __init__(self, rows: Any, conditions: Tensor) -> None:
        self._rows = rows
        self._conditions = conditions

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        x = self._rows[index]
        return torch.cat([x, self._conditions[index].to(x.device)], dim=1)


class LabelledRows(IndexedRows):
    """Rows with what is known of their labels; ``rows[index]`` is a :class:`LabelledBatch`.

    Parameters
    ----------
    rows : Rows
    responsibilities : Tensor, shape (n, K)
    disagreement : Tensor, shape (n,)
    """

    def __init__(self, rows: Rows, responsibilities: Tensor, disagreement: Tensor) -> None:
        self._rows = rows
        self._responsibilities = responsibilities
        self._disagreement = disagreement

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor | slice) -> LabelledBatch:
        x = self._rows[index]
        known = (self._responsibilities[index], self._disagreement[index])
        return LabelledBatch(x, *(values.to(x.device) for values in known))


class ContrastedRows(IndexedRows):
    """Rows beside those of a background; ``rows[index]`` is a :class:`ContrastedBatch`.

    Each batch of rows is given as many of the background, drawn anew at every look.

    Parameters
    ----------
    rows, background : Rows
    """

    def __init__(self, rows: Rows, background: Rows) -> None:
        self._rows = rows
        self._background = background

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor | slice) -> ContrastedBatch:
        x = self._rows[index]
        drawn = torch.randint(len(self._background), (len(x),))
        return ContrastedBatch(x, self._background[drawn.to(x.device)])


def is_memory_mapped(X: object) -> bool:
    """Whether the array, or the array it is a view of, lies in a file."""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return True
        X = X.base
    return False


def few_distinct(rows: Rows, most: int) -> np.ndarray | None:
    """Return which of the distinct rows each row is, shape (n,), or None if more are distinct.

    Codes of equal rows can differ in their last bits, by which clusters would split them.
    """
    numbers: dict[bytes, int] = {}
    labels = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), CHUNK):
        # Adding zero makes minus zero plus zero.
        block = rows[slice(start, start + CHUNK)].cpu().numpy() + 0.0
        for i, row in enumerate(block, start):
            labels[i] = numbers.setdefault(row.tobytes(), len(numbers))
            if len(numbers) > most:
                return None
    return labels
