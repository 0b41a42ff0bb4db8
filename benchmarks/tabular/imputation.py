"""Imputation of mixed tables under the protocol of HI-VAE (Nazabal et al. 2020).

The cells of a mask are hidden, every missing cell is imputed, and the hidden cells are scored: the
root mean squared error over the range of a numeric column, the share of wrong nominal levels, and
the mean displacement in levels over the number of levels of an ordinal one. The error of a table is
the mean over its columns. Each result is appended to a cache as soon as it is there.
"""

import argparse
import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
import pandas as pd

from benchmarks import results
from benchmarks.tabular.imputers import IMPUTERS, NUMERIC, PEERS, Peer, find_imputer

CACHE = Path(os.environ.get("SFUMATO_BENCHMARKS", "benchmarks/.cache")) / "imputation.jsonl"
FOLDER = Path(os.environ.get("SFUMATO_DATA", "data")) / "tables" / "missing"
SETS = ("Wine", "Breast", "defaultCredit", "spam")
KINDS = {"numeric": NUMERIC, "nominal": ("cat",), "ordinal": ("ordinal",)}


@dataclass(frozen=True)
class Table:
    """A table with its levels numbered from 0, NaN where a cell is missing in truth."""

    X: np.ndarray
    kinds: tuple[str, ...]
    levels: tuple[int, ...]

    def errors(self, filled: np.ndarray, hidden: np.ndarray) -> list[float]:
        """Return the error of each column over its hidden cells; NaN if none can be scored."""
        return [self._error(j, filled[:, j], hidden[:, j]) for j in range(self.X.shape[1])]

    def _error(self, j: int, filled: np.ndarray, hidden: np.ndarray) -> float:
        truth = self.X[:, j]
        scored = hidden & ~np.isnan(truth)
        if not scored.any():
            return float("nan")
        difference = filled[scored] - truth[scored]
        if self.kinds[j] == "cat":
            return float((difference != 0).mean())
        if self.kinds[j] == "ordinal":
            return float(np.abs(difference).mean() / self.levels[j])
        return float(np.sqrt((difference**2).mean()) / (np.nanmax(truth) - np.nanmin(truth)))


def load_table(name: str) -> Table:
    """Read a table; levels are whole numbers, counted from the least of their column."""
    X = pd.read_csv(FOLDER / name / "data.csv.gz", header=None).to_numpy(float)
    types = pd.read_csv(FOLDER / name / "data_types.csv.gz")
    kinds, levels = tuple(types["type"]), tuple(types["nclass"].fillna(0).astype(int))
    for j, kind in enumerate(kinds):
        if kind not in NUMERIC:
            X[:, j] -= np.nanmin(X[:, j])
            if np.nanmax(X[:, j]) >= levels[j]:
                raise ValueError(f"column {j} of {name} has a level beyond its {levels[j]}.")
    return Table(X, kinds, levels)


def load_mask(name: str, percent: int, mask: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return which cells a mask hides."""
    cells = pd.read_csv(FOLDER / name / f"Missing{percent}_{mask}.csv.gz", header=None).to_numpy()
    hidden = np.zeros(shape, bool)
    hidden[cells[:, 0] - 1, cells[:, 1] - 1] = True
    return hidden


@dataclass(frozen=True)
class Result:
    """The errors of one method on one table under one mask, and what they took."""

    data: str
    percent: int
    mask: int
    method: str
    error: float
    errors: list[float]
    cpu_seconds: float
    seconds: float
    version: str

    @property
    def key(self) -> tuple[str, int, int, str]:
        """What makes it this result and no other."""
        return self.data, self.percent, self.mask, self.method


def known() -> list[Result]:
    """Return the results in the cache; a later one of the same key replaces an earlier."""
    return results.kept(CACHE, Result)


def impute_one(key: tuple[str, int, int, str], python: str | None, version: str) -> Result | None:
    """Hide the cells of a mask, impute them with the mask's number as the seed, and score them."""
    data, percent, mask, method = key
    impute = find_imputer(method, python)
    if impute is None:
        return None
    table = load_table(data)
    hidden = load_mask(data, percent, mask, table.X.shape)
    X = np.where(hidden, np.nan, table.X)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            filled = impute(X, table.kinds, table.levels, mask)
    except subprocess.CalledProcessError as error:
        print(*key, f"failed with status {error.returncode}: see above", flush=True)
        return None
    cpu = impute.cpu_seconds if isinstance(impute, Peer) else time.process_time() - cpu
    wall = time.perf_counter() - wall
    if not np.isfinite(filled).all():
        raise ValueError(f"{method} left cells of {data} without a finite value.")
    errors = table.errors(filled, hidden)
    return Result(*key, float(np.nanmean(errors)), errors, cpu, wall, version)


def make(options: argparse.Namespace) -> None:
    """Make the results that the cache lacks, or all once more."""
    have = set() if options.again else {result.key for result in known()}
    for key in wanted(options):
        result = None if key in have else impute_one(key, options.python, options.version)
        if result is None:
            continue
        print(*key, f"error {result.error:.4f}, {result.cpu_seconds:.1f} CPU s", flush=True)
        results.keep(CACHE, result)


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, int, int, str]]:
    """Yield the keys of the results that the options ask for, the first mask of all first."""
    for mask in (int(text) for text in options.masks.split(",")):
        for data in options.sets.split(","):
            for percent in (int(text) for text in options.percents.split(",")):
                for method in options.methods.split(","):
                    yield data, percent, mask, method


def write_table(data: str) -> None:
    """Write the table of one data set from the cache."""
    found = [result for result in known() if result.data == data]
    order = [*IMPUTERS, *PEERS]
    kinds = load_table(data).kinds
    parts = [name for name, members in KINDS.items() if set(members) & set(kinds)]
    columns = ["missing", "method", "error", *parts, "CPU s", "masks", "commits"]
    lines: list[list[object]] = []
    for percent in sorted({result.percent for result in found}):
        for method in order:
            mine = [r for r in found if (r.percent, r.method) == (percent, method)]
            if mine:
                lines.append([f"{percent} %", method, *summary(mine, kinds, parts)])
    if lines:
        results.write(f"imputation-{data}", columns, lines, NOTES.format(data=data))


def summary(mine: list[Result], kinds: tuple[str, ...], parts: list[str]) -> list[object]:
    """Return means over masks: the error, that of each kind of column, and the processor time."""
    errors = np.mean([result.errors for result in mine], 0)
    by_part = [errors[np.isin(kinds, KINDS[part])].mean() for part in parts]
    return [
        f"{fmean(result.error for result in mine):.4f}",
        *(f"{error:.4f}" for error in by_part),
        f"{median(result.cpu_seconds for result in mine):.1f}",
        " ".join(str(mask) for mask in sorted(result.mask for result in mine)),
        " ".join(sorted({result.version for result in mine})),
    ]


NOTES = (
    "{data}, cells hidden completely at random, all methods under the same masks; the mask's "
    "number is the seed. The error is the mean over columns, as in HI-VAE (Nazabal et al. 2020): "
    "RMSE over the column's range (numeric), share of wrong levels (nominal), displacement over "
    "the number of levels (ordinal). Means over masks; processor seconds: median, one thread. "
    "mean: mean, most frequent nominal and median ordinal level. knn: KNNImputer; ridge and "
    "extra-trees: IterativeImputer with BayesianRidge or 50 trees, within the observed range; "
    "these code nominal levels one-hot and standardise the rest. missforest: 100 trees, ordinal "
    "levels as classes; -numbers: as numbers; -leaf-5: at least 5 rows in a leaf, trees on half "
    "of the rows. miceforest: one data set at its defaults; -mean: without mean matching."
)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks tables imputation", description=__doc__
    )
    parser.add_argument("--methods", default="mean,knn-5,knn-15,ridge,sfumato")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--percents", default="20,50", help="of hidden cells: 10, 20, 50")
    parser.add_argument("--masks", default="1,2,3")
    parser.add_argument("--python", help="of an environment that has the peers")
    results.add_cache_options(parser)
    options = parser.parse_args(arguments)
    if not options.table:
        make(options)
    for data in options.sets.split(","):
        write_table(data)
