"""Speed of a training step and an epoch, always as ratios of interleaved runs in one process group.

Ours against a bare PyTorch loop (same network, same batches, same optimiser, nothing else),
bfloat16 against float32, and pythae where a Python that has it is named with --pythae.
"""

import argparse
import json
import subprocess
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.nn import functional as F

from benchmarks import results
from sfumato import MLP, VAE, Optimizer, Trainer
from sfumato.training import computes_bf16

HIDDEN, LATENT, BATCH, ROWS = (500, 500, 2000), 10, 256, 256 * 20
WORKER = Path(__file__).parent / "peers" / "pythae_worker.py"


def data(n_rows: int = ROWS) -> np.ndarray:
    """Return sparse grey images of MNIST's size: speed does not depend on what they show."""
    generator = np.random.default_rng(0)
    image = generator.random((n_rows, 784), dtype=np.float32)
    return image * (generator.random((n_rows, 784)) < 0.2)


class BareLoop:
    """The shortest honest training loop: what anyone would write for this one network."""

    def __init__(self, X: np.ndarray, bf16: bool) -> None:
        torch.manual_seed(0)
        widths = [784, *HIDDEN, 2 * LATENT]
        mirrored = [LATENT, *reversed(HIDDEN), 784]
        self.encoder, self.decoder = self._net(widths), self._net(mirrored)
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        self.X, self.bf16 = torch.from_numpy(X), bf16

    @staticmethod
    def _net(widths: list[int]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        return nn.Sequential(*layers[:-1])

    def epoch(self) -> float:
        start = time.perf_counter()
        for index in torch.randperm(len(self.X)).split(BATCH):
            x = self.X[index]
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                mean, log_scale = self.encoder(x).float().chunk(2, 1)
                z = mean + log_scale.exp() * torch.randn_like(mean)
                logits = self.decoder(z).float()
            error = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
            kl = 0.5 * (mean**2 + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)
            self.optimizer.zero_grad()
            (error + kl).mean().backward()
            self.optimizer.step()
        return time.perf_counter() - start


class Ours:
    """The same network under the Trainer; an epoch's own time is in the history.

    The last epoch counts: in the first one memory is touched for the first time and the
    optimiser's state is made, which the bare loop, kept from round to round, has behind it.
    """

    def __init__(
        self, X: np.ndarray, precision: str, threads: int | str = 1, averaging: float = 0.0
    ) -> None:
        self.X, self.precision, self.threads, self.averaging = X, precision, threads, averaging

    def epoch(self) -> float:
        # The average moves at every step at first, and from the 64th on at every eighth.
        trainer = Trainer(
            max_epochs=5 if self.averaging else 2,
            batch_size=BATCH,
            optimizer=Optimizer(averaging=self.averaging),
            precision=self.precision,
            threads=self.threads,
        )
        vae = VAE(latent_dim=LATENT, hidden=HIDDEN, random_state=0, scaling="none", trainer=trainer)
        return float(vae.fit(self.X).history_["seconds"][-1])


def interleave(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Time the runs in turn, A B C A B C ..., after one uncounted round."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(run())
    return times


def ratio(times: dict[str, list[float]], a: str, b: str) -> float:
    """Return the median over rounds of time a / time b."""
    return median(x / y for x, y in zip(times[a], times[b], strict=True))


def against_a_bare_loop(repeats: int) -> list[list[object]]:
    """Compare steps of the 784-500-500-2000-10 network, one thread."""
    torch.set_num_threads(1)
    X = data()
    steps = len(X) / BATCH
    rows = []
    kinds = [("32", False)] + ([("bf16", True)] if computes_bf16(torch.device("cpu")) else [])
    runs: dict[str, Callable[[], float]] = {}
    for precision, bf16 in kinds:
        runs[f"bare {precision}"] = BareLoop(X, bf16).epoch
        runs[f"ours {precision}"] = Ours(X, precision).epoch
    runs["ours auto"] = Ours(X, "auto").epoch
    runs["ours auto, averaging weights"] = Ours(X, "auto", averaging=0.9995).epoch
    times = interleave(runs, repeats)
    for name in runs:
        rows.append([f"step, {name}", f"{1e3 * median(times[name]) / steps:.1f} ms", ""])
    for precision, _ in kinds:
        value = ratio(times, f"ours {precision}", f"bare {precision}")
        rows.append([f"step, ours / bare loop, {precision}", "", f"{value:.3f}"])
    rows.append(["step, ours 32 / ours auto", "", f"{ratio(times, 'ours 32', 'ours auto'):.2f}"])
    value = ratio(times, "ours auto, averaging weights", "ours auto")
    rows.append(["step, averaging weights / not", "", f"{value:.3f}"])
    return rows


def against_pythae(python: str, repeats: int) -> list[list[object]]:
    """Compare epochs a second of the same VAE (784-512-16, its default network) with pythae's."""
    X = data(256 * 40)
    worker = subprocess.Popen(
        [python, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    stdin, stdout = worker.stdin, worker.stdout

    def theirs() -> float:
        stdin.write("epoch\n")
        stdin.flush()
        return float(json.loads(stdout.readline())["seconds"])

    def ours(precision: str) -> float:
        trainer = Trainer(
            max_epochs=2,
            batch_size=BATCH,
            optimizer=Optimizer(averaging=0.0),
            precision=precision,
            threads=1,
        )
        vae = VAE(
            latent_dim=16,
            backbone=MLP((512,), "relu"),
            scaling="none",
            random_state=0,
            trainer=trainer,
        )
        return float(vae.fit(X).history_["seconds"][1])

    torch.set_num_threads(1)
    runs: dict[str, Callable[[], float]] = {
        "pythae": theirs,
        "ours 32": lambda: ours("32"),
        "ours auto": lambda: ours("auto"),
    }
    times = interleave(runs, repeats)
    worker.kill()
    rows = [
        [f"VAE 784-512-16, {name}", f"{1 / median(t):.2f} epochs/s", ""]
        for name, t in times.items()
    ]
    for name in ("ours 32", "ours auto"):
        rows.append([f"epochs/s, {name} / pythae", "", f"{ratio(times, 'pythae', name):.2f}"])
    return rows


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks speed", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pythae", metavar="PYTHON", help="a Python that has pythae installed")
    options = parser.parse_args(arguments)
    # The pictures are noise, so the code is right to collapse.
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    rows = against_a_bare_loop(options.repeats)
    if options.pythae:
        rows += against_pythae(options.pythae, options.repeats)
    notes = f"Medians over {options.repeats} interleaved rounds; ratios are taken round by round."
    results.write("speed", ["what", "time", "ratio"], rows, notes)
