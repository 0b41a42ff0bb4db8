"""What commands share: options, settings, and messages as single lines."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
set_option = click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the model."
)
trust_option = click.option(
    "--trust",
    multiple=True,
    metavar="MODULE:NAME",
    help="Code of another package that the run may name.",
)
epochs_option = click.option("--epochs", type=click.IntRange(1), help="Short for max_epochs.")

out_option = click.option(
    "--out",
    required=True,
    metavar="FILE",
    help="A .npy, .npz, .csv or .parquet file; - is CSV on standard output.",
)


def table_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a table's columns are read, as one argument, ``table``."""

    @click.option(
        "--columns",
        metavar="FILE",
        help="Kinds of columns by name, in a JSON or TOML file; see sfumato describe.",
    )
    @click.option("--drop", metavar="A,B", help="Columns to leave out.")
    @click.option("--id", "row_id", metavar="NAME", help="The column that names the rows.")
    @click.option("--label", metavar="NAME", help="The column of labels, which is no feature.")
    @click.option("--no-label", is_flag=True, help="Read no labels.")
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        columns: str | None,
        drop: str | None,
        row_id: str | None,
        label: str | None,
        no_label: bool,
        **kwargs: Any,
    ) -> None:
        from sfumato.cli import settings as parser

        if no_label and label is not None:
            raise click.UsageError("--label and --no-label exclude each other.")
        table = {
            "columns": parser.read_columns(columns),
            "drop": [name.strip() for name in drop.split(",")] if drop else (),
            "id": row_id,
            "label": False if no_label else label,
        }
        command(*args, table=table, **kwargs)

    return wrapped


def model_settings(
    settings: tuple[str, ...], config: str | None, epochs: int | None
) -> dict[str, Any]:
    """Return the settings of a command line and of a TOML file by name."""
    from sfumato.cli import settings as parser

    chosen = parser.read_config(config) | parser.parse(settings)
    # Exactly this many epochs, without the minimum of steps that adds some for few rows.
    return chosen | ({} if epochs is None else {"max_epochs": epochs, "min_steps": 0})


def plain_messages(command: Callable[..., None]) -> Callable[..., None]:
    """Show warnings as one line on standard error; report a wrong setting as wrong usage."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                command(*args, **kwargs)
            except ValueError as error:
                if _blames_a_setting(error):
                    raise click.UsageError(str(error)) from None
                raise
            finally:
                for text in dict.fromkeys(str(warning.message) for warning in caught):
                    click.echo(f"Warning: {text}", err=True)

    return wrapped


def _blames_a_setting(error: ValueError) -> bool:
    from sfumato.jobs.settings import SettingError

    return isinstance(error, SettingError)
