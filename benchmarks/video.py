"""Change detection on real clips: CDnet 2014's protocol, one configuration for all clips.

Clips are the folders under $SFUMATO_DATA/video that hold `input` and `groundtruth`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks import results
from sfumato.coupling import box_mean
from sfumato.data import open_video, read_groundtruth
from sfumato.metrics import count_pixels
from sfumato.video import METHODS, BackgroundModel, ChangeDetector, Subtraction
from sfumato.video.background_model import View


class ErrorThreshold(BackgroundModel):
    """Our background without the mixture: a threshold of 25 levels on the error, 5 x 5 median."""

    def view_probability(self, view: View) -> Tensor:
        background = self.model_.decoder(self.code(view.smooth)).mean.movedim(-1, 0)
        return box_mean(((view.smooth - background).abs().amax(0) > 25).float(), 2)


OURS: dict[str, Any] = {
    "sfumato": BackgroundModel,
    "no-mixture": ErrorThreshold,
    "no-refinement": partial(BackgroundModel, refinement=0),
    "no-coupling": partial(BackgroundModel, coupling=0.0),
    "no-shadows": partial(BackgroundModel, shadows=False),
    "no-code": partial(BackgroundModel, max_rank=0),
}


def clips(root: Path) -> list[Path]:
    """Return the folders of all clips."""
    return sorted(path.parent for path in root.glob("*/*/input"))


def measure(clip: Path, method: str) -> dict[str, Any]:
    """Detect in one clip and compare with its truth."""
    video = open_video(clip)
    truth = read_groundtruth(clip / "groundtruth")
    start, cpu = time.perf_counter(), time.process_time()
    detector = make(method)
    detector.fit(video)
    fitted = time.process_time() - cpu
    counts = None
    n = 0
    for detection in detector.detect(video):
        n += 1
        number = video.number(detection.frame.index)
        if number in truth.frames:
            found = count_pixels(detection.mask, truth.load(number), truth.roi)
            counts = found if counts is None else counts + found
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    assert counts is not None, f"{clip} has no truth"
    return {
        **counts.measures(),
        "frames": n,
        "size": video.size,
        "fit_seconds": fitted,
        "fps": n / seconds,
        "cpu_fps": n / cpu_seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def make(method: str) -> Any:
    """Return the detector of a row of the table."""
    if method in METHODS:
        return Subtraction(method)
    return ChangeDetector(OURS[method]())


def apart(clip: Path, method: str) -> dict[str, Any]:
    """Measure in a process of its own, so that the peak of memory is this one's."""
    command = [sys.executable, "-m", "benchmarks", "video", "--one", str(clip), "--methods", method]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return record


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks video", description=__doc__)
    parser.add_argument("--methods", default=",".join((*METHODS, "sfumato")))
    parser.add_argument("--name", default="video", help="of the table")
    parser.add_argument("--clips", default="", help="only clips whose path holds this")
    parser.add_argument("--one", help="measure one clip and print JSON")
    options = parser.parse_args(arguments)
    methods = options.methods.split(",")
    if options.one:
        print(json.dumps(measure(Path(options.one), methods[0])))
        return
    root = Path(os.environ["SFUMATO_DATA"]) / "video"
    names = [clip for clip in clips(root) if options.clips in str(clip)]
    rows: list[list[object]] = []
    speeds: list[list[object]] = []
    for method in methods:
        found = {clip: apart(clip, method) for clip in names}
        speeds += [[method, clip.name, *speed(record)] for clip, record in found.items()]
        scores = [f"{found[clip]['f_measure']:.3f}" for clip in names]
        rows.append(
            [
                method,
                f"{fmean(r['f_measure'] for r in found.values()):.3f}",
                *scores,
                f"{np.median([r['fps'] for r in found.values()]):.0f}",
                f"{np.median([r['cpu_fps'] for r in found.values()]):.0f}",
                f"{max(r['peak_mib'] for r in found.values()):.0f}",
            ]
        )
        print(rows[-1], flush=True)
    columns = ["method", "mean F", *(clip.name for clip in names)]
    columns += ["frames/s", "frames/CPU s", "peak MiB"]
    results.write(
        options.name,
        columns,
        rows,
        "F-measure by CDnet 2014's protocol; one configuration for all clips, fitted to the clip "
        "itself without labels. Frames a second include reading, fitting and detection; medians "
        "over clips.",
    )
    columns = ["method", "clip", "frames", "size", "fit s", "frames/s", "frames/CPU s", "peak MiB"]
    results.write(
        f"{options.name}-speed",
        columns,
        speeds,
        "One thread. Fitting is in CPU seconds; frames a second include reading, fitting and "
        "detection.",
    )


def speed(record: dict[str, Any]) -> list[str]:
    """Return how fast one clip went, as cells of the table."""
    height, width = record["size"]
    return [
        str(record["frames"]),
        f"{width} x {height}",
        f"{record['fit_seconds']:.1f}",
        f"{record['fps']:.1f}",
        f"{record['cpu_fps']:.1f}",
        f"{record['peak_mib']:.0f}",
    ]
