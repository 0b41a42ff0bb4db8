"""Pages of small runs, written once."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sfumato.cli import main
from sfumato.jobs.pages import report_run

# As far as a file's name can go: it may hold no slash.
HOSTILE = "<b>x<b><img src=x onerror=alert(1)>&amp;'\".npz"


def sfumato(*words: object) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert not stop.value.code


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="session")
def run_page(folder: Path) -> Path:
    """Return the page of a VAE of labelled pictures from a file with a hostile name."""
    X, y = load_digits(return_X_y=True)
    np.savez(folder / HOSTILE, X=X[:200].reshape(-1, 8, 8), y=y[:200])
    options = ("--out", folder / "run", "--epochs", 2, "--set", "hidden=32")
    sfumato("fit", "vae", folder / HOSTILE, *options)
    return report_run(folder / "run", n_samples=5)


@pytest.fixture(scope="session")
def comparison_page(folder: Path) -> Path:
    """Return the page of a comparison."""
    X, y = load_digits(return_X_y=True)
    np.savez(folder / "rows.npz", X=X[:200], y=y[:200])
    options = ("--models", "pca,ica,gmm,kde", "--seeds", "0,1", "--out", folder / "comparison")
    sfumato("compare", folder / "rows.npz", *options)
    return folder / "comparison" / "report.html"


@pytest.fixture(params=["run", "comparison"])
def html(request: pytest.FixtureRequest) -> str:
    path: Path = request.getfixturevalue(f"{request.param}_page")
    return path.read_text(encoding="utf-8")
