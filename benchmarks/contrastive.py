"""Foreground against background: what the salient and the shared code tell of digits and textures.

Digits on textures, and textures alone as the background; no fit sees labels. Every fit is
appended to a file as soon as it is done; `--table` only writes what is there. Seed 0 also draws
reconstructions, removed backgrounds and walks along both codes. `--collapse N` fits N seeds of a
small configuration and compares the diagnosis with what the labels say.
"""

import argparse
import json
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import results
from sfumato import VAE, ContrastiveELBO, ContrastiveVAE, Trainer
from sfumato.data import digits_in_noise, digits_on_textures, natural_patches, textures
from sfumato.estimators.contrastive import walked
from sfumato.metrics import clustering_accuracy

CACHE = Path(os.environ.get("SFUMATO_BENCHMARKS", "benchmarks/.cache")) / "contrastive.jsonl"
SMALL_CACHE = CACHE.with_name("contrastive-collapse.jsonl")
DATA = {
    "white": "white digits in the middle of grey textures",
    "coloured": "coloured digits, shifted and scaled, on textures",
    "noise": "digits added to patches of photographs",
}
SALIENT, SHARED = 10, 40
STRONG = {"decoder": "joint", "objective": ContrastiveELBO(matching=1000.0)}
ABID = {"decoder": "joint", "objective": ContrastiveELBO(matching=0.0)}
METHODS: dict[str, dict[str, Any]] = {
    "PCA": {},
    "contrastive PCA": {},
    "VAE": {},
    "ContrastiveVAE": {},
    "ContrastiveVAE (joint decoder, matching 1000)": STRONG,
    "ContrastiveVAE (joint, no matching: Abid and Zou)": ABID,
}
# Name -> heading, of what is measured on test rows.
MEASURES = {
    "kmeans": "ACC k-means",
    "mixture": "ACC mixture",
    "silhouette": "silhouette",
    "digit": "digit in z, k-NN",
    "digit_shared": "digit in s, k-NN",
    "digit_shared_linear": "digit in s, linear",
    "texture": "texture in z, k-NN",
    "texture_shared": "texture in s, k-NN",
    "overlap": "mask IoU",
}
COLLAPSE = {"layered": {}, "joint, matching 1000": STRONG, "joint, no matching": ABID}


# Below this accuracy, a third of what a good code reaches, z says nothing of the digits.
USELESS = 0.25
N_SHOWN = 14


@dataclass(frozen=True)
class Sets:
    """Training rows, background rows and test rows, flat; labels and masks of the digits."""

    X: np.ndarray
    B: np.ndarray
    digits: np.ndarray
    textures: np.ndarray
    X_test: np.ndarray
    B_test: np.ndarray
    digits_test: np.ndarray
    textures_test: np.ndarray
    masks_test: np.ndarray
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Fit:
    """One fit and what was measured of it."""

    data: str
    method: str
    rows: int
    seed: int
    measures: dict[str, float]
    seconds: float
    cpu_seconds: float
    version: str

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What makes it this fit and no other."""
        return self.data, self.method, self.rows, self.seed


def made(data: str, n: int, seed: int, split: str, **options: Any) -> tuple[Any, np.ndarray]:
    """Return scenes of one kind and their background set."""
    if data == "noise":
        scenes: Any = digits_in_noise(n, seed=seed, split=split, moved=False)
        return scenes, natural_patches(n, seed=seed, split=split)
    plain = data == "white"
    options = {"coloured": not plain, "moved": not plain} | options
    size = options.pop("size", 32)
    scenes = digits_on_textures(n, size, seed, split=split, **options)
    background, _ = textures(n, size, seed, split)
    return scenes, background


def sets(data: str, n: int, n_test: int, seed: int, **options: Any) -> Sets:
    """Return everything that one fit and its measures need."""
    train, B = made(data, n, seed, "train", **options)
    test, B_test = made(data, n_test, seed, "test", **options)
    # White digits on grey textures: three equal channels.
    channels = slice(1) if data == "white" else slice(None)
    images = [part[:, channels] for part in (train.images, B, test.images, B_test)]
    X, B, X_test, B_test = (part.reshape(len(part), -1) for part in images)
    kinds = [getattr(part, "textures", np.zeros(len(part.digits))) for part in (train, test)]
    return Sets(
        X,
        B,
        train.digits,
        kinds[0],
        X_test,
        B_test,
        test.digits,
        kinds[1],
        test.masks.reshape(n_test, -1),
        images[0].shape[1:],
    )


class ContrastivePCA:
    """Directions in which rows vary more than the background (Abid et al., 2018)."""

    def __init__(self, n_components: int, alpha: float = 1.0) -> None:
        self.n_components = n_components
        self.alpha = alpha

    def fit(self, X: np.ndarray, B: np.ndarray) -> "ContrastivePCA":
        """Take the first eigenvectors of C_x - alpha C_b."""
        self.mean = X.mean(0)
        difference = np.cov(X.T) - self.alpha * np.cov(B.T)
        self.directions = np.linalg.eigh(difference)[1][:, ::-1][:, : self.n_components]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the rows in these directions."""
        return (X - self.mean) @ self.directions


def fitted(method: str, s: Sets, seed: int, epochs: int) -> Any:
    """Fit a method to the training rows."""
    if method == "PCA":
        return PCA(SALIENT, random_state=seed).fit(s.X)
    if method == "contrastive PCA":
        return ContrastivePCA(SALIENT).fit(s.X, s.B)
    common = {
        "hidden": (500, 500),
        "image_shape": s.shape,
        "random_state": seed,
        "trainer": Trainer(epochs, schedule="cosine"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "VAE":
            return VAE(SALIENT + SHARED, likelihood="gaussian", **common).fit(s.X)
        model = ContrastiveVAE(SALIENT, SHARED, **METHODS[method], **common)
        return model.fit(s.X, background=s.B)


def measured(model: Any, s: Sets) -> dict[str, float]:
    """Return the measures; what a method lacks is left out."""
    z, z_test = model.transform(s.X), model.transform(s.X_test)
    mixture = GaussianMixture(10, reg_covar=1e-3, random_state=0).fit(z.astype(np.float64))
    kmeans = KMeans(10, n_init=10, random_state=0).fit(z)
    found = {
        "kmeans": clustering_accuracy(s.digits_test, kmeans.predict(z_test)),
        "mixture": clustering_accuracy(s.digits_test, mixture.predict(z_test.astype(np.float64))),
        "silhouette": float(silhouette_score(z_test, s.digits_test)),
        "digit": neighbours(z, s.digits, z_test, s.digits_test),
        "texture": neighbours(z, s.textures, z_test, s.textures_test),
    }
    if not isinstance(model, ContrastiveVAE):
        return found
    b, b_test = (model.transform(X, "background") for X in (s.X, s.X_test))
    found["digit_shared"] = neighbours(b, s.digits, b_test, s.digits_test)
    found["texture_shared"] = neighbours(b, s.textures, b_test, s.textures_test)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(b, s.digits)
    found["digit_shared_linear"] = float(probe.score(b_test, s.digits_test))
    if model.decoder == "layered":
        found["overlap"] = overlap(model, s)
    return found


def neighbours(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray) -> float:
    """Return the accuracy of the ten nearest training rows."""
    return float(KNeighborsClassifier(10).fit(X, y).score(X_test, y_test))


def overlap(model: ContrastiveVAE, s: Sets) -> float:
    """Return the mean over test images of intersection by union of the masks."""
    masks = model.masks(s.X_test).reshape(len(s.X_test), s.shape[0], -1)[:, 0] > 0.5
    both, any_ = (masks & s.masks_test).sum(1), (masks | s.masks_test).sum(1)
    return float((both / any_).mean())


def known() -> list[Fit]:
    """Return the fits in the cache; a later one of the same key replaces an earlier."""
    return results.kept(CACHE, Fit)


def make(options: argparse.Namespace) -> None:
    """Make the fits that the cache lacks."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    have = {fit.key for fit in known()}
    for seed in map(int, options.seeds.split(",")):
        for data in options.data.split(","):
            wanted = [m for m in METHODS if any(part in m for part in options.methods.split(","))]
            wanted = [m for m in wanted if (data, m, options.rows, seed) not in have]
            if not wanted:
                continue
            s = sets(data, options.rows, options.test_rows, seed)
            for method in wanted:
                wall, cpu = time.perf_counter(), time.process_time()
                model = fitted(method, s, seed, options.epochs)
                times = time.perf_counter() - wall, time.process_time() - cpu
                found = measured(model, s)
                if (method, seed) == ("ContrastiveVAE", 0):
                    draw(data, model, s)
                fit = Fit(data, method, options.rows, seed, found, *times, options.version)
                print(fit, flush=True)
                results.keep(CACHE, fit)


def write_table(data: str, options: argparse.Namespace) -> None:
    """Write the table of one data set from the cache."""
    fits = [fit for fit in known() if fit.data == data and fit.rows == options.rows]
    if not fits:
        return
    lines: list[list[object]] = []
    for method in METHODS:
        mine = [fit for fit in fits if fit.method == method]
        if mine:
            cells = [_cell([f.measures[m] for f in mine if m in f.measures]) for m in MEASURES]
            cpu = f"{fmean(f.cpu_seconds for f in mine):.0f}"
            lines.append([method, *cells, cpu, len(mine)])
    notes = (
        f"{DATA[data].capitalize()}, 32 x 32; {options.rows} rows and as many background rows for "
        f"training, {options.test_rows} of other digits and other parts of the photographs for "
        f"the measures. z has {SALIENT} numbers, s {SHARED}, the VAE's code {SALIENT + SHARED}; "
        f"(500, 500) units, {options.epochs} epochs, everything else at its default. No fit sees "
        "labels; the layered decoder and matching=100, the defaults, were settled on seeds 0 and 1 "
        "of the white digits, where the bound and the labels of these test rows, both in view, "
        "agreed. Means and standard deviations over seeds. Chance is 0.10 to 0.11 for "
        "digits and 0.33 to 0.35 for textures; for methods with one code z is that code."
    )
    columns = ["method", *MEASURES.values(), "CPU s", "seeds"]
    results.write(f"contrastive-{data}", columns, lines, notes)


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{spread}"


def draw(data: str, model: ContrastiveVAE, s: Sets) -> None:
    """Draw test images through the model, and walks along each code."""
    X = s.X_test[:N_SHOWN]
    rows = {
        "image": X,
        "reconstruction": model.reconstruct(X),
        "background removed": model.remove_background(X),
        "foreground removed": model.remove_foreground(X),
        "mask": model.masks(X),
        "salient code varied": walk(model, s, "salient"),
        "shared code varied": walk(model, s, "background"),
    }
    matplotlib.use("Agg")
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(0.6 * N_SHOWN + 1.6, 0.64 * len(rows)), layout="constrained"
    )
    for axis, (name, images) in zip(axes, rows.items(), strict=True):
        tiles = images.reshape(-1, *s.shape).clip(0, 1).transpose(2, 0, 3, 1)
        strip = tiles.reshape(s.shape[1], -1, s.shape[0])
        axis.imshow(strip.squeeze(), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.spines[:].set_visible(False)
    results.FOLDER.mkdir(exist_ok=True)
    figure.savefig(results.FOLDER / f"contrastive-{data}.png", dpi=130)


def walk(model: ContrastiveVAE, s: Sets, which: str) -> np.ndarray:
    """Return decoded codes on straight lines from one test image's code to two others'."""
    codes = model.transform(s.X_test[:3], "both")
    part = slice(None, SALIENT) if which == "salient" else slice(SALIENT, None)
    return model.inverse_transform(walked(codes, part, N_SHOWN // 2)[:N_SHOWN])


def collapse(options: argparse.Namespace) -> None:
    """Fit many seeds of a small configuration; compare the diagnosis with the labels."""
    if not options.table:
        make_small(options.collapse)
    runs = [json.loads(line) for line in SMALL_CACHE.read_text().splitlines()]
    lines: list[list[object]] = []
    for decoder in COLLAPSE:
        mine = [run for run in runs if run["decoder"] == decoder]
        told = {w: np.array([run[w] for run in mine]) for w in ("salient", "background")}
        unused = told["salient"] < USELESS
        leaking = told["background"] > told["salient"] / 2
        failed = unused | leaking
        warned = np.array([run["remedy"] != "" for run in mine])
        contrast = [run["shared_contrast"] for run in mine]
        lines.append(
            [
                decoder,
                len(mine),
                _cell(list(told["salient"])),
                _cell(list(told["background"])),
                f"{unused.mean():.2f}",
                f"{leaking.mean():.2f}",
                f"{(told['background'] > told['salient']).mean():.2f}",
                f"{(failed & warned).sum()} of {failed.sum()}",
                f"{(~failed & warned).sum()} of {(~failed).sum()}",
                _cell(contrast),
                _cell([run["dependence"] for run in mine]),
            ]
        )
    columns = [
        "decoder",
        "seeds",
        "digit in z, k-NN",
        "digit in s, k-NN",
        "z collapsed",
        "s leaks",
        "swapped",
        "of these, warned",
        "of the others, warned",
        "AUC of s",
        "dependence",
    ]
    notes = (
        "Random seeds of a small configuration: scikit-learn's digits in white on 16 x 16 "
        "textures, 800 rows and 800 of background, 500 test rows; z of 5 numbers, s of 10, 128 "
        "units, 60 epochs. Labels say where z has collapsed (digits told by z in less than "
        f"{USELESS} of the test rows), s leaks (digits told by s more than half as often as by z) "
        "or the codes have swapped (digits told better by s); `fit` warns without labels. AUC of "
        "s: how well the shared code tells rows from background rows, 0.5 for not at all; "
        "dependence: the share of z's variance that s predicts. "
        "Its limit of 0.3 was set after two of these seeds."
    )
    results.write("contrastive-collapse", columns, lines, notes)


def make_small(n_seeds: int) -> None:
    """Make the small fits that their cache lacks."""
    SMALL_CACHE.parent.mkdir(parents=True, exist_ok=True)
    SMALL_CACHE.touch()
    runs = [json.loads(line) for line in SMALL_CACHE.read_text().splitlines()]
    have = {(run["decoder"], run["seed"]) for run in runs}
    s = sets("white", 800, 500, 0, size=16, digits="digits")
    for seed in range(n_seeds):
        for decoder, params in COLLAPSE.items():
            if (decoder, seed) not in have:
                run = {"decoder": decoder, "seed": seed, **small_run(s, params, seed)}
                print(run, flush=True)
                with SMALL_CACHE.open("a") as file:
                    file.write(json.dumps(run) + "\n")


def small_run(s: Sets, params: dict[str, Any], seed: int) -> dict[str, Any]:
    """Fit once, and return what the labels and what the diagnosis say."""
    trainer = Trainer(60, batch_size=64, schedule="cosine")
    model = ContrastiveVAE(5, 10, (128,), random_state=seed, trainer=trainer, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(s.X, background=s.B)
    found = model.diagnose(s.X, s.B)
    told = {
        which: neighbours(
            model.transform(s.X, which), s.digits, model.transform(s.X_test, which), s.digits_test
        )
        for which in ("salient", "background")
    }
    kept = ("salient_units", "salient_effect", "shared_effect", "salient_contrast")
    figures = {name: getattr(found, name) for name in (*kept, "shared_contrast", "dependence")}
    return {**told, **figures, "remedy": found.remedy or ""}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks contrastive", description=__doc__)
    parser.add_argument("--data", default="white")
    parser.add_argument("--methods", default=",", help="parts of the methods' names")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--test-rows", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--version", default="", help="a word kept with every fit")
    parser.add_argument("--table", action="store_true", help="fit nothing, write the tables")
    parser.add_argument("--collapse", type=int, default=0, metavar="N", help="seeds")
    options = parser.parse_args(arguments)
    if options.collapse:
        collapse(options)
        return
    for data in options.data.split(","):
        if not options.table:
            make(options)
        write_table(data, options)
