"""Nats of MNIST: log p(x) of test rows after long training, by 5,000 importance samples.

`dynamic` draws the pixels of every training batch anew and those of the test rows once, the same
for all models (Burda, Grosse and Salakhutdinov 2016); `static` is Larochelle's fixed binarisation,
trained on its training and validation rows. Each fit is appended to results/nats.jsonl; with
`--table` only the table is written.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import results
from sfumato import IWAE, VAE, MixturePrior, Optimizer, Trainer, VampPrior, load
from sfumato.data import load_data
from sfumato.report import environment

CACHE = Path(os.environ.get("SFUMATO_BENCHMARKS", results.FOLDER)) / "nats.jsonl"
LAYER: dict[str, Any] = {"latent_dim": 50, "hidden": (200, 200)}
RESNET: dict[str, Any] = {"latent_dim": 40, "backbone": "resnet", "hidden": (32, 64, 64)}
MODELS: dict[str, dict[str, Any]] = {
    "vae": LAYER,
    "iwae-50": LAYER | {"objective": IWAE(50)},
    "resnet": RESNET,
    "resnet, mixture prior": RESNET | {"prior": MixturePrior(500)},
    "resnet, vamp prior": RESNET | {"prior": VampPrior(200)},
    "resnet, mixture prior, iwae-5": RESNET | {"prior": MixturePrior(500), "objective": IWAE(5)},
    "conv, mixture prior, iwae-5": RESNET
    | {
        "backbone": "conv",
        "hidden": (64, 128, 256),
        "prior": MixturePrior(500),
        "objective": IWAE(5),
    },
}
DATA = {"dynamic": "mnist", "static": "binarized-mnist"}


@dataclass(frozen=True)
class Fit:
    """One fit and what it is worth on the test rows, in nats."""

    data: str
    model: str
    precision: str
    seed: int
    epochs: int
    batch_size: int
    bound: float | None
    nll: float
    standard_error: float
    monte_carlo_error: float | None
    n_samples: int
    n_rows: int
    training_seconds: float
    evaluation_seconds: float
    machine: str
    version: str


def fit(options: argparse.Namespace) -> Fit:
    """Train one model, or load a trained one, and estimate log p(x) of the test rows."""
    bundle = load_data(DATA[options.data])
    vae = loaded(options) if options.trained else trained(options, bundle.X)
    if options.save:
        vae.save(options.save)
    start = time.perf_counter()
    X_test = chosen(bundle.X_test, options.rows)
    estimate = vae.log_likelihood(X_test, options.samples)
    bound = sum(float(term.mean()) for term in vae.terms(X_test).values())
    log_likelihood = estimate.log_likelihood.cpu().numpy()
    return Fit(
        options.data,
        options.model,
        options.precision,
        options.seed,
        len(vae.history_),
        vae.trainer.batch_size,
        bound,
        -float(log_likelihood.mean()),
        float(log_likelihood.std() / np.sqrt(len(log_likelihood))),
        float(estimate.standard_error.square().mean().sqrt() / np.sqrt(len(log_likelihood))),
        options.samples,
        len(X_test),
        sum(vae.history_["seconds"]),
        time.perf_counter() - start,
        options.machine or machine(vae),
        options.version or results.commit(),
    )


def chosen(X: np.ndarray, n_rows: int) -> np.ndarray:
    """Return some rows, by one seed for all, every pixel drawn where rows are grey."""
    generator = np.random.default_rng(0)
    grey = np.asarray(X[np.sort(generator.permutation(len(X))[:n_rows])], np.float64)
    return np.float32(generator.random(grey.shape) < grey / max(grey.max(), 1.0)) * grey.max()


def machine(vae: VAE) -> str:
    """Return the name of what the model lies on."""
    on_gpu = next(vae.model_.parameters()).is_cuda
    return torch.cuda.get_device_name() if on_gpu else environment()["processor"]


def loaded(options: argparse.Namespace) -> VAE:
    """Return the model that was saved, if it is the one that the options name."""
    vae, named = load(options.trained), untrained(options)
    ours, theirs = (describe(model) for model in (named, vae))
    if ours != theirs:
        raise SystemExit(f"{options.trained} holds {theirs}, and the options name {ours}")
    return vae


def describe(vae: VAE) -> str:
    """Return what a row of the table says of a model's training."""
    params = vae.get_params(deep=False)
    trainer = params.pop("trainer")
    return f"{params} {trainer.precision} {trainer.batch_size}"


def trained(options: argparse.Namespace, X: np.ndarray) -> VAE:
    """Return the model after training."""
    return untrained(options).fit(X)


def untrained(options: argparse.Namespace) -> VAE:
    """Return the model that the options name."""
    trainer = Trainer(
        max_epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        schedule="cosine",
        optimizer=Optimizer(averaging=options.averaging),
        precision=options.precision,
        device=options.device,
        loggers=[Told()],
    )
    return VAE(
        binarize=options.data == "dynamic",
        random_state=options.seed,
        trainer=trainer,
        **MODELS[options.model],
    )


class Told:
    """A line every few seconds: the epoch, its loss, and how long it took."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Ignore the settings."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Print a record where the last was printed a while ago."""
        if time.perf_counter() - self.last > 5:
            self.last = time.perf_counter()
            print(f"{step} {metrics['loss']:.3f} {metrics['seconds']:.3f} s", flush=True)


def known() -> list[Fit]:
    """Return the fits that were kept."""
    if not CACHE.exists():
        return []
    return [Fit(**json.loads(line)) for line in CACHE.read_text().splitlines()]


def write_table() -> None:
    """Write the table of all fits."""
    order = {name: i for i, name in enumerate(MODELS)}
    fits = sorted(known(), key=lambda f: (f.data, order.get(f.model, 99), f.nll))
    columns = [
        "data",
        "model",
        "precision",
        "seed",
        "epochs",
        "batch",
        "-log p(x)",
        "± rows",
        "± samples",
        "-ELBO or -IWAE",
        "samples",
        "rows",
        "training s",
        "evaluation s",
        "machine",
        "commit",
    ]
    lines: list[list[object]] = [
        [
            f.data,
            f.model,
            f.precision,
            f.seed,
            f.epochs,
            f.batch_size,
            f"{f.nll:.2f}",
            f"{f.standard_error:.2f}",
            "" if f.monte_carlo_error is None else f"{f.monte_carlo_error:.4f}",
            "" if f.bound is None else f"{f.bound:.2f}",
            f.n_samples,
            f.n_rows,
            f"{f.training_seconds:.0f}",
            f"{f.evaluation_seconds:.0f}",
            f.machine,
            f.version,
        ]
        for f in fits
    ]
    notes = (
        "MNIST's test rows in nats, by importance samples. `vae` and `iwae-50`: one layer, "
        "784-200-200-50. ± rows: standard error of the mean over rows; ± samples: Monte Carlo "
        "error of the mean. Fits shared their machine with others: their seconds are upper limits."
    )
    results.write("nats", columns, lines, notes)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks nats", description=__doc__)
    parser.add_argument("--data", default="dynamic", choices=list(DATA))
    parser.add_argument("--model", default="vae", choices=list(MODELS))
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--averaging", type=float, default=0.9995)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=10_000, help="of the test rows, at random")
    parser.add_argument("--save", help="folder for the fitted model")
    parser.add_argument("--trained", help="folder of a fitted model, to be evaluated only")
    parser.add_argument("--machine", default="", help="where it was trained")
    parser.add_argument("--version", default="", help="kept with the fit; default: the commit")
    parser.add_argument("--table", action="store_true", help="fit nothing, write the table")
    options = parser.parse_args(arguments)
    if not options.table:
        found = fit(options)
        print(found, flush=True)
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        results.keep(CACHE, found)
    write_table()
