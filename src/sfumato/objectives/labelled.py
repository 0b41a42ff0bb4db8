"""Rows with what is known of their labels, and objectives of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from sfumato.noise import Noise, drawing_from
from sfumato.objectives.base import Objective, Step, Terms, View


@dataclass(frozen=True)
class LabelledBatch:
    """A batch whose labels have a posterior.

    Attributes
    ----------
    x : Tensor, shape (n, d)
    responsibilities : Tensor, shape (n, K)
        r_i, the factor of row i in the posterior of all labels.
    disagreement : Tensor, shape (n,)
        Half of the weight to neighbours times the probability of another label.
    """

    x: Tensor
    responsibilities: Tensor
    disagreement: Tensor

    def __len__(self) -> int:
        return len(self.x)


class SelfLabelled(Objective):
    """An objective of rows with targets, trained on deformed views, reported for rows as they are.

    Parameters
    ----------
    terms : callable (model, LabelledBatch) -> dict
        For instance :func:`~sfumato.models.embedded_clustering`.
    targets : callable (model, x) -> (n, K)
        Targets of rows outside of training.
    view : callable, optional
        Deforms a batch of rows.
    """

    def __init__(
        self,
        terms: Callable[..., Terms],
        targets: Callable[[Any, Tensor], Tensor],
        view: View | None = None,
    ) -> None:
        self.terms = terms
        self.targets = targets
        self.view = view

    def at(self, epoch: int) -> Step:
        """Return the step, the same in every epoch."""
        return partial(_of_views, self.terms, self.view)

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the terms of rows by what the model says of them."""
        targets = self.targets(model, batch)
        return self.terms(model, LabelledBatch(batch, targets, batch.new_zeros(len(batch))))


def _of_views(
    terms: Callable[..., Terms],
    view: View | None,
    model: Any,
    batch: LabelledBatch,
    *,
    noise: Noise | None = None,
) -> Terms:
    if view is None:
        return terms(model, batch)
    with drawing_from(noise):
        x = view(batch.x)
    return terms(model, replace(batch, x=x))
