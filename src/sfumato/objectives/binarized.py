"""Dynamic binarisation: grey levels as probabilities."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from sfumato.noise import Noise, drawing_from
from sfumato.objectives.base import LatentModel, Objective, Step, Terms


def binarized(step: Step, model: LatentModel, x: Tensor, *, noise: Noise | None = None) -> Terms:
    r"""Return the terms of a step at a fresh draw :math:`b \sim` Bernoulli(x) of every grey pixel.

    References
    ----------
    Burda, Grosse and Salakhutdinov 2016, section 5.1.
    """
    observed, given = model.split(x)
    with drawing_from(noise):
        drawn = torch.bernoulli(observed)
    return step(model, torch.cat([drawn, given], dim=-1), noise=noise)


class Binarized(Objective):
    """Any objective, trained and reported on freshly binarised rows.

    Parameters
    ----------
    objective : Objective
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    @property
    def recordable(self) -> bool:
        """Whether the objective is."""
        return self.objective.recordable

    @property
    def per_row(self) -> bool:  # type: ignore[override]
        """Whether the objective's terms are."""
        return self.objective.per_row

    def at(self, epoch: int) -> Step:
        """Return the step of one epoch."""
        return partial(binarized, self.objective.at(epoch))

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the reported terms at one draw."""
        observed, given = model.split(batch)
        return self.objective(model, torch.cat([torch.bernoulli(observed), given], dim=-1))
