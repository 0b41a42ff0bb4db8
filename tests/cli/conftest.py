"""The command line, in this process and in one of its own, and a run of every model."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sfumato.cli import main
from sfumato.estimators import MODELS

RUNS = [name for name, entry in MODELS.items() if entry.storable]
SMALL = ("--epochs", "1", "--set", "hidden=32", "--set", "latent_dim=3")
SMALL_STACK = ("--epochs", "1", "--set", "layers=32,3")


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Outcome]


def invoke(*words: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert "Traceback" not in err.getvalue()
    return Outcome(int(stop.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run a command in this process."""
    return invoke


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command as a process in tmp_path."""
    source = Path(__file__).parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}

    def popen(*words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "sfumato", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment,
            # A shell's background jobs ignore SIGINT and so would their children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return popen


@pytest.fixture
def process(start: Callable[..., subprocess.Popen[str]]) -> Cli:
    """Run a command as a process in tmp_path, to its end."""

    def run(*words: object) -> Outcome:
        child = start(*words)
        out, err = child.communicate(timeout=100)
        return Outcome(child.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def rows() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:200].astype(np.uint8).reshape(-1, 8, 8), y[:200]


@pytest.fixture(scope="session")
def data(rows: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.npz"
    np.savez(path, X=rows[0], y=rows[1])
    return path


@pytest.fixture(scope="session")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return the folder of a fitted run of every model that can be one."""
    folder = tmp_path_factory.mktemp("runs")
    for name in RUNS:
        known = MODELS[name].build(0).get_params()
        settings = SMALL if {"latent_dim", "encoder__latent_dim"} & known.keys() else ()
        settings = SMALL_STACK if "layers" in known else settings
        outcome = invoke("fit", name, data, "--out", folder / name, *settings)
        assert outcome.status == 0, outcome.err
    return {name: folder / name for name in RUNS}
