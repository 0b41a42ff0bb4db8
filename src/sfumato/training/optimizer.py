"""How a step moves the weights: the algorithm, its penalty, and the average that is kept."""

from collections.abc import Callable, Iterable, Mapping
from math import cos, pi
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import nn
from torch.optim import Adam
from torch.optim import Optimizer as TorchOptimizer

from sfumato.checks import check_choice
from sfumato.training.engine import Engine, records_steps

Schedule = Callable[[float], float]


class Optimizer(BaseEstimator):
    """The optimiser of a fit, and what is done to gradients and weights around it.

    Parameters
    ----------
    algorithm : "adam" or a class of ``torch.optim``
        Any class that is called with groups of parameters and ``lr``.
    settings : mapping, optional
        Further arguments of the class, such as ``{"momentum": 0.9}``.
    weight_decay : float
        lambda of the penalty (lambda / 2) ||W||^2 on weight matrices, biases left free.
    averaging : float
        Decay per step of the exponential moving average of the weights that the fitted model
        keeps; 0 keeps the last weights.
    clipping : float
        Largest gradient of a step, in units of the average length of gradients so far: a longer one
        is shortened, so that no batch throws the weights off. 0 leaves gradients as they are.

    Examples
    --------
    >>> Optimizer(torch.optim.SGD, {"momentum": 0.9}).build(nn.Linear(2, 1), 0.1)
    ... # doctest: +ELLIPSIS
    SGD (
    ...
    """

    def __init__(
        self,
        algorithm: str | type[TorchOptimizer] = "adam",
        settings: Mapping[str, Any] | None = None,
        weight_decay: float = 0.0,
        averaging: float = 0.9995,
        clipping: float = 0.0,
    ) -> None:
        self.algorithm = algorithm
        self.settings = settings
        self.weight_decay = weight_decay
        self.averaging = averaging
        self.clipping = clipping

    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            Naming the setting and what it takes.
        """
        if isinstance(self.algorithm, str):
            check_choice("algorithm", self.algorithm, ["adam"])
        elif not isinstance(self.algorithm, type):
            raise ValueError(
                f"algorithm must be 'adam' or an optimiser's class, got {self.algorithm!r}."
            )
        for name in ("weight_decay", "clipping"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must lie in [0, 1), got {self.averaging}.")

    def build(
        self, model: nn.Module, learning_rate: float, engine: Engine | None = None
    ) -> TorchOptimizer:
        """Return torch's optimiser of the model's weights."""
        groups = self._groups(model)
        given = dict(self.settings or {})
        if not isinstance(self.algorithm, str):
            return self.algorithm(groups, lr=learning_rate, **given)  # type: ignore[call-arg]
        if engine is None or not records_steps(engine):
            fused = engine is None or engine.device.type in ("cpu", "cuda")
            return Adam(groups, lr=learning_rate, fused=fused, **given)
        # A recorded step reads the rate where it lies, so that it can change.
        rate = torch.tensor(learning_rate, dtype=torch.float32, device=engine.device)
        return Adam(groups, lr=rate, fused=True, capturable=True, **given)

    def _groups(self, model: nn.Module) -> list[dict[str, Any]]:
        decayed = [p for p in model.parameters() if p.ndim > 1]
        free = [p for p in model.parameters() if p.ndim <= 1]
        groups: Iterable[dict[str, Any]] = (
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": free, "weight_decay": 0.0},
        )
        return [group for group in groups if group["params"]]


def constant(progress: float) -> float:
    """Return 1: the rate stays."""
    return 1.0


def cosine(progress: float) -> float:
    """Return a factor that falls from 1 to 0 like half a cosine."""
    return (1 + cos(pi * progress)) / 2


SCHEDULES: Mapping[str, Schedule] = {"constant": constant, "cosine": cosine}


def schedule_of(value: Any) -> Schedule:
    """Return the course of the learning rate that an argument names or is.

    Raises
    ------
    ValueError
        If it is neither a name nor a function of the progress, 0 to 1.
    """
    if callable(value):
        function: Schedule = value
        return function
    check_choice("schedule", value, SCHEDULES)
    return SCHEDULES[value]
