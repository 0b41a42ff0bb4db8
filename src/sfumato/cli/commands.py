"""All commands, in modules whose heavy imports wait until one runs, so that --help is quick."""

import click

from sfumato.cli.model_commands import (
    compare,
    evaluate,
    fit,
    predict,
    reconstruct,
    report,
    sample,
    score,
    transform,
)
from sfumato.cli.options import json_option, plain_messages
from sfumato.cli.picture_commands import colorize, denoise, inpaint, upscale
from sfumato.cli.video_commands import detect, events


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the models and what each can do."""
    from rich.table import Table

    from sfumato.cli import output
    from sfumato.estimators import MODELS

    if as_json:
        output.emit(
            {
                name: {"summary": entry.summary, "operations": sorted(entry.operations)}
                for name, entry in MODELS.items()
            }
        )
        return
    table = Table(box=None)
    for heading in ("model", "what it is", "commands"):
        table.add_column(heading, no_wrap=heading == "model")
    for name, entry in MODELS.items():
        commands = sorted(entry.operations - {"density"})
        table.add_row(name, entry.summary, ", ".join(commands))
    output.console.print(table)


@click.command()
@json_option
def datasets(as_json: bool) -> None:
    """List the named data sets."""
    from rich.table import Table

    from sfumato.cli import output
    from sfumato.data import DATASETS

    if as_json:
        output.emit({name: spec.summary for name, spec in DATASETS.items()})
        return
    table = Table(box=None)
    table.add_column("data set", no_wrap=True)
    table.add_column("what it is")
    for name, spec in DATASETS.items():
        table.add_row(name, spec.summary)
    output.console.print(table)


@click.command()
@click.option("--out", default="sfumato-demo", show_default=True, metavar="DIR")
@json_option
@plain_messages
def demo(out: str, as_json: bool) -> None:
    """Take real handwriting apart in under a minute, with nothing to download."""
    from sfumato.cli import demonstration

    demonstration.run(out, as_json=as_json)


COMMANDS = (
    demo,
    detect,
    events,
    denoise,
    inpaint,
    upscale,
    colorize,
    fit,
    evaluate,
    predict,
    transform,
    score,
    sample,
    reconstruct,
    compare,
    report,
    models,
    datasets,
)
