"""Events of a video, found in the table of its frames' scores.

The table is all that a detector hands over: events can be found again, with another threshold or
other limits, without decoding the video again.
"""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.artifacts import ArtifactError, make_directory, replace_file, to_json
from sfumato.video.objects import Box

# Quiet frames: the tenth with the lowest scores, for in many a video most frames are busy.
QUIET_SHARE = 0.1
# Spreads above the quiet frames. Of normal noise alone, with mean mu and deviation sigma, the
# lowest tenth has its median at mu - 1.64 sigma and a spread of 0.35 sigma: the threshold is then
# mu + 5.1 sigma, which one frame in five million reaches.
N_SPREADS = 19.0
# The median deviation times this is the standard deviation of normal noise.
MAD_TO_DEVIATION = 1.4826
# Share of the image: less is never an event above quiet frames without any noise.
MIN_RISE = 1e-4
# Share of the image that is an event even where nothing is ever quiet.
MAX_QUIET_SHARE = 0.05
# Time stamps are rounded: 1.1 - 0.1 s is no longer than a window of 1 s.
TIME_TOLERANCE = 1e-6

BOX_COLUMNS = ("left", "top", "width", "height")
SCORE_COLUMNS = ("index", "time", "score", "area", *BOX_COLUMNS, "light_change", "learning")
EVENT_COLUMNS = (
    *("start", "end", "first_frame", "last_frame"),
    *("peak_time", "peak_frame", "peak_score", "area", *BOX_COLUMNS),
)


@dataclass(frozen=True)
class FrameScore:
    """How much of a frame changed, in plain Python numbers.

    Attributes
    ----------
    index : int
        Number of the frame in the video.
    time : float
        Its time stamp, in seconds.
    score : float
        Share of the pixels inside the region that changed, from 0 to 1.
    area : int
        Pixels that changed.
    box : tuple of int, optional
        Left, top, width and height of the largest changed object, in pixels.
    light_change : bool
        Whether the light changed suddenly, which is no event.
    learning : bool
        Whether the model was not ready yet.

    Raises
    ------
    ValueError
        If the time is not finite, the score no share or the area negative.
    """

    index: int
    time: float
    score: float
    area: int
    box: Box | None = None
    light_change: bool = False
    learning: bool = False

    def __post_init__(self) -> None:
        if not isfinite(self.time):
            raise ValueError(f"The time of frame {self.index} must be finite, not {self.time}.")
        if not 0 <= self.score <= 1:
            raise ValueError(f"The score of frame {self.index} must be 0 to 1, not {self.score}.")
        if self.area < 0:
            raise ValueError(f"The area of frame {self.index} must be >= 0, not {self.area}.")

    @property
    def counts(self) -> bool:
        """Whether the frame can tell of an event: the model is ready and the light steady."""
        return not (self.light_change or self.learning)


@dataclass(frozen=True)
class EventRules:
    """What an event is.

    Attributes
    ----------
    threshold : float, optional
        Least score of a frame with an event, above 0; by default :func:`calibrate` finds it.
    min_length : float
        Least length of an event, in seconds.
    merge_window : float
        Two frames with events, no further apart than this many seconds, belong to one event.
    min_area, max_area : int
        Least and most changed pixels of a frame with an event; no most by default.

    Raises
    ------
    ValueError
        If a value is outside its range.
    """

    threshold: float | None = None
    min_length: float = 0.0
    merge_window: float = 1.0
    min_area: int = 0
    max_area: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, not {self.threshold}.")
        for name in ("min_length", "merge_window", "min_area"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name} must be finite and >= 0, not {getattr(self, name)}.")
        if self.max_area is not None and self.max_area < max(1, self.min_area):
            raise ValueError(
                f"max_area must be at least 1 and at least min_area, not {self.max_area}."
            )


@dataclass(frozen=True)
class Event:
    """A stretch of the video in which something changed.

    Attributes
    ----------
    start, end : float
        Time stamps of the first and the last frame, in seconds.
    first_frame, last_frame : int
    peak_time, peak_frame, peak_score
        The frame with the highest score, the earliest of several.
    area : int
        Most changed pixels of a frame.
    box : tuple of int, optional
        Left, top, width and height of what holds the boxes of all frames over the threshold.
    """

    start: float
    end: float
    first_frame: int
    last_frame: int
    peak_time: float
    peak_frame: int
    peak_score: float
    area: int
    box: Box | None


def calibrate(scores: Sequence[FrameScore]) -> float:
    r"""Return a threshold of the score, found without labels in the quietest frames.

    .. math:: T = \min(m + \max(19\, \sigma, 10^{-4}), 0.05), \quad
        m = \operatorname{med}_{i \in L} s_i, \quad
        \sigma = 1.4826 \operatorname{med}_{i \in L} |s_i - m|

    where L is the tenth of the frames with the lowest scores. Frames with a sudden change of the
    light, or while the model learns, are left out. The others have no say, so that busy frames do
    not move the threshold while they are less than nine in ten. A twentieth of the image is an
    event in any video.

    Raises
    ------
    ValueError
        If no frame is left.

    Examples
    --------
    >>> calibrate([FrameScore(0, 0.0, 0.0, 0), FrameScore(1, 0.1, 0.0, 0)])
    0.0001
    """
    usable = np.sort([frame.score for frame in scores if frame.counts])
    if not len(usable):
        raise ValueError(
            "No frame has a score after learning and without a change of the light; "
            "use a longer video or set the threshold."
        )
    quiet = usable[: ceil(QUIET_SHARE * len(usable))]
    level = float(np.median(quiet))
    spread = MAD_TO_DEVIATION * float(np.median(np.abs(quiet - level)))
    return min(MAX_QUIET_SHARE, level + max(N_SPREADS * spread, MIN_RISE))


def threshold_of(scores: Sequence[FrameScore], rules: EventRules) -> float:
    """Return the threshold of the rules, or that of :func:`calibrate`; 1 if no frame counts."""
    if rules.threshold is not None:
        return rules.threshold
    return calibrate(scores) if any(frame.counts for frame in scores) else 1.0


def find_events(scores: Sequence[FrameScore], rules: EventRules) -> list[Event]:
    """Find the events: frames over the threshold, joined over short gaps.

    A frame counts if its score reaches the threshold, its area is within the limits, the light did
    not change suddenly and the model was ready. The first frame of the table counts only together
    with the second: nothing came before it that it could differ from. Frames next to each other in
    the table, or no further apart than ``merge_window`` by their time stamps, make one event. Its
    length is the time between its first and last frame plus one median interval of the table.

    Parameters
    ----------
    scores : sequence of FrameScore
        In the order of time, at any frame rate, constant or not.
    rules : EventRules

    Raises
    ------
    ValueError
        If the time stamps are not in order.
    """
    times = np.array([frame.time for frame in scores])
    intervals = np.diff(times)
    if (intervals < 0).any():
        early = scores[int((intervals < 0).argmax()) + 1]
        raise ValueError(f"Frame {early.index} is earlier than the one before it; sort by time.")
    groups = _joined(times, _over(scores, rules), rules.merge_window)
    events = [_event([scores[i] for i in group]) for group in groups]
    interval = float(np.median(intervals)) if len(intervals) else 0.0
    shortest = rules.min_length - interval - TIME_TOLERANCE
    return [event for event in events if event.end - event.start >= shortest]


def _over(scores: Sequence[FrameScore], rules: EventRules) -> list[int]:
    """Places in the table of the frames that count."""
    threshold = threshold_of(scores, rules)
    most = inf if rules.max_area is None else rules.max_area
    over = [
        i
        for i, frame in enumerate(scores)
        if frame.counts and frame.score >= threshold and rules.min_area <= frame.area <= most
    ]
    return over[1:] if over[:1] == [0] and over[1:2] != [1] else over


def _joined(times: np.ndarray, over: Iterable[int], window: float) -> list[list[int]]:
    groups: list[list[int]] = []
    for i in over:
        last = groups[-1][-1] if groups else i
        if last < i and (i == last + 1 or times[i] - times[last] <= window + TIME_TOLERANCE):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _event(frames: Sequence[FrameScore]) -> Event:
    peak = max(frames, key=lambda frame: frame.score)
    return Event(
        start=frames[0].time,
        end=frames[-1].time,
        first_frame=frames[0].index,
        last_frame=frames[-1].index,
        peak_time=peak.time,
        peak_frame=peak.index,
        peak_score=peak.score,
        area=max(frame.area for frame in frames),
        box=_union([frame.box for frame in frames if frame.box is not None]),
    )


def _union(boxes: Sequence[Box]) -> Box | None:
    if not boxes:
        return None
    left = min(box[0] for box in boxes)
    top = min(box[1] for box in boxes)
    right = max(box[0] + box[2] for box in boxes)
    bottom = max(box[1] + box[3] for box in boxes)
    return left, top, right - left, bottom - top


def write_scores(path: str | os.PathLike[str], scores: Iterable[FrameScore]) -> None:
    """Write the table of scores as CSV; :func:`read_scores` returns the same numbers.

    Columns: index, time, score, area, left, top, width, height (empty without an object),
    light_change and learning (0 or 1).

    Raises
    ------
    ArtifactError
        If the file cannot be written.
    """
    flags = ("light_change", "learning")
    rows = [_row(frame) | {name: int(getattr(frame, name)) for name in flags} for frame in scores]
    _write(path, _csv(SCORE_COLUMNS, rows))


def read_scores(path: str | os.PathLike[str]) -> list[FrameScore]:
    """Read a table that :func:`write_scores` wrote.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged or no table of scores.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ArtifactError(
            f"Cannot read {path} ({error.strerror}); name a table of scores."
        ) from None
    except UnicodeDecodeError:
        lines = []
    if lines[:1] != [",".join(SCORE_COLUMNS)]:
        raise ArtifactError(f"{path} is no table of scores; score the video again.")
    scores = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            scores.append(_parsed(line))
        except ValueError:
            raise ArtifactError(
                f"{path} is damaged in line {number}; score the video again."
            ) from None
    return scores


def _parsed(line: str) -> FrameScore:
    index, time, score, area, *box, light_change, learning = line.split(",")
    return FrameScore(
        index=int(index),
        time=float(time),
        score=float(score),
        area=int(area),
        box=_parsed_box(box),
        light_change=_parsed_flag(light_change),
        learning=_parsed_flag(learning),
    )


def _parsed_box(cells: Sequence[str]) -> Box | None:
    if list(cells) == [""] * len(BOX_COLUMNS):
        return None
    left, top, width, height = map(int, cells)
    return left, top, width, height


def _parsed_flag(cell: str) -> bool:
    return bool(("0", "1").index(cell))


def write_events_csv(path: str | os.PathLike[str], events: Iterable[Event]) -> None:
    """Write the events as CSV, one a line; the box is left, top, width and height.

    Raises
    ------
    ArtifactError
        If the file cannot be written.
    """
    _write(path, _csv(EVENT_COLUMNS, map(_row, events)))


def write_events_json(path: str | os.PathLike[str], events: Iterable[Event]) -> None:
    """Write the events as a JSON list of objects, with the names of the CSV's columns.

    Raises
    ------
    ArtifactError
        If the file cannot be written.
    """
    _write(path, to_json([_row(event) for event in events]))


def _row(entry: FrameScore | Event) -> dict[str, Any]:
    cells = dict(vars(entry))
    box = cells.pop("box") or (None,) * len(BOX_COLUMNS)
    return cells | dict(zip(BOX_COLUMNS, box, strict=True))


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    target = Path(path)
    if target.is_dir():
        raise ArtifactError(f"{str(target)!r} is a folder; give the name of a file.")
    make_directory(target.parent)
    replace_file(target, content)
