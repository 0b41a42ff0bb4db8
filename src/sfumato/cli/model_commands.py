"""The commands that fit models, ask them and set them side by side."""

import shlex
from typing import Any

import click

from sfumato.cli.options import (
    epochs_option,
    json_option,
    model_settings,
    plain_messages,
    set_option,
    trust_option,
)

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
        background=background,
        resume=resume,
        overwrite=overwrite,
        command=shlex.join(["sfumato", *click.get_current_context().obj]),
        progress=Terminal(),
    )
    last = run.last_epoch
    if as_json:
        output.emit({"run": out, **run.record, "last_epoch": last})
        return
    shown = {name: last[name] for name in ("epoch", "loss", *run.terms) if name in last}
    shown |= {"seconds": run.record["seconds"], "CPU seconds": run.record["cpu_seconds"]}
    output.print_pairs(shown, f"{model} fitted to {data}")
    output.say(f"Saved in {out}. Next: sfumato evaluate {out}")


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@samples_option
@trust_option
@json_option
@plain_messages
def evaluate(
    run: str, data: str | None, samples: int, trust: tuple[str, ...], as_json: bool
) -> None:
    """Measure RUN on its data's test rows (all rows where there is no test split), or on DATA."""
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.jobs.evaluation import evaluate_run

    found = evaluate_run(run, data, n_samples=samples, trust=trust, progress=Terminal())
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
    @click.option("--out", required=True, metavar="FILE", help="A .npy, .npz or .csv file.")
    @trust_option
    @json_option
    @plain_messages
    def command(
        run: str, data: str | None, out: str, trust: tuple[str, ...], as_json: bool
    ) -> None:
        from sfumato.jobs.rows import compute_rows

        _print_array(compute_rows(operation, run, data, out=out, trust=trust), out, as_json)

    return command


def _print_array(array: Any, out: str, as_json: bool) -> None:
    from sfumato.cli import output

    if as_json:
        output.emit({"out": out, "shape": list(array.shape), "dtype": str(array.dtype)})
    else:
        shape = " x ".join(map(str, array.shape))
        output.say(f"Wrote {shape} {array.dtype} to {out}")


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
@click.option("--out", required=True, metavar="FILE", help="A .npy, .npz or .csv file.")
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
        out=out,
        seed=seed,
        component=component,
        condition=condition,
        trust=trust,
    )
    _print_array(rows, out, as_json)


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
) -> None:
    """Write RUN/report.html: what was asked, what was learned, how good it is."""
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.jobs.pages import report_run

    path = report_run(run, data, n_samples=samples, trust=trust, progress=Terminal())
    if as_json:
        output.emit({"report": str(path)})
    else:
        output.say(f"Wrote {path}")
    if open_page:
        click.launch(str(path))
