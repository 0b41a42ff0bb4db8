"""Importance-sampled log p(x), 5,000 samples a row: ours against pythae's on the same weights."""

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from benchmarks import results
from benchmarks.speed import interleave, ratio
from sfumato import MLP, VAE, Trainer
from sfumato.data import load_data
from sfumato.estimators import as_float
from sfumato.inference import importance_sampling

N_SAMPLES, TRAIN_ROWS, EPOCHS = 5000, 60_000, 10
WORKER = Path(__file__).parent / "peers" / "pythae_nll_worker.py"
# name -> batch size, gradients recorded
THEIRS = {
    "pythae, as called by default": (100, 1),
    "pythae, no_grad": (100, 0),
    "pythae, no_grad, batches of 1,000": (1000, 0),
}


def trained() -> VAE:
    """Return a 784-200-200-50 VAE of dynamically binarised digits, trained briefly."""
    X = as_float(load_data("mnist").X[:TRAIN_ROWS])
    trainer = Trainer(max_epochs=EPOCHS, precision="32", threads=1)
    backbone = MLP((200, 200), "tanh")
    return VAE(50, backbone=backbone, binarize=True, random_state=0, trainer=trainer).fit(X)


def test_rows(n_rows: int) -> np.ndarray:
    """Return test digits, each binarised by one draw."""
    X = as_float(load_data("mnist").X_test[:n_rows]).reshape(n_rows, -1) / 255
    return (np.random.default_rng(0).random(X.shape) < X).astype(np.float32)


def weights(vae: VAE) -> dict[str, np.ndarray]:
    """Return the arrays of both networks, layers numbered."""
    arrays = {}
    for part in ("encoder", "decoder"):
        network = getattr(vae.model_, part).network
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        for i, layer in enumerate(layers):
            arrays[f"{part}.{i}.weight"] = layer.weight.detach().numpy()
            arrays[f"{part}.{i}.bias"] = layer.bias.detach().numpy()
    return arrays


class Ours:
    """:func:`importance_sampling`, timed; the first estimate is kept."""

    def __init__(self, vae: VAE, rows: np.ndarray) -> None:
        self.model, self.rows = vae.model_, torch.from_numpy(rows)
        self.cpu: list[float] = []

    def __call__(self) -> float:
        start, cpu = time.perf_counter(), time.process_time()
        self.estimate = importance_sampling(self.model, self.rows, n_samples=N_SAMPLES)
        self.cpu.append(time.process_time() - cpu)
        return time.perf_counter() - start


class Theirs:
    """``get_nll`` in the worker, timed there."""

    def __init__(self, worker: subprocess.Popen, batch_size: int, gradients: int) -> None:
        self.worker, self.line = worker, f"{batch_size} {gradients}\n"
        self.cpu: list[float] = []
        self.values: list[list[float]] = []

    def __call__(self) -> float:
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.write(self.line)
        self.worker.stdin.flush()
        answer = json.loads(self.worker.stdout.readline())
        self.cpu.append(answer["cpu"])
        self.values.append(answer["values"])
        return float(answer["seconds"])


def compare(vae: VAE, rows: np.ndarray, python: str, repeats: int) -> list[list[object]]:
    """Return the table's rows."""
    ours = Ours(vae, rows)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.npz"
        np.savez(file, rows=rows, **weights(vae))
        worker = subprocess.Popen(
            [python, str(WORKER), str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        theirs = {name: Theirs(worker, *settings) for name, settings in THEIRS.items()}
        times = interleave({"ours": ours, **theirs}, repeats)
        worker.kill()
    n = len(rows)
    error = float(ours.estimate.standard_error.square().sum().sqrt()) / n
    value = f"{float(ours.estimate.log_likelihood.mean()):.3f} +- {error:.3f}"
    table: list[list[object]] = [["ours", *_milliseconds(times["ours"], ours.cpu, n), "", value]]
    for name, run in theirs.items():
        cpu = {"theirs": run.cpu, "ours": ours.cpu}
        ratios = f"{ratio(times, name, 'ours'):.2f} ({ratio(cpu, 'theirs', 'ours'):.2f})"
        means = np.mean(run.values, axis=1)
        value = f"{means.mean():.3f} +- {means.std(ddof=1):.3f}"
        table.append([name, *_milliseconds(times[name], run.cpu, n), ratios, value])
    return table


def _milliseconds(seconds: list[float], cpu: list[float], n_rows: int) -> list[str]:
    return [f"{1e3 * median(times) / n_rows:.0f}" for times in (seconds, cpu)]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks pythae-speed", description=__doc__)
    parser.add_argument("--pythae", metavar="PYTHON", required=True, help="a Python with pythae")
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    torch.set_num_threads(1)
    table = compare(trained(), test_rows(options.rows), options.pythae, options.repeats)
    columns = ["what", "ms a row", "CPU ms a row", "theirs / ours (CPU)", "mean log p(x), nats"]
    results.write("pythae-speed", columns, table, notes(options.rows, options.repeats))


def notes(n_rows: int, repeats: int) -> str:
    """Return what the table compares."""
    return (
        f"log p(x) of {n_rows} binarised test digits by importance sampling, {N_SAMPLES} samples "
        f"a row in all cases, one 784-200-200-50 Bernoulli VAE of MNIST ({TRAIN_ROWS} rows, "
        f"{EPOCHS} epochs) whose weights both use; float32, one thread each. Medians of {repeats} "
        "interleaved rounds, ratios taken round by round. pythae 0.1.2's `get_nll` encodes as many "
        "copies of a row as it draws samples; it takes n_samples from whole batches alone (fewer "
        "than a batch becomes a batch, a rest is dropped), so 5,000 is asked for in batches that "
        "divide it. Errors: ours as it states it for its one estimate; pythae states none, so its "
        "value is the mean over the rounds, whose draws are new, with the deviation between them."
    )
