"""Autoencoders on MNIST: codes, robustness, contraction, denoising, few labels.

Every part is a table of cases; every fit is appended to a file as soon as it is done, so that a
table can be made in parts. Labels choose nothing: settings are the defaults, or all that were tried
stand in the table.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Self

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from scipy.ndimage import median_filter
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from benchmarks import results
from sfumato import (
    MLP,
    Autoencoder,
    Contractive,
    Correntropy,
    GaussianNoise,
    KLSparsity,
    KSparse,
    MaskingNoise,
    Optimizer,
    SaltAndPepper,
    StackedAutoencoder,
    Trainer,
)
from sfumato.data import load_data
from sfumato.estimators import as_float
from sfumato.noise import Noise
from sfumato.objectives import jacobian_norm
from sfumato.training import History

FOLDER = Path(os.environ.get("SFUMATO_BENCHMARKS", "benchmarks/.cache"))
CACHE = FOLDER / "autoencoders.jsonl"
RATE = 2e-3
CODE = 32
DEEP = (500, 500)
Figures = dict[str, float]


@dataclass(frozen=True)
class Fit:
    """The figures of one case of one part."""

    part: str
    case: str
    seed: int
    epochs: int
    figures: Figures

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What makes it this fit and no other."""
        return self.part, self.case, self.seed, self.epochs


@dataclass(frozen=True)
class Part:
    """A table: its cases, what one of them is measured by, and how numbers are written."""

    cases: dict[str, Any]
    measure: Callable[[str, Any, int, int], Figures]
    formats: dict[str, str]
    notes: str


@cache
def mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training rows, labels, test rows, labels; grey levels in [0, 1]."""
    bundle = load_data("mnist")
    X, X_test = (as_float(rows) / 255 for rows in (bundle.X, bundle.X_test))
    return X, np.asarray(bundle.y), X_test, np.asarray(bundle.y_test)


def trainer(epochs: int, **settings: Any) -> Trainer:
    """Return the trainer of all parts."""
    common: dict[str, Any] = {"schedule": "cosine", "batch_size": 256, "learning_rate": RATE}
    optimizer = Optimizer(averaging=0.0)
    return Trainer(max_epochs=epochs, optimizer=optimizer, **{**common, **settings})


def fitted(estimator: Any, X: np.ndarray, y: np.ndarray | None = None) -> float:
    """Fit and return the CPU seconds that it took."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
    return time.process_time() - start


def pixel_error(X: np.ndarray, rebuilt: np.ndarray) -> float:
    """Return the squared error of a pixel."""
    return float(np.square(X - rebuilt, dtype=np.float64).mean())


# --- codes ---


@dataclass(frozen=True)
class Method:
    """An estimator's parameters, and the rows it is fitted to: see ``prepared``."""

    params: dict[str, Any]
    rows: str = "clean"


def k_sparse(k: int, rows: str = "clean") -> Method:
    """Return 1,000 linear units with tied weights, of which k are kept."""
    backbone = MLP((), "identity", tied=True)
    return Method({"latent_dim": 1000, "backbone": backbone, "penalty": KSparse(k)}, rows)


def deep(**params: Any) -> Method:
    """Return the deep network with something added."""
    return Method({"hidden": DEEP, **params})


CODES: dict[str, Method | None] = {
    "PCA": None,
    "linear 784-32": Method({"backbone": MLP((), "identity")}),
    # Without a penalty a code has no activation: 784-32-784 alone would be linear too.
    "shallow 784-32, sigmoid code": Method({"hidden": (), "penalty": Contractive(0.0)}),
    "784-100-32": Method({"hidden": (100,)}),
    "deep 784-500-500-32": deep(),
    "convolutional, 32 and 64 channels": Method({"backbone": "conv"}),
    "stacked 784-500-500-32": Method({"layers": (*DEEP, CODE)}),
    "sparse 784-32": Method({"hidden": (), "penalty": KLSparsity()}),
    "sparse 784-1000": Method({"hidden": (), "penalty": KLSparsity(), "latent_dim": 1000}),
    **{f"k-sparse 784-1000, k = {k}": k_sparse(k) for k in (70, 40, 25)},
    **{f"k-sparse, centred rows, k = {k}": k_sparse(k, "centred") for k in (70, 40, 25)},
    "contractive 784-32": Method({"hidden": (), "penalty": Contractive()}),
    "deep, contractive, one probe": deep(penalty=Contractive(n_probes=1)),
    "deep, denoising: Gaussian": deep(corruption=GaussianNoise()),
    "deep, denoising: masking": deep(corruption=MaskingNoise()),
    "deep, denoising: salt and pepper": deep(corruption=SaltAndPepper()),
    "deep, mse, 20 % outliers": Method({"hidden": DEEP}, rows="noise"),
    "deep, correntropy, 20 % outliers": Method(
        {"hidden": DEEP, "loss": "correntropy"}, rows="noise"
    ),
}


def measure_codes(case: str, method: Method | None, seed: int, epochs: int) -> Figures:
    """Fit one method; return its error and how well neighbours' labels agree."""
    X, y, X_test, y_test = mnist()
    if method is None:
        estimator: Any = PCA(CODE, random_state=seed)
        seconds = fitted(estimator, X)
        rebuilt = estimator.inverse_transform(estimator.transform(X_test))
    else:
        estimator = built(method, seed, epochs)
        X, X_test = prepared(X, X_test, method.rows)
        seconds = fitted(estimator, with_outliers(X, method.rows, seed))
        rebuilt = estimator.reconstruct(X_test)
        if isinstance(estimator.penalty, KSparse) and seed == 0:
            keep_filters(estimator, method.rows)
    codes = estimator.transform(X_test)
    neighbours = KNeighborsClassifier(5).fit(estimator.transform(X), y)
    spread, size = codes.std(0), np.abs(codes)
    return {
        "error": pixel_error(X_test, rebuilt),
        "5-NN": float(neighbours.score(codes, y_test)),
        "units used": float((spread > 0.01 * spread.max()).sum()),
        "active": float((size > 0.1 * size.max(1, keepdims=True)).mean()),
        "CPU s": seconds,
    }


def built(method: Method, seed: int, epochs: int) -> Autoencoder | StackedAutoencoder:
    """Return the unfitted estimator."""
    common: dict[str, Any] = {"random_state": seed, "trainer": trainer(epochs)}
    if "layers" in method.params:
        return StackedAutoencoder(**method.params, **common)
    scaling = "none" if method.rows == "centred" else "auto"
    return Autoencoder(**{"latent_dim": CODE, "scaling": scaling, **method.params, **common})


def prepared(X: np.ndarray, X_test: np.ndarray, rows: str) -> tuple[np.ndarray, np.ndarray]:
    """Return both without the mean training row, where rows are to be centred."""
    mean = X.mean(0) if rows == "centred" else np.zeros_like(X[0])
    return X - mean, X_test - mean


def filters_path(k: int, rows: str) -> Path:
    """Return where the filters of a k-sparse autoencoder are kept."""
    return FOLDER / f"filters-{k}-{rows}.npy"


def keep_filters(estimator: Any, rows: str) -> None:
    """Keep the rows of the encoder's weight."""
    weight = estimator.model_.encoder.network[0].weight
    np.save(filters_path(estimator.penalty.k, rows), weight.detach().numpy())


def draw_filters(side: int = 8) -> None:
    """Draw the first filters for every k, each in its own range of grey, rows centred below."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(2, 3, figsize=(13, 9.2), layout="constrained")
    for axis, (rows, k) in zip(axes.flat, product(("clean", "centred"), (70, 40, 25)), strict=True):
        axis.set(title=f"k = {k}, rows {'as they are' if rows == 'clean' else rows}")
        axis.set(xticks=[], yticks=[])
        if not filters_path(k, rows).exists():
            continue
        filters = np.load(filters_path(k, rows))[: side**2]
        filters = filters / np.abs(filters).max(1, keepdims=True)
        tiles = np.pad(filters.reshape(-1, 28, 28), ((0, 0), (1, 1), (1, 1)), constant_values=-1)
        picture = tiles.reshape(side, side, 30, 30).transpose(0, 2, 1, 3).reshape(30 * side, -1)
        axis.imshow(picture, cmap="gray", vmin=-1, vmax=1)
    figure.suptitle("k-sparse autoencoders of MNIST: the first 64 of 1,000 filters")
    figure.savefig(results.FOLDER / "autoencoders-filters.png", dpi=110)


# --- robustness ---

SHARE = 0.2


def with_outliers(X: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """Return the rows with a fifth of them (or of all pixels) replaced."""
    rng = np.random.default_rng(seed)
    X = X.copy()
    bad = rng.permutation(len(X))[: round(SHARE * len(X))]
    if kind == "noise":
        X[bad] = rng.random((len(bad), X.shape[1]), dtype=np.float32)
    elif kind == "inverted":
        X[bad] = 1 - X[bad]
    elif kind == "occluded":
        images = X.reshape(-1, 28, 28)
        for row, (top, left) in zip(bad, rng.integers(0, 15, (len(bad), 2)), strict=True):
            images[row, top : top + 14, left : left + 14] = 1
    elif kind == "pixels":
        X[rng.random(X.shape, dtype=np.float32) < SHARE] = 1
    return X


ROBUST = {
    f"{kind}: {name}": (kind, loss)
    for kind, (name, loss) in product(
        ("clean", "noise", "inverted", "occluded", "pixels"),
        (
            ("mse", "mse"),
            ("correntropy, sigma 0.5 (default)", Correntropy()),
            ("correntropy, sigma 0.3", Correntropy(0.3)),
            ("correntropy, sigma 0.2", Correntropy(0.2)),
        ),
    )
}


def measure_robust(case: str, setting: tuple[str, Any], seed: int, epochs: int) -> Figures:
    """Fit to spoilt rows; return the error of clean test rows."""
    kind, loss = setting
    X, _, X_test, _ = mnist()
    estimator = Autoencoder(CODE, DEEP, loss=loss, random_state=seed, trainer=trainer(epochs))
    seconds = fitted(estimator, with_outliers(X, kind, seed))
    return {"error": pixel_error(X_test, estimator.reconstruct(X_test)), "CPU s": seconds}


# --- contraction ---

CONTRACTIVE = {
    f"{name}, strength {strength:g}": (params, strength)
    for (name, params), strength in product(
        (
            ("784-32", {"hidden": ()}),
            ("784-32, tied", {"hidden": (), "backbone": MLP(tied=True)}),
            ("deep, one probe", {"hidden": DEEP}),
        ),
        (0.0, 0.01, 0.1, 1.0),
    )
}


def measure_contraction(case: str, setting: tuple[Any, float], seed: int, epochs: int) -> Figures:
    """Return the Jacobian's mean squared norm on test rows, also relative to the codes' spread."""
    params, strength = setting
    X, _, X_test, _ = mnist()
    probes = 1 if params["hidden"] else None
    estimator = Autoencoder(
        CODE,
        **params,
        penalty=Contractive(strength, probes),
        random_state=seed,
        trainer=trainer(epochs),
    )
    seconds = fitted(estimator, X)
    blocks = torch.from_numpy(X_test[:2000]).split(250)
    norms = torch.cat([jacobian_norm(estimator.model_.encoder, block).detach() for block in blocks])
    variance = float(estimator.transform(X_test).var(0).sum())
    return {
        "norm": float(norms.mean()),
        "norm / variance": float(norms.mean()) / variance,
        "error": pixel_error(X_test, estimator.reconstruct(X_test)),
        "CPU s": seconds,
    }


# --- denoising ---

DENOISING = {
    "Gaussian, sigma 0.25": GaussianNoise(0.25),
    "Gaussian, sigma 0.5": GaussianNoise(0.5),
    "masking, p 0.25": MaskingNoise(0.25),
    "masking, p 0.5": MaskingNoise(0.5),
    "salt and pepper, p 0.2": SaltAndPepper(0.2),
    "salt and pepper, p 0.4": SaltAndPepper(0.4),
}
CODES_OF_DENOISERS = (CODE, 128)


def denoiser(corruption: Any, code: int, seed: int, epochs: int) -> tuple[Autoencoder, float]:
    """Fit a deep autoencoder and return it with its CPU seconds."""
    estimator = Autoencoder(
        code, DEEP, corruption=corruption, random_state=seed, trainer=trainer(epochs)
    )
    return estimator, fitted(estimator, mnist()[0])


plain = cache(partial(denoiser, None))


def psnr(X: np.ndarray, other: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio over all rows, in dB, for a peak of one."""
    return float(-10 * np.log10(pixel_error(X, other)))


def measure_denoising(case: str, corruption: Any, seed: int, epochs: int) -> Figures:
    """Return the PSNR of corrupted test rows, and of what each method makes of them."""
    X_test = mnist()[2]
    with Noise(seed):
        noisy = corruption(torch.from_numpy(X_test)).numpy()
    median = median_filter(noisy.reshape(-1, 28, 28), size=(1, 3, 3)).reshape(len(noisy), -1)
    figures = {"PSNR in": psnr(X_test, noisy), "median 3x3": psnr(X_test, median)}
    seconds = 0.0
    for code in CODES_OF_DENOISERS:
        estimator, spent = denoiser(corruption, code, seed, epochs)
        seconds += spent
        rebuilt = plain(code, seed, epochs)[0].reconstruct(noisy)
        figures[f"plain, code {code}"] = psnr(X_test, rebuilt)
        figures[f"denoising, code {code}"] = psnr(X_test, estimator.reconstruct(noisy))
    return {**figures, "CPU s": seconds}


# --- few labels ---

STACK: dict[str, Any] = {"layers": (500, 500, 2000, 30), "corruption": MaskingNoise()}


class FineTuned(StackedAutoencoder):
    """Trains its classifier alone, from given weights or from scratch.

    All phases are seeded alike, so that this is what a fit of all phases ends with: pre-training
    need not be repeated for every number of labels.

    Attributes
    ----------
    start : list of Tensor or None
        The encoder's weights.
    stages : sequence of (str, Trainer)
        What is trained one after the other, "head" or "all"; by default all by the one trainer.
    """

    start: list[Tensor] | None = None
    stages: Sequence[tuple[str, Trainer]] = ()

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the classifier; no prior is fitted, as nothing is drawn from it."""
        X = self._begin(X)
        self.phase_losses_ = {}
        self.classes_, targets = np.unique(y, return_inverse=True)
        fit = self._start(X, targets)
        model: Any = fit.build(self._build)
        if self.start is not None:
            load(model.encoder, self.start)
        for part, schedule in self.stages or [("all", fit.trainer)]:
            model.classifier.encoder.requires_grad_(part == "all")
            stage = replace(fit, trainer=schedule)
            self._train_classifier(model, stage, torch.from_numpy(targets))
        return self._finish(model, History())


@torch.no_grad()
def load(module: nn.Module, weights: list[Tensor]) -> None:
    """Set a module's parameters in their order, whatever dropout lies between them."""
    for parameter, weight in zip(module.parameters(), weights, strict=True):
        parameter.copy_(weight)


def stack_trainer(epochs: int, rate: float = RATE, min_steps: int = 2000) -> Trainer:
    """Return the trainer of a phase; few rows get more epochs."""
    return trainer(epochs, learning_rate=rate, min_steps=min_steps)


def pretrained(params: dict[str, Any], seed: int, epochs: int) -> list[Tensor]:
    """Return the encoder's weights after pre-training on all rows, from a file if there is one."""
    name = "-".join(f"{key}={value}" for key, value in sorted(params.items()))
    path = FOLDER / f"stack-{seed}-{epochs}-{name}.pt"
    if not path.exists():
        estimator = StackedAutoencoder(**params, random_state=seed, trainer=stack_trainer(epochs))
        print(f"pre-training: {fitted(estimator, mnist()[0]):.0f} CPU s", flush=True)
        torch.save([p.detach() for p in estimator.model_.encoder.parameters()], path)
    weights: list[Tensor] = torch.load(path, weights_only=True)
    return weights


def labelled_rows(n_labels: int, seed: int) -> np.ndarray:
    """Return the places of as many rows, equally many of each class."""
    y = mnist()[1]
    if n_labels >= len(y):
        return np.arange(len(y))
    order = np.random.default_rng(seed).permutation(len(y))
    places = [order[y[order] == label][: n_labels // 10] for label in range(10)]
    return np.sort(np.concatenate(places))


@dataclass(frozen=True)
class Supervised:
    """How a classifier is made: labels, beginning, and what differs from the default."""

    n_labels: int
    pretrain: bool
    # Of both phases, and of the second alone.
    params: dict[str, Any] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    min_steps: int = 2000
    # What is trained of the classifier one after the other, and at which rate.
    stages: tuple[tuple[str, float], ...] = (("all", RATE),)


VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "no corruption of labelled rows": {"tuning": {"corruption": None}},
    "dropout 0.2 of labelled rows": {"tuning": {"backbone": MLP(dropout=0.2)}},
    "500 steps": {"min_steps": 500},
    "8,000 steps": {"min_steps": 8000},
    "relu": {"params": {"backbone": MLP(activation="relu")}},
    "layers 500, 500, 2000": {"params": {"layers": (500, 500, 2000)}},
    "rate 2e-4": {"stages": (("all", 2e-4),)},
    "rate 5e-5": {"stages": (("all", 5e-5),)},
    "rate 2e-4, no corruption of labelled rows": {
        "stages": (("all", 2e-4),),
        "tuning": {"corruption": None},
    },
    "head alone": {"stages": (("head", RATE),)},
    "head, then all at 2e-4": {"stages": (("head", RATE), ("all", 2e-4))},
}


def supervised_cases() -> dict[str, Supervised]:
    """Return the cases by name; variants for 100 labels only."""
    cases = {}
    for n, variant, pretrain in product((100, 1000, 60_000), VARIANTS, (True, False)):
        if variant and n != 100:
            continue
        name = f"{n} labels, {'pre-trained' if pretrain else 'from scratch'}"
        cases[f"{name} ({variant})" if variant else name] = Supervised(
            n, pretrain, **VARIANTS[variant]
        )
    return cases


def measure_labels(case: str, how: Supervised, seed: int, epochs: int) -> Figures:
    """Return the share of test rows that are misclassified."""
    X, y, X_test, y_test = mnist()
    chosen = labelled_rows(how.n_labels, seed)
    params = {**STACK, **how.params}
    estimator = FineTuned(
        **{**params, **how.tuning},
        random_state=seed,
        trainer=stack_trainer(epochs),
    )
    estimator.stages = [
        (part, stack_trainer(epochs, rate, how.min_steps)) for part, rate in how.stages
    ]
    if how.pretrain:
        estimator.start = pretrained(params, seed, epochs)
    seconds = fitted(estimator, X[chosen], y[chosen])
    error = float((estimator.predict(X_test) != y_test).mean())
    return {"test error, %": 100 * error, "CPU s of fine-tuning": seconds}


# --- tables ---

ERROR = {"error": "{:.5f}"}
PARTS = {
    "codes": Part(
        CODES,
        measure_codes,
        {**ERROR, "5-NN": "{:.4f}", "units used": "{:.0f}", "active": "{:.3f}", "CPU s": "{:.0f}"},
        "MNIST, fitted on 60,000, measured on 10,000 rows: squared error of a pixel (grey levels "
        "in [0, 1]) and accuracy of 5 nearest neighbours among the codes of the 60,000. Codes of "
        "32 numbers where nothing else is said, default penalties and corruptions. Units used: "
        "their spread over test rows exceeds 1 % of the largest; active: share of a row's values "
        "above a tenth of its largest. The outliers are images of uniform noise. The stacked one "
        "has all epochs in each of its four phases.",
    ),
    "robust": Part(
        ROBUST,
        measure_robust,
        {**ERROR, "CPU s": "{:.0f}"},
        "Deep autoencoder (784-500-500-32) of MNIST, 20 % of the training rows spoilt: images of "
        "uniform noise; grey levels inverted; a square of 14 x 14 pixels set to one. Pixels: 20 % "
        "of the pixels of all rows set to one. Squared error of a pixel on clean test rows. No "
        "sigma is chosen: 0.5 is the default.",
    ),
    "contractive": Part(
        CONTRACTIVE,
        measure_contraction,
        {"norm": "{:.4f}", "norm / variance": "{:.4f}", **ERROR, "CPU s": "{:.0f}"},
        "Contractive autoencoders of MNIST with sigmoid codes of 32 numbers: mean squared "
        "Frobenius norm of the code's Jacobian on 2,000 test rows, the same divided by the codes' "
        "total variance, and squared error of a pixel on the test rows. Strength 0 is the same "
        "network without the penalty; deep is 784-500-500-32, trained with one probe, measured "
        "exactly.",
    ),
    "denoising": Part(
        DENOISING,
        measure_denoising,
        {
            "PSNR in": "{:.2f}",
            "median 3x3": "{:.2f}",
            **{f"{kind}, code {n}": "{:.2f}" for n in (32, 128) for kind in ("plain", "denoising")},
            "CPU s": "{:.0f}",
        },
        "MNIST test rows, corrupted: PSNR in dB (of all pixels together, peak 1) before, after "
        "scipy's median filter, after a deep autoencoder (784-500-500-code) trained on clean rows, "
        "and after the same network trained with that corruption.",
    ),
    "labels": Part(
        supervised_cases(),
        measure_labels,
        {"test error, %": "{:.2f}", "CPU s of fine-tuning": "{:.0f}"},
        "MNIST test error of a StackedAutoencoder (500, 500, 2000, 30, masking 0.3), pre-trained "
        "on all 60,000 rows and fine-tuned with labels, equally many a class, beside the same "
        "classifier trained by the same trainer on the same labelled rows from scratch; at least "
        "2,000 steps. In brackets, what was tried besides: none of it was chosen.",
    ),
}


def known() -> dict[tuple[str, str, int, int], Fit]:
    """Return the fits in the cache by their keys; a later one replaces an earlier."""
    return {fit.key: fit for fit in results.kept(CACHE, Fit)}


def make(name: str, options: argparse.Namespace) -> None:
    """Make the fits of one part that the cache lacks."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for seed in (int(text) for text in options.seeds.split(",")):
        for case, setting in PARTS[name].cases.items():
            key = (name, case, seed, options.epochs)
            if options.cases not in case or key in known():
                continue
            fit = Fit(*key, PARTS[name].measure(case, setting, seed, options.epochs))
            print(fit, flush=True)
            results.keep(CACHE, fit)


def cell(values: list[float], form: str) -> str:
    """Return the mean, with the standard deviation of several."""
    mean = form.format(fmean(values))
    return f"{mean} ± {form.format(stdev(values))}" if len(values) > 1 else mean


def write_table(name: str, epochs: int) -> None:
    """Write the table of one part from the cache."""
    part = PARTS[name]
    rows: list[list[object]] = []
    for case in part.cases:
        mine = [fit for key, fit in known().items() if key[:2] == (name, case) and key[3] == epochs]
        if not mine:
            continue
        cells = [cell([fit.figures[f] for fit in mine], part.formats[f]) for f in part.formats]
        rows.append([case, *cells, ", ".join(str(seed) for seed in sorted(f.seed for f in mine))])
    notes = (
        f"{part.notes} {epochs} epochs of batches of 256, Adam from 2e-3 along a cosine; mean ± "
        "standard deviation over seeds, one thread."
    )
    results.write(f"autoencoders-{name}", ["case", *part.formats, "seeds"], rows, notes)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks autoencoders", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="several with a comma")
    parser.add_argument("--cases", default="", help="only those whose name holds this")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--table", action="store_true", help="fit nothing, write the tables")
    options = parser.parse_args(arguments)
    for name in options.parts.split(","):
        if not options.table:
            make(name, options)
        write_table(name, options.epochs)
        if name == "codes":
            draw_filters()
