"""Anomalies: a model of one MNIST digit, and the area under the ROC of that digit against the rest.

Every detector sees the training rows of one digit, and scores the whole test set; labels choose the
digit and measure, and nothing else. Beside ours stand scikit-learn's detectors and densities, and
PyOD's in a process of its own. Every fit is kept in a file as soon as it is done.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM

from benchmarks import results
from sfumato import VAE, AnomalyDetector, Autoencoder, load
from sfumato.data import load_data

CACHE = Path(os.environ.get("SFUMATO_BENCHMARKS", "benchmarks/.cache"))
FITS, RUNS = CACHE / "anomaly.jsonl", CACHE / "anomaly-runs"
WORKER = Path(__file__).parent / "peers" / "pyod_worker.py"
CONTAMINATION = 0.05
# As many as the VAE's code has.
COMPONENTS = 40
Split = tuple[np.ndarray, np.ndarray, np.ndarray]
Record = dict[str, Any]


class RememberingVAE(VAE):
    """A fitted VAE that answers the same question once: several statistics need the answer."""

    def remember(self) -> "RememberingVAE":
        self.answers: dict[object, Any] = {}
        return self

    def _once(self, name: str, X: np.ndarray) -> Any:
        key = name, X.shape, float(X[0].sum())
        if key not in self.answers:
            self.answers[key] = getattr(super(), name)(X)
        return self.answers[key]

    def terms(self, X: Any) -> Any:
        return self._once("terms", X)

    def saturated(self, X: Any) -> Any:
        return self._once("saturated", X)

    def score_samples(self, X: Any, n_samples: int = 100) -> Any:
        return self._once("score_samples", X)


class PCAError(PCA):
    """Principal components, scored by minus the squared error of the reconstruction."""

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return -np.square(X - self.inverse_transform(self.transform(X))).sum(axis=1)


def density(*steps: BaseEstimator) -> AnomalyDetector:
    """Return scikit-learn's density as a detector; of several steps, the last is the density."""
    return AnomalyDetector(make_pipeline(*steps), contamination=CONTAMINATION)


# name -> detector, given the seed; the share of anomalies is the only setting that is not a default
# but for sizes that have none.
DETECTORS: dict[str, Callable[[int], Any]] = {
    "scikit-learn isolation forest": lambda seed: IsolationForest(
        contamination=CONTAMINATION, random_state=seed
    ),
    "scikit-learn one-class SVM": lambda seed: OneClassSVM(nu=CONTAMINATION),
    "scikit-learn local outlier factor": lambda seed: LocalOutlierFactor(
        contamination=CONTAMINATION, novelty=True
    ),
    "scikit-learn PCA, likelihood": lambda seed: density(PCA(COMPONENTS, random_state=seed)),
    "scikit-learn PCA, error": lambda seed: density(PCAError(COMPONENTS, random_state=seed)),
    "scikit-learn PCA, Gaussian mixture": lambda seed: density(
        PCA(COMPONENTS, random_state=seed),
        GaussianMixture(10, reg_covar=1e-3, random_state=seed),
    ),
    "scikit-learn PCA, kernels": lambda seed: density(
        PCA(COMPONENTS, random_state=seed), KernelDensity(bandwidth="scott")
    ),
    "sfumato Autoencoder, typicality": lambda seed: AnomalyDetector(
        Autoencoder(random_state=seed), "typicality", CONTAMINATION
    ),
    "sfumato Autoencoder, error": lambda seed: AnomalyDetector(
        Autoencoder(random_state=seed), "likelihood", CONTAMINATION
    ),
}
# Those of one VAE: from its bound, and from its likelihood, which costs three times as much.
STATISTICS = {
    "vae-bound": ("typicality", "reconstruction"),
    "vae-likelihood": ("deviance", "likelihood"),
}
PYOD = ("KNN", "ECOD", "AutoEncoder", "VAE", "DeepSVDD")
GROUPS = ("vae-bound", *DETECTORS, *(f"PyOD {name}" for name in PYOD), "vae-likelihood")


@lru_cache(1)
def rows_of(data: str, digit: int) -> Split:
    """Return one digit's training rows, all test rows, both in [0, 1], and which are that digit."""
    bundle = load_data(data)
    assert bundle.X_test is not None
    train, test = np.asarray(bundle.X, np.float32), np.asarray(bundle.X_test, np.float32)
    scale = train.max()
    return train[bundle.y == digit] / scale, test / scale, bundle.y_test == digit


def measured(scores: np.ndarray, offset: float, normal: np.ndarray) -> Record:
    """Return the area under the ROC, and which shares of both kinds fall below the threshold."""
    return {
        "auc": float(roc_auc_score(normal, scores)),
        "flagged": float((scores[normal] < offset).mean()),
        "found": float((scores[~normal] < offset).mean()),
    }


def fit_detector(detector: Any, split: Split) -> Record:
    """Fit a detector with ``score_samples`` and ``offset_``."""
    train, test, normal = split
    begin = time.process_time()
    detector.fit(train)
    fitted = time.process_time()
    scores = detector.score_samples(test)
    times = {"cpu_seconds": fitted - begin, "scoring": time.process_time() - fitted}
    return measured(scores, np.asarray(detector.offset_).item(), normal) | times


def fit_vae(group: str, data: str, digit: int, seed: int) -> Iterator[tuple[str, Record]]:
    """Fit the default VAE, or load it, and yield the record of every statistic of a group."""
    split = rows_of(data, digit)
    folder = RUNS / f"{data}-{digit}-{seed}"
    if not (folder / "seconds").exists():
        begin = time.process_time()
        VAE(random_state=seed).fit(split[0]).save(folder)
        (folder / "seconds").write_text(str(time.process_time() - begin))
    vae = load(folder)
    vae.__class__ = RememberingVAE
    frozen = FrozenEstimator(vae.remember())
    times: dict[str, float] = {}
    for statistic in STATISTICS[group]:
        detector = AnomalyDetector(frozen, statistic, CONTAMINATION)
        record = fit_detector(detector, split)
        record["cpu_seconds"] += float((folder / "seconds").read_text())
        # The first has asked the VAE; each alone would have to.
        times = times or {name: record[name] for name in ("cpu_seconds", "scoring")}
        yield f"sfumato VAE, {statistic}", record | times


class Peer:
    """PyOD in a process of its own."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def fit(self, model: str, seed: int, split: Split) -> Record:
        """Fit one detector; PyOD's scores are high for anomalies."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/rows.npz", train=split[0], test=split[1])
            task = {"model": model, "folder": folder, "contamination": CONTAMINATION, "seed": seed}
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
            scores = np.load(f"{folder}/scores.npy")
        times = {name: answer[name] for name in ("cpu_seconds", "scoring")}
        return measured(-scores, -answer["threshold"], split[2]) | times


def fit_group(
    group: str, data: str, digit: int, seed: int, peer: Peer | None
) -> Iterator[tuple[str, Record]]:
    """Yield the names and records of what is fitted together."""
    if group in STATISTICS:
        yield from fit_vae(group, data, digit, seed)
    elif group in DETECTORS:
        yield group, fit_detector(DETECTORS[group](seed), rows_of(data, digit))
    elif peer is not None:
        yield group, peer.fit(group.removeprefix("PyOD "), seed, rows_of(data, digit))


def known() -> list[Record]:
    """Return the records in the cache; a later one of the same fit replaces an earlier."""
    if not FITS.exists():
        return []
    records = [json.loads(line) for line in FITS.read_text().splitlines()]
    return list({(r["data"], r["model"], r["digit"], r["seed"]): r for r in records}.values())


def make(options: argparse.Namespace) -> None:
    """Make the fits that the cache lacks."""
    FITS.parent.mkdir(parents=True, exist_ok=True)
    have = {(r["data"], r["group"], r["digit"], r["seed"]) for r in known()}
    peer = Peer(options.python) if options.python else None
    for seed in (int(word) for word in options.seeds.split(",")):
        for group in options.models.split(";"):
            for digit in (int(word) for word in options.digits.split(",")):
                if (options.data, group, digit, seed) in have:
                    continue
                key = {"data": options.data, "group": group, "digit": digit, "seed": seed}
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    made = list(fit_group(group, options.data, digit, seed, peer))
                # All of a group at once: half a group would count as done.
                with FITS.open("a") as file:
                    for model, record in made:
                        print(model, key | record, flush=True)
                        file.write(json.dumps(key | {"model": model} | record) + "\n")


def write_table(data: str) -> None:
    """Write a row for every model: the area for each digit, and the means over digits and seeds."""
    records = [record for record in known() if record["data"] == data]
    models = sorted({r["model"] for r in records}, key=lambda name: -_mean(records, name, "auc"))
    digits = sorted({r["digit"] for r in records})
    lines: list[list[object]] = []
    for model in models:
        mine = [r for r in records if r["model"] == model]
        of_digits = [[r for r in mine if r["digit"] == digit] for digit in digits]
        if not all(of_digits):
            continue
        lines.append(
            [
                model,
                f"{fmean(r['auc'] for r in mine):.4f}",
                *(f"{fmean(r['auc'] for r in some):.3f}" for some in of_digits),
                f"{100 * fmean(r['flagged'] for r in mine):.1f}",
                f"{100 * fmean(r['found'] for r in mine):.1f}",
                f"{fmean(r['cpu_seconds'] for r in mine):.1f}",
                f"{fmean(r['scoring'] for r in mine):.1f}",
                len({r["seed"] for r in mine}),
            ]
        )
    columns = ["model", "AUC", *map(str, digits)]
    columns += ["flagged %", "found %", "CPU s", "scoring", "seeds"]
    results.write(f"anomaly-{data}", columns, lines, notes(data))


def notes(data: str) -> str:
    """Return what stands above the table."""
    return (
        f"{data}: fitted to the training rows of one digit, scored on the whole test set; area "
        "under the ROC of that digit against the rest, mean over digits and seeds, and digit by "
        f"digit. Threshold: the {CONTAMINATION:.0%} quantile of the training rows' own scores; "
        "flagged: share of the normal test rows below it, found: of the others. CPU seconds of a "
        "fit, threshold included, and of scoring the test set. Models at their defaults but for "
        f"the share of anomalies, {CONTAMINATION:.0%}, and {COMPONENTS} principal components, as "
        "many as the VAE's code has. Typicality is AnomalyDetector's default for its principle, "
        "settled after looking at USPS, scikit-learn's digits, and the digits 8 and 2 of MNIST. A "
        "training row lies at the centre of a kernel of its own, so that their threshold flags "
        "nearly all others. PyOD's VAE holds its divergence at a capacity of 0 by default: it is "
        "left out of the training."
    )


def _mean(records: list[Record], model: str, name: str) -> float:
    return fmean(r[name] for r in records if r["model"] == model)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks anomaly", description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--digits", default="0,1,2,3,4,5,6,7,8,9")
    parser.add_argument("--models", default=";".join(GROUPS), help="parted by semicolons")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--python", help="of an environment that has PyOD; else it is left out")
    parser.add_argument("--table", action="store_true", help="fit nothing, write the table")
    options = parser.parse_args(arguments)
    if not options.table:
        make(options)
    write_table(options.data)
