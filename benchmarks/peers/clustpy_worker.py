"""Runs in an environment that has ClustPy: one fit of its defaults for each line read.

A line names a class, a file of rows in [0, 1], a number of clusters and a seed; the answer holds
the labels and the seconds of wall clock and of processor time.
"""

import json
import os
import sys
import time
import warnings
from unittest.mock import MagicMock

import numpy as np
import torch


class Anything(MagicMock):
    """Stands for torchvision, which ClustPy imports for its image networks, none of them used here.

    Its wheels are built for another torch than the pinned one and do not load.
    """

    __path__: list[str] = []  # noqa: RUF012


for name in ("", ".models", ".models._api", ".models.resnet", ".transforms", ".datasets"):
    sys.modules["torchvision" + name] = Anything()

from clustpy import deep  # noqa: E402

torch.set_num_threads(1)
warnings.simplefilter("ignore")
answers = os.fdopen(os.dup(1), "w")
# ClustPy prints progress bars; only answers may reach the pipe.
sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115

for line in sys.stdin:
    task = json.loads(line)
    X = np.load(task["rows"])
    model = getattr(deep, task["model"])(task["n_clusters"], random_state=task["seed"])
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(X)
    answer = {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "labels": np.asarray(model.labels_).tolist(),
    }
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
