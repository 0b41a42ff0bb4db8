"""Progress of a fit: a bar on a terminal, plain lines elsewhere, on standard error."""

from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """A logger that shows every epoch.

    Parameters
    ----------
    title : str
        What is being fitted.
    """

    def __init__(self, title: str = "fit") -> None:
        self.title = title
        self._label = title
        self._max_epochs = 0
        self._console: Console | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        self._console = Console(stderr=True)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._console = self._bar = None

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Start showing."""
        self._label = " ".join(filter(None, (self.title, params.get("phase", ""))))
        self._max_epochs = params["max_epochs"]
        if self._console is not None and self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Bar(*columns, TimeRemainingColumn(), console=self._console)
            self._bar.add_task(self._label, total=self._max_epochs, completed=params["start"])
            self._bar.start()

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Show one epoch."""
        if self._bar is not None:
            loss = f"{self._label} loss {metrics['loss']:.4g}"
            self._bar.update(self._bar.task_ids[0], completed=step, description=loss)
        elif self._console is not None:
            line = f"{self._label} epoch {step}/{self._max_epochs} loss {metrics['loss']:.4g}"
            self._console.print(line, highlight=False)


class Labelled:
    """A logger of one phase of a fit.

    Parameters
    ----------
    logger : object with ``log_hyperparams`` and ``log_metrics``
    phase : str
        Reaches ``log_hyperparams`` under that name.
    """

    def __init__(self, logger: Any, phase: str) -> None:
        self.logger = logger
        self.phase = phase

    def __enter__(self) -> "Labelled":
        if isinstance(self.logger, AbstractContextManager):
            self.logger.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        if isinstance(self.logger, AbstractContextManager):
            self.logger.__exit__(*failure)

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Pass the settings on, with the phase."""
        self.logger.log_hyperparams(params | {"phase": self.phase})

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Pass the record of an epoch on."""
        self.logger.log_metrics(metrics, step)
