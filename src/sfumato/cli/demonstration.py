"""`sfumato demo`: the main job on data that ships with scikit-learn."""

import time
from pathlib import Path

from sfumato.artifacts import make_directory, replace_file
from sfumato.cli import output, runs, tables
from sfumato.data import Data, load_data
from sfumato.estimators import LatentEstimator, save
from sfumato.evaluation import Result, Split, holding_out, tabulate
from sfumato.report import environment, page, sections

DATA = "digits"
MODELS = ("mixture-vae", "ae-gmm", "isomap-kmeans", "pca-gmm", "gmm", "kmeans")
SEEDS = (0, 1, 2)
# Eight by eight pixels need no wider networks and no more steps, and nobody likes to wait.
SETTINGS = {"mixture-vae": {"hidden": (128,), "trainer__min_steps": 1200}}
NEXT = (
    "sfumato report {out}/mixture-vae                       the page of the mixture alone",
    "sfumato predict {out}/mixture-vae digits --out c.csv   the cluster of every row",
    "sfumato sample {out}/mixture-vae -n 100 --out new.npy  handwriting that nobody wrote",
    "sfumato fit mixture-vae YOUR_DATA --out run            a folder of images, .npy, .csv, ...",
    "sfumato compare YOUR_DATA --models gmvae,kmeans        one table, several models",
    "sfumato models; sfumato datasets                       what there is",
)


def run(out: str, *, as_json: bool) -> None:
    """Fit, compare, print the table, write the page, and say what to try next."""
    start = time.perf_counter()
    folder = make_directory(out)
    data = load_data(DATA)
    split = holding_out(data)
    results = tables.compare(split, MODELS, SEEDS, {}, 200, SETTINGS)
    shown = [r for r in results if r.seed == 0 and isinstance(r.estimator, LatentEstimator)]
    for result in shown:
        _save(result, folder / result.model)
    path = folder / "report.html"
    replace_file(path, _page(data, split, results, shown).encode())
    seconds = time.perf_counter() - start
    table = tabulate(results)
    if as_json:
        output.emit({"report": str(path), "seconds": seconds, "table": output.as_dict(table)})
        return
    title = f"Handwritten digits, {len(split.X_eval)} test rows, {len(SEEDS)} seeds"
    output.print_table(table, title)
    output.say(f"\nReport: {path}   ({seconds:.0f} s)\n\nTry next:")
    for line in NEXT:
        output.say("  " + line.format(out=out))


def _save(result: Result, folder: Path) -> None:
    save(result.estimator, folder)
    runs.write_json(folder, runs.RUN, runs.describe(result.model, DATA, result.seed, ["demo"]))


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
