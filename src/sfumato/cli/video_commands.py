"""The commands that find changes in video."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sfumato.cli.options import json_option, plain_messages

rules_options = (
    click.option("--event-threshold", type=float, help="Least share of a frame that changed."),
    click.option("--min-length", type=float, default=0.0, help="Least seconds of an event."),
    click.option("--merge", type=float, default=1.0, help="Seconds between events that are one."),
)


def _with_rules(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(rules_options):
        command = option(command)
    return command


def _rules(event_threshold: float | None, min_length: float, merge: float) -> Any:
    from sfumato.video import EventRules

    return EventRules(threshold=event_threshold, min_length=min_length, merge_window=merge)


@click.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--out", required=True, metavar="DIR")
@click.option(
    "--method",
    type=click.Choice(["sfumato", "median", "mog2", "knn"]),
    default="sfumato",
    show_default=True,
    help="Ours, or a classical one beside it.",
)
@click.option("--model", metavar="DIR", help="Fit nothing: take the model of a detection.")
@click.option("--groundtruth", metavar="DIR", help="A CDnet groundtruth folder to score against.")
@click.option("--roi", metavar="IMAGE", help="Only where this image is not black.")
@click.option("--background", metavar="IMAGE", help="The empty scene, set by hand.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Of the probability; usually 0.5.")
@click.option("--min-area", type=click.IntRange(0), help="Least pixels of an object.")
@click.option("--max-area", type=click.IntRange(1), help="Most pixels of an object.")
@click.option("--adapt", is_flag=True, help="Follow slow changes of the background.")
@click.option(
    "--absorb-after",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="What stands so long is background.",
)
@_with_rules
@click.option("--overwrite", is_flag=True, help="Replace the detection that DIR holds.")
@json_option
@plain_messages
def detect(
    videos: tuple[str, ...],
    out: str,
    method: str,
    model: str | None,
    groundtruth: str | None,
    event_threshold: float | None,
    min_length: float,
    merge: float,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Find what changes in VIDEO: a file, a folder of frames, a camera's number or an address."""
    from sfumato.cli import output
    from sfumato.cli.terminal import Terminal
    from sfumato.jobs.detection import REPORT, detect_videos

    summaries = detect_videos(
        videos,
        out,
        method=method,
        model=model,
        groundtruth=groundtruth,
        rules=_rules(event_threshold, min_length, merge),
        overwrite=overwrite,
        progress=Terminal(),
        # An absent flag is False, and leaves the setting of a loaded model as it is.
        **{name: value for name, value in settings.items() if value is not False},
    )
    if as_json:
        found = list(summaries.values())
        output.emit({"out": out, **found[0]} if len(found) == 1 else {"out": out, "videos": found})
        return
    for name, summary in summaries.items():
        output.print_pairs(summary, name)
    output.say(f"Report: {Path(out) / REPORT}")


@click.command()
@click.argument("folder", metavar="DIR")
@_with_rules
@json_option
@plain_messages
def events(
    folder: str, event_threshold: float | None, min_length: float, merge: float, as_json: bool
) -> None:
    """Find the events of a detection in DIR anew, by other rules; the video is not decoded."""
    from sfumato.cli import output
    from sfumato.jobs.detection import update_events

    found = update_events(folder, rules=_rules(event_threshold, min_length, merge))
    if as_json:
        output.emit({"events": [vars(event) for event in found]})
        return
    for event in found:
        output.say(f"{event.start:9.2f} to {event.end:9.2f} s, {100 * event.peak_score:.2f} %")
    output.say(f"{len(found)} events")
