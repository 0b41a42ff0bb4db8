"""The Trainer, its engines, history and checkpoints."""

from sfumato.checks import check_choice, check_count
from sfumato.training.engine import Engine, LocalEngine, computes_bf16
from sfumato.training.loop import TrainingDivergedError
from sfumato.training.optimizer import Optimizer
from sfumato.training.progress import Labelled, Progress
from sfumato.training.relabelling import RelabelledBatches, Relabelling
from sfumato.training.rows import (
    ContrastedRows,
    IndexedRows,
    JoinedRows,
    LabelledRows,
    Rows,
    few_distinct,
    is_memory_mapped,
)
from sfumato.training.state import History
from sfumato.training.trainer import EarlyStopping, Logger, MinSteps, Trainer

__all__ = [
    "ContrastedRows",
    "EarlyStopping",
    "Engine",
    "History",
    "IndexedRows",
    "JoinedRows",
    "Labelled",
    "LabelledRows",
    "LocalEngine",
    "Logger",
    "MinSteps",
    "Optimizer",
    "Progress",
    "RelabelledBatches",
    "Relabelling",
    "Rows",
    "Trainer",
    "TrainingDivergedError",
    "check_choice",
    "check_count",
    "computes_bf16",
    "few_distinct",
    "is_memory_mapped",
]
