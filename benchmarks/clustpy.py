"""Beside ClustPy: DEC, DCN and VaDE on digits and on the first 10,000 rows of MNIST.

Ours and theirs take turns in one run, each with its own defaults and one thread; every fit is kept
in a file as soon as it is done.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmarks import results
from sfumato.data import load_data
from sfumato.estimators import find_model
from sfumato.jobs.settings import apply_settings
from sfumato.metrics import clustering_accuracy

CACHE = Path(os.environ.get("SFUMATO_BENCHMARKS", "benchmarks/.cache")) / "clustpy.jsonl"
WORKER = Path(__file__).parent / "peers" / "clustpy_worker.py"
# name -> (model of ours, settings named as `--set` names them, class of ClustPy)
MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "dec": ("dec", {}, "DEC"),
    "dec (kmeans)": ("dec", {"init": "kmeans"}, "DEC"),
    "idec": ("dec", {"reconstruction_weight": 0.1}, "IDEC"),
    "dcn": ("dcn", {}, "DCN"),
    "dcn (kmeans)": ("dcn", {"init": "kmeans"}, "DCN"),
    "vade": ("vade", {}, "VaDE"),
}
ROWS = {"digits": None, "mnist": 10_000}


class Peer:
    """ClustPy in a process of its own."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def fit(self, X: np.ndarray, model: str, n_clusters: int, seed: int) -> dict[str, Any]:
        """Fit one model; returns its labels and times."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file.name, X)
            task = {"model": model, "rows": file.name, "n_clusters": n_clusters, "seed": seed}
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
            answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def fit_ours(X: np.ndarray, name: str, seed: int) -> dict[str, Any]:
    """Fit one of our models with a pre-training of its own."""
    model, settings, _ = MODELS[name]
    estimator: Any = find_model(model).build(seed)
    apply_settings(estimator, settings)
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X)
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "labels": estimator.labels_,
    }


def known() -> dict[tuple[str, str, str, int], dict[str, float]]:
    """Return accuracy and times of the fits in the cache by library, data, model and seed."""
    if not CACHE.exists():
        return {}
    fits = [json.loads(line) for line in CACHE.read_text().splitlines()]
    return {(f["library"], f["data"], f["model"], f["seed"]): f for f in fits}


def make(data: str, models: list[str], seeds: list[int], python: str) -> None:
    """Make the fits that the cache lacks, ours and theirs in turn."""
    bundle = load_data(data)
    X, y = np.asarray(bundle.X, np.float32)[: ROWS[data]], bundle.y[: ROWS[data]]
    n_clusters = len(np.unique(y))
    peer = Peer(python)
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    have = set(known())
    for seed in seeds:
        for name in models:
            theirs = MODELS[name][2]
            fits = {
                ("sfumato", name): lambda name=name, seed=seed: fit_ours(X, name, seed),
                ("ClustPy", theirs): lambda theirs=theirs, seed=seed: peer.fit(
                    X / X.max(), theirs, n_clusters, seed
                ),
            }
            for (library, model), fit in fits.items():
                if (library, data, model, seed) in have:
                    continue
                have.add((library, data, model, seed))
                answer = fit()
                accuracy = clustering_accuracy(y, np.asarray(answer.pop("labels")))
                record = {"library": library, "data": data, "model": model, "seed": seed, **answer}
                print(record | {"accuracy": accuracy}, flush=True)
                with CACHE.open("a") as file:
                    file.write(json.dumps(record | {"accuracy": float(accuracy)}) + "\n")


def write_table(data: str) -> None:
    """Write one row for each model: ours beside theirs."""
    fits = known()
    columns = ["model", "ACC", "min", "CPU s", "ClustPy ACC", "min", "CPU s", "CPU ratio", "seeds"]
    lines: list[list[object]] = []
    for name, (_, _, theirs) in MODELS.items():
        seeds = [
            seed
            for (library, where, model, seed) in fits
            if (library, where, model) == ("sfumato", data, name)
            and ("ClustPy", data, theirs, seed) in fits
        ]
        if not seeds:
            continue
        ours = [fits["sfumato", data, name, seed] for seed in seeds]
        peers = [fits["ClustPy", data, theirs, seed] for seed in seeds]
        ratio = median(
            a["cpu_seconds"] / b["cpu_seconds"] for a, b in zip(ours, peers, strict=True)
        )
        lines.append([name, *_summary(ours), *_summary(peers), f"{ratio:.2f}", len(seeds)])
    rows = "all rows" if ROWS[data] is None else f"the first {ROWS[data]:,} training rows"
    notes = (
        f"{data}, {rows}, ten clusters; both libraries at their defaults, one thread, fits "
        "interleaved in one run. Hungarian accuracy: mean and least over seeds; processor seconds: "
        "median, pre-training included; the ratio is ours over ClustPy's, fit by fit."
    )
    results.write(f"clustpy-{data}", columns, lines, notes)


def _summary(fits: list[dict[str, float]]) -> list[str]:
    accuracy = [fit["accuracy"] for fit in fits]
    seconds = median(fit["cpu_seconds"] for fit in fits)
    return [f"{fmean(accuracy):.4f}", f"{min(accuracy):.4f}", f"{seconds:.0f}"]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks clustpy", description=__doc__)
    parser.add_argument("--python", help="of an environment that has ClustPy")
    parser.add_argument("--data", default="digits,mnist")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--table", action="store_true", help="fit nothing, write the tables")
    options = parser.parse_args(arguments)
    for data in options.data.split(","):
        if not options.table:
            seeds = [int(seed) for seed in options.seeds.split(",")]
            make(data, options.models.split(","), seeds, options.python)
        write_table(data)
