"""What commands write: tables for people, JSON for programs, files for both."""

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sfumato.artifacts import ArtifactError, make_directory, replace_file
from sfumato.evaluation import Cell, Table, best, columns_of

console = Console()
errors = Console(stderr=True)


def emit(value: Any) -> None:
    """Print one JSON object on standard output; numbers that JSON lacks become null."""
    click.echo(json.dumps(finite(value)))


def finite(value: Any) -> Any:
    """Return a JSON value with null for every number that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


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


def _has_minimum(row: Mapping[str, Cell]) -> bool:
    return "accuracy" in row and row["accuracy"].n >= SEEDS_OF_A_MINIMUM


def working(text: str) -> AbstractContextManager[Any]:
    """Show on a terminal that something long is under way."""
    return errors.status(text)


def say(text: str) -> None:
    """Print lines as they are."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def as_markdown(table: Table) -> str:
    """Return models by measures as a Markdown table."""
    names = columns_of(table)
    lines = ["| model | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for model, row in table.items():
        lines.append(f"| {model} | " + " | ".join(str(row.get(n, "")) for n in names) + " |")
    return "\n".join(lines) + "\n"


def as_dict(table: Table) -> dict[str, Any]:
    """Return models by measures as plain numbers."""
    return {model: {name: vars(cell) for name, cell in row.items()} for model, row in table.items()}


def write(path: str, content: bytes) -> None:
    """Write a file whole or not at all, making its folder.

    Raises
    ------
    ArtifactError
        If it cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise ArtifactError(f"{path!r} is a folder; give --out the name of a file.")
    make_directory(target.parent)
    replace_file(target, content)


def _npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _npz(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, X=array)
    return buffer.getvalue()


def _csv(array: np.ndarray) -> bytes:
    text = StringIO()
    whole = array.dtype.kind in "iub"
    np.savetxt(text, np.atleast_2d(array.T).T, delimiter=",", fmt="%d" if whole else "%.9g")
    return text.getvalue().encode()


WRITERS: dict[str, Callable[[np.ndarray], bytes]] = {".npy": _npy, ".npz": _npz, ".csv": _csv}


def array_writer(path: str) -> Callable[[np.ndarray], bytes]:
    """Return the function that turns an array into the bytes of such a file.

    Raises
    ------
    click.UsageError
        If the file's ending is unknown.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in WRITERS:
        raise click.UsageError(f"--out takes a file ending in {', '.join(WRITERS)}; got {path!r}.")
    return WRITERS[suffix]
