"""Quality under a fixed protocol: defaults, means over seeds, nothing chosen by labels.

Each table evaluates rows that no model was fitted to: the data's own test rows, or a fifth held out
by seed 0. Data sets are looked for as the library does (`$SFUMATO_DATA`, the cache, a download).
"""

import argparse
from dataclasses import dataclass

from benchmarks import results
from sfumato.data import load_data
from sfumato.evaluation import columns_of, holding_out, run, tabulate


@dataclass(frozen=True)
class Protocol:
    """One table: data, models, importance samples for each row, and what it is about."""

    data: str
    models: tuple[str, ...]
    n_samples: int
    about: str


CODES = ("vae", "autoencoder", "pca", "kernel-pca", "ica", "nmf", "isomap", "lda")
PROTOCOLS = {
    "static-mnist": Protocol(
        "binarized-mnist",
        ("vae",),
        5000,
        "Static binarised MNIST: trained on train + validation rows (60,000), evaluated on all "
        "10,000 test rows. Nats per image.",
    ),
    "digits": Protocol(
        "digits",
        (*CODES, "kmeans", "gmm", "kde"),
        500,
        "scikit-learn's digits, 1,438 rows fitted, 359 evaluated. k-means and 5-NN on codes of ten "
        "dimensions (nine for lda, which is given the labels).",
    ),
    "mnist": Protocol(
        "mnist",
        ("vae", "autoencoder", "pca", "kmeans"),
        100,
        "MNIST, 60,000 rows fitted, 10,000 evaluated; grey levels.",
    ),
}


def table(name: str, seeds: list[int], n_samples: int | None) -> None:
    protocol = PROTOCOLS[name]
    n_samples = n_samples or protocol.n_samples
    data = load_data(protocol.data)
    split = holding_out(data)
    fits = []
    for result in run(protocol.models, split, seeds, n_samples=n_samples):
        print(result, flush=True)
        fits.append(result)
    rows = []
    cells = tabulate(fits)
    columns = columns_of(cells)
    for model, row in cells.items():
        rows.append([model, *(str(row.get(column, "")) for column in columns)])
    notes = f"{protocol.about} Mean ± standard deviation over seeds {seeds}."
    if name == "static-mnist":
        errors = [fit.measures["nll_error"] for fit in fits]
        noise = [fit.measures["nll_monte_carlo_error"] for fit in fits]
        notes += (
            f" {n_samples} importance samples for each row. Standard error of each mean over test "
            f"rows {max(errors):.2f}, Monte Carlo error {max(noise):.4f} nats."
        )
    results.write(f"quality-{name}", ["model", *columns], rows, notes)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality", description=__doc__)
    parser.add_argument("tables", nargs="*", default=["digits"], choices=list(PROTOCOLS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--samples", type=int, help="importance samples, instead of the table's")
    options = parser.parse_args(arguments)
    for name in options.tables:
        table(name, [int(seed) for seed in options.seeds.split(",")], options.samples)
