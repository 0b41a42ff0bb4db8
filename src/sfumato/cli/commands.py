"""All commands, in modules whose heavy imports wait until one runs, so that --help is quick."""

import click

from sfumato.cli.model_commands import (
    compare,
    describe,
    evaluate,
    fit,
    impute,
    predict,
    profile,
    reconstruct,
    report,
    sample,
    score,
    transform,
)
from sfumato.cli.options import json_option, plain_messages
from sfumato.cli.picture_commands import colorize, denoise, inpaint, upscale
from sfumato.cli.video_commands import detect, events

NEXT = (
    "sfumato report {out}/mixture-vae                       the page of the mixture alone",
    "sfumato predict {out}/mixture-vae digits --out c.csv   the cluster of every row",
    "sfumato profile {out}/mixture-vae                      what the clusters are",
    "sfumato sample {out}/mixture-vae -n 100 --out new.npy  handwriting that nobody wrote",
    "sfumato fit mixture-vae YOUR_DATA --out run            a folder of images, .npy, .csv, ...",
    "sfumato detect YOUR_VIDEO --out result                 what changes in a video, and when",
    "sfumato compare YOUR_DATA --models gmvae,kmeans        one table, several models",
    "sfumato models; sfumato datasets                       what there is",
)


@click.command()
@click.argument("model", required=False)
@json_option
@plain_messages
def models(model: str | None, as_json: bool) -> None:
    """List the models and what each can do, or the settings of MODEL with their defaults."""
    from sfumato.cli import output
    from sfumato.estimators import all_models
    from sfumato.jobs.settings import settings_of

    if model is not None:
        settings = settings_of(model)
        if as_json:
            output.emit({name: str(value) for name, value in settings.items()})
        else:
            output.print_pairs(settings, f"Settings of {model}, each as --set NAME=VALUE")
        return
    entries = all_models()
    if as_json:
        output.emit(
            {
                name: {"summary": entry.summary, "operations": sorted(entry.operations)}
                for name, entry in entries.items()
            }
        )
        return
    rows = [
        (name, entry.summary, ", ".join(sorted(entry.operations - {"density"})))
        for name, entry in entries.items()
    ]
    output.print_columns(("model", "what it is", "commands"), rows)


@click.command()
@json_option
def datasets(as_json: bool) -> None:
    """List the named data sets."""
    from sfumato.cli import output
    from sfumato.data import DATASETS, declared_data

    known = {name: spec.summary for name, spec in DATASETS.items()}
    known |= {name: f"of {point.value}" for name, point in declared_data().items()}
    if as_json:
        output.emit(known)
    else:
        output.print_columns(("data set", "what it is"), list(known.items()))


@click.command()
@click.option("--out", default="sfumato-demo", show_default=True, metavar="DIR")
@json_option
@plain_messages
def demo(out: str, as_json: bool) -> None:
    """Cluster real handwriting in under a minute, with nothing to download."""
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.jobs.compare import as_dict
    from sfumato.jobs.demonstration import SEEDS, run_demo

    found = run_demo(out, progress=Terminal(epoch_lines=False))
    if as_json:
        summary = {"report": str(found.report), "seconds": found.seconds}
        output.emit(summary | {"table": as_dict(found.table), "video": found.video})
        return
    title = f"Handwritten digits, {found.n_rows} test rows, {len(SEEDS)} seeds"
    output.print_table(found.table, title)
    output.say(
        f"\nDigits that move over a photograph, found without labels: F "
        f"{found.video['f_measure']:.3f}, temporal median {found.video['median_f_measure']:.3f}"
    )
    output.say(f"\nReport: {found.report}   ({found.seconds:.0f} s)")
    output.say(f"Video:  {found.video_report}\n\nTry next:")
    for line in NEXT:
        output.say("  " + line.format(out=out))


COMMANDS = (
    demo,
    detect,
    events,
    denoise,
    inpaint,
    upscale,
    colorize,
    describe,
    fit,
    evaluate,
    predict,
    profile,
    transform,
    score,
    sample,
    reconstruct,
    impute,
    compare,
    report,
    models,
    datasets,
)
