"""Calibration of clusters: whether probabilities of rows that no fit saw are as right as they say.

A model is fitted to two thirds of the rows, clusters are matched to classes on these, and the
expected calibration error is measured on the rest, rows of all seeds together, in 15 bins. Beside
it stands what it would be on as many rows were the probabilities right.
"""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from benchmarks import results
from sfumato import MixtureVAE
from sfumato.data import load_data
from sfumato.metrics import confidence_error

N_DRAWS = 200
SHARE = 2 / 3


def of_scikit_learn(load: Callable[..., Any]) -> Callable[[], tuple[Any, np.ndarray]]:
    """Return how a table of scikit-learn is read."""

    def read() -> tuple[Any, np.ndarray]:
        found = load(as_frame=True)
        return found.data, found.target.to_numpy()

    return read


def of_name(name: str) -> Callable[[], tuple[Any, np.ndarray]]:
    """Return how a named data set's training rows are read."""

    def read() -> tuple[Any, np.ndarray]:
        data = load_data(name)
        X = data.X if data.image_shape is None else data.X.reshape(-1, *data.image_shape)
        return X, np.asarray(data.y)

    return read


DATA = {
    "iris": of_scikit_learn(load_iris),
    "wine": of_scikit_learn(load_wine),
    "breast cancer": of_scikit_learn(load_breast_cancer),
    "digits": of_name("digits"),
    "pendigits": of_name("pendigits"),
}


def held_out(X: Any, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return confidence, and whether it is right, of rows that the fit did not see."""
    order = np.random.default_rng(seed).permutation(len(y))
    known, new = np.split(order, [round(SHARE * len(y))])
    take = X.iloc.__getitem__ if hasattr(X, "iloc") else X.__getitem__
    n = len(np.unique(y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixtureVAE(n, random_state=seed).fit(take(known))
        probability = model.predict_proba(take(new))
    table = np.zeros((n, n))
    np.add.at(table, (model.labels_, y[known]), 1)
    classes = linear_sum_assignment(-table)[1]
    return probability.max(axis=1), classes[probability.argmax(axis=1)] == y[new]


def row_of(name: str, seeds: list[int]) -> list[object]:
    """Return a row of the table."""
    X, y = DATA[name]()
    parts = [held_out(X, y, seed) for seed in seeds]
    confidence, right = (np.concatenate(part) for part in zip(*parts, strict=True))
    rng = np.random.default_rng(0)
    if_right = [
        confidence_error(confidence, rng.random(len(confidence)) < confidence)
        for _ in range(N_DRAWS)
    ]
    figures = (
        confidence_error(confidence, right),
        float(np.mean(if_right)),
        right.mean(),
        confidence.mean(),
    )
    return [name, *(f"{figure:.3f}" for figure in figures), len(right), len(seeds)]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks calibration", description=__doc__)
    parser.add_argument("--data", default=",".join(DATA), help="of these, with commas")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    options = parser.parse_args(arguments)
    seeds = [int(text) for text in options.seeds.split(",")]
    rows = []
    for name in options.data.split(","):
        rows.append(row_of(name, seeds))
        print(rows[-1], flush=True)
    header = ["data", "ECE ↓", "if right", "accuracy", "confidence", "rows", "seeds"]
    notes = (
        "MixtureVAE, every setting at its default, fitted to two thirds of the rows without a "
        "label; expected calibration error of the rest, rows of all seeds together, 15 bins; if "
        "right: what it would be on as many rows, were the probabilities right."
    )
    results.write("calibration", header, rows, notes)
