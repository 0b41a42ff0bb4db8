"""Tables of mixed units: segments of customers, strange rows, and widths that could be pictures."""

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import fmean

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from benchmarks import results
from sfumato import DEC, GMVAE, VAE, AnomalyDetector, MixtureVAE, VaDE

MODELS = {"mixture-vae": MixtureVAE, "gmvae": GMVAE, "vade": VaDE, "dec": DEC}
WIDTHS = (254, 255, 256, 257)


def segments(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Return income, age, visits and a ratio of three segments."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    income = np.array([2e4, 5e4, 9e4])[y] + rng.normal(0, 4e3, n)
    age = np.array([25, 45, 60])[y] + rng.normal(0, 4, n)
    visits = rng.poisson(np.array([2, 8, 20])[y])
    ratio = np.array([0.2, 0.5, 0.8])[y] + rng.normal(0, 0.05, n)
    return np.column_stack([income, age, visits, ratio]), y


def strange_rows(seed: int) -> int:
    """Return how many of 20 rows, 90 deviations off in one column, the default detector finds."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(5e4, 1e4, 600), rng.normal(0.5, 0.05, 600)])
    bad = X[:20].copy()
    bad[:, 1] = 5.0
    detector = AnomalyDetector(VAE(random_state=seed), random_state=seed).fit(X)
    return int((detector.predict(bad) == -1).sum())


def wide(seed: int, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return 257 columns of five clusters in a third of them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, n)
    centres = rng.normal(size=(5, max(WIDTHS))) * (rng.random(max(WIDTHS)) < 1 / 3)
    return centres[y] + rng.normal(size=(n, max(WIDTHS))), y


def timed(fit: Callable[[], np.ndarray], y: np.ndarray) -> tuple[float, float]:
    """Return the adjusted Rand index of a clustering, and its processor seconds."""
    start = time.process_time()
    labels = fit()
    return adjusted_rand_score(y, labels), time.process_time() - start


def segments_table(seeds: range) -> None:
    rows: list[list[object]] = []
    for name, model in MODELS.items():
        found = []
        for seed in seeds:
            X, y = segments(seed)
            found.append(timed(lambda X=X, m=model, s=seed: m(3, random_state=s).fit(X).labels_, y))
        scores, seconds = zip(*found, strict=True)
        rows.append(_row(name, scores, seconds))
        print(rows[-1], flush=True)
    for name, model in {
        "kmeans": lambda s: KMeans(3, n_init=10, random_state=s),
        "gmm": lambda s: GaussianMixture(3, n_init=5, random_state=s),
    }.items():
        found = []
        for seed in seeds:
            X, y = segments(seed)
            Z = StandardScaler().fit_transform(X)
            found.append(timed(lambda Z=Z, m=model, s=seed: m(s).fit_predict(Z), y))
        rows.append(_row(f"{name}, standardised by hand", *zip(*found, strict=True)))
    strange = [strange_rows(seed) for seed in seeds]
    notes = (
        "Adjusted Rand index of three segments of 600 customers (income, age, visits, a ratio; one "
        "made table a seed), default settings. The default anomaly detector found "
        f"{', '.join(map(str, strange))} of 20 rows 90 deviations off in the column of small unit."
    )
    results.write("customers", ["model", "ARI ↑", "lowest", "CPU s ↓"], rows, notes)


def widths_table(seeds: range) -> None:
    rows: list[list[object]] = []
    for name in ("mixture-vae", "dec"):
        row: list[object] = [name]
        for width in WIDTHS:
            scores = []
            for seed in seeds:
                X, y = wide(seed)
                part = X[:, :width]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    labels = MODELS[name](5, random_state=seed).fit(part).labels_
                scores.append(adjusted_rand_score(y, labels))
            row.append(f"{fmean(scores):.4f}")
        rows.append(row)
        print(row, flush=True)
    notes = "Adjusted Rand index of five clusters by the first columns of one table a seed."
    results.write("widths", ["model", *map(str, WIDTHS)], rows, notes)


def _row(name: str, scores: tuple[float, ...], seconds: tuple[float, ...]) -> list[object]:
    return [name, f"{fmean(scores):.3f}", f"{min(scores):.3f}", f"{fmean(seconds):.1f}"]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks tables customers")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--widths", action="store_true", help="254 to 257 columns instead")
    chosen = parser.parse_args(arguments)
    (widths_table if chosen.widths else segments_table)(range(chosen.seeds))
