"""`sfumato detect` and `sfumato events`: from videos to masks, scores, events and a page."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from sfumato.artifacts import ArtifactError, make_directory, read_json, replace_file, to_json
from sfumato.cli import output
from sfumato.data import (
    DataError,
    GroundTruth,
    Video,
    open_video,
    read_groundtruth,
    read_picture,
    write_image,
)
from sfumato.loading import load
from sfumato.metrics import Counts, count_pixels
from sfumato.report import page
from sfumato.report.video import PANELS, detection_page, panels
from sfumato.video import (
    ChangeDetector,
    Detection,
    Event,
    EventRules,
    FrameScore,
    Subtraction,
    find_events,
    read_scores,
    write_events_csv,
    write_events_json,
)
from sfumato.video.recording import MASKS, OVERLAY, SCORES, Recording, tracked

SUMMARY, REPORT, MODEL = "summary.json", "report.html", "model"
RESULTS = (
    *(SCORES, OVERLAY, SUMMARY, REPORT, PANELS),
    *("background.png", "events.csv", "events.json"),
)
# Frames that are shown with everything that is known of them.
N_PANELS = 4
PANEL_WIDTH = 360


@dataclass
class Found:
    """What a detection gathers on its way."""

    recording: Recording
    truth: GroundTruth | None
    shown: set[int]
    counts: Counts | None = None
    rows: list[dict[str, np.ndarray]] = field(default_factory=list)

    def add(self, detection: Detection, video: Video, detector: Any) -> None:
        """Take in one frame, as the detector is after it."""
        number = video.number(detection.frame.index)
        label = None
        if self.truth is not None and number in self.truth.frames:
            label = self.truth.load(number)
            counted = count_pixels(detection.mask, label, self.truth.roi)
            self.counts = counted if self.counts is None else self.counts + counted
        position = len(self.recording.scores)
        self.recording.add(detection)
        if position in self.shown:
            background = _background(detector)
            self.rows.append(_row(detection, background, label))


def folders(videos: Sequence[str], out: Path) -> list[Path]:
    """Return the folder of each video: ``out`` itself for one, else one within it for each."""
    if len(videos) == 1:
        return [out]
    names = [
        Path(video).resolve().stem if Path(video).exists() else f"video{i}"
        for i, video in enumerate(videos, 1)
    ]
    repeated = len(set(names)) < len(names)
    return [out / (f"{i}-{name}" if repeated else name) for i, name in enumerate(names, 1)]


def make_detector(method: str, model: str | None, settings: dict[str, Any]) -> Any:
    """Return the detector of a method, with the settings of the command line.

    Parameters
    ----------
    method : "sfumato", or one of the classical ones
    model : str, optional
        Folder of a detection, or of a detector that was saved: nothing is fitted.
    settings : dict

    Raises
    ------
    ValueError
        If a method is given a setting that it does not have.
    ArtifactError
        If the model cannot be loaded.
    """
    given = {n: v for n, v in settings.items() if v is not None and v is not False}
    for name in given.keys() & {"roi", "background"}:
        given[name] = read_picture(given[name])
    if method != "sfumato":
        _refuse(method, given.keys() - {"roi"} if model is None else {"model"})
        return Subtraction(method, given.get("roi"))
    if model is None:
        return ChangeDetector(**given)
    _refuse("a fitted model", given.keys() & {"background"})
    detector = load(model)
    if not isinstance(detector, ChangeDetector):
        raise ArtifactError(f"{model!r} holds no model of a detection.")
    return detector.set_params(**given)


def _refuse(what: str, settings: set[str]) -> None:
    if settings:
        raise ValueError(f"{what} takes no --{min(settings).replace('_', '-')}.")


def detect(
    source: str,
    folder: Path,
    detector: Any,
    rules: EventRules,
    *,
    groundtruth: str | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Detect in one video, write everything into its folder, and return the summary.

    Raises
    ------
    ArtifactError
        If the folder holds a detection already.
    DataError
        If the video or the truth cannot be read.
    """
    start = time.perf_counter()
    video = open_video(source)
    truth = None if groundtruth is None else read_groundtruth(groundtruth)
    shown = _shown(video, truth)
    _prepare(folder, Path(source), overwrite=overwrite)
    found = Found(Recording(folder, video.frame_rate, video.size), truth, shown)
    bounds = _record(found, video, detector)
    if isinstance(detector, ChangeDetector):
        write_image(folder / "background.png", detector.model_.background_)
        detector.save(folder / MODEL)
    if found.rows:
        replace_file(folder / PANELS, page.png(panels(found.rows)))
    return _finish(folder, video, found, rules, bounds, time.perf_counter() - start)


def _prepare(folder: Path, source: Path, *, overwrite: bool) -> None:
    """Make the folder of a detection, or clear it of an old one; nothing else is deleted."""
    if source.resolve() in {(folder / name).resolve() for name in ("", MASKS, *RESULTS)}:
        raise ArtifactError(
            f"{str(folder)!r} is the video itself, or holds it among results; choose another "
            "folder."
        )
    old = (folder / SCORES).exists()
    if not overwrite and (old or any((folder / MASKS).glob("*"))):
        what = "a detection" if old else "masks"
        raise ArtifactError(
            f"{str(folder)!r} already holds {what}; add --overwrite or choose another folder."
        )
    make_directory(folder)
    if old:
        for name in RESULTS:
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / MODEL, ignore_errors=True)


def _record(found: Found, video: Video, detector: Any) -> dict[str, float]:
    """Detect in all frames, and return the bounds of the fit if there was one.

    Whoever stops a stream has seen enough of it, and gets the results so far.
    """
    fitted = hasattr(detector, "model_")
    with found.recording.opened():
        detections = _detections(detector, video)
        try:
            for detection in tracked(detections, video.n_frames, f"detect {video.name}"):
                found.add(detection, video, detector)
        except KeyboardInterrupt:
            if video.n_frames is not None or not found.recording.scores:
                raise
    return {} if fitted else _bounds(detector)


def _detections(detector: Any, video: Video) -> Any:
    if video.n_frames is None and isinstance(detector, ChangeDetector):
        return detector.stream(video)
    if hasattr(detector, "model_"):
        return detector.detect(video)
    with output.working(f"Learning the background of {video.name}"):
        detector.fit(video)
    return detector.detect(video)


def _background(detector: Any) -> np.ndarray | None:
    return detector.model_.background_ if isinstance(detector, ChangeDetector) else None


def _bounds(detector: Any) -> dict[str, float]:
    if not isinstance(detector, ChangeDetector):
        return {}
    return {f"bound_{step}": value for step, value in detector.model_.bounds_.items()}


def _finish(
    folder: Path,
    video: Video,
    found: Found,
    rules: EventRules,
    bounds: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    scores = found.recording.scores
    events = write_events(folder, scores, rules)
    measures = {} if found.counts is None else found.counts.measures()
    summary = {
        "video": video.name,
        "frames": len(scores),
        "width": video.size[1],
        "height": video.size[0],
        "seconds": seconds,
        "frames_per_second": len(scores) / max(seconds, 1e-9),
        "events": len(events),
        **bounds,
        **measures,
    }
    _write_page(folder, summary, scores, rules)
    return summary


def _write_page(
    folder: Path, summary: dict[str, Any], scores: Sequence[FrameScore], rules: EventRules
) -> None:
    replace_file(folder / SUMMARY, to_json(output.finite(summary)))
    replace_file(folder / REPORT, detection_page(folder, summary, scores, rules).encode())


def write_events(folder: Path, scores: Sequence[FrameScore], rules: EventRules) -> list[Event]:
    """Find the events of a table of scores and write them as CSV and JSON."""
    events = find_events(scores, rules)
    write_events_csv(folder / "events.csv", events)
    write_events_json(folder / "events.json", events)
    return events


def again(folder: Path, rules: EventRules) -> list[Event]:
    """Find the events of a finished detection anew; the video is not needed."""
    scores = read_scores(folder / SCORES)
    events = write_events(folder, scores, rules)
    if (folder / SUMMARY).exists():
        summary = {**read_json(folder / SUMMARY), "events": len(events)}
        _write_page(folder, summary, scores, rules)
    return events


def _shown(video: Video, truth: GroundTruth | None) -> set[int]:
    """Return the frames that are shown, spread over the video, or over those with a truth."""
    places = range(video.n_frames or 1)
    if truth is not None:
        labelled = [i for i in places if video.number(i) in truth.frames]
        if not labelled and video.n_frames is not None:
            raise DataError(
                f"None of the {len(places)} frames of {video.name} has a truth: number frames and "
                "truth alike."
            )
        return {labelled[i] for i in _spread(len(labelled))}
    return _spread(len(places))


def _spread(n: int) -> set[int]:
    return {int((2 * i + 1) * n / (2 * N_PANELS)) for i in range(N_PANELS)} if n else set()


def _row(
    detection: Detection, background: np.ndarray | None, label: np.ndarray | None
) -> dict[str, np.ndarray]:
    image = detection.frame.image
    row = {"frame": image}
    if background is not None:
        row["background"] = background
    row["probability"] = detection.probability * 255
    row["mask"] = detection.mask * 255
    if label is not None:
        row["truth"] = label
    step = max(1, round(image.shape[1] / PANEL_WIDTH))
    # Copies: a view would keep the whole frame.
    return {name: picture[::step, ::step].copy() for name, picture in row.items()}


def overview(folder: Path, summaries: dict[str, dict[str, Any]]) -> None:
    """Write the page of several videos: a table that leads to the page of each."""
    links = "".join(
        f'<li><a href="{quote(name)}/{REPORT}">{escape(name)}</a>: '
        f"{found['frames']} frames, {found['events']} events</li>"
        for name, found in summaries.items()
    )
    html = page.render(
        "sfumato: videos", f"{len(summaries)} videos.", {"Videos": f"<ul>{links}</ul>"}
    )
    replace_file(folder / REPORT, html.encode())
