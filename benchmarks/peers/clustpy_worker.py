"""Runs in an environment that has ClustPy: one fit of its defaults for each line read.

A line names a class, a file of rows in [0, 1], a number of clusters and a seed; the answer holds
the labels and the seconds of wall clock and of processor time.
"""

import json
import os
import sys
import time
import warnings

import numpy as np
import torch

# torchvision, which ClustPy imports, is built for another torch; all that is missing is a name.
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

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
