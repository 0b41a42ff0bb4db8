"""Measuring fitted models, alone and beside each other."""

from sfumato.evaluation.compare import (
    COLUMNS,
    LESS_IS_BETTER,
    Cell,
    Result,
    Table,
    best,
    run,
    tabulate,
)
from sfumato.evaluation.measures import MEANINGS, Measures, measure
from sfumato.evaluation.split import Split, as_fitted, holding_out

__all__ = [
    "COLUMNS",
    "LESS_IS_BETTER",
    "MEANINGS",
    "Cell",
    "Measures",
    "Result",
    "Split",
    "Table",
    "as_fitted",
    "best",
    "holding_out",
    "measure",
    "run",
    "tabulate",
]
