"""Fits in several phases, each with its share of the epochs, its label and its checkpoint."""

import os
import shutil
from pathlib import Path

from sklearn.base import clone

from sfumato.artifacts import PHASES
from sfumato.training.progress import Labelled
from sfumato.training.trainer import Trainer


def phase_of(trainer: Trainer, name: str, share: int = 1) -> Trainer:
    """Return the trainer of one phase that has 1 / share of the epochs.

    Examples
    --------
    >>> phase_of(Trainer(max_epochs=10), "layer-1", 2).max_epochs
    5
    """
    phase: Trainer = clone(trainer)
    phase.loggers = tuple(Labelled(logger, name) for logger in trainer.loggers)
    phase.max_epochs = max(1, -(-phase.max_epochs // share))
    phase.min_steps = -(-phase.min_steps // share)
    if trainer.checkpoint is not None:
        phase.checkpoint = os.fspath(Path(trainer.checkpoint) / PHASES / name)
    return phase


def finish_phases(trainer: Trainer) -> None:
    """Remove the checkpoints of the phases: the fit is complete."""
    if trainer.checkpoint is not None:
        shutil.rmtree(Path(trainer.checkpoint) / PHASES, ignore_errors=True)
