"""Folders of images, one datum per file; subfolders are classes."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data.bundle import Data, DataError, make_data, reading

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class _Kind:
    """How pixels are held: the mode Pillow converts to, the channels and the type of a value."""

    mode: str
    channels: int
    dtype: type[np.generic]


_GREY = _Kind("L", 1, np.uint8)
_COLOUR = _Kind("RGB", 3, np.uint8)
_DEEP = _Kind("I", 1, np.uint16)

# Pillow's modes. Older Pillow opens a 16-bit PNG as "I".
_KINDS = {
    **dict.fromkeys(("1", "L", "LA", "La"), _GREY),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB"), _COLOUR),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N", "I"), _DEEP),
}

SEE_THROUGH = ("LA", "PA", "RGBA", "La", "RGBa")
# Tag of EXIF that says how the camera was held, and its values for cameras on their side.
ORIENTATION, ON_ITS_SIDE = 0x112, (5, 6, 7, 8)
# What transparent pixels are composed on, as a share of the lightest level: the first on which
# every picture has a contrast above the least.
BACKGROUNDS = {"white": 1.0, "black": 0.0, "grey": 0.5}
LEAST_CONTRAST = 8 / 255


def natural(path: Path) -> list[tuple[bool, int, str]]:
    """Return a sort key by which 3 comes before frame2 and frame2 before frame10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(False, int(p), "") if p.isdecimal() else (True, 0, p) for p in parts]


def _visible(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=natural)


def image_paths(folder: Path) -> list[Path]:
    """Return the images directly in a folder, in natural order; other files are left out."""
    return [path for path in _visible(folder) if path.suffix.lower() in ENDINGS and path.is_file()]


def read_image_folder(folder: Path) -> Data:
    """Read the images of a folder, or of its subfolders as classes if it holds none itself."""
    name = folder.resolve().name
    paths = image_paths(folder)
    if paths:
        return make_data(name, read_images(paths))
    subfolders = {path.name: image_paths(path) for path in _visible(folder) if path.is_dir()}
    classes = {label: images for label, images in subfolders.items() if images}
    if not classes:
        raise DataError(
            f"{folder} holds no images ({', '.join(ENDINGS)}) and no IDX files: add some."
        )
    y = np.repeat(np.arange(len(classes)), [len(images) for images in classes.values()])
    X = read_images([path for images in classes.values() for path in images])
    return make_data(name, X, y, class_names=tuple(classes))


def read_images(paths: Sequence[Path]) -> np.ndarray:
    """Return images of one size, upright, as (n, channels, height, width).

    Of an animation the first is read. Transparent pixels are composed on one background for all,
    with a warning: white, or black or grey where some shape would vanish on white.
    """
    # Headers first: an odd file is reported before any time goes into decoding.
    headers = [_header(path) for path in paths]
    _check_sizes(paths, [size for size, _ in headers])
    kind = _common_kind(paths, [kind for _, kind in headers])
    width, height = headers[0][0]
    X = np.empty((len(paths), kind.channels, height, width), kind.dtype)
    alphas = {}
    for i, path in enumerate(paths):
        X[i], alpha = _pixels(path, kind)
        if alpha is not None and alpha.min() < 255:
            alphas[i] = alpha
    if alphas:
        _compose(X, alphas, os.path.commonpath([path.parent for path in paths]))
    return X


def _compose(X: np.ndarray, alphas: Mapping[int, np.ndarray], folder: str) -> None:
    top = np.iinfo(X.dtype).max
    name = background_of((X[i] / top, alpha) for i, alpha in alphas.items())
    for i, alpha in alphas.items():
        X[i] = np.rint(top * composed(X[i] / top, alpha, BACKGROUNDS[name]))
    warnings.warn(f"Transparent pixels of images in {folder} are read as {name}.", stacklevel=2)


def composed(values: np.ndarray, alpha: np.ndarray, background: float) -> np.ndarray:
    """Return values in [0, 1], shape (channels, h, w), on a background by their opacity in 255ths.

    Examples
    --------
    >>> composed(np.zeros((1, 1, 3)), np.array([[0, 51, 255]]), 1.0)
    array([[[1. , 0.8, 0. ]]])
    """
    opacity = alpha / 255
    on_top: np.ndarray = values * opacity + background * (1 - opacity)
    return on_top


def background_of(pictures: Iterable[tuple[np.ndarray, np.ndarray]]) -> str:
    """Return the name of the background on which the shapes of pictures and their alphas show."""
    vanish = dict.fromkeys(BACKGROUNDS, False)
    for values, alpha in pictures:
        for name, level in BACKGROUNDS.items():
            vanish[name] |= not _shows(values, alpha, level)
    return next((name for name, lost in vanish.items() if not lost), "white")


def _shows(values: np.ndarray, alpha: np.ndarray, background: float) -> bool:
    """Whether a picture has contrast on a background, or its alpha has no shape to show."""
    if alpha.min() == alpha.max():
        return True
    return bool(np.ptp(composed(values, alpha, background)) > LEAST_CONTRAST)


@contextmanager
def open_image(path: Path) -> Iterator[Any]:
    """Open an image file for a ``with`` block, whose errors name the file."""
    from PIL import Image

    with reading(path, "an image"), Image.open(path) as image:
        yield image


def upright(image: Any) -> Any:
    """Return an opened image as its camera was held."""
    from PIL import ImageOps

    # Without a name the file is not mapped into memory: Pillow maps turned TIFFs by the wrong
    # sides.
    image.filename = ""
    return ImageOps.exif_transpose(image)


def alpha_of(image: Any) -> np.ndarray | None:
    """Return an image's opacity, uint8 of shape (h, w), or None if it has no transparency."""
    key = image.info.get("transparency")
    if image.mode.startswith("I"):
        return None if key is None else np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
    if key is None and image.mode not in SEE_THROUGH:
        return None
    alpha: np.ndarray = np.asarray(image.convert("RGBA"))[..., 3]
    return alpha


def levels_of(image: Any, mode: str) -> np.ndarray:
    """Return an image's pixels in a mode of Pillow's that has no transparency."""
    # A palette with transparent entries warns unless it passes through RGBA.
    opaque = image.convert("RGBA") if image.mode in ("P", "PA") else image
    return np.asarray(opaque.convert(mode))


def _header(path: Path) -> tuple[tuple[int, int], _Kind]:
    with open_image(path) as image:
        if image.mode not in _KINDS:
            raise DataError(f"{path} has pixels of mode {image.mode}: convert it to 8 or 16 bit.")
        width, height = image.size
        # Pillow gives the upright size of a TIFF.
        turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in ON_ITS_SIDE
        return ((height, width) if turned else (width, height)), _KINDS[image.mode]


def _check_sizes(paths: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> None:
    usual = Counter(sizes).most_common(1)[0][0]
    odd = next((i for i, size in enumerate(sizes) if size != usual), None)
    if odd is not None:
        raise DataError(
            f"{paths[odd]} is {_by(sizes[odd])} pixels where the other images are {_by(usual)}: "
            "resize or remove it."
        )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _common_kind(paths: Sequence[Path], kinds: Sequence[_Kind]) -> _Kind:
    """Return the kind that holds all images: one in colour makes all colour."""
    found = set(kinds)
    if _DEEP in found and len(found) > 1:
        deep = paths[kinds.index(_DEEP)]
        raise DataError(f"{deep} has 16-bit pixels where others have 8: convert all to one depth.")
    return _COLOUR if _COLOUR in found else kinds[0]


def _pixels(path: Path, kind: _Kind) -> tuple[np.ndarray, np.ndarray | None]:
    """Return one image as (channels, h, w), or (h, w) if it is grey, and its opacity."""
    with open_image(path) as opened:
        image = upright(opened)
        values, alpha = levels_of(image, kind.mode), alpha_of(image)
    if kind is _DEEP and (values.min() < 0 or values.max() > np.iinfo(np.uint16).max):
        raise DataError(f"{path} has values beyond 16 bits: convert it to 8 or 16 bit.")
    return (np.moveaxis(values, 2, 0) if values.ndim == 3 else values), alpha
