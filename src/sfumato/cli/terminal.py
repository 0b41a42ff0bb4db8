"""How the command line shows the progress of a job, on standard error."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import click

from sfumato.cli.output import errors
from sfumato.training import Progress
from sfumato.video import Detection
from sfumato.video.recording import tracked


class Terminal:
    """Bars on a terminal, lines elsewhere.

    Parameters
    ----------
    epoch_lines : bool
        Print a line for each epoch where there is no terminal.
    """

    def __init__(self, *, epoch_lines: bool = True) -> None:
        self.epoch_lines = epoch_lines

    def note(self, line: str) -> None:
        """Print a line."""
        click.echo(line, err=True)

    def working(self, text: str) -> AbstractContextManager[Any]:
        """Show a spinner, on a terminal only."""
        return errors.status(text)

    def track(
        self, detections: Iterable[Detection], n_frames: int | None, title: str
    ) -> Iterator[Detection]:
        """Show a bar of frames, or a few lines."""
        return tracked(detections, n_frames, title)

    def loggers(self, title: str) -> tuple[Any, ...]:
        """Return a logger that shows a bar of epochs, or a line for each."""
        return (Progress(title),) if self.epoch_lines or errors.is_terminal else ()
