"""Runs in an environment that has PyOD: one fit of a detector's defaults for each line read.

A line names a class, a folder with rows to fit and to score, a share of anomalies and a seed; the
scores go to the folder, and the answer holds the threshold and the seconds of processor time.
"""

import importlib
import json
import os
import random
import sys
import time
import warnings

import numpy as np
import torch

MODULES = {
    "KNN": "knn",
    "ECOD": "ecod",
    "AutoEncoder": "auto_encoder",
    "VAE": "vae",
    "DeepSVDD": "deep_svdd",
}

torch.set_num_threads(1)
warnings.simplefilter("ignore")
answers = os.fdopen(os.dup(1), "w")
# PyOD prints progress bars; only answers may reach the pipe.
sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def detector(task, n_features):
    """Return the unfitted detector; deterministic ones take no seed."""
    kind = getattr(importlib.import_module(f"pyod.models.{MODULES[task['model']]}"), task["model"])
    settings = {"contamination": task["contamination"]}
    if task["model"] in ("AutoEncoder", "VAE", "DeepSVDD"):
        settings |= {"random_state": task["seed"], "verbose": 0}
    if task["model"] == "DeepSVDD":
        settings["n_features"] = n_features
    return kind(**settings)


for line in sys.stdin:
    task = json.loads(line)
    rows = np.load(task["folder"] + "/rows.npz")
    random.seed(task["seed"])
    np.random.seed(task["seed"])  # noqa: NPY002
    torch.manual_seed(task["seed"])
    model = detector(task, rows["train"].shape[1])
    begin = time.process_time()
    model.fit(rows["train"])
    fitted = time.process_time()
    np.save(task["folder"] + "/scores.npy", model.decision_function(rows["test"]))
    answer = {
        "threshold": float(model.threshold_),
        "cpu_seconds": fitted - begin,
        "scoring": time.process_time() - fitted,
    }
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
