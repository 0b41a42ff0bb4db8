"""Runs in an environment that has pythae: log p(x) of rows by its ``get_nll``, for each line read.

The one argument is a file of weights and rows; a line is the batch size and whether gradients are
recorded (0 or 1). Answers are the seconds and processor seconds that all rows took, and every
row's estimate.
"""

import json
import os
import sys
import time

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
answers = os.fdopen(os.dup(1), "w")
# pythae prints as it is imported; only answers may reach the pipe.
sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115

from pythae.models import VAE, VAEConfig  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from pythae.models.nn import BaseDecoder, BaseEncoder  # noqa: E402


def network(arrays, part):
    layers = []
    for i in range(3):
        weight = torch.from_numpy(arrays[f"{part}.{i}.weight"])
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(torch.from_numpy(arrays[f"{part}.{i}.bias"]))
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Encoder(BaseEncoder):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        mean, log_scale = self.layers(x.flatten(1)).chunk(2, 1)
        return ModelOutput(embedding=mean, log_covariance=2 * log_scale)


class Decoder(BaseDecoder):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z).sigmoid())


arrays = np.load(sys.argv[1])
rows = torch.from_numpy(arrays["rows"]).reshape(-1, 1, 28, 28)
config = VAEConfig(input_dim=(1, 28, 28), latent_dim=50, reconstruction_loss="bce")
model = VAE(config, Encoder(network(arrays, "encoder")), Decoder(network(arrays, "decoder"))).eval()
torch.manual_seed(0)
for line in sys.stdin:
    batch_size, gradients = map(int, line.split())
    start, cpu = time.perf_counter(), time.process_time()
    with torch.set_grad_enabled(bool(gradients)):
        # Row by row: get_nll returns the mean of its rows alone.
        values = [float(model.get_nll(row[None], 5000, batch_size)) for row in rows]
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    answers.write(json.dumps({"seconds": seconds, "cpu": cpu, "values": values}) + "\n")
    answers.flush()
