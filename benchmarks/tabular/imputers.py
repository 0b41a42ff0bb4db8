"""Methods that fill the missing cells of a table: baselines, peers and ours.

A method takes rows with NaN for missing cells, the kind and the number of levels of each column,
and a seed; it returns the rows filled. Kinds are "real", "pos" (positive), "count", "cat" (nominal)
and "ordinal"; the levels of the last two are the numbers 0, 1, ...
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.linear_model import BayesianRidge

from sfumato import VAE

NUMERIC = ("real", "pos", "count")
WORKER = Path(__file__).parents[1] / "peers" / "imputation_worker.py"
Imputer = Callable[[np.ndarray, Sequence[str], Sequence[int], int], np.ndarray]


class OneHot:
    """Standardised numbers and ordered levels beside one-hot nominal levels.

    Levels that no cell of a column has get no column of their own. With `reference`, neither does
    the most frequent level: the columns of one cell would otherwise determine each other, and a
    regression on them would only repeat its initial guess.
    """

    def __init__(
        self,
        X: np.ndarray,
        kinds: Sequence[str],
        levels: Sequence[int],
        reference: bool = False,
    ) -> None:
        self.kinds, self.levels, self.reference = kinds, levels, reference
        self.mean = np.nanmean(X, 0)
        self.scale = np.nanstd(X, 0)
        self.scale[self.scale == 0] = 1.0
        self.seen = [by_frequency(x[~np.isnan(x)]) for x in X.T]

    def coded(self, j: int) -> np.ndarray:
        """Return the levels of column `j` that have a column of their own."""
        return self.seen[j][1:] if self.reference else self.seen[j]

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Return the coded rows, with NaN where `X` has them."""
        blocks = []
        for j, kind in enumerate(self.kinds):
            if kind == "cat":
                block = np.where(np.isnan(X[:, [j]]), np.nan, X[:, [j]] == self.coded(j))
            else:
                block = (X[:, [j]] - self.mean[j]) / self.scale[j]
            blocks.append(block)
        return np.concatenate(blocks, 1)

    def decode(self, Z: np.ndarray) -> np.ndarray:
        """Return rows in the units of the table: the largest nominal level, the nearest ordinal."""
        columns, at = [], 0
        for j, kind in enumerate(self.kinds):
            width = len(self.coded(j)) if kind == "cat" else 1
            block = Z[:, at : at + width]
            at += width
            if kind == "cat":
                if self.reference:
                    block = np.concatenate([1 - block.sum(1, keepdims=True), block], 1)
                column = self.seen[j][block.argmax(1)]
            else:
                column = block[:, 0] * self.scale[j] + self.mean[j]
            columns.append(nearest_level(column, self.levels[j]) if kind == "ordinal" else column)
        return np.stack(columns, 1)


def by_frequency(values: np.ndarray) -> np.ndarray:
    """Return the different values, the most frequent first."""
    different, counts = np.unique(values, return_counts=True)
    return different[np.argsort(-counts, kind="stable")]


def nearest_level(values: np.ndarray, n_levels: int) -> np.ndarray:
    """Return the numbers of the levels nearest to `values`."""
    return np.clip(np.round(values), 0, n_levels - 1)


def with_missing(X: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Return `X` with its missing cells taken from `filled`."""
    return np.where(np.isnan(X), filled, X)


def mean_impute(
    X: np.ndarray, kinds: Sequence[str], levels: Sequence[int], seed: int
) -> np.ndarray:
    """Fill in the mean, the most frequent nominal level, the median ordinal level."""
    filled = np.empty(X.shape[1])
    for j, kind in enumerate(kinds):
        x = X[~np.isnan(X[:, j]), j]
        if kind == "cat":
            filled[j] = np.bincount(x.astype(int)).argmax()
        else:
            filled[j] = np.floor(np.median(x)) if kind == "ordinal" else x.mean()
    return with_missing(X, filled)


def knn_impute(
    X: np.ndarray, kinds: Sequence[str], levels: Sequence[int], seed: int, n_neighbors: int
) -> np.ndarray:
    """Fill in the mean, or the vote, of the nearest rows that have the cell."""
    coding = OneHot(X, kinds, levels)
    Z = KNNImputer(n_neighbors=n_neighbors).fit_transform(coding.encode(X))
    return with_missing(X, coding.decode(Z))


def chained_impute(
    X: np.ndarray,
    kinds: Sequence[str],
    levels: Sequence[int],
    seed: int,
    regressor: Callable[[int], Any],
    max_iter: int,
) -> np.ndarray:
    """Fill in the predictions of scikit-learn's IterativeImputer, within the observed range."""
    coding = OneHot(X, kinds, levels, reference=True)
    Z = coding.encode(X)
    imputer = IterativeImputer(
        regressor(seed),
        max_iter=max_iter,
        min_value=np.nanmin(Z, 0),
        max_value=np.nanmax(Z, 0),
        random_state=seed,
    )
    return with_missing(X, coding.decode(imputer.fit_transform(Z)))


def extra_trees(seed: int) -> ExtraTreesRegressor:
    """Return 50 randomised trees, which split the best of sqrt(d) features."""
    return ExtraTreesRegressor(50, max_features="sqrt", random_state=seed)


def missforest_impute(
    X: np.ndarray,
    kinds: Sequence[str],
    levels: Sequence[int],
    seed: int,
    ordinal_as_number: bool = False,
    max_iter: int = 10,
    **forest: Any,
) -> np.ndarray:
    """Fill in by missForest (Stekhoven and Buehlmann 2012).

    Columns, from the least missing, are predicted from all others by a random forest of 100
    trees, which try sqrt(d) features at a split. Rounds go on while the difference to the round
    before shrinks for numbers or for classes; the round before the one that ends them is
    returned. Ordinal levels are classes, as an R factor's are, or numbers to be rounded.
    """
    numbers = np.isin(kinds, (*NUMERIC, "ordinal") if ordinal_as_number else NUMERIC)
    missing = np.isnan(X)
    order = [j for j in np.argsort(missing.sum(0), kind="stable") if missing[:, j].any()]
    filled, before = mean_impute(X, kinds, levels, seed), (np.inf, np.inf)
    for iteration in range(max_iter):
        previous = filled.copy()
        for j in order:
            model = random_forest(bool(numbers[j]), X.shape[1], seed + 1000 * iteration + j, forest)
            filled[missing[:, j], j] = predict_cells(model, filled, missing[:, j], j)
        now = differences(filled, previous, numbers)
        if not (now[0] < before[0] or now[1] < before[1]):
            filled = previous
            break
        before = now
    for j in np.flatnonzero(np.array(kinds) == "ordinal"):
        filled[:, j] = nearest_level(filled[:, j], levels[j])
    return with_missing(X, filled)


def random_forest(number: bool, n_columns: int, seed: int, settings: dict[str, Any]) -> Any:
    """Return an unfitted forest with the settings of the R package."""
    settings = {"max_features": max(1, int(np.sqrt(n_columns))), "random_state": seed} | settings
    if number:
        return RandomForestRegressor(100, **settings)
    return RandomForestClassifier(100, **{"min_samples_split": 6} | settings)


def predict_cells(model: Any, filled: np.ndarray, missing: np.ndarray, j: int) -> np.ndarray:
    """Return the predictions of the missing cells of column `j` from the other columns."""
    others = np.delete(filled, j, 1).astype(np.float32)
    model.fit(others[~missing], filled[~missing, j])
    return model.predict(others[missing])


def differences(
    filled: np.ndarray, previous: np.ndarray, numbers: np.ndarray
) -> tuple[float, float]:
    """Return the relative squared change of the numbers and the share of changed classes.

    Of a table without numbers or without classes, the one that it lacks is infinite.
    """
    change = share = np.inf
    if numbers.any():
        now, then = filled[:, numbers], previous[:, numbers]
        change = float(((now - then) ** 2).sum() / (now**2).sum())
    if not numbers.all():
        share = float((filled[:, ~numbers] != previous[:, ~numbers]).mean())
    return change, share


def to_frame(X: np.ndarray, kinds: Sequence[str], levels: Sequence[int]) -> pd.DataFrame:
    """Return a frame with a categorical, ordered or not, for each column of levels."""
    columns = {}
    for j, kind in enumerate(kinds):
        column = pd.Series(X[:, j])
        if kind in ("cat", "ordinal"):
            names = [str(level) for level in range(levels[j])]
            codes = column.fillna(-1).astype(int)
            column = pd.Series(pd.Categorical.from_codes(codes, names, ordered=kind == "ordinal"))
        columns[f"x{j}"] = column
    return pd.DataFrame(columns)


def from_frame(frame: pd.DataFrame, kinds: Sequence[str]) -> np.ndarray:
    """Return the numbers and the level numbers of a frame made by `to_frame`."""
    columns = []
    for name, kind in zip(frame.columns, kinds, strict=True):
        levels = kind in ("cat", "ordinal")
        columns.append(frame[name].astype(str).astype(float) if levels else frame[name])
    return np.stack([np.asarray(column, float) for column in columns], 1)


def column_kinds(X: np.ndarray, kinds: Sequence[str]) -> dict[str, str]:
    """Return the kind of each numeric column as `VAE.fit` names it; zeros are not positive."""
    named = {}
    for j, kind in enumerate(kinds):
        if kind in NUMERIC:
            positive = kind == "pos" and np.nanmin(X[:, j]) > 0
            named[f"x{j}"] = "positive" if positive else "real" if kind == "pos" else kind
    return named


def sfumato_impute(
    X: np.ndarray, kinds: Sequence[str], levels: Sequence[int], seed: int
) -> np.ndarray:
    """Fill in by our VAE with its defaults."""
    frame = to_frame(X, kinds, levels)
    vae: Any = VAE(random_state=seed)
    filled = vae.fit(frame, columns=column_kinds(X, kinds)).impute(frame)
    return with_missing(X, from_frame(filled, kinds))


class Peer:
    """A method of another library, in an environment of its own."""

    def __init__(self, python: str, method: str) -> None:
        self.python, self.method = python, method
        self.cpu_seconds = 0.0

    def __call__(
        self, X: np.ndarray, kinds: Sequence[str], levels: Sequence[int], seed: int
    ) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.npz"
            np.savez(path, X=X, kinds=kinds, levels=levels)
            task = {"method": self.method, "path": str(path), "seed": seed}
            answer = subprocess.run(
                [self.python, str(WORKER), json.dumps(task)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            self.cpu_seconds = float(answer.stdout.splitlines()[-1])
            return with_missing(X, np.load(path)["X"])


IMPUTERS: dict[str, Imputer] = {
    "mean": mean_impute,
    "knn-5": partial(knn_impute, n_neighbors=5),
    "knn-15": partial(knn_impute, n_neighbors=15),
    "ridge": partial(chained_impute, regressor=lambda seed: BayesianRidge(), max_iter=20),
    "extra-trees": partial(chained_impute, regressor=extra_trees, max_iter=10),
    "missforest": missforest_impute,
    "missforest-numbers": partial(missforest_impute, ordinal_as_number=True),
    "missforest-leaf-5": partial(missforest_impute, min_samples_leaf=5, max_samples=0.5),
    "sfumato": sfumato_impute,
}
PEERS = ("miceforest", "miceforest-mean", "hyperimpute")


def find_imputer(name: str, python: str | None) -> Imputer | None:
    """Return a method, or None with a line where it cannot be run here."""
    if name in PEERS:
        if python is None:
            print(f"{name}: skipped, give --python of an environment that has it")
            return None
        return Peer(python, name)
    return IMPUTERS[name]
