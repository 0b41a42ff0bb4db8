"""The likelihood of tables of thousands of columns."""

from math import log, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.likelihoods.base import Likelihood, Loss, NegativeLogLikelihood
from sfumato.nn.families import Family
from sfumato.nn.principal import AllButLast, PrincipalFamily
from sfumato.scaling import PrincipalAxes


class PrincipalNormal(Likelihood):
    """Gaussian scores along the principal axes of a wide table, equal Gaussian noise off them.

    See :mod:`sfumato.scaling.projection`. The density is one of the rows themselves; of counts it
    is one of their logarithms after rows were brought to one total.

    Parameters
    ----------
    n_rest : int
        Columns less axes.
    counts : bool
        Whether the rows are counts.
    """

    takes_holes = True

    def __init__(self, n_rest: int, counts: bool = False) -> None:
        self.n_rest = n_rest
        self.counts = counts

    @property
    def scaling(self) -> PrincipalAxes:
        """The axes."""
        return PrincipalAxes(counts=self.counts)

    def family(self, dim: int) -> Family:
        """Return the family."""
        return PrincipalFamily(dim, self.n_rest)

    def impossible(self, x: np.ndarray) -> np.ndarray | None:
        """Return which counts are negative."""
        return np.asarray(x < 0) if self.counts else None

    def input_layers(self) -> tuple[nn.Module, ...]:
        """Return the scores alone."""
        return (AllButLast(),)

    def input_width(self, dim: int) -> int:
        """Return the number of scores."""
        return dim - 1

    def saturated_by_value(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the density at the location, and of no deviation off the axes."""
        base: Any = p
        scores = -0.5 * log(2 * pi) - base.scores.scale.log()
        rest = torch.full_like(scores[..., :1], -0.5 * self.n_rest * log(2 * pi))
        return torch.cat([scores, rest], dim=-1)

    def pretraining(self) -> Loss:
        """Return the negative log-likelihood."""
        return NegativeLogLikelihood(self)
