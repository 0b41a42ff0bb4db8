"""`sfumato demo`: the main job on data that ships with scikit-learn."""

import time

from sfumato import VAE, Autoencoder, Trainer
from sfumato.artifacts import make_directory, replace_file
from sfumato.cli import output, tables
from sfumato.data import load_data
from sfumato.estimators import save
from sfumato.report import environment, page, sections

DATA = "digits"
MODELS = ("vae", "autoencoder", "pca", "ica", "nmf", "kmeans", "gmm", "kde")
SEEDS = (0, 1, 2)
NEXT = (
    "sfumato report {out}/vae                     the page of the VAE alone",
    "sfumato sample {out}/vae -n 100 --out new.npy   handwriting that nobody wrote",
    "sfumato fit vae YOUR_DATA --out run          your images folder, .npy, .csv, ...",
    "sfumato compare YOUR_DATA --models vae,pca   one table, several models",
    "sfumato models; sfumato datasets             what there is",
)


def run(out: str, *, as_json: bool) -> None:
    """Fit, compare, print the table, write the page, and say what to try next."""
    start = time.perf_counter()
    folder = make_directory(out)
    data = load_data(DATA)
    table, split = tables.compare(data, MODELS, SEEDS, {}, 200)
    vae = VAE(random_state=0, trainer=Trainer()).fit(data)
    autoencoder = Autoencoder(random_state=0, trainer=Trainer()).fit(data)
    save(vae, folder / "vae")
    save(autoencoder, folder / "autoencoder")
    content = {"Comparison": sections.comparison(table)}
    for name, estimator in {"VAE": vae, "Autoencoder": autoencoder}.items():
        found = sections.of_estimator(estimator, data)
        content |= {f"{name}: {heading.lower()}": html for heading, html in found.items()}
    content["Environment"] = page.pairs(environment())
    lead = (
        f"{len(data.X)} handwritten digits of 8 x 8 pixels, taken apart without labels. "
        f"The table is measured on {len(split.X_eval)} rows that no model was fitted to."
    )
    path = folder / "report.html"
    replace_file(path, page.render("sfumato: digits", lead, content).encode())
    seconds = time.perf_counter() - start
    if as_json:
        table_json = output.as_dict(table)
        output.emit({"report": str(path), "seconds": seconds, "table": table_json})
        return
    title = f"Handwritten digits, {len(split.X_eval)} test rows, {len(SEEDS)} seeds"
    output.print_table(table, title)
    output.say(f"\nReport: {path}   ({seconds:.0f} s)\n\nTry next:")
    for line in NEXT:
        output.say("  " + line.format(out=out))
