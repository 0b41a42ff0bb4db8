"""Restoring pictures: trained on T91, measured on Set5, beside what needs no training.

Fitted restorers are kept in the cache, so that a table can be made in parts. Greys are Pillow's
luminance; PSNR and SSIM are scikit-image's, values in [0, 1].
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import results
from sfumato import Colorizer, Denoiser, Inpainter, Upscaler, load
from sfumato.training import Progress

CACHE = Path(os.environ.get("SFUMATO_BENCHMARKS", "benchmarks/.cache")) / "restoration"
IMAGES = Path(os.environ.get("SFUMATO_DATA", "data")) / "images"
SIGMAS = (15, 25, 50)
FACTORS = (2, 3, 4)
Pictures = dict[str, np.ndarray]


def pictures(name: str, mode: str) -> Pictures:
    """Return the pictures of a folder as floats in [0, 1]."""
    paths = sorted((IMAGES / name).iterdir())
    return {
        path.stem.removesuffix("_GT"): np.asarray(Image.open(path).convert(mode), np.float64) / 255
        for path in paths
    }


def fitted(name: str, restorer: Any) -> Any:
    """Return the restorer trained on T91: from the cache if it is there."""
    folder = CACHE / name
    if (folder / "params.json").exists():
        return load(folder)
    restorer.set_params(random_state=0)
    trainer = restorer.default_trainer().set_params(
        checkpoint=str(folder), loggers=(Progress(name),)
    )
    restorer.set_params(trainer=trainer)
    start = time.process_time()
    restorer.fit(IMAGES / "T91").save(folder)
    (folder / "cpu_seconds.txt").write_text(f"{time.process_time() - start:.0f}\n")
    return restorer


def cost(name: str) -> str:
    """Return CPU seconds of the training."""
    path = CACHE / name / "cpu_seconds.txt"
    return path.read_text().strip() if path.exists() else ""


def quality(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Return PSNR in dB and SSIM, both by scikit-image, which only this benchmark needs."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    found = found.clip(0, 1)
    axis = 2 if truth.ndim == 3 else None
    return (
        float(peak_signal_noise_ratio(truth, found, data_range=1.0)),
        float(structural_similarity(truth, found, data_range=1.0, channel_axis=axis)),
    )


def noisy(truth: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Return the picture with white noise, not clipped, as the literature measures it."""
    return truth + np.random.default_rng(seed).normal(size=truth.shape) * sigma / 255


def denoising_methods(sigma: float) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return what denoises, told the noise level; baselines at the best of a few settings."""
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    level = sigma / 255
    denoiser = fitted("denoiser", Denoiser())
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "noisy": lambda y: y,
        "sfumato": lambda y: denoiser.restore(y, sigma=sigma),
        "sfumato, level estimated": denoiser.restore,
    }
    for h in (0.6, 0.8, 1.0):
        methods[f"non-local means, h = {h} sigma"] = lambda y, h=h: denoise_nl_means(
            y, patch_size=5, patch_distance=6, h=h * level, sigma=level, fast_mode=True
        )
    for w in (0.8, 1.0, 1.3):
        methods[f"total variation, weight {w} sigma"] = lambda y, w=w: denoise_tv_chambolle(
            y, weight=w * level
        )
    try:
        from bm3d import bm3d
    except ImportError:
        return methods
    return methods | {"BM3D": lambda y: bm3d(y, level)}


def measured(
    name: str, cases: Iterator[tuple[np.ndarray, np.ndarray]], method: Callable[..., np.ndarray]
) -> list[Any]:
    """Return a row: the method, mean PSNR and SSIM, PSNR of each picture, and seconds."""
    start = time.perf_counter()
    found = [quality(truth, method(damaged)) for truth, damaged in cases]
    seconds = time.perf_counter() - start
    each = " ".join(f"{psnr:.2f}" for psnr, _ in found)
    psnr, ssim = (fmean(values) for values in zip(*found, strict=True))
    return [name, f"{psnr:.2f}", f"{ssim:.4f}", each, f"{seconds:.1f}"]


def denoising(mode: str = "L") -> list[list[Any]]:
    """Measure denoising of Set5."""
    truths = pictures("Set5", mode)
    rows = []
    for sigma in SIGMAS:
        cases = [(x, noisy(x, sigma, i)) for i, x in enumerate(truths.values())]
        for name, method in denoising_methods(sigma).items():
            if mode == "RGB" and not name.startswith(("noisy", "sfumato")):
                continue
            rows.append([sigma, *measured(name, iter(cases), method)])
    return rows


def upscaling() -> list[list[Any]]:
    """Measure super-resolution of the luminance (BT.601) of Set5, borders shaved."""
    rows = []
    for factor in FACTORS:
        upscaler = fitted(f"upscaler-{factor}", Upscaler(factor))
        cases = [_shrunk(x, factor) for x in pictures("Set5", "RGB").values()]
        methods = {"bicubic": lambda y, f=factor: resized(y, f), "sfumato": upscaler.restore}
        for name, method in methods.items():
            shaved = ((truth[factor:-factor, factor:-factor], small) for truth, small in cases)
            rows.append([factor, *measured(name, shaved, _shaving(method, factor))])
    return rows


def _shaving(
    method: Callable[[np.ndarray], np.ndarray], border: int
) -> Callable[[np.ndarray], np.ndarray]:
    inner = slice(border, -border)
    return lambda y: method(y)[inner, inner]


def _shrunk(x: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the luminance of a picture, its sides multiples of the factor, and the small one."""
    luminance = (x @ np.array([65.481, 128.553, 24.966]) + 16) / 255
    height, width = (side - side % factor for side in luminance.shape)
    luminance = luminance[:height, :width]
    return luminance, resized(luminance, 1 / factor)


def resized(y: np.ndarray, factor: float) -> np.ndarray:
    """Return a picture resized by Pillow's bicubic kernel, which widens as pictures shrink."""
    size = (round(y.shape[1] * factor), round(y.shape[0] * factor))
    image = Image.fromarray(y.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float64)


def holes(shape: tuple[int, int], kind: str, seed: int) -> np.ndarray:
    """Return a mask of the missing pixels: scattered ones, a grid of bars, or a few boxes."""
    rng = np.random.default_rng(seed)
    missing = np.zeros(shape, bool)
    if kind == "scattered 50 %":
        return rng.random(shape) < 0.5
    if kind == "scattered 80 %":
        return rng.random(shape) < 0.8
    if kind == "bars":
        missing[::16] = missing[1::16] = missing[2::16] = True
        missing[:, ::16] = missing[:, 1::16] = missing[:, 2::16] = True
        return missing
    for _ in range(6):
        top, left = (rng.integers(side - 24) for side in shape)
        missing[top : top + 24, left : left + 24] = True
    return missing


def inpainting() -> list[list[Any]]:
    """Measure inpainting of Set5 in colours, over all pixels."""
    from skimage.restoration import inpaint_biharmonic

    inpainter = fitted("inpainter", Inpainter())
    methods: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "damaged": lambda y, m: y,
        "biharmonic": lambda y, m: inpaint_biharmonic(y, m, channel_axis=2),
        "sfumato": lambda y, m: inpainter.restore(y, missing=m),
    }
    rows = []
    for kind in ("scattered 50 %", "scattered 80 %", "bars", "boxes"):
        for name, method in methods.items():
            cases = []
            for i, x in enumerate(pictures("Set5", "RGB").values()):
                mask = holes(x.shape[:2], kind, i)
                cases.append((x, (np.where(mask[..., None], 0.0, x), mask)))
            rows.append([kind, *measured(name, iter(cases), lambda ym, f=method: f(*ym))])
    return rows


def colorizing() -> list[list[Any]]:
    """Measure colourisation of Set5 and of Kodak's pictures."""
    colorizer = fitted("colorizer", Colorizer())
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "grey": lambda y: np.repeat(y[..., None], 3, axis=2),
        "sfumato": colorizer.restore,
    }
    rows = []
    for data in ("Set5", "Kodak24-500"):
        for name, method in methods.items():
            cases = ((x, x.mean(axis=2)) for x in pictures(data, "RGB").values())
            rows.append([data, *measured(name, cases, method)])
    return rows


HEADINGS = ("method", "PSNR", "SSIM", "PSNR of each", "seconds")
PARTS: dict[str, tuple[str, str, Callable[[], list[list[Any]]], tuple[str, ...]]] = {
    "denoising": (
        "sigma",
        "Set5 in grey, white noise of sigma grey levels, not clipped; baselines are told sigma.",
        denoising,
        ("denoiser",),
    ),
    "denoising-colour": (
        "sigma",
        "Set5 in colour, white noise of sigma grey levels in each colour, not clipped.",
        lambda: denoising("RGB"),
        ("denoiser",),
    ),
    "upscaling": (
        "factor",
        "Luminance of Set5, shrunk by a bicubic kernel; as many border pixels shaved as the "
        "factor.",
        upscaling,
        tuple(f"upscaler-{factor}" for factor in FACTORS),
    ),
    "inpainting": ("missing", "Set5 in colour, PSNR over all pixels.", inpainting, ("inpainter",)),
    "colorizing": ("data", "PSNR over red, green and blue.", colorizing, ("colorizer",)),
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks restoration")
    parser.add_argument("--parts", default=",".join(PARTS))
    options = parser.parse_args(arguments)
    for part in options.parts.split(","):
        heading, note, measure, models = PARTS[part]
        rows = measure()
        costs = ", ".join(f"{model} {cost(model)}" for model in models)
        results.write(
            f"restoration-{part}",
            [heading, *HEADINGS],
            rows,
            f"{note} Trained on T91, seed 0; CPU seconds of training: {costs}.",
        )
