"""The Trainer: settings, and ``fit``."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from sfumato.artifacts import CHECKPOINT, PHASES, make_directory, read_checkpoint
from sfumato.checks import check_choice, check_count
from sfumato.deprecation import accept_moved, split_moved
from sfumato.noise import Noise
from sfumato.objectives import as_objective
from sfumato.training.engine import PRECISIONS, Engine, LocalEngine, threads
from sfumato.training.loop import Batches, Loop, Loss
from sfumato.training.optimizer import Optimizer, Schedule, schedule_of
from sfumato.training.progress import Labelled
from sfumato.training.rows import IndexedRows, Rows
from sfumato.training.state import History, TrainingState


class Logger(Protocol):
    """What receives the history: Lightning's and Fabric's loggers fit, and so does ``Progress``."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Receive the settings, once."""
        ...

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Receive the record of an epoch."""
        ...


class EarlyStopping(BaseEstimator):
    """Stop when the loss on held-out rows has not improved for ``patience`` epochs.

    The weights of the best epoch are kept.

    Parameters
    ----------
    patience : int
        Epochs without improvement that are tolerated.
    validation_fraction : float
        Share of the rows held out, chosen by the seed; the model never trains on them.
    """

    def __init__(self, patience: int = 10, validation_fraction: float = 0.1) -> None:
        self.patience = patience
        self.validation_fraction = validation_fraction


class MinSteps(BaseEstimator):
    """A minimum number of optimiser steps that follows the rows of a small data set.

    Parameters
    ----------
    most : int
    per_row : float
        Steps for each row, as long as there are fewer than ``most``.

    Examples
    --------
    >>> MinSteps(2400).for_rows(150), MinSteps(2400).for_rows(10_000)
    (300, 2400)
    """

    def __init__(self, most: int, per_row: float = 2.0) -> None:
        self.most = most
        self.per_row = per_row

    def for_rows(self, n_rows: int) -> int:
        """Return the number of steps for ``n_rows`` rows."""
        return min(self.most, round(self.per_row * n_rows))

    def shared(self, share: int) -> "MinSteps":
        """Return the minimum of each of several phases."""
        return MinSteps(-(-self.most // share), self.per_row / share)


class Trainer(BaseEstimator):
    """Minimise an objective by stochastic gradients: settings, and ``fit``.

    Parameters
    ----------
    max_epochs : int
        Passes over the rows; a resumed fit continues up to this number.
    min_steps : int or MinSteps
        Minimum number of optimiser steps; epochs are added for small data sets until it is
        reached.
    batch_size : int
        Rows of a step.
    learning_rate : float
    optimizer : Optimizer, optional
        Algorithm, weight decay, averaging and clipping; by default Adam, ``Optimizer()``.
    schedule : "constant", "cosine" or callable
        Factor of the learning rate as a function of the progress, from 0 to 1.
    early_stopping : EarlyStopping, optional
    precision : "auto", "32" or "bf16"
        Of matrices and convolutions in training; densities are always float32 or better, and so
        is everything after training. "auto" is bfloat16 where it pays.
    device : str
        "auto", "cpu", "cuda", "cuda:1", ... On a GPU the steps of ``ELBO`` and ``IWAE`` are
        recorded and replayed as one launch each: the same numbers, up to ten times as fast.
    threads : int or "auto"
        "auto" obeys ``OMP_NUM_THREADS``, else measures whether the cores are free.
    checkpoint : str, optional
        A folder. After every epoch the whole state is written there, atomically; a later ``fit``
        with the same data and settings continues from it, bit for bit.
    loggers : sequence of objects with ``log_hyperparams`` and ``log_metrics``
        For instance ``sfumato.training.Progress()`` or a Lightning logger; one that is a context
        manager is open during the fit.

    Examples
    --------
    >>> Trainer(max_epochs=5)
    Trainer(max_epochs=5)
    """

    def __init__(
        self,
        max_epochs: int = 100,
        min_steps: int | MinSteps = 0,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        optimizer: Optimizer | None = None,
        schedule: str | Schedule = "constant",
        early_stopping: EarlyStopping | None = None,
        precision: str = "auto",
        device: str = "auto",
        threads: int | str = "auto",
        checkpoint: str | None = None,
        loggers: Sequence[Logger] = (),
        **moved: Any,
    ) -> None:
        self.max_epochs = max_epochs
        self.min_steps = min_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.early_stopping = early_stopping
        self.precision = precision
        self.device = device
        self.threads = threads
        self.checkpoint = checkpoint
        self.loggers = loggers
        accept_moved(self, moved)

    homes: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("weight_decay", "averaging", "clipping"), "optimizer"
    )

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those that have moved into an object among them."""
        present, moved = split_moved(self, params)
        super().set_params(**present)
        accept_moved(self, moved)
        return self

    def default_objects(self) -> dict[str, Any]:
        """Return the objects that parameters of None stand for."""
        return {"optimizer": Optimizer()}

    def _optimizer(self) -> Optimizer:
        return Optimizer() if self.optimizer is None else self.optimizer

    def epochs_for(self, n_rows: int) -> int:
        """Return the number of epochs for ``n_rows`` rows.

        Examples
        --------
        >>> Trainer(max_epochs=5, min_steps=100, batch_size=10).epochs_for(50)
        20
        """
        given = self.min_steps
        least = given.for_rows(n_rows) if isinstance(given, MinSteps) else given
        return max(self.max_epochs, -(-least // self.steps_for(n_rows)))

    def steps_for(self, n_rows: int) -> int:
        """Return the number of steps of a pass over ``n_rows`` rows.

        Examples
        --------
        >>> Trainer(batch_size=10).steps_for(45)
        5
        """
        return -(-n_rows // self.batch_size)

    def passes_for(self, n_rows: int, n_steps: int) -> int:
        """Return the number of passes of ``n_steps`` steps that make up all epochs, rounded up.

        Examples
        --------
        >>> Trainer(max_epochs=5, batch_size=10).passes_for(50, n_steps=10)
        3
        """
        return -(-self.epochs_for(n_rows) * self.steps_for(n_rows) // n_steps)

    def phase(self, name: str, share: int = 1, **settings: Any) -> "Trainer":
        """Return the trainer of one phase of a fit, which has 1 / share of the epochs.

        Its records bear the phase's name, and its checkpoint lies in a folder of its own; further
        settings are the trainer's.

        Examples
        --------
        >>> Trainer(max_epochs=10).phase("layer-1", share=2).max_epochs
        5
        """
        phase = copy(self)
        phase.loggers = tuple(Labelled(logger, name) for logger in self.loggers)
        phase.max_epochs = max(1, -(-self.max_epochs // share))
        least = self.min_steps
        phase.min_steps = least.shared(share) if isinstance(least, MinSteps) else -(-least // share)
        if self.checkpoint is not None:
            phase.checkpoint = os.fspath(Path(self.checkpoint) / PHASES / name)
        return super(Trainer, phase).set_params(**settings)

    def finish_phases(self) -> None:
        """Remove the checkpoints of the phases: the fit is complete."""
        if self.checkpoint is not None:
            shutil.rmtree(Path(self.checkpoint) / PHASES, ignore_errors=True)

    def engine(self) -> Engine:
        """Return the engine that the settings ask for."""
        return LocalEngine(self.device, self.precision)

    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            Naming the setting and what it takes.
        """
        for name in ("max_epochs", "batch_size"):
            check_count(name, getattr(self, name))
        if not 0 < self.learning_rate < 1e3:
            raise ValueError(f"learning_rate must lie in (0, 1000), got {self.learning_rate}.")
        least = self.min_steps.most if isinstance(self.min_steps, MinSteps) else self.min_steps
        if least < 0:
            raise ValueError(f"min_steps must not be negative, got {self.min_steps}.")
        if self.threads != "auto":
            check_count("threads", self.threads, "'auto' or ")
        if self.early_stopping is not None:
            if not isinstance(self.early_stopping, EarlyStopping):
                raise ValueError("early_stopping must be an EarlyStopping or None.")
            check_count("patience", self.early_stopping.patience)
        if not isinstance(self._optimizer(), Optimizer):
            raise ValueError(f"optimizer must be an Optimizer or None, got {self.optimizer!r}.")
        self._optimizer().validate()
        schedule_of(self.schedule)
        check_choice("precision", self.precision, PRECISIONS)

    def fit(
        self,
        model: nn.Module,
        objective: Any,
        data: Tensor | IndexedRows | Batches | Iterable[Tensor],
        *,
        seed: int = 0,
        description: Mapping[str, Any] | None = None,
        engine: Engine | None = None,
    ) -> History:
        """Train ``model`` in place; torch's global generators are left as they were.

        Parameters
        ----------
        model : Module
        objective : Objective, or callable (model, x) -> dict of tensors of shape (n,)
        data : Tensor of shape (n, d), Rows, RelabelledBatches, or any re-iterable of batches
            Rows are sliced by index, a new permutation every epoch.
        seed : int
            Of the order of rows, the held-out rows and all noise.
        description : mapping, optional
            JSON stored with a checkpoint: what is being fitted. A checkpoint with another
            ``description["identity"]`` is refused.
        engine : Engine, optional
            Instead of the local one.

        Returns
        -------
        History

        Raises
        ------
        TrainingDivergedError
            If a term is NaN or infinite in the first epoch. Later the fit stops with a
            ``ConvergenceWarning`` and the weights of the last good epoch.
        """
        self.validate()
        engine = engine or self.engine()
        model.to(engine.device)
        if isinstance(data, Tensor):
            data = Rows(data.cpu().numpy(), torch.from_numpy, engine.device)
        noise, optimizer = Noise(seed), self._optimizer()
        with threads(self.threads, model) as chooser:
            state = TrainingState(
                model,
                optimizer.build(model, self.learning_rate, engine),
                optimizer.averaging,
                dict(description or {}),
                optimizer.clipping,
                noise,
            )
            path = self._checkpoint_path()
            if path is not None and path.exists():
                state.restore(*read_checkpoint(path), path)
            train, validation = self._hold_out(data, seed)
            loop = Loop(state, Loss(model, as_objective(objective), noise), engine, chooser)
            self._run(loop, train, validation, path)
        return state.history

    def _run(
        self, loop: Loop, train: Iterable[Tensor], validation: Batches | None, path: Path | None
    ) -> None:
        history = loop.state.history
        n_epochs = self.epochs_for(len(train)) if isinstance(train, Batches) else self.max_epochs
        with ExitStack() as opened:
            for logger in self.loggers:
                if isinstance(logger, AbstractContextManager):
                    opened.enter_context(logger)
                logger.log_hyperparams({"max_epochs": n_epochs, "start": len(history)})
            while len(history) < n_epochs and not self._exhausted(history, train):
                progress = len(history) / n_epochs
                rate = self.learning_rate * schedule_of(self.schedule)(progress)
                record = loop.epoch(train, validation, rate)
                if not loop.accept_epoch(record):
                    break
                if path is not None:
                    loop.engine.save(path, *loop.state.content())
                for logger in self.loggers:
                    logger.log_metrics(record, len(history))
        loop.state.finish()

    def _checkpoint_path(self) -> Path | None:
        return None if self.checkpoint is None else make_directory(self.checkpoint) / CHECKPOINT

    def _hold_out(
        self, data: IndexedRows | Batches | Iterable[Tensor], seed: int
    ) -> tuple[Iterable[Tensor], Batches | None]:
        if not isinstance(data, IndexedRows):
            if self.early_stopping is not None:
                raise ValueError(
                    "early_stopping needs an array's rows, not an iterable of batches."
                )
            return data, None
        if self.early_stopping is None:
            return Batches(data, torch.arange(len(data)), self.batch_size), None
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        n = round(len(data) * self.early_stopping.validation_fraction)
        if not 0 < n < len(data):
            raise ValueError(
                f"validation_fraction={self.early_stopping.validation_fraction} of {len(data)} "
                "rows leaves nothing to validate or to train on."
            )
        train = Batches(data, order[n:], self.batch_size)
        return train, Batches(data, order[:n], self.batch_size)

    def _exhausted(self, history: History, train: Iterable[Tensor]) -> bool:
        if isinstance(train, Batches) and train.exhausted(history):
            return True
        if self.early_stopping is None or not history.records:
            return False
        losses = history["validation_loss"]
        return len(losses) - 1 - losses.index(min(losses)) >= self.early_stopping.patience
