"""The commands that fit models, ask them and set them side by side."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sfumato.cli.options import (
    epochs_option,
    json_option,
    model_settings,
    plain_messages,
    set_option,
)

samples_option = click.option(
    "--samples",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Importance samples for each row's likelihood.",
)


def _find_model(name: str) -> Any:
    from sfumato.estimators import find_model

    try:
        return find_model(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


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
    entry = _find_model(model)
    if not entry.storable:
        raise click.UsageError(f"A run of {model!r} cannot be saved; `sfumato compare` takes it.")
    if labels and not (entry.supervised or entry.teachable):
        raise click.UsageError(f"The model {model!r} learns from rows alone; leave --labels out.")
    if background is not None and not entry.contrastive:
        raise click.UsageError(f"The model {model!r} takes no background; leave --background out.")
    from sfumato.cli import output, runs
    from sfumato.data import load_data
    from sfumato.jobs.settings import apply_settings

    chosen = model_settings(settings, config, epochs)
    estimator = entry.build(seed if entry.seeded else None)
    apply_settings(estimator, chosen)
    bundle = load_data(data)
    if (entry.supervised or labels) and bundle.y is None:
        who = f"The model {model!r} needs" if entry.supervised else "--labels asks for"
        raise ValueError(f"{who} labels, and the data have none.")
    beside: dict[str, Any] = {"y": bundle.y} if entry.supervised or labels else {}
    if background is not None:
        beside["background"] = load_data(background)
    record = runs.describe(model, data, seed, click.get_current_context().obj)
    with runs.opened(out, resume=resume, overwrite=overwrite) as folder:
        _fit_into(folder, estimator, bundle, beside, record)
    records = estimator.history_.records if entry.deep else []
    last = records[-1] if records else {}
    if as_json:
        output.emit({"run": out, **record, "last_epoch": last})
        return
    shown = {name: last[name] for name in ("epoch", "loss") if name in last}
    shown |= {name: last[name] for name in (estimator.history_.terms if entry.deep else ())}
    shown |= {"seconds": record["seconds"], "CPU seconds": record["cpu_seconds"]}
    output.print_pairs(shown, f"{model} fitted to {data}")
    output.say(f"Saved in {out}. Next: sfumato evaluate {out}")


def _fit_into(
    folder: Path, estimator: Any, bundle: Any, beside: dict[str, Any], record: dict[str, Any]
) -> None:
    """Fit and save, with what is known of the run beside it from the start."""
    from sfumato.cli import runs
    from sfumato.estimators import as_float, entry_of, save
    from sfumato.training import Progress

    deep = entry_of(estimator).deep
    runs.write_json(folder, runs.RUN, record)
    if deep:
        loggers = (Progress(record["model"]),)
        estimator.set_params(trainer__checkpoint=str(folder), trainer__loggers=loggers)
    start, cpu = time.perf_counter(), time.process_time()
    estimator.fit(bundle if deep else as_float(bundle.X), **beside)
    record["seconds"] = round(time.perf_counter() - start, 3)
    record["cpu_seconds"] = round(time.process_time() - cpu, 3)
    save(estimator, folder)
    runs.write_json(folder, runs.RUN, record)


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@samples_option
@json_option
@plain_messages
def evaluate(run: str, data: str | None, samples: int, as_json: bool) -> None:
    """Measure RUN on its data's test rows (all rows where there is no test split), or on DATA."""
    from sfumato.cli import output, runs
    from sfumato.data import load_data
    from sfumato.estimators import load
    from sfumato.evaluation import as_fitted, measure_beside

    estimator = load(run)
    name = runs.data_of(run, data)
    split = as_fitted(load_data(name))
    with output.working(f"Measuring {len(split.X_eval)} rows, {samples} samples each"):
        results = measure_beside(estimator, split, n_samples=samples)
    summary = {"run": run, "data": name, "rows": split.rows, "n_rows": len(split.X_eval)}
    if as_json:
        baselines = {name: found for name, found in results.items() if name != "model"}
        output.emit(summary | {"measures": results["model"], "baselines": baselines})
    else:
        for model, measures in results.items():
            output.print_pairs(measures, f"{model} on {len(split.X_eval)} {split.rows} of {name}")
    if data is None:
        runs.write_json(Path(run), runs.METRICS, output.finite(results))


def _computing(
    name: str, help_text: str, compute: Callable[[Any, Any], Any], operation: str
) -> click.Command:
    """Make a command that writes one array for the rows of some data."""

    @click.command(name, help=help_text)
    @click.argument("run")
    @click.argument("data", required=False)
    @click.option("--out", required=True, metavar="FILE", help="A .npy, .npz or .csv file.")
    @json_option
    @plain_messages
    def command(run: str, data: str | None, out: str, as_json: bool) -> None:
        from sfumato.cli import output, runs
        from sfumato.data import load_data
        from sfumato.estimators import as_float, load

        writer = output.array_writer(out)
        estimator = load(run)
        _require(estimator, operation, name)
        result = compute(estimator, as_float(load_data(runs.data_of(run, data)).X))
        output.write(out, writer(result))
        _report_array(result, out, as_json)

    return command


def _require(estimator: Any, operation: str, command: str) -> None:
    from sfumato.estimators import MODELS, operations_of

    if operation not in operations_of(estimator):
        able = ", ".join(
            name for name, e in MODELS.items() if e.storable and operation in e.operations
        )
        # What an estimator has a method for and yet cannot do, labels would have taught it.
        taught = operation == "predict" and hasattr(estimator, "predict")
        unless = " unless fitted with --labels" if taught else ""
        name = type(estimator).__name__
        raise ValueError(f"{name} cannot {command}{unless}; models that can: {able}.")


def _report_array(array: Any, out: str, as_json: bool) -> None:
    from sfumato.cli import output

    if as_json:
        output.emit({"out": out, "shape": list(array.shape), "dtype": str(array.dtype)})
    else:
        shape = " x ".join(map(str, array.shape))
        output.say(f"Wrote {shape} {array.dtype} to {out}")


def _reconstruct(estimator: Any, X: Any) -> Any:
    from sfumato.estimators import reconstruct

    return reconstruct(estimator, X)


predict = _computing(
    "predict", "Write the cluster or class of every row.", lambda m, X: m.predict(X), "predict"
)
transform = _computing(
    "transform", "Write the code of every row.", lambda m, X: m.transform(X), "transform"
)
score = _computing(
    "score",
    "Write the score of every row: log p(x) in nats; for an autoencoder minus its error.",
    lambda m, X: m.score_samples(X),
    "score",
)
reconstruct = _computing(
    "reconstruct", "Write every row's reconstruction.", _reconstruct, "reconstruct"
)


@click.command()
@click.argument("run")
@click.option("-n", "--number", default=100, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--component", type=click.IntRange(0), help="Of a mixture model: only from this one.")
@click.option("--condition", help="Of a conditional model: the class, or attributes as 0.5,1,0.")
@click.option("--out", required=True, metavar="FILE", help="A .npy, .npz or .csv file.")
@json_option
@plain_messages
def sample(
    run: str,
    number: int,
    seed: int,
    component: int | None,
    condition: str | None,
    out: str,
    as_json: bool,
) -> None:
    """Generate rows from RUN."""
    from sfumato.cli import output
    from sfumato.estimators import load
    from sfumato.estimators import sample as draw

    writer = output.array_writer(out)
    estimator = load(run)
    _require(estimator, "sample", "sample")
    rows = draw(estimator, number, seed, component, condition)
    output.write(out, writer(rows))
    _report_array(rows, out, as_json)


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
    names = [name.strip() for name in models.split(",")]
    for name in names:
        _find_model(name)
    from sfumato.artifacts import make_directory
    from sfumato.cli import output, tables
    from sfumato.data import load_data
    from sfumato.evaluation import PROTOCOLS, tabulate

    chosen = model_settings(settings, None, epochs)
    numbers = _numbers(seeds)
    folder = None if out is None else make_directory(out)
    split = PROTOCOLS[rows](load_data(data))
    results = tables.compare(split, names, numbers, chosen, samples)
    table = tabulate(results)
    title = f"{data}: {len(split.X_eval)} {split.rows}, {len(numbers)} seed(s)"
    if folder is not None:
        tables.write(folder, table, title)
    if as_json:
        output.emit({"data": data, "rows": split.rows, "table": output.as_dict(table)})
        return
    output.print_table(table, title)
    if folder is not None:
        output.say(f"Written to {out}/report.html")


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@samples_option
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@json_option
@plain_messages
def report(run: str, data: str | None, samples: int, open_page: bool, as_json: bool) -> None:
    """Write RUN/report.html: what was asked, what was learned, how good it is."""
    from sfumato.cli import output, pages

    path = pages.write_run_report(run, data, samples)
    if as_json:
        output.emit({"report": str(path)})
    else:
        output.say(f"Wrote {path}")
    if open_page:
        click.launch(str(path))
