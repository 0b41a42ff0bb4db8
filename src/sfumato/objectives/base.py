"""What an objective is: named terms of a batch, signed so that their sum is minimised."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.distributions import Distribution

from sfumato.noise import Noise, drawing_from

Terms = dict[str, Tensor]
# What one epoch minimises: step(model, batch, noise=...) -> named terms, each of shape (n,).
Step = Callable[..., Terms]
View = Callable[[Tensor], Tensor]


class LatentModel(Protocol):
    """What objectives ask of a model: modules whose calls return distributions."""

    encoder: Any
    decoder: Any
    prior: Any

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return what of the rows is explained, and what they are conditioned on."""
        ...

    def prior_of(self, x: Tensor) -> Distribution:
        """Return p(z) for rows x."""
        ...

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z) in nats."""
        ...

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x, z) in nats."""
        ...


class Objective(BaseEstimator, ABC):
    """What is minimised, as an argument of an estimator; parameters in scikit-learn's manner.

    A subclass defines ``__call__(model, batch)``: the terms that are reported, with their final
    weights and without training devices. They are also what is trained, unless ``at`` says
    otherwise.

    Attributes
    ----------
    per_row : bool
        Each term of a row depends on that row alone. Where it does not, as with a total correlation
        estimated over a batch, ``terms(X)`` evaluates the rows of X together.
    likelihood_term : str
        The term that holds -log p(x|z); reports give it in the units of the data.
    recordable : bool
        Whether an epoch's step is ``functools.partial`` of a pure function and of numbers, so that
        a GPU can record and repeat it without running Python.
    """

    per_row: bool = True
    likelihood_term: ClassVar[str] = "reconstruction"

    @property
    def recordable(self) -> bool:
        """Whether steps may be recorded."""
        return False

    @abstractmethod
    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the reported terms, each of shape (n,)."""

    def at(self, epoch: int) -> Step:
        """Return the step of one epoch, counted from 0: a function (model, batch, noise=None)."""
        return partial(_reported, self)


def _reported(objective: Objective, model: Any, batch: Any, *, noise: Noise | None = None) -> Terms:
    with drawing_from(noise):
        return objective(model, batch)


class FunctionObjective(Objective):
    """A function of one's own as an objective.

    Parameters
    ----------
    function : callable (model, batch) -> dict of tensors of shape (n,)
        Its draws come from the generators of the fit, whatever torch functions it calls.
    per_row : bool
        Whether each term of a row depends on that row alone.

    Examples
    --------
    >>> def energy(model, x):
    ...     return {"energy": x.square().sum(-1)}
    >>> FunctionObjective(energy)(None, torch.ones(2, 3))
    {'energy': tensor([3., 3.])}
    """

    def __init__(self, function: Callable[[Any, Any], Terms], per_row: bool = True) -> None:
        self.function = function
        self.per_row = per_row

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the function's terms."""
        return self.function(model, batch)


class SameStep(Objective):
    """A step that is the same in every epoch.

    Parameters
    ----------
    step : callable (model, batch, noise=None) -> dict
    """

    def __init__(self, step: Step) -> None:
        self.step = step

    def at(self, epoch: int) -> Step:
        """Return the step."""
        return self.step

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return its terms."""
        return self.step(model, batch)


def as_objective(value: Any, default: Objective | None = None) -> Objective:
    """Return an objective: itself, the default for None, or a function wrapped.

    Raises
    ------
    ValueError
        If the value is none of these.
    """
    if value is None and default is not None:
        return default
    if isinstance(value, Objective):
        return value
    if isinstance(value, type) or not callable(value):
        raise ValueError(
            "objective must be an Objective such as ELBO(), or a function (model, batch) -> dict; "
            f"got {value!r}."
        )
    return FunctionObjective(value)


def total(terms: Terms) -> Tensor:
    """Return the sum of the terms, shape (n,)."""
    return torch.stack(list(terms.values())).sum(0)
