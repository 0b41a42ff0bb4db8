"""Runs in an environment that has pythae: one training epoch for each line read, seconds printed.

pythae's VAE with its default networks and trainer, fed with the same kind of rows as ours.
"""

import json
import logging
import os
import sys
import tempfile
import time

import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig

torch.set_num_threads(1)
logging.disable(logging.CRITICAL)
answers = os.fdopen(os.dup(1), "w")
# pythae prints progress bars; only answers may reach the pipe.
sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def data(n_rows):
    generator = np.random.default_rng(0)
    image = generator.random((n_rows, 784), dtype=np.float32)
    return torch.from_numpy(image * (generator.random((n_rows, 784)) < 0.2)).float()


class Rows(torch.utils.data.Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        from pythae.data.datasets import DatasetOutput

        return DatasetOutput(data=self.X[i])


X = data(256 * 40).reshape(-1, 1, 28, 28)
model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce"))
config = BaseTrainerConfig(
    output_dir=tempfile.mkdtemp(),
    num_epochs=1,
    per_device_train_batch_size=256,
    learning_rate=1e-3,
    no_cuda=True,
)
trainer = BaseTrainer(model=model, train_dataset=Rows(X), training_config=config)
trainer.prepare_training()
for _ in sys.stdin:
    start = time.perf_counter()
    trainer.train_step(0)
    answers.write(json.dumps({"seconds": time.perf_counter() - start}) + "\n")
    answers.flush()
