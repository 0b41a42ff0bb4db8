"""Runs in an environment that has miceforest or hyperimpute: imputes the table in one npz file.

The task, a JSON argument, names a method, the file and a seed; the filled rows replace those of the
file, and the last line printed is the processor time.
"""

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")


def categorical_frame(X, classes):
    """Return a frame whose columns of classes are categorical."""
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    for name in frame.columns[classes]:
        frame[name] = frame[name].astype("Int64").astype("category")
    return frame


def mice(X, kinds, seed, **settings):
    """Impute one data set by five rounds; ordinal levels are numbers."""
    import miceforest

    frame = categorical_frame(X, kinds == "cat")
    kernel = miceforest.ImputationKernel(frame, num_datasets=1, random_state=seed, **settings)
    kernel.mice(5, num_threads=1)
    return kernel.complete_data(0).astype(float).to_numpy()


def hyperimpute(X, kinds, seed):
    """Impute by hyperimpute's default."""
    from hyperimpute.plugins.imputers import Imputers

    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    return np.asarray(Imputers().get("hyperimpute", random_state=seed).fit_transform(frame), float)


METHODS = {
    "miceforest": mice,
    "miceforest-mean": lambda *task: mice(*task, mean_match_candidates=0),
    "hyperimpute": hyperimpute,
}


def main():
    """Do the task."""
    task = json.loads(sys.argv[1])
    table = dict(np.load(task["path"]))
    X, kinds, levels = table["X"], table["kinds"], table["levels"]
    start = time.process_time()
    filled = METHODS[task["method"]](X.copy(), kinds, task["seed"])
    seconds = time.process_time() - start
    for j in np.flatnonzero(np.isin(kinds, ["cat", "ordinal"])):
        filled[:, j] = np.clip(np.round(filled[:, j]), 0, levels[j] - 1)
    np.savez(task["path"], X=filled)
    print(seconds)


main()
