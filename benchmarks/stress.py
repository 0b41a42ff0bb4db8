"""Change detection on clips made harder: light, a shaking camera, people who stand, few frames.

The truth follows what is done to the frames. Clips are those of the video benchmark; people are cut
out of the clip `office` by its truth.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks import results
from benchmarks.video import make
from sfumato.data import open_video, read_groundtruth
from sfumato.metrics import count_pixels
from sfumato.video import METHODS

MAX_FRAMES = 700
# Labelled frames that are counted in each clip.
N_COUNTED = 60
# Levels; a larger step is a movement and counts as so much.
MAX_GRAIN = 12.0
Generator = np.random.Generator


@dataclass(frozen=True)
class Clip:
    """Frames of shape (n, h, w, 3), labels of some of them, and where they count."""

    frames: np.ndarray
    truth: dict[int, np.ndarray]
    roi: np.ndarray | None


Damage = Callable[[Clip, Generator], Clip]


def load(name: str) -> Clip:
    """Return a clip, or that part of a long one in which frames are labelled first."""
    root = Path(os.environ["SFUMATO_DATA"]) / "video"
    folder = next(path for path in root.glob("*/*") if path.name == name)
    video, labels = open_video(folder), read_groundtruth(folder / "groundtruth")
    assert video.n_frames is not None
    places = {video.number(i): i for i in range(video.n_frames)}
    labelled = sorted(places[number] for number in labels.frames if number in places)
    start = labelled[0] if video.n_frames > MAX_FRAMES else 0
    kept = range(start, min(start + MAX_FRAMES, video.n_frames))
    frames = np.stack([frame.image for frame in video.at(kept)])
    inside = [i for i in labelled if i in kept]
    return Clip(frames, {i - start: labels.load(video.number(i)) for i in inside}, labels.roi)


def changed(clip: Clip, gain: np.ndarray) -> Clip:
    """Return a clip whose light is multiplied by a gain for each frame."""
    lit = clip.frames * gain[:, None, None, None]
    return Clip(lit.clip(0, 255).astype(np.uint8), clip.truth, clip.roi)


def rising_light(clip: Clip, rng: Generator) -> Clip:
    """Let the light rise from 0.45 to 1.1 of what it is."""
    return changed(clip, np.linspace(0.45, 1.1, len(clip.frames)))


def switched_light(clip: Clip, rng: Generator) -> Clip:
    """Halve the light in the second and the fourth fifth."""
    fifth = np.arange(len(clip.frames)) * 5 // len(clip.frames)
    return changed(clip, np.where(fifth % 2 == 0, 1.0, 0.5))


def shaken(clip: Clip, rng: Generator) -> Clip:
    """Shift every frame by some two pixels down and right."""
    frames, truth = np.empty_like(clip.frames), {}
    for i, frame in enumerate(clip.frames):
        by = rng.normal(0, 2, 2)
        ndimage.shift(frame, (*by, 0), frames[i], order=1, mode="nearest")
        if i in clip.truth:
            truth[i] = ndimage.shift(clip.truth[i], by, order=0, mode="nearest")
    return Clip(frames, truth, clip.roi)


def noisy(clip: Clip, rng: Generator) -> Clip:
    """Add noise of ten levels."""
    noise = rng.normal(0, 10, clip.frames.shape)
    return Clip((clip.frames + noise).clip(0, 255).astype(np.uint8), clip.truth, clip.roi)


def few(clip: Clip, rng: Generator, n: int) -> Clip:
    """Keep so many of the labelled frames, evenly spread."""
    labelled = sorted(clip.truth)
    kept = [labelled[i] for i in np.linspace(0, len(labelled) - 1, n).astype(int)]
    return Clip(clip.frames[kept], {j: clip.truth[i] for j, i in enumerate(kept)}, clip.roi)


@dataclass(frozen=True)
class Person:
    """A picture of a person, and which of its pixels are the person's."""

    image: np.ndarray
    mask: np.ndarray

    def scaled(self, factor: float) -> "Person":
        """Return the person larger or smaller."""
        image = ndimage.zoom(self.image, (factor, factor, 1), order=1)
        return Person(image, ndimage.zoom(self.mask.astype(np.uint8), factor, order=0) > 0)

    def enter(
        self, frame: np.ndarray, label: np.ndarray, grain: np.ndarray, top: int, left: int
    ) -> None:
        """Paint the person into a frame and its labels, as far as inside, with the grain."""
        height, width = label.shape
        rows, columns = np.nonzero(self.mask)
        inside = (rows + top >= 0) & (rows + top < height)
        inside &= (columns + left >= 0) & (columns + left < width)
        rows, columns = rows[inside], columns[inside]
        places = rows + top, columns + left
        seen = self.image[rows, columns] + grain[places]
        frame[places] = seen.clip(0, 255).astype(np.uint8)
        label[places] = 255


def grain_of(clip: Clip, i: int) -> np.ndarray:
    """Return the noise of a frame: what differs from the frame before, but little of what moves."""
    step = clip.frames[i].astype(np.float32) - clip.frames[max(0, i - 1)]
    return (step / 2**0.5).clip(-MAX_GRAIN, MAX_GRAIN)


def person(office: Clip) -> Person:
    """Cut the person out of the frame in which most of the person is seen."""
    best = max(office.truth, key=lambda i: int((office.truth[i] == 255).sum()))
    labels, _ = ndimage.label(office.truth[best] == 255)
    largest = int(np.bincount(labels.ravel())[1:].argmax())
    box = ndimage.find_objects(labels)[largest]
    return Person(office.frames[best][box], labels[box] == largest + 1)


def standing(clip: Clip, rng: Generator, cut: Person, start: float, end: float) -> Clip:
    """Let a person stand in the middle for a part of the time, and walk in and out."""
    n, height, width = clip.frames.shape[:3]
    one = cut.scaled(0.6 * height / 240)
    middle, top = (width - one.mask.shape[1]) // 2, height - one.mask.shape[0] - 4
    frames, truth = clip.frames.copy(), dict(clip.truth)
    for i in range(n):
        label = truth.get(i, np.zeros((height, width), np.uint8)).copy()
        early, late = max(0.0, start * n - i), max(0.0, i - end * n)
        one.enter(
            frames[i],
            label,
            grain_of(clip, i),
            top,
            middle + round(3 * (late - early) + rng.normal(0, 0.5)),
        )
        if i in truth:
            truth[i] = label
    return Clip(frames, truth, clip.roi)


def crowd(clip: Clip, rng: Generator, cut: Person, n_people: int, stays: int) -> Clip:
    """Let people walk from place to place and stay there for up to so many frames."""
    n, height, width = clip.frames.shape[:3]
    frames, truth = clip.frames.copy(), {i: label.copy() for i, label in clip.truth.items()}
    for _ in range(n_people):
        one = cut.scaled(0.6 * height / 240 * rng.uniform(0.8, 1.2))
        tint = rng.integers(-40, 40, 3)
        one = Person((one.image + tint).clip(0, 255).astype(np.uint8), one.mask)
        size = np.array(one.mask.shape)
        low, high = np.array([0.3 * height, 0]) - size / 2, np.array([height, width]) - size / 2
        place = goal = rng.uniform(low, high)
        waits = int(rng.integers(20, stays))
        for i in range(n):
            way = goal - place
            if waits > 0:
                waits -= 1
            elif np.hypot(*way) < 4:
                goal, waits = rng.uniform(low, high), int(rng.integers(20, stays))
            else:
                place = place + 4 * way / np.hypot(*way)
            label = truth.get(i, np.zeros((height, width), np.uint8))
            one.enter(frames[i], label, grain_of(clip, i), *(int(side) for side in place))
    return Clip(frames, truth, clip.roi)


def tests(cut: Person) -> dict[str, tuple[str, Damage]]:
    """Return the rows of the table: the clip, and what is done to it."""
    hall, road = "HallAndMonitor", "highway"
    stands = partial(standing, cut=cut)
    found: dict[str, tuple[str, Damage]] = {
        "rising light, hall": (hall, rising_light),
        "rising light, road": (road, rising_light),
        "switched light, hall": (hall, switched_light),
        "switched light, road": (road, switched_light),
        "shaking, hall": (hall, shaken),
        "shaking, road": (road, shaken),
        "noise, hall": (hall, noisy),
        "6 frames, hall": (hall, partial(few, n=6)),
        "6 frames, road": (road, partial(few, n=6)),
        "a person in the first quarter": (hall, partial(stands, start=0.0, end=0.25)),
        "in the first 60 %": (hall, partial(stands, start=0.0, end=0.6)),
        "in the first three quarters": (hall, partial(stands, start=0.0, end=0.75)),
        "from 30 to 70 %": (hall, partial(stands, start=0.3, end=0.7)),
        "in the second half": (hall, partial(stands, start=0.5, end=1.1)),
        "6 people, hall": (hall, partial(crowd, cut=cut, n_people=6, stays=60)),
        "6 people, road": (road, partial(crowd, cut=cut, n_people=6, stays=120)),
        "10 frames of 4 people, hall": (
            hall,
            lambda clip, rng: few(crowd(clip, rng, cut, 4, 60), rng, 10),
        ),
    }
    return found


def f_measure(clip: Clip, method: str) -> float:
    """Fit to a clip and compare with its truth."""
    detector: Any = make(method).fit(clip.frames)
    every = max(1, len(clip.truth) // N_COUNTED)
    counted = set(sorted(clip.truth)[::every])
    counts = None
    for detection in detector.detect(clip.frames):
        index = detection.frame.index
        if index in counted:
            found = count_pixels(detection.mask, clip.truth[index], clip.roi)
            counts = found if counts is None else counts + found
    assert counts is not None
    return counts.measures()["f_measure"]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks stress", description=__doc__)
    parser.add_argument("--methods", default=",".join((*METHODS, "sfumato")))
    parser.add_argument("--only", default="", help="tests whose name holds this")
    parser.add_argument("--name", default="stress", help="of the table")
    options = parser.parse_args(arguments)
    methods = options.methods.split(",")
    rows: list[list[object]] = []
    for name, (clip_name, damage) in tests(person(load("office"))).items():
        if options.only not in name:
            continue
        start = time.perf_counter()
        clip = damage(load(clip_name), np.random.default_rng(0))
        scores = [f_measure(clip, method) for method in methods]
        rows.append([name, *(f"{score:.3f}" for score in scores)])
        print(rows[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
    means = [np.mean([float(str(row[i])) for row in rows]) for i in range(1, len(methods) + 1)]
    rows.append(["mean", *(f"{mean:.3f}" for mean in means)])
    results.write(
        options.name,
        ["clip", *methods],
        rows,
        "F-measure on two clips made harder (hall: HallAndMonitor, road: highway); seed 0.",
    )
