"""What commands print: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sfumato.evaluation import Summary, Table, best, columns_of
from sfumato.jobs.files import finite

console = Console()
errors = Console(stderr=True)


def emit(value: Any) -> None:
    """Print one JSON object on standard output; numbers that JSON lacks become null."""
    click.echo(json.dumps(finite(value)))


def print_columns(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; the first column is never wrapped."""
    table = RichTable(box=None)
    for i, heading in enumerate(headings):
        table.add_column(heading, no_wrap=i == 0)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_pairs(values: Mapping[str, Any], title: str) -> None:
    """Print names and values."""
    say(title)
    table = RichTable(show_header=False, box=None)
    for name, value in values.items():
        table.add_row(str(name), f"{value:.5g}" if isinstance(value, float) else str(value))
    console.print(table)


# What a terminal of 80 columns has room for; pages and JSON hold every measure.
# name -> (heading, factor: shares are printed in %)
PRINTED = {
    "mse": ("mse ↓", 1.0),
    "nll": ("nll ↓", 1.0),
    "accuracy": ("ACC% ↑", 100.0),
    "nmi": ("NMI% ↑", 100.0),
    "codes_kmeans_accuracy": ("k-means% ↑", 100.0),
    "codes_knn_accuracy": ("5-NN% ↑", 100.0),
    "seconds": ("s ↓", 1.0),
}
NOTES = (
    "mse: reconstruction. nll: nats a row, of pixels as bits. ACC, NMI: clusters against classes.\n"
    "k-means, 5-NN: accuracy of both on the codes. Mean ± deviation over seeds, the best in bold."
)


# The worst of fewer seeds than this says little.
SEEDS_OF_A_MINIMUM = 3


def print_table(table: Table, title: str) -> None:
    """Print models by the main measures, the best of each in bold; times where there is room."""
    columns = _columns(table)
    widths = {name: max(map(len, cells)) for name, cells in columns.items()}
    if sum(widths.values()) + len(widths) > console.width:
        columns.pop("seconds", None)
    say(title)
    for model, *cells in zip(*columns.values(), strict=True):
        model.pad_right(widths["model"] - len(model))
        for name, cell in zip(list(columns)[1:], cells, strict=True):
            model.append(" " * (1 + widths[name] - len(cell))).append(cell)
        console.print(model, soft_wrap=True)
    say(NOTES)


def _columns(table: Table) -> dict[str, list[Text]]:
    """Return each column that is printed: its heading and a cell for every model."""
    winners = best(table)
    columns = {"model": [Text(), *map(Text, table)]}
    for name in columns_of(table):
        if name in PRINTED:
            heading, factor = PRINTED[name]
            cells = [
                Text(row[name].short(factor), "bold" if winners.get(name) == model else "")
                if name in row
                else Text()
                for model, row in table.items()
            ]
            columns[name] = [Text(heading, "bold"), *cells]
        if name == "accuracy" and any(_has_minimum(row) for row in table.values()):
            lowest = [
                Text(f"{100 * row[name].minimum:.1f}" if _has_minimum(row) else "")
                for row in table.values()
            ]
            columns["minimum"] = [Text("ACC min", "bold"), *lowest]
    return columns


def _has_minimum(row: Mapping[str, Summary]) -> bool:
    return "accuracy" in row and row["accuracy"].n >= SEEDS_OF_A_MINIMUM


def say(text: str) -> None:
    """Print lines as they are."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
