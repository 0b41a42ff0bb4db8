"""Fixtures: small data and small models, fitted once."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sfumato import VAE, Trainer

# Many tests run side by side; two threads each on two cores would spin at each other's barriers.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures of digits, shape (n, 8, 8), and their classes."""
    X, y = load_digits(return_X_y=True)
    return X.reshape(-1, 8, 8), y


@pytest.fixture(scope="session")
def vae(digits: tuple[np.ndarray, np.ndarray]) -> VAE:
    trainer = Trainer(max_epochs=10)
    model = VAE(latent_dim=4, hidden=(64,), image_shape=(1, 8, 8), random_state=0, trainer=trainer)
    return model.fit(digits[0])


@pytest.fixture
def chromium(tmp_path):
    """Run headless Chromium on a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not on PATH")
    flags = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
    )  # fmt: skip

    def run(path: Path, *options: str) -> str:
        # The hostile name of the data stands inside the page; the page's own path is plain.
        words = [browser, *flags, *options, path.as_uri()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=True)
        return done.stdout

    return run
