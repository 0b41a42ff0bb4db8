"""Conditional VAEs of MNIST: samples to order, likelihood given the class, classes by Bayes' rule.

A convolutional classifier, trained apart on the training rows, judges the samples; it says what it
gets on the test rows. A VAE of the same width stands beside: log p(x) against log p(x|y).
"""

import argparse
import time
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from benchmarks import results
from sfumato import VAE, ConditionalVAE, Trainer
from sfumato.data import load_data

N_SAMPLES, N_BAYES, IMPORTANCE = 10_000, 1_000, 500
VARIANTS: dict[str, dict[str, Any]] = {
    "concatenate": {"latent_dim": 40, "conditioning": "concatenate", "prior": "normal"},
    "inject": {"latent_dim": 40, "prior": "normal"},
    "inject, p(z given c)": {"latent_dim": 40},
    # The default.
    "inject, z of 10, p(z given c)": {},
}


def trained_judge(X: np.ndarray, y: np.ndarray, epochs: int = 4) -> nn.Module:
    """Return a small convolutional classifier of 28 x 28 pictures in [0, 1]."""
    torch.manual_seed(0)
    judge = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 49, 10)),
    )
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3)
    x, labels = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            F.cross_entropy(judge(x[index]), labels[index]).backward()
            optimizer.step()
    return judge.eval()


@torch.no_grad()
def judged(judge: nn.Module, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of pictures that the judge takes for what they should be."""
    found = torch.cat([judge(block).argmax(1) for block in torch.from_numpy(X).split(1000)])
    return float((found.numpy() == y).mean())


def of_conditional(
    data: Any, judge: nn.Module, settings: dict[str, Any], seed: int, epochs: int
) -> tuple[ConditionalVAE, list[object]]:
    """Fit one model and measure it; returns the model and its figures."""
    trainer = Trainer(max_epochs=epochs)
    model = ConditionalVAE(binarize=True, random_state=seed, trainer=trainer, **settings)
    cpu = time.process_time()
    model.fit(data.X, data.y)
    cpu = time.process_time() - cpu
    y = np.arange(N_SAMPLES) % 10
    ordered = judged(judge, model.sample(y=y) / 255, y)
    test, y_test = data.X_test[:N_BAYES], data.y_test[:N_BAYES]
    own = model.log_likelihood(test, y_test, IMPORTANCE).log_likelihood.mean()
    marginal = model.log_likelihood(test, n_samples=10 * IMPORTANCE).log_likelihood.mean()
    bayes = float((model.predict(test) == y_test).mean())
    figures = [f"{ordered:.4f}", f"{-own:.2f}", f"{-marginal:.2f}", f"{bayes:.3f}", f"{cpu:.0f}"]
    return model, figures


def picture(model: ConditionalVAE, data: Any) -> plt.Figure:
    """Return samples of every class, and test rows in every class."""
    sampled = np.concatenate([model.sample(10, y=k, random_state=0) for k in range(10)])
    X, y = data.X_test[:10], data.y_test[:10]
    swapped = np.concatenate([model.swap(X, y, np.full(10, k)) for k in range(10)])
    pages = [sampled, np.concatenate([X, swapped])]
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.4), width_ratios=(10, 10))
    for panel, rows, title in zip(
        axes, pages, ("samples", "test rows, and their swaps"), strict=True
    ):
        tiles = rows.reshape(-1, 10, 28, 28).swapaxes(1, 2)
        panel.imshow(tiles.reshape(-1, 280), cmap="gray_r", interpolation="nearest")
        panel.set_title(title)
        panel.axis("off")
    figure.tight_layout()
    return figure


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks conditional", description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--variants", default=";".join(VARIANTS))
    options = parser.parse_args(arguments)
    matplotlib.use("Agg")
    data = load_data("mnist")
    judge = trained_judge(np.float32(data.X) / 255, data.y)
    right = judged(judge, np.float32(data.X_test) / 255, data.y_test)
    rows: list[list[object]] = []
    for seed in (int(text) for text in options.seeds.split(",")):
        for name in options.variants.split(";"):
            model, figures = of_conditional(data, judge, VARIANTS[name], seed, options.epochs)
            rows.append([f"ConditionalVAE, {name}", seed, *figures])
            print(rows[-1], flush=True)
            if seed == 0:
                figure = picture(model, data)
        vae = VAE(binarize=True, random_state=seed, trainer=Trainer(max_epochs=options.epochs))
        cpu = time.process_time()
        vae.fit(data.X)
        cpu = time.process_time() - cpu
        test = data.X_test[:N_BAYES]
        evidence = vae.log_likelihood(test, 10 * IMPORTANCE).log_likelihood.mean()
        rows.append(["VAE", seed, "", "", f"{-evidence:.2f}", "", f"{cpu:.0f}"])
        print(rows[-1], flush=True)
    columns = [
        "model",
        "seed",
        "samples judged right",
        "-log p(x|y)",
        "-log p(x)",
        "Bayes",
        "CPU s",
    ]
    notes = (
        f"MNIST, dynamically binarised, {options.epochs} epochs, other settings at their defaults. "
        f"{N_SAMPLES:,} samples made to order, means of pixels, judged by a convolutional "
        f"classifier that gets {right:.4f} of the test rows. Likelihoods in nats and the accuracy "
        f"of Bayes' rule over the first {N_BAYES:,} test rows, {IMPORTANCE} importance samples for "
        "each row and class."
    )
    results.write("conditional", columns, rows, notes)
    figure.savefig(results.FOLDER / "conditional.png", dpi=100)
