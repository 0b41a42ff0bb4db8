"""The demonstration: clustering and change detection on data that ship with the dependencies."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.artifacts import make_directory, replace_file
from sfumato.data import Data, load_data, moving_digits, write_image
from sfumato.estimators import is_deep, save
from sfumato.evaluation import Result, Split, Table, holding_out, tabulate
from sfumato.jobs import runs
from sfumato.jobs.compare import fit_and_measure
from sfumato.jobs.detection import detect_video
from sfumato.jobs.progress import SILENT, Display
from sfumato.metrics import cdnet_scores
from sfumato.report import environment, page, sections
from sfumato.video import Subtraction

DATA = "digits"
MODELS = ("mixture-vae", "ae-gmm", "isomap-kmeans", "pca-gmm", "gmm", "kmeans")
SEEDS = (0, 1, 2)
N_FRAMES = 150
# Digits of 8 x 8 pixels need no wider network and no more steps, and a demonstration is short.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "mixture-vae": {"hidden": (128,), "trainer__min_steps": 1200}
}


@dataclass(frozen=True)
class Demonstration:
    """What the demonstration found.

    Attributes
    ----------
    report : Path
        The page of the comparison.
    seconds : float
        Until that page was written.
    n_rows : int
        Test rows.
    table : dict
        Model -> measure -> summary over the seeds.
    video : dict
        ``f_measure`` of the detector and ``median_f_measure`` of the temporal median.
    video_report : Path
        The page of the detection.
    """

    report: Path
    seconds: float
    n_rows: int
    table: Table
    video: dict[str, float]
    video_report: Path


def run_demo(out: str | os.PathLike[str], *, progress: Display = SILENT) -> Demonstration:
    """Compare models on handwritten digits, detect digits that move, and write the pages.

    Parameters
    ----------
    out : str or path-like
        Folder for the pages, a run of each model, and the video.
    progress : Display

    Returns
    -------
    Demonstration

    Raises
    ------
    ArtifactError
        If the folder cannot be written to.
    """
    start = time.perf_counter()
    folder = make_directory(out)
    data = load_data(DATA)
    split = holding_out(data)
    results = fit_and_measure(split, MODELS, SEEDS, model_settings=SETTINGS, progress=progress)
    shown = [r for r in results if r.seed == 0 and is_deep(r.estimator)]
    for result in shown:
        _save(result, folder / result.model)
    path = folder / "report.html"
    replace_file(path, _page(data, split, results, shown).encode())
    seconds = time.perf_counter() - start
    clip = folder / "moving-digits"
    video = _detect_digits(clip, progress)
    video_report = clip / "result" / "report.html"
    return Demonstration(path, seconds, len(split.X_eval), tabulate(results), video, video_report)


def _detect_digits(folder: Path, progress: Display) -> dict[str, float]:
    """Detect what moves in a synthetic clip, compared with the temporal median."""
    frames, truth = moving_digits(N_FRAMES)
    for name, images in (("input", frames), ("groundtruth", truth)):
        make_directory(folder / name)
        for number, image in enumerate(images, 1):
            picture = image.astype(np.uint8) * 255 if image.dtype == bool else image
            write_image(folder / name / f"{number:06d}.png", picture)
    summary = detect_video(
        folder / "input",
        folder / "result",
        groundtruth=folder / "groundtruth",
        overwrite=True,
        progress=progress,
    )
    masks = Subtraction("median").fit(frames).predict(frames)
    median = cdnet_scores(masks, truth)["f_measure"]
    return {"f_measure": summary["f_measure"], "median_f_measure": median}


def _save(result: Result, folder: Path) -> None:
    save(result.estimator, folder)
    record = runs.describe(result.model, DATA, result.seed, "sfumato demo")
    runs.write_json(folder, runs.RUN, record)


def _page(data: Data, split: Split, results: list[Result], shown: list[Result]) -> str:
    content = {"Comparison": sections.comparison(tabulate(results))}
    for result in shown:
        found = sections.of_estimator(result.estimator, split, data.image_shape)
        name = type(result.estimator).__name__
        content |= {f"{name}: {heading.lower()}": html for heading, html in found.items()}
    content["Environment"] = page.pairs(environment())
    lead = (
        f"{len(data.X)} handwritten digits of 8 x 8 pixels, clustered without labels; everything "
        f"is measured and shown on {len(split.X_eval)} rows that no model was fitted to."
    )
    return page.render("sfumato: digits", lead, content)
