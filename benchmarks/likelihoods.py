"""The mixture VAE under every pair of likelihoods: its bound on rows that it was not fitted to."""

import argparse
import time
import warnings
from itertools import product

import numpy as np

from benchmarks import results
from sfumato import MixtureVAE, Trainer
from sfumato.data import load_data
from sfumato.estimators import as_float

LIKELIHOODS = ("bernoulli", "gaussian")


def rows_of(data: str, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to fit to, and others to measure."""
    bundle = load_data(data)
    if bundle.X_test is not None:
        return as_float(bundle.X[:n_rows]), as_float(bundle.X_test)
    X = as_float(bundle.X)[np.random.default_rng(0).permutation(len(bundle.X))]
    return X[len(X) // 5 :], X[: len(X) // 5]


def row(data: str, n_rows: int, epochs: int, likelihood: str, latent: str) -> list[object]:
    """Fit one pair and return its row of the table."""
    X, X_test = rows_of(data, n_rows)
    estimator = MixtureVAE(
        hidden=(500, 500),
        likelihood=likelihood,
        latent_likelihood=latent,
        latent_dim=10 if latent == "gaussian" else 40,
        random_state=0,
        trainer=Trainer(max_epochs=epochs),
    )
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X)
    seconds = time.process_time() - start
    terms = {name: float(values.mean()) for name, values in estimator.terms(X_test).items()}
    assert np.isfinite(list(terms.values())).all(), terms
    parts = ", ".join(f"{name} {value:.2f}" for name, value in terms.items())
    bound = f"{-sum(terms.values()):.2f}"
    return [data, len(X), likelihood, latent, bound, parts, f"{seconds:.0f}"]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks likelihoods", description=__doc__)
    parser.add_argument("--data", default="digits,binarized-mnist")
    parser.add_argument("--rows", type=int, default=10_000, help="most rows to fit to")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    columns = ["data", "rows", "p(x|z)", "p(z|c)", "bound, nats", "terms, nats", "CPU s"]
    table = []
    for data, likelihood, latent in product(options.data.split(","), LIKELIHOODS, LIKELIHOODS):
        table.append(row(data, options.rows, options.epochs, likelihood, latent))
        print(table[-1], flush=True)
    results.write(
        "likelihoods",
        columns,
        table,
        "Mean bound of the log-likelihood on held-out rows and its negative terms; 10 real or 40 "
        "binary codes, the latter drawn as zeros and ones. A Gaussian likelihood gives densities "
        "of pixels in the units of the data: its bound is not comparable with the Bernoulli's.",
    )
