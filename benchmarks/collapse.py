"""Why the first mixture VAE never told classes apart: its recipe beside the default, by epoch.

Measured at every tenth of the epochs on at most 10,000 rows: the third term KL(q(c|x) || p(c)), the
mutual information I(x; c), and the accuracy, which only the figure looks at.
"""

import argparse
import warnings
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from scipy.stats import entropy

from benchmarks import results
from sfumato import MixtureVAE, Optimizer, Trainer
from sfumato.data import load_data
from sfumato.estimators import as_float
from sfumato.estimators.recipe import evidence_alone
from sfumato.metrics import clustering_accuracy

RECIPES = {"report": "the report's recipe", "default": "the default recipe"}
N_ROWS = 10_000
QUANTITIES = {
    "third term": "KL(q(c|x) || p(c)), nats",
    "information": "I(x; c), nats",
    "accuracy": "accuracy (one to one)",
}


class Watched(MixtureVAE):
    """A MixtureVAE that shows the model it trains."""

    def build(self, n_components: int) -> Any:
        """Build the model and remember it."""
        self.watched = super().build(n_components)
        return self.watched


class Watch:
    """A logger that measures the classes every few epochs of joint training."""

    def __init__(self, estimator: Watched, X: np.ndarray, y: np.ndarray) -> None:
        self.estimator = estimator
        self.X, self.y = X, y
        self.points: list[dict[str, float]] = []
        self.epoch = 0
        self.stride = 1
        self.joint = False

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Note whether this phase trains the mixture."""
        self.joint = params["phase"] != "pretraining"
        self.stride = max(1, params["max_epochs"] // 10)

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Measure."""
        if not self.joint:
            return
        self.epoch += 1
        if step % self.stride == 0:
            self.points.append({"epoch": self.epoch, **self.measured()})

    @torch.no_grad()
    def measured(self) -> dict[str, float]:
        """Return the three quantities of the model as it stands."""
        estimator = self.estimator
        x = estimator.scaling_.to_model(self.X)
        log_weights = estimator.watched.prior.log_weights.double().clamp_min(-30)
        evidence = evidence_alone(estimator.watched, x, len(log_weights)).evidence
        r = evidence.double().softmax(-1)
        share = r.mean(0).numpy()
        third = (torch.special.xlogy(r, r) - r * log_weights).sum(-1).mean()
        return {
            "third term": float(third),
            "information": float(entropy(share) - entropy(r.numpy(), axis=1).mean()),
            "accuracy": clustering_accuracy(self.y, r.argmax(-1).numpy()),
        }


def watch(data: str, recipe: str, seed: int, epochs: int) -> list[dict[str, float]]:
    """Fit with one recipe and return what was measured."""
    bundle = load_data(data)
    X, y = as_float(bundle.X), np.asarray(bundle.y)
    some = np.random.default_rng(0).permutation(len(X))[:N_ROWS]
    estimator = Watched(recipe=recipe, random_state=seed)
    trainer = estimator.default_trainer()
    if recipe == "report":
        # Two layers of 500, constant steps: the report gives no schedule.
        trainer = Trainer(max_epochs=epochs, optimizer=Optimizer(averaging=0.0))
        estimator.set_params(hidden=(500, 500))
    log = Watch(estimator, X[some], y[some])
    trainer.set_params(loggers=(log,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.set_params(trainer=trainer).fit(X)
    return log.points


def draw(data: str, curves: dict[str, list[list[dict[str, float]]]]) -> None:
    """Draw the quantities over the epochs of joint training, a line a seed."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for axis, (name, label) in zip(axes, QUANTITIES.items(), strict=True):
        for colour, (recipe, runs) in zip(("#b5523b", "#3b6fb5"), curves.items(), strict=True):
            for i, run in enumerate(runs):
                share = np.array([point["epoch"] for point in run]) / run[-1]["epoch"]
                legend = RECIPES[recipe] if i == 0 else None
                axis.plot(share, [p[name] for p in run], color=colour, label=legend)
        axis.set(xlabel="share of joint training", ylabel=label, ylim=(0, None))
    axes[0].legend(frameon=False)
    figure.suptitle(f"MixtureVAE on {data}: its components are merged to 10 half-way")
    figure.savefig(results.FOLDER / f"collapse-{data}.png", dpi=130)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks collapse", description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=100, help="of the report's recipe")
    options = parser.parse_args(arguments)
    seeds = [int(text) for text in options.seeds.split(",")]
    curves = {
        recipe: [watch(options.data, recipe, seed, options.epochs) for seed in seeds]
        for recipe in RECIPES
    }
    draw(options.data, curves)
    rows: list[list[object]] = []
    for recipe, runs in curves.items():
        for seed, run in zip(seeds, runs, strict=True):
            last = run[-1]
            rows.append([RECIPES[recipe], seed, *(f"{last[name]:.3f}" for name in QUANTITIES)])
    notes = f"MixtureVAE on {options.data} at the end of training; log 10 = 2.303 nats."
    results.write(f"collapse-{options.data}", ["recipe", "seed", *QUANTITIES.values()], rows, notes)
