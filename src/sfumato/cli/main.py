"""Entry point: groups the commands and turns every failure into one sentence and a status."""

import os
import re
import sys
from collections.abc import Sequence

import click

from sfumato import __version__
from sfumato.cli import commands

FAILED, USAGE, INTERRUPTED = 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sfumato")
def sfumato() -> None:
    """Learn codes, clusters and densities from unlabelled images and tables.

    Start with `sfumato demo`. Add --debug to any command for a full traceback.
    """


for command in commands.COMMANDS:
    sfumato.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0, 1 (failed), 2 (usage) or 130 (interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    # Threads that wait spin only briefly before they sleep: on busy cores that is several times
    # faster, on idle ones no slower. It must be set before torch is loaded, which commands do.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    sys.exit(_run([word for word in words if word != "--debug"], debug))


def _run(words: list[str], debug: bool) -> int:
    try:
        sfumato.main(words, prog_name="sfumato", standalone_mode=False, obj=words)
    except click.UsageError as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "Interrupted. A fit continues with --resume, a training with --model when repeated.",
            err=True,
        )
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The reader of our output has gone (`sfumato models | head`), which click and rich answer
        # with SystemExit: not a failure. What is still to be flushed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        click.echo(f"Error: {_sentence(error)}", err=True)
        return FAILED
    return 0


def _sentence(error: Exception) -> str:
    # torch has no exception of its own for the processor's memory.
    if isinstance(error, MemoryError) or re.search("allocate memory|out of memory", str(error)):
        return "not enough memory; use fewer rows, a smaller model or a smaller batch_size."
    lines = str(error).strip().splitlines()
    return lines[0] if lines else f"{type(error).__name__}; run again with --debug to see where."
