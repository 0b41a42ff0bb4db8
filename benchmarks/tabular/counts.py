"""Clusters of counts: single cells of known types, and digits, whose pixels are counts up to 16.

As many clusters as classes, every setting at its default, labels used for nothing but the measures.
Each fit is appended to a cache as soon as it is there.
"""

import argparse
import json
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median, stdev

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from benchmarks import results
from sfumato import MixtureVAE
from sfumato.metrics import (
    adjusted_rand_index,
    clustering_accuracy,
    normalized_mutual_information,
)

FOLDER = Path(os.environ.get("SFUMATO_BENCHMARKS", "benchmarks/.cache"))
CACHE = FOLDER / "counts.jsonl"
WORKER = Path(__file__).parents[1] / "peers" / "counts_worker.py"
MEASURES = (clustering_accuracy, normalized_mutual_information, adjusted_rand_index)
FILES = {"bladder": "scrna/mouse_bladder_cell_select_2100.h5"}
DATA = (*FILES, "digits")
NOTES = (
    "{data}: as many clusters as classes, every setting at its default, labels used for nothing "
    "but the measures; means over seeds, processor seconds: median, one thread, the start of "
    "another process included. kmeans (ten starts), gmm (full covariances) and leiden (scanpy's "
    "graph of 15 nearest neighbours) see the first 50 principal components of log(1 + counts per "
    "10,000) of the 2,000 columns whose logs vary most. The resolution of leiden is the one that "
    "gives as many clusters as classes."
)


@dataclass(frozen=True)
class Fit:
    """One fit: what was fitted, and how well its clusters match the classes."""

    data: str
    method: str
    seed: int
    accuracy: float
    nmi: float
    ari: float
    n_clusters: int
    cpu_seconds: float
    version: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it this fit and no other."""
        return self.data, self.method, self.seed


@cache
def load_counts(data: str, python: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and classes; HDF5 is converted once by the peers' Python."""
    if data == "digits":
        return load_digits(return_X_y=True)
    path = FOLDER / f"{data}.npz"
    if not path.exists():
        source = Path(os.environ.get("SFUMATO_DATA", "data")) / FILES[data]
        run_worker(python, {"do": "convert", "source": str(source), "path": str(path)})
    with np.load(path) as archive:
        return archive["X"], archive["y"]


def run_worker(python: str | None, task: dict[str, object]) -> None:
    """Have the peers' Python do a task."""
    if python is None:
        raise SystemExit("give --python of an environment with h5py, scanpy and leidenalg")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([python, str(WORKER), json.dumps(task)], check=True, env=environment)


def components(counts: np.ndarray, n_columns: int = 2000, n_components: int = 50) -> np.ndarray:
    """Return principal components of the log of the columns whose logs vary most."""
    logs = np.log1p(1e4 * counts / np.maximum(counts.sum(1, keepdims=True), 1)).astype(np.float32)
    chosen = np.sort(np.argsort(-logs.var(0), kind="stable")[:n_columns])
    return PCA(n_components, random_state=0).fit_transform(logs[:, chosen]).astype(float)


def kmeans(counts: np.ndarray, n_clusters: int, seed: int, python: str | None) -> np.ndarray:
    """Cluster by k-means, the best of ten starts."""
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(components(counts))


def mixture(counts: np.ndarray, n_clusters: int, seed: int, python: str | None) -> np.ndarray:
    """Cluster by a mixture of Gaussians with full covariances."""
    return GaussianMixture(n_clusters, random_state=seed).fit_predict(components(counts))


def leiden(counts: np.ndarray, n_clusters: int, seed: int, python: str | None) -> np.ndarray:
    """Cluster by Leiden on the graph of 15 neighbours, which sees the number of clusters too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.npz"
        np.savez(path, X=components(counts))
        task = {"do": "leiden", "path": str(path), "n_clusters": n_clusters, "seed": seed}
        run_worker(python, task)
        with np.load(path) as answer:
            return answer["labels"]


def ours(counts: np.ndarray, n_clusters: int, seed: int, python: str | None) -> np.ndarray:
    """Cluster the counts themselves by our mixture VAE with its defaults."""
    return MixtureVAE(n_components=n_clusters, random_state=seed).fit(counts).labels_


METHODS: dict[str, Callable[[np.ndarray, int, int, str | None], np.ndarray]] = {
    "kmeans": kmeans,
    "gmm": mixture,
    "leiden": leiden,
    "mixture-vae": ours,
}


def known() -> list[Fit]:
    """Return the fits in the cache; a later one of the same key replaces an earlier."""
    return results.kept(CACHE, Fit)


def fit_one(key: tuple[str, str, int], options: argparse.Namespace) -> Fit:
    """Cluster all rows; the time of the peers' process counts."""
    data, method, seed = key
    counts, y = load_counts(data, options.python)
    start = sum(os.times()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = METHODS[method](counts, len(np.unique(y)), seed, options.python)
    seconds = sum(os.times()[:4]) - start
    figures = [float(measure(y, labels)) for measure in MEASURES]
    return Fit(*key, *figures, len(np.unique(labels)), seconds, options.version)


def make(options: argparse.Namespace) -> None:
    """Make the fits that the cache lacks, or all once more."""
    have = set() if options.again else {fit.key for fit in known()}
    for seed in (int(text) for text in options.seeds.split(",")):
        for data in options.sets.split(","):
            for method in options.methods.split(","):
                if (data, method, seed) in have:
                    continue
                fit = fit_one((data, method, seed), options)
                print(fit, flush=True)
                results.keep(CACHE, fit)


def write_table(data: str) -> None:
    """Write the table of one data set from the cache."""
    columns = ["method", "ACC", "sd", "NMI", "ARI", "clusters", "CPU s", "seeds", "commits"]
    lines: list[list[object]] = []
    for method in METHODS:
        mine = [fit for fit in known() if (fit.data, fit.method) == (data, method)]
        if mine:
            lines.append([method, *summary(mine)])
    if lines:
        results.write(f"counts-{data}", columns, lines, NOTES.format(data=data))


def summary(mine: list[Fit]) -> list[object]:
    """Return means over seeds, the range of the number of clusters, and the processor time."""
    found = sorted({fit.n_clusters for fit in mine})
    return [
        f"{fmean(fit.accuracy for fit in mine):.4f}",
        f"{stdev(fit.accuracy for fit in mine):.4f}" if len(mine) > 1 else "",
        f"{fmean(fit.nmi for fit in mine):.4f}",
        f"{fmean(fit.ari for fit in mine):.4f}",
        "-".join(str(n) for n in sorted({found[0], found[-1]})),
        f"{median(fit.cpu_seconds for fit in mine):.1f}",
        len(mine),
        " ".join(sorted({fit.version for fit in mine})),
    ]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks tables counts", description=__doc__)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--sets", default=",".join(DATA))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--python", help="of an environment with h5py, scanpy and leidenalg")
    results.add_cache_options(parser)
    options = parser.parse_args(arguments)
    if not options.table:
        make(options)
    for data in options.sets.split(","):
        write_table(data)
