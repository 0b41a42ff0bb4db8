"""The Trainer, its engines, history and checkpoints."""

from sfumato.training.engine import Engine, LocalEngine, computes_bf16
from sfumato.training.history import History
from sfumato.training.loop import TrainingDivergedError
from sfumato.training.phases import PHASES, finish_phases, phase_of
from sfumato.training.progress import Labelled, Progress
from sfumato.training.relabelling import Relabelling, SelfLabelled
from sfumato.training.rows import (
    AssignedRows,
    ContrastedRows,
    IndexedRows,
    JoinedRows,
    Rows,
    is_memory_mapped,
)
from sfumato.training.trainer import EarlyStopping, Logger, Trainer, check_choice, check_count

__all__ = [
    "PHASES",
    "AssignedRows",
    "ContrastedRows",
    "EarlyStopping",
    "Engine",
    "History",
    "IndexedRows",
    "JoinedRows",
    "Labelled",
    "LocalEngine",
    "Logger",
    "Progress",
    "Relabelling",
    "Rows",
    "SelfLabelled",
    "Trainer",
    "TrainingDivergedError",
    "check_choice",
    "check_count",
    "computes_bf16",
    "finish_phases",
    "is_memory_mapped",
    "phase_of",
]
