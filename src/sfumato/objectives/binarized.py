"""Dynamic binarisation: grey levels as probabilities."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from sfumato.models import LatentVariableModel
from sfumato.objectives.base import (
    AnnealedObjective,
    Objective,
    Terms,
    is_recordable,
    objective_at,
)


def binarized(objective: Objective, model: LatentVariableModel, x: Tensor) -> Terms:
    r"""Return the objective at a fresh draw :math:`b \sim` Bernoulli(x) of every grey pixel.

    References
    ----------
    Burda, Grosse and Salakhutdinov 2016, section 5.1.
    """
    observed, given = model.split(x)
    return objective(model, torch.cat([torch.bernoulli(observed), given], dim=-1))


class Binarized(AnnealedObjective):
    """Any objective, trained and reported on freshly binarised rows."""

    def __init__(self, objective: Any) -> None:
        self.objective = objective

    @property
    def recordable(self) -> bool:
        """Whether the objective is."""
        return is_recordable(self.objective)

    def at(self, epoch: int) -> Objective:
        """Return the objective of one epoch."""
        return partial(binarized, objective_at(self.objective, epoch))

    def __call__(self, model: LatentVariableModel, x: Tensor) -> Terms:
        """Return the reported terms at one draw."""
        return binarized(self.objective, model, x)
