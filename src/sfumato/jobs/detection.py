"""Detecting change in videos: masks, scores, events and a page."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from sfumato.artifacts import ArtifactError, make_directory, read_json, replace_file, to_json
from sfumato.data import (
    DataError,
    GroundTruth,
    Video,
    open_video,
    read_groundtruth,
    read_picture,
    write_image,
)
from sfumato.jobs.files import finite
from sfumato.jobs.progress import SILENT, Display
from sfumato.jobs.settings import choose
from sfumato.metrics import Counts, count_pixels
from sfumato.report import page
from sfumato.report.video import PANELS, detection_page, panels
from sfumato.storage import load
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
from sfumato.video.recording import MASKS, OVERLAY, SCORES, Recording

METHODS: dict[str, type] = {
    "sfumato": ChangeDetector,
    **dict.fromkeys(("median", "mog2", "knn"), Subtraction),
}
SUMMARY, REPORT, MODEL = "summary.json", "report.html", "model"
RESULTS = (
    *(SCORES, OVERLAY, SUMMARY, REPORT, PANELS),
    *("background.png", "events.csv", "events.json"),
)
# Frames that the page shows with background, probability, mask and truth.
N_PANELS = 4
PANEL_WIDTH = 360


@dataclass
class DetectionRun:
    """One detection under way: the video, where results go, and what the page will show.

    Attributes
    ----------
    video : Video
    recording : Recording
        Writes masks and overlay.
    truth : GroundTruth, optional
    shown : set of int
        Positions of the frames that the page shows.
    counts : Counts, optional
        Pixels compared with the truth so far.
    panels : list of dict
        Pictures of each frame shown.
    """

    video: Video
    recording: Recording
    truth: GroundTruth | None
    shown: set[int]
    counts: Counts | None = None
    panels: list[dict[str, np.ndarray]] = field(default_factory=list)

    def add(self, detection: Detection, detector: Any) -> None:
        """Record one frame; the detector has just seen it."""
        number = self.video.number(detection.frame.index)
        label = None
        if self.truth is not None and number in self.truth.frames:
            label = self.truth.load(number)
            counted = count_pixels(detection.mask, label, self.truth.roi)
            self.counts = counted if self.counts is None else self.counts + counted
        position = len(self.recording.scores)
        self.recording.add(detection)
        if position in self.shown:
            self.panels.append(_panel(detection, _background(detector), label))

    def summary(self, seconds: float) -> dict[str, Any]:
        """Return what the detection comes to; without events."""
        n_frames = len(self.recording.scores)
        return {
            "video": self.video.name,
            "frames": n_frames,
            "width": self.video.size[1],
            "height": self.video.size[0],
            "seconds": seconds,
            "frames_per_second": n_frames / max(seconds, 1e-9),
        }

    def measures(self) -> dict[str, float]:
        """Return the CDnet measures against the truth; empty without one."""
        return {} if self.counts is None else self.counts.measures()


def detect_video(
    source: Any,
    out: str | os.PathLike[str],
    *,
    method: str = "sfumato",
    model: str | os.PathLike[str] | None = None,
    groundtruth: str | os.PathLike[str] | None = None,
    rules: EventRules | None = None,
    overwrite: bool = False,
    progress: Display = SILENT,
    **settings: Any,
) -> dict[str, Any]:
    """Detect what changes in a video and write masks, background, scores, events and a page.

    Interrupting a stream ends it normally; results so far are written.

    Parameters
    ----------
    source : str, path-like, ndarray, int or Video
        Whatever :func:`~sfumato.data.open_video` takes.
    out : str or path-like
        Folder of the results.
    method : "sfumato", "median", "mog2" or "knn"
        Ours, or a classical one for comparison.
    model : str or path-like, optional
        Folder of a detection or of a saved detector, to use instead of fitting one.
    groundtruth : str or path-like, optional
        A CDnet folder of true masks to score against.
    rules : EventRules, optional
        What counts as an event.
    overwrite : bool
        Replace the detection that the folder holds.
    progress : Display
        Shows the frames.
    **settings
        Of the :class:`~sfumato.ChangeDetector`. ``roi`` and ``background`` may be image files. A
        classical method takes ``roi`` alone. None stands for the default.

    Returns
    -------
    dict
        What ``summary.json`` holds: frames, size, seconds, number of events, and with a groundtruth
        the CDnet measures.

    Raises
    ------
    ArtifactError
        If the folder holds a detection already, or the model cannot be loaded.
    DataError
        If the video, the truth or an image cannot be read.
    SettingError
        If the method is unknown.
    ValueError
        If the method does not take a setting, or a value is out of range.

    Examples
    --------
    >>> import tempfile
    >>> from sfumato.data import moving_digits
    >>> frames, _ = moving_digits(40, (48, 64), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     summary = detect_video(frames, folder, threshold=0.5)
    ...     masks = len(list((Path(folder) / "masks").iterdir()))
    >>> summary["frames"], masks
    (40, 40)
    """
    detector = _make_detector(method, model, settings)
    start = time.perf_counter()
    folder, rules = Path(out), rules or EventRules()
    video = open_video(source)
    truth = None if groundtruth is None else read_groundtruth(groundtruth)
    shown = _shown_frames(video, truth)
    _prepare(folder, source, overwrite=overwrite)
    run = DetectionRun(video, Recording(folder, video.frame_rate, video.size), truth, shown)
    bounds = _record(run, detector, progress)
    if isinstance(detector, ChangeDetector):
        write_image(folder / "background.png", detector.model_.background_)
        detector.save(folder / MODEL)
    if run.panels:
        replace_file(folder / PANELS, page.png(panels(run.panels)))
    summary = run.summary(time.perf_counter() - start)
    scores = run.recording.scores
    events = _write_events(folder, scores, rules)
    summary |= {"events": len(events), **bounds, **run.measures()}
    _write_page(folder, summary, scores, rules)
    return summary


def detect_videos(
    videos: Sequence[str], out: str | os.PathLike[str], **options: Any
) -> dict[str, dict[str, Any]]:
    """Detect in several videos, a folder for each within ``out``, and write a page of links.

    A single video goes to ``out`` itself. Options are those of :func:`detect_video`.

    Returns
    -------
    dict
        Name of the folder -> summary.
    """
    summaries = {
        folder.name: detect_video(video, folder, **options)
        for video, folder in zip(videos, result_folders(videos, Path(out)), strict=True)
    }
    if len(videos) > 1:
        _write_overview(Path(out), summaries)
    return summaries


def result_folders(videos: Sequence[str], out: Path) -> list[Path]:
    """Return the folder of each video: ``out`` itself for one, else one within it for each."""
    if len(videos) == 1:
        return [out]
    names = [
        Path(video).resolve().stem if Path(video).exists() else f"video{i}"
        for i, video in enumerate(videos, 1)
    ]
    repeated = len(set(names)) < len(names)
    return [out / (f"{i}-{name}" if repeated else name) for i, name in enumerate(names, 1)]


def update_events(
    folder: str | os.PathLike[str], *, rules: EventRules | None = None
) -> list[Event]:
    """Find the events of a finished detection again by other rules, without its video.

    Parameters
    ----------
    folder : str or path-like
        Of the detection; its events, page and summary are brought up to date.
    rules : EventRules, optional

    Returns
    -------
    list of Event

    Raises
    ------
    DataError
        If the folder holds no scores.
    """
    folder, rules = Path(folder), rules or EventRules()
    scores = read_scores(folder / SCORES)
    events = _write_events(folder, scores, rules)
    if (folder / SUMMARY).exists():
        summary = {**read_json(folder / SUMMARY), "events": len(events)}
        _write_page(folder, summary, scores, rules)
    return events


def _make_detector(
    method: str, model: str | os.PathLike[str] | None, settings: Mapping[str, Any]
) -> Any:
    given = {name: value for name, value in settings.items() if value is not None}
    _refuse(method, given.keys() - ChangeDetector().get_params(deep=False).keys())
    for name in given.keys() & {"roi", "background"}:
        if isinstance(given[name], str | os.PathLike):
            given[name] = read_picture(given[name])
    if choose(METHODS, method, "method") is Subtraction:
        _refuse(method, given.keys() - {"roi"} if model is None else {"model"})
        return Subtraction(method, given.get("roi"))
    if model is None:
        return ChangeDetector(**given)
    _refuse("a fitted model", given.keys() & {"background"})
    detector = load(model)
    if not isinstance(detector, ChangeDetector):
        raise ArtifactError(f"{str(model)!r} holds no model of a detection.")
    return detector.set_params(**given)


def _refuse(what: str, settings: set[str]) -> None:
    if settings:
        raise ValueError(f"{what} takes no --{min(settings).replace('_', '-')}.")


def _prepare(folder: Path, source: Any, *, overwrite: bool) -> None:
    """Make the folder of a detection, or clear it of an old one; nothing else is deleted."""
    places = {(folder / name).resolve() for name in ("", MASKS, *RESULTS)}
    if isinstance(source, str | os.PathLike) and Path(source).resolve() in places:
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


def _record(run: DetectionRun, detector: Any, progress: Display) -> dict[str, float]:
    """Detect in all frames, and return the bounds of the fit if there was one."""
    fitted = hasattr(detector, "model_")
    video = run.video
    with run.recording.opened():
        detections = _detections(detector, video, progress)
        try:
            for detection in progress.track(detections, video.n_frames, f"detect {video.name}"):
                run.add(detection, detector)
        except KeyboardInterrupt:
            if video.n_frames is not None or not run.recording.scores:
                raise
    return {} if fitted else _bounds(detector)


def _detections(detector: Any, video: Video, progress: Display) -> Iterator[Detection]:
    if video.n_frames is None and isinstance(detector, ChangeDetector):
        return detector.stream(video)
    if hasattr(detector, "model_"):
        return iter(detector.detect(video))
    with progress.working(f"Learning the background of {video.name}"):
        detector.fit(video)
    return iter(detector.detect(video))


def _background(detector: Any) -> np.ndarray | None:
    return detector.model_.background_ if isinstance(detector, ChangeDetector) else None


def _bounds(detector: Any) -> dict[str, float]:
    if not isinstance(detector, ChangeDetector):
        return {}
    return {f"bound_{step}": value for step, value in detector.model_.bounds_.items()}


def _write_page(
    folder: Path, summary: dict[str, Any], scores: Sequence[FrameScore], rules: EventRules
) -> None:
    replace_file(folder / SUMMARY, to_json(finite(summary)))
    replace_file(folder / REPORT, detection_page(folder, summary, scores, rules).encode())


def _write_events(folder: Path, scores: Sequence[FrameScore], rules: EventRules) -> list[Event]:
    """Find the events of a table of scores and write them as CSV and JSON."""
    events = find_events(scores, rules)
    write_events_csv(folder / "events.csv", events)
    write_events_json(folder / "events.json", events)
    return events


def _shown_frames(video: Video, truth: GroundTruth | None) -> set[int]:
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


def _panel(
    detection: Detection, background: np.ndarray | None, label: np.ndarray | None
) -> dict[str, np.ndarray]:
    image = detection.frame.image
    pictures = {"frame": image}
    if background is not None:
        pictures["background"] = background
    pictures["probability"] = detection.probability * 255
    pictures["mask"] = detection.mask * 255
    if label is not None:
        pictures["truth"] = label
    step = max(1, round(image.shape[1] / PANEL_WIDTH))
    # Copies: a view would keep the whole frame.
    return {name: picture[::step, ::step].copy() for name, picture in pictures.items()}


def _write_overview(folder: Path, summaries: dict[str, dict[str, Any]]) -> None:
    """Write the page of several videos: a list that links to the page of each."""
    links = "".join(
        f'<li><a href="{quote(name)}/{REPORT}">{escape(name)}</a>: '
        f"{found['frames']} frames, {found['events']} events</li>"
        for name, found in summaries.items()
    )
    html = page.render(
        "sfumato: videos", f"{len(summaries)} videos.", {"Videos": f"<ul>{links}</ul>"}
    )
    replace_file(folder / REPORT, html.encode())
