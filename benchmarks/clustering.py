"""Clustering under the fixed protocol: defaults, 5 seeds, nothing chosen by labels.

Every fit is appended to results/clustering.jsonl as soon as it is done, with its commit, so that a
table of many hours can be made in parts; `--table` only writes what is there.
"""

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np

from benchmarks import clusterers, results
from sfumato.data import load_data
from sfumato.estimators import find_model, shaped
from sfumato.evaluation.compare import Pretraining
from sfumato.jobs.settings import apply_settings
from sfumato.metrics import (
    adjusted_rand_index,
    clustering_accuracy,
    normalized_mutual_information,
)
from sfumato.report import environment

CACHE = Path(os.environ.get("SFUMATO_BENCHMARKS", results.FOLDER)) / "clustering.jsonl"
BASELINES = ("kmeans", "pca-gmm", "isomap-kmeans", "ae-kmeans", "ae-gmm", "umap-gmm")
# Of others: as many clusters as they are told, the first three, and as they find.
PEERS = {
    "ward": clusterers.by_ward,
    "spectral": clusterers.by_spectral,
    "n2d": clusterers.by_n2d,
    "hdbscan": clusterers.by_hdbscan,
    "leiden": clusterers.by_leiden,
    "umap-hdbscan": clusterers.by_umap_hdbscan,
}
OURS = ("mixture-vae", "gmvae", "vade", "dec", "dcn", "deep-cluster")
MIXTURES, EMBEDDINGS = OURS[:3], OURS[3:5]
# Settings that differ from the default, named as `--set` names them, and the models that have them.
VARIANTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "": (OURS, {}),
    "no-coupling": (MIXTURES, {"coupling": None}),
    "no-joint": (MIXTURES, {"rounds": (0, 0)}),
    "no-merging": (MIXTURES, {"n_subcomponents": 1}),
    "auto": (MIXTURES, {"n_components": "auto"}),
    "auto-k": (OURS[3:], {"n_clusters": "auto"}),
    "no-deformation": (OURS, {"deformation": None}),
    "paper": (("gmvae", "vade"), {"recipe": "paper"}),
    "report": (("mixture-vae",), {"recipe": "report"}),
    "improved": (("dec",), {"reconstruction_weight": 0.1}),
    "offline": (("dcn",), {"centres": "offline"}),
    "kmeans": (EMBEDDINGS, {"init": "kmeans"}),
    "wide": ((*MIXTURES, *EMBEDDINGS), {"hidden": (500, 500, 2000), "activation": "relu"}),
}


@dataclass(frozen=True)
class Fit:
    """One fit: what was fitted, and how well its clusters match the classes."""

    data: str
    rows: str
    model: str
    variant: str
    seed: int
    accuracy: float
    nmi: float
    ari: float
    seconds: float
    cpu_seconds: float
    version: str
    machine: str = "unknown"
    n_clusters: int = 0

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What makes it this fit and no other."""
        return self.data, self.rows, self.model, self.variant, self.seed


def known() -> list[Fit]:
    """Return the fits in the cache; a later one of the same key replaces an earlier."""
    return results.kept(CACHE, Fit)


def fit_one(
    key: tuple[str, str, str, str, int], version: str, shared: dict[object, Pretraining]
) -> Fit:
    """Fit to all rows, or to the training rows to predict the test rows.

    Models that begin with the same autoencoder share it; its time counts for each of them.
    """
    data, rows, model, variant, seed = key
    bundle = load_data(data)
    X, y = bundle.X, bundle.y
    if rows == "all" and bundle.X_test is not None:
        X, y = np.concatenate([X, bundle.X_test]), np.concatenate([y, bundle.y_test])
    if model in PEERS:
        return fit_peer(key, version, np.asarray(X, np.float32), y)
    entry = find_model(model)

    def given(rows: np.ndarray) -> np.ndarray:
        if not entry.deep:
            return np.asarray(rows, np.float32)
        return rows if bundle.image_shape is None else rows.reshape(-1, *bundle.image_shape)

    X = given(X)
    estimator: Any = shaped(entry.build(seed), bundle.image_shape)
    apply_settings(estimator, VARIANTS[variant][1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = shared.setdefault((data, rows, seed), Pretraining()).give(estimator, X)
        wall, cpu = time.perf_counter(), time.process_time()
        estimator.fit(X)
    seconds = time.perf_counter() - wall + before.get("seconds", 0.0)
    cpu_seconds = time.process_time() - cpu + before.get("cpu_seconds", 0.0)
    if rows == "all":
        labels = estimator.labels_ if hasattr(estimator, "labels_") else estimator.predict(X)
    else:
        X_test, y = bundle.X_test, bundle.y_test
        labels = estimator.predict(given(X_test))
    return measured(key, y, labels, seconds, cpu_seconds, version)


def fit_peer(
    key: tuple[str, str, str, str, int], version: str, X: np.ndarray, y: np.ndarray
) -> Fit:
    """Fit a method of others to all rows."""
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = PEERS[key[2]](X, len(np.unique(y)), key[4])
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    return measured(key, y, labels, seconds, cpu_seconds, version)


def measured(
    key: tuple[str, str, str, str, int],
    y: np.ndarray,
    labels: np.ndarray,
    seconds: float,
    cpu_seconds: float,
    version: str,
) -> Fit:
    """Return a fit with how well its clusters match the classes."""
    measures = (clustering_accuracy, normalized_mutual_information, adjusted_rand_index)
    figures = [float(measure(y, labels)) for measure in measures]
    machine, n = environment()["processor"], len(np.unique(labels))
    return Fit(*key, *figures, seconds, cpu_seconds, version, machine, n)


def make(options: argparse.Namespace) -> None:
    """Make the fits that are not known, or all once more; a later one replaces an earlier."""
    have = set() if options.again else {fit.key for fit in known()}
    version = options.version or results.commit()
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    shared: dict[object, Pretraining] = {}
    for key in wanted(options):
        if key in have:
            continue
        fit = fit_one(key, version, shared)
        print(fit, flush=True)
        results.keep(CACHE, fit)


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, str, str, str, int]]:
    """Yield the keys of the fits that the options ask for."""
    for seed in (int(text) for text in options.seeds.split(",")):
        for data in options.data.split(","):
            for rows in options.rows.split(","):
                for model in options.models.split(","):
                    for variant in variants_of(model, options.variants):
                        yield data, rows, model, variant, seed


def variants_of(model: str, wanted: str) -> list[str]:
    """Return those of the wanted variants whose settings the model has."""
    if model not in OURS:
        return [""]
    return [name for name in wanted.split(",") if model in VARIANTS[name][0]]


def write_table(data: str, rows: str) -> None:
    """Write the table of one data set from the cache."""
    fits = [fit for fit in known() if (fit.data, fit.rows) == (data, rows)]
    if not fits:
        return
    columns = [
        "model",
        "ACC mean",
        "sd",
        "min",
        "median",
        "NMI",
        "ARI",
        "clusters",
        "seconds",
        "CPU s",
        "seeds",
        "commits",
        "machine",
    ]
    order = {name: i for i, name in enumerate((*BASELINES, *PEERS, *OURS))}
    names = sorted({(f.model, f.variant) for f in fits}, key=lambda n: (order.get(n[0], 99), n[1]))
    lines = []
    for model, variant in names:
        mine = [f for f in fits if (f.model, f.variant) == (model, variant)]
        accuracy = [f.accuracy for f in mine]
        spread = f"{stdev(accuracy):.4f}" if len(mine) > 1 else ""
        lines.append(
            [
                f"{model} ({variant})" if variant else model,
                f"{fmean(accuracy):.4f}",
                spread,
                f"{min(accuracy):.4f}",
                f"{median(accuracy):.4f}",
                f"{fmean(f.nmi for f in mine):.4f}",
                f"{fmean(f.ari for f in mine):.4f}",
                clusters_of(mine),
                f"{median(f.seconds for f in mine):.0f}",
                f"{median(f.cpu_seconds for f in mine):.0f}",
                len(mine),
                " ".join(sorted({f.version for f in mine})),
                " and ".join(sorted({f.machine for f in mine})),
            ]
        )
    about = "fitted and evaluated on all rows" if rows == "all" else "fitted on the training rows"
    notes = (
        f"{data}, {about}; as many clusters as classes, every setting at its default, Hungarian "
        "accuracy over seeds; times are medians of the fits, one thread. hdbscan, leiden, "
        "umap-hdbscan and what is called auto are not told how many clusters there are, and say "
        "how many they find. Defaults of our models were settled with the classes of these sets "
        "in view."
    )
    results.write(f"clustering-{data}-{rows}", columns, lines, notes)


def clusters_of(fits: list[Fit]) -> str:
    """Return how many clusters were used, from the fewest to the most; none for older fits."""
    found = {fit.n_clusters for fit in fits if fit.n_clusters}
    return " to ".join(str(n) for n in sorted({min(found), max(found)})) if found else ""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks clustering", description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--rows", default="all", help="all, test, or both with a comma")
    parser.add_argument("--models", default=",".join((*BASELINES, *OURS)))
    parser.add_argument("--variants", default="", help="of our models; the empty word is default")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--version", default="", help="kept with every fit; default: the commit")
    parser.add_argument("--again", action="store_true", help="make fits that are known once more")
    parser.add_argument("--table", action="store_true", help="fit nothing, write the tables")
    options = parser.parse_args(arguments)
    if not options.table:
        make(options)
    for data in options.data.split(","):
        for rows in options.rows.split(","):
            write_table(data, rows)
