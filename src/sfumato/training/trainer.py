"""The Trainer: settings, and ``fit``."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from math import cos, pi
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.optim import Adam

from sfumato.artifacts import CHECKPOINT, make_directory, read_checkpoint
from sfumato.inference.noise import forked_rng
from sfumato.training.engine import PRECISIONS, Engine, LocalEngine, records_steps
from sfumato.training.history import History
from sfumato.training.loop import Batches, Loop, Loss
from sfumato.training.rows import IndexedRows, Rows
from sfumato.training.state import TrainingState
from sfumato.training.threads import threads


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


def _constant(progress: float) -> float:
    return 1.0


def _cosine(progress: float) -> float:
    return (1 + cos(pi * progress)) / 2


SCHEDULES = {"constant": _constant, "cosine": _cosine}


class Trainer(BaseEstimator):
    """Minimise an objective with Adam: settings, and ``fit``.

    Parameters
    ----------
    max_epochs : int
        Passes over the rows; a resumed fit continues up to this number.
    min_steps : int
        Steps that even few rows get, in as many further epochs as that takes.
    batch_size : int
        Rows of a step.
    learning_rate : float
        Of Adam.
    weight_decay : float
        lambda of the penalty (lambda / 2) ||W||^2 on weight matrices, biases left free.
    schedule : "constant" or "cosine"
        Course of the learning rate over ``max_epochs``.
    averaging : float
        Decay per step of the exponential moving average of the weights that the fitted model
        keeps; 0 keeps the last weights.
    clipping : float
        Largest gradient of a step, in units of the average length of gradients so far: a longer one
        is shortened, so that no batch throws the weights off. 0 leaves gradients as they are.
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
        min_steps: int = 0,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "constant",
        averaging: float = 0.9995,
        clipping: float = 0.0,
        early_stopping: EarlyStopping | None = None,
        precision: str = "auto",
        device: str = "auto",
        threads: int | str = "auto",
        checkpoint: str | None = None,
        loggers: Sequence[Logger] = (),
    ) -> None:
        self.max_epochs = max_epochs
        self.min_steps = min_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.averaging = averaging
        self.clipping = clipping
        self.early_stopping = early_stopping
        self.precision = precision
        self.device = device
        self.threads = threads
        self.checkpoint = checkpoint
        self.loggers = loggers

    def epochs_for(self, n_rows: int) -> int:
        """Return how many epochs so many rows get.

        Examples
        --------
        >>> Trainer(max_epochs=5, min_steps=100, batch_size=10).epochs_for(50)
        20
        """
        return max(self.max_epochs, -(-self.min_steps // self.steps_for(n_rows)))

    def steps_for(self, n_rows: int) -> int:
        """Return the steps of a pass over so many rows.

        Examples
        --------
        >>> Trainer(batch_size=10).steps_for(45)
        5
        """
        return -(-n_rows // self.batch_size)

    def passes_for(self, n_rows: int, n_steps: int) -> int:
        """Return how many passes of ``n_steps`` have the steps of all epochs, or a few more.

        Examples
        --------
        >>> Trainer(max_epochs=5, batch_size=10).passes_for(50, n_steps=10)
        3
        """
        return -(-self.epochs_for(n_rows) * self.steps_for(n_rows) // n_steps)

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
        if self.min_steps < 0:
            raise ValueError(f"min_steps must not be negative, got {self.min_steps}.")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}.")
        if self.threads != "auto":
            check_count("threads", self.threads, "'auto' or ")
        if self.early_stopping is not None:
            if not isinstance(self.early_stopping, EarlyStopping):
                raise ValueError("early_stopping must be an EarlyStopping or None.")
            check_count("patience", self.early_stopping.patience)
        if self.clipping < 0:
            raise ValueError(f"clipping must not be negative, got {self.clipping}.")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must lie in [0, 1), got {self.averaging}.")
        check_choice("schedule", self.schedule, SCHEDULES)
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
        objective : callable (model, x) -> dict of tensors of shape (n,), or AnnealedObjective
        data : Tensor of shape (n, d), Rows, SelfLabelled, or any re-iterable of batches
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
        with forked_rng(seed), threads(self.threads, model) as chooser:
            state = TrainingState(
                model,
                self._optimizer(model, engine),
                self.averaging,
                dict(description or {}),
                self.clipping,
            )
            path = self._checkpoint_path()
            if path is not None and path.exists():
                state.restore(*read_checkpoint(path), path)
            train, validation = self._hold_out(data, seed)
            loop = Loop(state, Loss(model, objective), engine, chooser)
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
                rate = self.learning_rate * SCHEDULES[self.schedule](progress)
                record = loop.epoch(train, validation, rate)
                if not loop.keep(record):
                    break
                if path is not None:
                    loop.engine.save(path, *loop.state.content())
                for logger in self.loggers:
                    logger.log_metrics(record, len(history))
        loop.state.finish()

    def _optimizer(self, model: nn.Module, engine: Engine) -> Adam:
        decayed = [p for p in model.parameters() if p.ndim > 1]
        free = [p for p in model.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]
        fused = engine.device.type in ("cpu", "cuda")
        used = [group for group in groups if group["params"]]
        if not records_steps(engine):
            return Adam(used, lr=self.learning_rate, fused=fused)
        # A recorded step reads the rate where it lies, so that it can change.
        rate = torch.tensor(self.learning_rate, dtype=torch.float32, device=engine.device)
        return Adam(used, lr=rate, fused=fused, capturable=True)

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
            return Batches(data, torch.arange(len(data)), self.batch_size, shuffled=True), None
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        n = round(len(data) * self.early_stopping.validation_fraction)
        if not 0 < n < len(data):
            raise ValueError(
                f"validation_fraction={self.early_stopping.validation_fraction} of {len(data)} "
                "rows leaves nothing to validate or to train on."
            )
        train = Batches(data, order[n:], self.batch_size, shuffled=True)
        return train, Batches(data, order[:n], self.batch_size, shuffled=False)

    def _exhausted(self, history: History, train: Iterable[Tensor]) -> bool:
        if isinstance(train, Batches) and train.exhausted(history):
            return True
        if self.early_stopping is None or not history.records:
            return False
        losses = history["validation_loss"]
        return len(losses) - 1 - losses.index(min(losses)) >= self.early_stopping.patience


def check_count(name: str, value: Any, alternative: str = "") -> None:
    """Check a whole number of at least one.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(
            f"{name} must be {alternative}a whole number of at least 1; got {value!r}."
        )


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Check a name out of a table.

    Raises
    ------
    ValueError
        Naming what there is to choose from.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
