"""The commands that fit models, ask them and set them side by side."""

import shlex
import sys
from typing import Any

import click

from sfumato.cli.options import (
    epochs_option,
    json_option,
    model_settings,
    out_option,
    plain_messages,
    set_option,
    table_options,
    trust_option,
)

# Clusters that a terminal has room for side by side.
MOST_CLUSTERS = 6
samples_option = click.option(
    "--samples",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Importance samples for each row's likelihood.",
)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--out", required=True, metavar="RUN", help="Folder of the run.")
@set_option
@click.option("--config", metavar="FILE", help="Settings in a TOML file.")
@epochs_option
@click.option("--seed", default=0, show_default=True)
@click.option("--labels", is_flag=True, help="Learn from the data's labels too, if MODEL can.")
@table_options
@click.option("--background", metavar="DATA", help="Rows without what is salient, if MODEL can.")
@click.option("--resume", is_flag=True, help="Continue an interrupted or a shorter run.")
@click.option("--overwrite", is_flag=True, help="Delete the run that the folder holds.")
@json_option
@plain_messages
def fit(
    model: str,
    data: str,
    out: str,
    settings: tuple[str, ...],
    config: str | None,
    epochs: int | None,
    seed: int,
    labels: bool,
    background: str | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    table: dict[str, Any],
) -> None:
    """Fit MODEL to DATA: a file, a folder, or a data set's name."""
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.jobs.fitting import fit_run

    run = fit_run(
        model,
        data,
        out,
        settings=model_settings(settings, config, epochs),
        seed=seed,
        labels=labels,
        **table,
        background=background,
        resume=resume,
        overwrite=overwrite,
        command=shlex.join(["sfumato", *click.get_current_context().obj]),
        progress=Terminal(),
    )
    last = run.last_epoch
    record = {name: value for name, value in run.record.items() if name != "table"}
    if as_json:
        output.emit({"run": out, **record, "last_epoch": last})
        return
    if "columns" in record:
        output.say(f"Columns: {record['columns']}")
    shown = {name: last[name] for name in ("epoch", "loss", *run.terms) if name in last}
    shown |= {"seconds": run.record["seconds"], "CPU seconds": run.record["cpu_seconds"]}
    output.print_pairs(shown, f"{model} fitted to {data}")
    output.say(f"Saved in {out}. Next: sfumato evaluate {out}")


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@samples_option
@table_options
@trust_option
@json_option
@plain_messages
def evaluate(
    run: str,
    data: str | None,
    samples: int,
    trust: tuple[str, ...],
    as_json: bool,
    table: dict[str, Any],
) -> None:
    """Measure RUN on its data's test rows (all rows where there is no test split), or on DATA."""
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.jobs.evaluation import evaluate_run

    found = evaluate_run(run, data, n_samples=samples, **table, trust=trust, progress=Terminal())
    if as_json:
        output.emit({"run": run, **vars(found)})
        return
    for model, measures in {"model": found.measures, **found.baselines}.items():
        output.print_pairs(measures, f"{model} on {found.n_rows} {found.rows} of {found.data}")


def _computing(operation: str, help_text: str) -> click.Command:
    """Make a command that writes one array for the rows of some data."""

    @click.command(operation, help=help_text)
    @click.argument("run")
    @click.argument("data", required=False)
    @out_option
    @table_options
    @trust_option
    @json_option
    @plain_messages
    def command(
        run: str,
        data: str | None,
        out: str,
        trust: tuple[str, ...],
        as_json: bool,
        table: dict[str, Any],
    ) -> None:
        from sfumato.jobs.rows import compute_rows

        place = _destination(out)
        _print_written(
            compute_rows(operation, run, data, out=place, **table, trust=trust), out, as_json
        )

    return command


def _destination(out: str) -> Any:
    """Return the file that is named, or standard output for a dash."""
    return sys.stdout if out == "-" else out


def _print_written(rows: Any, out: str, as_json: bool) -> None:
    """Say what was written, unless that has gone to standard output itself."""
    from sfumato.cli import output

    if out == "-":
        return
    dtype = str(rows.dtype) if hasattr(rows, "dtype") else "table"
    if as_json:
        output.emit({"out": out, "shape": list(rows.shape), "dtype": dtype})
    else:
        output.say(f"Wrote {' x '.join(map(str, rows.shape))} {dtype} to {out}")


predict = _computing("predict", "Write the cluster or class of every row.")
transform = _computing("transform", "Write the code of every row.")
score = _computing(
    "score", "Write the score of every row: log p(x) in nats; for an autoencoder minus its error."
)
reconstruct = _computing("reconstruct", "Write every row's reconstruction.")


@click.command()
@click.argument("run")
@click.option("-n", "--number", default=100, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--component", type=click.IntRange(0), help="Of a mixture model: only from this one.")
@click.option("--condition", help="Of a conditional model: the class, or attributes as 0.5,1,0.")
@out_option
@trust_option
@json_option
@plain_messages
def sample(
    run: str,
    number: int,
    seed: int,
    component: int | None,
    condition: str | None,
    out: str,
    trust: tuple[str, ...],
    as_json: bool,
) -> None:
    """Generate rows from RUN."""
    from sfumato.jobs.rows import sample_rows

    rows = sample_rows(
        run,
        number,
        out=_destination(out),
        seed=seed,
        component=component,
        condition=condition,
        trust=trust,
    )
    _print_written(rows, out, as_json)


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@out_option
@click.option(
    "--draws", type=click.IntRange(1), help="Write this many draws, FILE-1 and so on, for FILE."
)
@click.option("--seed", default=0, show_default=True, help="Of the draws.")
@trust_option
@json_option
@plain_messages
def impute(
    run: str,
    data: str | None,
    out: str,
    draws: int | None,
    seed: int,
    trust: tuple[str, ...],
    as_json: bool,
) -> None:
    """Fill the missing cells of RUN's data, or of DATA, from what is observed in their rows."""
    from sfumato.jobs.rows import impute_rows

    place = _destination(out)
    found = impute_rows(run, data, out=place, n_draws=draws, seed=seed, trust=trust)
    _print_written(found if draws is None else found[0], out, as_json)


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@click.option(
    "--out", metavar="FILE", help="Table of clusters and columns: .csv or .parquet, or -."
)
@table_options
@trust_option
@json_option
@plain_messages
def profile(
    run: str,
    data: str | None,
    out: str | None,
    trust: tuple[str, ...],
    as_json: bool,
    table: dict[str, Any],
) -> None:
    """Tell what the clusters of RUN are: sizes, columns that set them apart, rows to look at."""
    from sfumato.cli import output
    from sfumato.jobs.profiles import profile_run

    place = None if out is None else _destination(out)
    found = profile_run(run, data, out=place, **table, trust=trust)
    if out == "-":
        return
    if as_json:
        output.emit({"run": run, **found.to_dict()})
        return
    for sentence in found.sentences():
        output.say(sentence)
    if found.columns:
        output.say(
            "\nIn brackets: deviations from the mean of all rows. nats: what a column tells."
        )
        output.print_columns(*found.table())
    for name in ("nearest", "farthest", "doubtful"):
        rows = {f"cluster {k}": _rows(of) for k, of in enumerate(getattr(found, name))}
        output.print_pairs(rows, f"\nRows that are {name}:")
    if out is not None:
        output.say(f"Wrote {out}")


def _rows(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"


@click.command()
@click.argument("data")
@table_options
@json_option
@plain_messages
def describe(data: str, as_json: bool, table: dict[str, Any]) -> None:
    """List the columns of DATA: their kinds and values, and what a fit would make of them."""
    from dataclasses import asdict

    from sfumato.cli import output
    from sfumato.jobs.describe import describe_data

    found = describe_data(data, **table)
    if as_json:
        output.emit(asdict(found))
        return
    output.say(f"{found.name}: {found.summary}")
    if found.columns:
        rows = [
            (c.name, c.kind, c.values, f"{100 * c.missing:.3g}", c.unit or "", c.use)
            for c in found.columns
        ]
        output.print_columns(("column", "kind", "values", "missing %", "unit", "use"), rows)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise click.UsageError(f"--seeds takes numbers such as 0,1,2; got {text!r}.") from None


@click.command()
@click.argument("data")
@click.option(
    "--models", default="vae,autoencoder,pca,kmeans,gmm", show_default=True, metavar="A,B,C"
)
@click.option("--seeds", default="0,1,2", show_default=True, metavar="0,1,2")
@click.option("--out", metavar="DIR", help="Folder for the table, the figure and the page.")
@click.option(
    "--rows",
    type=click.Choice(["split", "all"]),
    default="split",
    show_default=True,
    help="Evaluate on rows held out of the fit, or fit to all rows and evaluate on them.",
)
@table_options
@set_option
@epochs_option
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Importance samples for each row.",
)
@json_option
@plain_messages
def compare(
    data: str,
    models: str,
    seeds: str,
    out: str | None,
    rows: str,
    settings: tuple[str, ...],
    epochs: int | None,
    samples: int,
    as_json: bool,
    table: dict[str, Any],
) -> None:
    """Fit several models with several seeds to DATA and put them into one table.

    Rows are evaluated that no model was fitted to, unless --rows all joins training and test rows
    for both. A setting goes to every model that has it.
    """
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.jobs.compare import as_dict, compare_models

    found = compare_models(
        data,
        [name.strip() for name in models.split(",")],
        _numbers(seeds),
        out=out,
        rows=rows,
        settings=model_settings(settings, None, epochs),
        **table,
        n_samples=samples,
        progress=Terminal(epoch_lines=False),
    )
    if as_json:
        output.emit({"data": data, "rows": found.rows, "table": as_dict(found.table)})
        return
    output.print_table(found.table, found.title)
    if out is not None:
        output.say(f"Written to {out}/report.html")


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@samples_option
@table_options
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@trust_option
@json_option
@plain_messages
def report(
    run: str,
    data: str | None,
    samples: int,
    open_page: bool,
    trust: tuple[str, ...],
    as_json: bool,
    table: dict[str, Any],
) -> None:
    """Write RUN/report.html: what was asked, what was learned, how good it is."""
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.jobs.pages import report_run

    path = report_run(run, data, n_samples=samples, **table, trust=trust, progress=Terminal())
    if as_json:
        output.emit({"report": str(path)})
    else:
        output.say(f"Wrote {path}")
    if open_page:
        click.launch(str(path))
