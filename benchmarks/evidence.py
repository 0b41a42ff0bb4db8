"""Why naive Monte Carlo fails and importance sampling does not, beside an evidence that is known.

The model is probabilistic PCA with ten dimensions, fitted to scikit-learn's digits; its density has
a closed form (Tipping and Bishop 1999), that of scikit-learn's ``PCA.score_samples``.
"""

import argparse

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from benchmarks import results
from sfumato.inference import importance_sampling, naive_monte_carlo
from sfumato.models import LatentVariableModel
from sfumato.nn import StandardNormal
from sfumato.objectives import elbo, total

LATENT, WIDENED, ROWS = 10, 1.2, 100
SAMPLES = (1, 10, 100, 1_000, 10_000, 100_000)


class LinearDecoder(nn.Module):
    """p(x|z) = N(W z + b, s^2 I)."""

    def __init__(self, pca: PCA) -> None:
        super().__init__()
        excess = np.sqrt(pca.explained_variance_ - pca.noise_variance_)
        self.W = torch.from_numpy(pca.components_.T * excess)
        self.b = torch.from_numpy(pca.mean_)
        self.s = float(np.sqrt(pca.noise_variance_))

    def forward(self, z: Tensor) -> Distribution:
        return Independent(Normal(z @ self.W.T + self.b, self.s), 1)


class WidenedPosterior(nn.Module):
    """The exact posterior, diagonal as the columns of W are orthogonal, made a fifth too wide."""

    def __init__(self, decoder: LinearDecoder) -> None:
        super().__init__()
        self.decoder = decoder
        self.variance = 1 / (1 + decoder.W.square().sum(0) / decoder.s**2)

    def forward(self, x: Tensor) -> Distribution:
        loc = (x - self.decoder.b) @ self.decoder.W * self.variance / self.decoder.s**2
        return Independent(Normal(loc, WIDENED * self.variance.sqrt().expand_as(loc)), 1)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks evidence", description=__doc__)
    parser.parse_args(arguments)
    X = load_digits().data / 16
    pca = PCA(LATENT).fit(X)
    decoder = LinearDecoder(pca)
    model = LatentVariableModel(WidenedPosterior(decoder), decoder, StandardNormal(LATENT).double())
    x = torch.from_numpy(X[:ROWS])
    exact = torch.from_numpy(pca.score_samples(X[:ROWS]))
    torch.manual_seed(0)
    bound = -total(elbo(model, x, n_samples=1000))
    rows: list[list[object]] = []
    errors: dict[str, list[float]] = {"naive": [], "importance": []}
    for n_samples in SAMPLES:
        cells: list[object] = [n_samples]
        for name, estimate in {
            "naive": naive_monte_carlo,
            "importance": importance_sampling,
        }.items():
            found = estimate(model, x, n_samples=n_samples)
            error = float((exact - found.log_likelihood).abs().mean())
            errors[name].append(error)
            stated = f"{found.standard_error.median():.3g}" if n_samples > 1 else ""
            effective = f"{found.effective_sample_size.median():.1f}"
            cells += [f"{error:.3g}", stated, effective]
        rows.append(cells)
        print(rows[-1], flush=True)
    gap = float((exact - bound).mean())
    columns = ["samples"]
    for name in ("naive", "importance"):
        columns += [f"{name}: error", "stated", "effective samples"]
    notes = (
        f"Probabilistic PCA of digits, {LATENT} dimensions, {ROWS} rows: exact log p(x) "
        f"{exact.mean():.2f} nats on average. Error: mean of |log p(x) - estimate|, nats; stated: "
        "median of the standard errors that the estimates state; effective samples: median. q is "
        f"the exact posterior, deviations times {WIDENED}; its bound is {gap:.2f} nats below."
    )
    results.write("evidence", columns, rows, notes)
    draw(errors, gap)


def draw(errors: dict[str, list[float]], gap: float) -> None:
    """Draw the errors against the number of samples."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, label in {"naive": "from the prior", "importance": "from q(z|x)"}.items():
        axes.loglog(SAMPLES, errors[name], "o-", label=label)
    axes.axhline(gap, color="grey", linestyle="--", label="evidence lower bound")
    axes.set_xlabel("samples for each row")
    axes.set_ylabel("mean error of log p(x), nats")
    axes.legend(frameon=False)
    figure.savefig(results.FOLDER / "evidence.png", dpi=110)
    plt.close(figure)
