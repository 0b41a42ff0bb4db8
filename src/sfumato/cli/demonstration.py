"""`sfumato demo`: the main job on data that ships with scikit-learn."""

import time
from pathlib import Path

import numpy as np

from sfumato.artifacts import make_directory, replace_file
from sfumato.cli import output
from sfumato.cli.terminal import Terminal
from sfumato.data import Data, load_data, moving_digits, write_image
from sfumato.estimators import RowEstimator, save
from sfumato.evaluation import Result, Split, holding_out, tabulate
from sfumato.jobs import runs
from sfumato.jobs.compare import as_dict, fit_and_measure
from sfumato.jobs.detection import detect_video
from sfumato.metrics import cdnet_scores
from sfumato.report import environment, page, sections
from sfumato.video import Subtraction

DATA = "digits"
MODELS = ("mixture-vae", "ae-gmm", "isomap-kmeans", "pca-gmm", "gmm", "kmeans")
SEEDS = (0, 1, 2)
N_FRAMES = 150
# Eight by eight pixels need no wider networks and no more steps, and nobody likes to wait.
SETTINGS = {"mixture-vae": {"hidden": (128,), "trainer__min_steps": 1200}}
NEXT = (
    "sfumato report {out}/mixture-vae                       the page of the mixture alone",
    "sfumato predict {out}/mixture-vae digits --out c.csv   the cluster of every row",
    "sfumato sample {out}/mixture-vae -n 100 --out new.npy  handwriting that nobody wrote",
    "sfumato fit mixture-vae YOUR_DATA --out run            a folder of images, .npy, .csv, ...",
    "sfumato detect YOUR_VIDEO --out result                 what changes in a video, and when",
    "sfumato compare YOUR_DATA --models gmvae,kmeans        one table, several models",
    "sfumato models; sfumato datasets                       what there is",
)


def run(out: str, *, as_json: bool) -> None:
    """Fit, compare, print the table, write the page, and say what to try next."""
    start = time.perf_counter()
    folder = make_directory(out)
    data = load_data(DATA)
    split = holding_out(data)
    progress = Terminal(epoch_lines=False)
    results = fit_and_measure(split, MODELS, SEEDS, model_settings=SETTINGS, progress=progress)
    shown = [r for r in results if r.seed == 0 and isinstance(r.estimator, RowEstimator)]
    for result in shown:
        _save(result, folder / result.model)
    path = folder / "report.html"
    replace_file(path, _page(data, split, results, shown).encode())
    seconds = time.perf_counter() - start
    table = tabulate(results)
    video = _video(folder / "moving-digits")
    if as_json:
        table_json = as_dict(table)
        output.emit({"report": str(path), "seconds": seconds, "table": table_json, "video": video})
        return
    title = f"Handwritten digits, {len(split.X_eval)} test rows, {len(SEEDS)} seeds"
    output.print_table(table, title)
    output.say(
        f"\nDigits that move over a photograph, found without labels: F {video['f_measure']:.3f}, "
        f"temporal median {video['median_f_measure']:.3f}"
    )
    output.say(f"\nReport: {path}   ({seconds:.0f} s)")
    output.say(f"Video:  {folder / 'moving-digits' / 'result' / 'report.html'}\n\nTry next:")
    for line in NEXT:
        output.say("  " + line.format(out=out))


def _video(folder: Path) -> dict[str, float]:
    """Detect what moves in a clip that is made here, beside the temporal median."""
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
        progress=Terminal(),
    )
    masks = Subtraction("median").fit(frames).predict(frames)
    median = cdnet_scores(masks, truth)["f_measure"]
    return {"f_measure": summary["f_measure"], "median_f_measure": median}


def _save(result: Result, folder: Path) -> None:
    save(result.estimator, folder)
    runs.write_json(folder, runs.RUN, runs.describe(result.model, DATA, result.seed, "sfumato demo"))


def _page(data: Data, split: Split, results: list[Result], shown: list[Result]) -> str:
    content = {"Comparison": sections.comparison(tabulate(results))}
    for result in shown:
        found = sections.of_estimator(result.estimator, split, data.image_shape)
        name = type(result.estimator).__name__
        content |= {f"{name}: {heading.lower()}": html for heading, html in found.items()}
    content["Environment"] = page.pairs(environment())
    lead = (
        f"{len(data.X)} handwritten digits of 8 x 8 pixels, taken apart without labels; everything "
        f"is measured and shown on {len(split.X_eval)} rows that no model was fitted to."
    )
    return page.render("sfumato: digits", lead, content)
