"""Measuring fitted models, alone and compared with each other."""

from sfumato.evaluation.compare import (
    COLUMNS,
    Result,
    Summary,
    Table,
    best,
    columns_of,
    run,
    tabulate,
)
from sfumato.evaluation.measures import (
    MEANINGS,
    Measures,
    meaning_of,
    measure,
    measure_with_baselines,
)
from sfumato.evaluation.split import PROTOCOLS, Split, as_fitted, holding_out, on_everything

__all__ = [
    "COLUMNS",
    "MEANINGS",
    "PROTOCOLS",
    "Measures",
    "Result",
    "Split",
    "Summary",
    "Table",
    "as_fitted",
    "best",
    "columns_of",
    "holding_out",
    "meaning_of",
    "measure",
    "measure_with_baselines",
    "on_everything",
    "run",
    "tabulate",
]
