"""Progress of a fit: a bar on a terminal, plain lines elsewhere, on standard error."""

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
        self.console = Console(stderr=True)
        self.max_epochs = 0
        self._bar: Bar | None = None

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Start showing."""
        self.max_epochs = params["max_epochs"]
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Bar(*columns, TimeRemainingColumn(), console=self.console)
            self._bar.add_task(self.title, total=self.max_epochs, completed=params["start"])
            self._bar.start()

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Show one epoch."""
        line = f"{self.title} epoch {step}/{self.max_epochs} loss {metrics['loss']:.4g}"
        if self._bar is None:
            self.console.print(line, highlight=False)
            return
        task = self._bar.task_ids[0]
        self._bar.update(
            task, completed=step, description=f"{self.title} loss {metrics['loss']:.4g}"
        )
        if step == self.max_epochs:
            self.close()

    def close(self) -> None:
        """Stop showing, wherever the fit stands."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
