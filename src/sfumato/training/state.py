"""The state of a fit between two epochs, and its history: what a checkpoint holds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sfumato.artifacts import ArtifactError, subtree, tensor_tree
from sfumato.noise import Noise

Record = dict[str, float]
RESERVED = {"epoch", "loss", "changed", "validation_loss", "learning_rate", "seconds"}


@dataclass
class History:
    """Records of the epochs, in order.

    ``history["kl"]`` is the list of that quantity's values, one an epoch. Every record holds
    ``epoch`` (from 1), ``loss``, each term of the objective (means over the epoch's rows, as
    trained), ``learning_rate``, ``seconds``, with early stopping ``validation_loss``, and where a
    model labels the rows itself ``changed``, the share of rows whose label is new.

    Examples
    --------
    >>> History([{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}])["loss"]
    [3.0, 2.0]
    """

    records: list[Record] = field(default_factory=list)

    def __getitem__(self, name: str) -> list[float]:
        return [record[name] for record in self.records]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def terms(self) -> list[str]:
        """Names of the objective's terms."""
        return [name for name in self.records[0] if name not in RESERVED] if self.records else []


Weights = dict[str, Tensor]
# Steps over which the length of gradients is averaged.
MEMORY = 100
# Moving the average costs a tenth of a fast step; with a memory of thousands of steps every eighth
# step tells it enough.
STRIDE, FIRST_STEPS = 8, 64


class TrainingState:
    """Model, optimiser, averaged weights, best weights, history and random generators.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
    decay : float
        Of the moving average of the weights; 0 for none.
    description : dict
        JSON; what is being fitted.
    clipping : float
        Largest gradient of a step, in units of the average one; 0 for any.
    noise : Noise, optional
        What the fit draws from.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        decay: float,
        description: dict[str, Any],
        clipping: float = 0.0,
        noise: Noise | None = None,
    ) -> None:
        self.model = model
        self.noise = Noise(0) if noise is None else noise
        self.optimizer = optimizer
        self.decay = decay
        self.description = description
        self.history = History()
        self.n_steps = 0
        self.clipping = clipping
        self.gradient_norm = 0.0
        self._parameters = list(model.parameters())
        self._average = [p.detach().clone() for p in self._parameters] if decay else []
        self._last: Weights = {}
        self._best: Weights = {}

    def set_learning_rate(self, rate: float) -> None:
        """Use a learning rate from now on."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    @torch.no_grad()
    def step(self) -> None:
        """Take an optimiser's step."""
        if self.clipping:
            self._clip()
        self.optimizer.step()

    @torch.no_grad()
    def update_average(self) -> None:
        """Count a step and move the average along."""
        self.n_steps += 1
        stride = 1 if self.n_steps < FIRST_STEPS else STRIDE
        if self._average and self.n_steps % stride == 0:
            # A short memory at first, else the average would remember the random start.
            decay = min(self.decay, self.n_steps / (self.n_steps + 10)) ** stride
            get_ema_multi_avg_fn(decay)(self._average, self._parameters, self.n_steps)

    def _clip(self) -> None:
        """Shorten a gradient that is much longer than they are on average."""
        limit = self.clipping * self.gradient_norm if self.n_steps else inf
        norm = float(clip_grad_norm_(self._parameters, limit))
        weight = 1 / min(self.n_steps + 1, MEMORY)
        self.gradient_norm += weight * (min(norm, limit) - self.gradient_norm)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Lend the model its averaged weights."""
        if not self._average:
            yield
            return
        own = [p.detach().clone() for p in self._parameters]
        self._set(self._average)
        try:
            yield
        finally:
            self._set(own)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.copy_(value)

    def _weights(self) -> Weights:
        with self.averaged():
            return {name: t.detach().clone() for name, t in self.model.state_dict().items()}

    def has_finite_weights(self) -> bool:
        """Whether no weight is NaN or infinite."""
        # A sum is NaN or infinite with any of its numbers, and quicker; large ones can overflow it.
        sums = torch.stack([p.detach().sum() for p in self._parameters])
        if bool(sums.isfinite().all()):
            return True
        return all(bool(p.isfinite().all()) for p in self._parameters)

    def commit_epoch(self, record: Record) -> None:
        """Add the record of a good epoch; keep its weights as the last, and if so as the best."""
        self.history.records.append(record)
        self._last = self._weights()
        validated = "validation_loss" in record
        if not validated or record["validation_loss"] <= min(self.history["validation_loss"]):
            self._best = self._last

    @property
    def best_epoch(self) -> int:
        """Number of the epoch whose weights are kept, counted from 1."""
        if not self.history.records or "validation_loss" not in self.history.records[-1]:
            return len(self.history)
        losses = self.history["validation_loss"]
        return len(losses) - losses[::-1].index(min(losses))

    def finish(self) -> None:
        """Leave the model with the best weights, in evaluation mode."""
        if self._best:
            self.model.load_state_dict(self._best)
        self.model.eval()

    def content(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the description and tensors of a checkpoint."""
        description = {
            "run": self.description,
            "history": self.history.records,
            "n_steps": self.n_steps,
            "gradient_norm": self.gradient_norm,
        }
        tensors = tensor_tree("raw", self.model.state_dict())
        tensors |= tensor_tree("model", self._best)
        tensors |= tensor_tree("last", self._last)
        tensors |= tensor_tree("average", dict(_numbered(self._average)))
        tensors |= tensor_tree("optimizer", _flatten(self.optimizer.state_dict()["state"]))
        tensors |= tensor_tree("rng", self.noise.state())
        return description, tensors

    def restore(
        self, description: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path
    ) -> None:
        """Continue from a checkpoint.

        Raises
        ------
        ArtifactError
            If the checkpoint is of other data or settings.
        """
        if description["run"].get("identity") != self.description.get("identity"):
            raise ArtifactError(
                f"{path} belongs to a fit of other data or settings (or of no fixed seed); choose "
                "another folder or delete it."
            )
        self.history = History(description["history"])
        self.n_steps = description["n_steps"]
        self.gradient_norm = description["gradient_norm"]
        self.model.load_state_dict(subtree("raw", tensors))
        self._last = subtree("last", tensors)
        self._best = subtree("model", tensors)
        average = subtree("average", tensors)
        self._average = [t.to(self._parameters[int(i)].device) for i, t in average.items()]
        groups = self.optimizer.state_dict()["param_groups"]
        state = _unflatten(subtree("optimizer", tensors))
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self._align_moments()
        self.noise.set_state(subtree("rng", tensors))

    def _align_moments(self) -> None:
        """Lay out what the optimiser keeps of each weight as the weight itself is laid out.

        A file holds tensors row by row; a fused step goes through memory, and would mix up the
        numbers of a weight whose channels lie side by side.
        """
        for parameter, slot in self.optimizer.state.items():
            for name, value in slot.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    slot[name] = torch.empty_like(parameter).copy_(value)


def _numbered(values: list[Tensor]) -> list[tuple[str, Tensor]]:
    # Zero-padded: safetensors returns names in alphabetical order.
    return [(f"{i:06d}", value) for i, value in enumerate(values)]


def _flatten(state: Mapping[int, Mapping[str, Tensor]]) -> Weights:
    return {f"{i}.{name}": t for i, slot in state.items() for name, t in slot.items()}


def _unflatten(tensors: Mapping[str, Tensor]) -> dict[int, Weights]:
    state: dict[int, Weights] = {}
    for key, tensor in tensors.items():
        i, name = key.split(".", 1)
        state.setdefault(int(i), {})[name] = tensor
    return state
