"""Fixtures: small data and small models, fitted once."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sfumato import VAE, Trainer

# Many tests run side by side; two threads each on two cores would spin at each other's barriers.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return load_digits(return_X_y=True)


@pytest.fixture(scope="session")
def vae(digits: tuple[np.ndarray, np.ndarray]) -> VAE:
    trainer = Trainer(max_epochs=10)
    return VAE(latent_dim=4, hidden=(64,), random_state=0, trainer=trainer).fit(digits[0])
