"""How a job shows its progress: by an object that the caller passes, and by default not at all."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from sfumato.video import Detection


class Display(Protocol):
    """What shows the progress of a job; the command line's writes to standard error."""

    def note(self, line: str) -> None:
        """Show one line."""

    def working(self, text: str) -> AbstractContextManager[Any]:
        """Show, until the context is left, that something long is under way."""

    def track(
        self, detections: Iterable[Detection], n_frames: int | None, title: str
    ) -> Iterator[Detection]:
        """Yield detections and show how many of the frames are done."""

    def loggers(self, title: str) -> tuple[Any, ...]:
        """Return loggers for a :class:`~sfumato.Trainer` that show its epochs."""


class Silent:
    """A display that shows nothing."""

    def note(self, line: str) -> None:
        """Drop the line."""

    def working(self, text: str) -> AbstractContextManager[Any]:
        """Return a context that does nothing."""
        return nullcontext()

    def track(
        self, detections: Iterable[Detection], n_frames: int | None, title: str
    ) -> Iterator[Detection]:
        """Yield the detections."""
        yield from detections

    def loggers(self, title: str) -> tuple[Any, ...]:
        """Return no loggers."""
        return ()


SILENT = Silent()


def show_epochs(estimator: Any, progress: Display, title: str) -> None:
    """Let a display show the epochs of an estimator with a trainer; else its own loggers stay."""
    loggers = progress.loggers(title)
    if loggers:
        estimator.set_params(trainer__loggers=loggers)
