"""The one training loop: epochs of steps over batches."""

import warnings
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import partial
from math import isfinite
from time import perf_counter
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from sfumato.noise import Noise, drawing_from, draws_by_itself
from sfumato.objectives import Objective
from sfumato.training.engine import Engine, ThreadChooser, records_steps
from sfumato.training.recording import RecordedStep, is_same
from sfumato.training.rows import IndexedRows
from sfumato.training.state import RESERVED, History, Record, TrainingState

# A loss this many times larger than any previous one counts as divergence.
EXPLODED = 1000.0


class TrainingDivergedError(RuntimeError):
    """A term became NaN or infinite before one epoch was complete."""


class Loss(nn.Module):
    """The objective as a module, so that an engine can wrap its ``forward``.

    Parameters
    ----------
    model : Module
    objective : Objective
    noise : Noise
        What every draw of the fit comes from.
    """

    def __init__(self, model: Any, objective: Objective, noise: Noise) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.noise = noise
        self.epoch = 0
        # What its own layers draw needs the generators around the whole step, which costs a
        # microsecond an operation; the objectives of this library hand them on where they draw.
        self._around = noise if draws_by_itself(model) else None

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the mean over rows of every term."""
        with drawing_from(self._around):
            terms = self.objective.at(self.epoch)(self.model, x, noise=self.noise)
        if not RESERVED.isdisjoint(terms):
            raise ValueError(f"An objective's term may not be named {', '.join(RESERVED)}.")
        return {name: term.mean() for name, term in terms.items()}


def shuffled(n: int, noise: Noise) -> Tensor:
    """Return a random order of n rows."""
    return torch.randperm(n, generator=noise.generator())


class Batches:
    """Batches of some of the rows, in a new order at every pass of the training."""

    def __init__(self, rows: IndexedRows, index: Tensor, batch_size: int) -> None:
        self.rows = rows
        self.index = index
        self.batch_size = batch_size
        # What a pass adds to its record.
        self.figures: Record = {}

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Any]:
        """Yield all batches in the order of the rows."""
        for chunk in self.rows.placed(self.index).split(self.batch_size):
            yield self.rows[chunk]

    def exhausted(self, history: History) -> bool:
        """Return True if training should stop."""
        return False

    def share(self, rank: int, world_size: int, noise: Noise) -> Iterator[Any]:
        """Yield one process's batches; every process gets the same number of rows and steps."""
        index = self.index[shuffled(len(self), noise)]
        mine = index[rank::world_size][: len(index) // world_size]
        for chunk in self.rows.placed(mine).split(self.batch_size):
            # Rows may be joined by others that are drawn.
            with noise:
                batch = self.rows[chunk]
            yield batch


class Loop:
    """One fit: state, loss, engine and threads.

    Parameters
    ----------
    state : TrainingState
    loss : Loss
    engine : Engine
    chooser : ThreadChooser
    """

    def __init__(
        self, state: TrainingState, loss: Loss, engine: Engine, chooser: ThreadChooser
    ) -> None:
        self.state = state
        self.loss = loss
        self.engine = engine
        self.chooser = chooser
        self.first_bad = ""
        self.names: tuple[str, ...] = ()
        self.module, self.optimizer = engine.setup(loss, state.optimizer)
        self.records = records_steps(engine)
        self.objective: Any = None
        self.recorded: RecordedStep | None = None
        self._compared: set[int] = set()

    def epoch(
        self, batches: Iterable[Tensor], validation: Batches | None, learning_rate: float
    ) -> Record:
        """Train for one epoch and return its record."""
        start = perf_counter()
        self.loss.epoch = len(self.state.history)
        self._renew()
        self.state.set_learning_rate(learning_rate)
        self.module.train()
        means = self._steps(self._share(batches))
        self.module.eval()
        record: Record = {"epoch": self.loss.epoch + 1, "loss": sum(means.values()), **means}
        if isinstance(batches, Batches):
            record |= batches.figures
        if validation is not None:
            record["validation_loss"] = self._validate(validation)
        return record | {"learning_rate": learning_rate, "seconds": perf_counter() - start}

    def _renew(self) -> None:
        """Record steps anew where the objective is another one than in the last epoch."""
        objective = self.loss.objective.at(self.loss.epoch)
        if not self.records or not self.loss.objective.recordable:
            self.recorded = None
        elif self.recorded is None or not is_same(objective, self.objective):
            self.recorded = RecordedStep(self.loss, self.loss.noise)
        self.objective = objective

    def _share(self, batches: Iterable[Tensor]) -> Iterable[Tensor]:
        if isinstance(batches, Batches):
            return batches.share(self.engine.rank, self.engine.world_size, self.loss.noise)
        return self._of_iterable(batches)

    def _of_iterable(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the batches of anything that is iterated; what it draws comes from the fit's."""
        with self.loss.noise:
            iterator = iter(batches)
        while True:
            with self.loss.noise:
                x = next(iterator, None)
            if x is None:
                return
            yield x.to(self.engine.device)

    def _steps(self, batches: Iterable[Tensor]) -> dict[str, float]:
        totals = finite = torch.zeros(())
        n_rows = 0
        for x in batches:
            self._compare_threads(x)
            with self.chooser.step():
                values = self._step(x)
                self.state.update_average()
            n_rows += len(x)
            # Sums stay on the device: reading a number out at every step would stall it.
            totals = totals.to(values.device) + values * len(x)
            finite = finite.to(values.device) + totals.isfinite()
        if not n_rows:
            raise ValueError("The data gave no batch to train on.")
        # One bad term spoils the weights and so all others: the first to go is to blame.
        self.first_bad = self.names[int(finite.argmin())]
        means = self.engine.all_reduce(totals / n_rows).tolist()
        return dict(zip(self.names, means, strict=True))

    def _compare_threads(self, x: Any) -> None:
        """Compare a step in one thread and in several at the first batch of every size."""
        has_choice = len(self.chooser.candidates) > 1 and self.engine.device.type == "cpu"
        if has_choice and len(x) not in self._compared:
            self._compared.add(len(x))
            try:
                self.chooser.compare(partial(self._gradients, x))
            except RuntimeError:
                # A model that cannot be copied; any other error comes again in the step itself.
                self.chooser.settle()

    @torch.enable_grad()
    def _gradients(self, x: Any) -> list[Tensor]:
        """Return the terms of a batch and their gradients, by a copy that learns in its stead."""
        model, objective = deepcopy((self.loss.model, self.loss.objective))
        with self.engine.autocast():
            terms = Loss(model, objective, Noise(0))(x)
        values = torch.stack(tuple(terms.values()))
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        found = torch.autograd.grad(values.sum(), weights, allow_unused=True)
        return [values, *(gradient for gradient in found if gradient is not None)]

    def _step(self, x: Any) -> Tensor:
        return self._update(x) if self.recorded is None else self.recorded(self._update, x)

    def _update(self, x: Any) -> Tensor:
        """Move the weights by one step and return the means of the terms."""
        # Old gradients go first: the forward pass then finds their memory warm.
        self.optimizer.zero_grad()
        with self.engine.autocast():
            terms = self.module(x)
        values = torch.stack(tuple(terms.values()))
        self.engine.backward(values.sum())
        self.state.step()
        self.names = tuple(terms)
        return values.detach()

    @torch.no_grad()
    def _validate(self, batches: Batches) -> float:
        total = 0.0
        # The objective as it is reported, not as it is annealed, and the same noise in every epoch:
        # epochs are compared, not weights or draws.
        with self.state.averaged(), Noise(0), self.engine.autocast():
            for x in batches:
                self._compare_threads(x)
                terms = self.loss.objective(self.loss.model, x)
                total += float(sum(term.sum() for term in terms.values()))
        return total / len(batches)

    def accept_epoch(self, record: Record) -> bool:
        """Add a good epoch to the history; after a bad one go back, warn and return False.

        Raises
        ------
        TrainingDivergedError
            If there is no good epoch to go back to.
        """
        culprit = self._culprit(record)
        exploded = culprit is None and self._exploded(record)
        if culprit is None and not exploded:
            self.state.commit_epoch(record)
            return True
        what = "the loss grew a thousandfold" if exploded else f"{culprit} became NaN or infinite"
        advice = "lower the learning rate or check the scaling of the data"
        n = len(self.state.history)
        if n == 0:
            raise TrainingDivergedError(
                f"Training diverged in the first epoch: {culprit} is NaN or infinite; {advice}."
            )
        warnings.warn(
            f"Training stopped in epoch {n + 1}: {what}; the weights of epoch "
            f"{self.state.best_epoch} were restored; {advice}.",
            ConvergenceWarning,
            stacklevel=2,
        )
        return False

    def _exploded(self, record: Record) -> bool:
        """Return whether the loss has left all bounds, though it is a number."""
        losses = self.state.history["loss"]
        return bool(losses) and record["loss"] > EXPLODED * (1 + max(map(abs, losses)))

    def _culprit(self, record: Record) -> str | None:
        bad = [name for name, value in record.items() if not isfinite(value)]
        if bad == ["validation_loss"]:
            return "the validation loss"
        if bad:
            return f"the term {self.first_bad!r}"
        return None if self.state.has_finite_weights() else "a weight"
