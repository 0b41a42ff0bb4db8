"""The commands that restore pictures."""

from collections.abc import Callable
from typing import Any

import click

from sfumato.cli.options import (
    epochs_option,
    json_option,
    model_settings,
    plain_messages,
    set_option,
)

SHARED = (
    click.argument("source", metavar="INPUT"),
    click.option("--out", metavar="PATH", help="File or folder of the results; beside by default."),
    click.option("--train", metavar="FOLDER", help="Learn from the clean photographs in FOLDER."),
    click.option("--model", metavar="DIR", help="Where the model lies, or goes after --train."),
    click.option("--reference", metavar="PATH", help="The clean pictures, to measure against."),
    set_option,
    epochs_option,
    click.option("--seed", default=0, show_default=True, help="Of the training."),
    click.option("--overwrite", is_flag=True, help="Replace results and a model that exist."),
    json_option,
    plain_messages,
)


def _restoring(command: Callable[..., None]) -> click.Command:
    for option in reversed(SHARED):
        command = option(command)
    return click.command()(command)


def _run(task: str, fixed: dict[str, Any] | None = None, **options: Any) -> None:
    """Run a task with the shared options; ``fixed`` settings override those of ``--set``."""
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.data import DataError
    from sfumato.jobs.restoration import restore_pictures

    as_json = options.pop("as_json")
    settings = model_settings(options.pop("settings"), None, options.pop("epochs"))
    batch = restore_pictures(
        task, settings=settings | (fixed or {}), progress=Terminal(), **options
    )
    if as_json:
        output.emit({"results": batch.results, "failed": batch.failed})
    else:
        for result in batch.results:
            output.say(_line(result))
    if batch.failed:
        n = len(batch.failed) + len(batch.results)
        raise DataError(
            f"{len(batch.failed)} of {n} picture(s) could not be restored; the reasons stand above."
        )


def _line(result: dict[str, Any]) -> str:
    quality = "".join(
        f", {name.upper()} {result[name]:.{digits}f}"
        for name, digits in (("psnr", 2), ("ssim", 4))
        if name in result
    )
    return f"{result['output']}: {result['width']} x {result['height']}{quality}"


@_restoring
@click.option("--sigma", type=click.FloatRange(0, 255), help="Noise in grey levels of 255.")
def denoise(sigma: float | None, **options: Any) -> None:
    """Remove noise from INPUT, a picture or a folder of pictures.

    The noise level is estimated unless --sigma tells it.
    """
    _run("denoise", sigma=sigma, **options)


@_restoring
@click.option("--mask", metavar="PATH", help="Pictures that are light where INPUT is missing.")
def inpaint(mask: str | None, **options: Any) -> None:
    """Fill the holes of INPUT, a picture or a folder of pictures.

    Missing is what --mask shows, or what is transparent. In a folder of masks, a mask has the name
    of its picture.
    """
    _run("inpaint", mask=mask, **options)


@_restoring
@click.option("--factor", type=click.Choice(["2", "3", "4"]), help="By default 2, or the model's.")
def upscale(factor: str | None, **options: Any) -> None:
    """Enlarge INPUT, a picture or a folder of pictures."""
    _run("upscale", {} if factor is None else {"factor": int(factor)}, **options)


@_restoring
def colorize(**options: Any) -> None:
    """Give INPUT, a picture or a folder of pictures, the colours to be expected."""
    _run("colorize", **options)
