"""Rows whose targets the model makes itself, anew at the beginning of every pass."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfumato.noise import Noise
from sfumato.training.loop import Batches, shuffled
from sfumato.training.rows import LabelledRows, Rows
from sfumato.training.state import History


class Relabelling(NamedTuple):
    """What the model says of all rows."""

    targets: Tensor
    """Shape (n, K)."""
    changed: float
    """Share of the rows whose cluster is another than before."""
    order: Tensor | None = None
    """Rows in the order of training, some of them perhaps several times or never; by default
    permutations of all, one after the other."""


class RelabelledBatches(Batches):
    """Batches of rows with targets that ``relabel`` makes at the beginning of every pass.

    Parameters
    ----------
    rows : Rows
    relabel : callable (noise) -> Relabelling
        Draws from the generators of the fit.
    batch_size : int
    n_steps : int
        Of a pass.
    tolerance : float
        The pass at whose beginning a smaller share of the rows has changed its cluster is the last.
    """

    def __init__(
        self,
        rows: Rows,
        relabel: Callable[[Noise], Relabelling],
        batch_size: int,
        n_steps: int,
        tolerance: float = 0.0,
    ) -> None:
        super().__init__(rows, torch.arange(len(rows)), batch_size)
        self._unlabelled = rows
        self._relabel = relabel
        self._n_steps = n_steps
        self._tolerance = tolerance

    def share(self, rank: int, world_size: int, noise: Noise) -> Iterator[Any]:
        """Yield one process's batches."""
        targets, changed, order = self._relabel(noise)
        self.figures = {"changed": changed}
        assigned = LabelledRows(self._unlabelled, targets, torch.zeros(len(targets)))
        chunks = self._chunks(order, rank, world_size, noise)
        for chunk in islice(chunks, self._n_steps):
            yield assigned[chunk]

    def exhausted(self, history: History) -> bool:
        """Return whether the last pass found the clusters nearly as they were.

        The first does so in any case: nothing has been learned before it.
        """
        return len(history) > 1 and history["changed"][-1] < self._tolerance

    def _chunks(
        self, order: Tensor | None, rank: int, world_size: int, noise: Noise
    ) -> Iterator[Tensor]:
        """Yield whole batches of rows for ever; what is left of a round is left out."""
        size = min(self.batch_size, len(self) // world_size)
        while True:
            index = shuffled(len(self), noise) if order is None else order
            mine = index[rank::world_size]
            yield from mine[: len(mine) // size * size].split(size)
