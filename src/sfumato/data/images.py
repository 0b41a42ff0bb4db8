"""Folders of images, one datum per file; subfolders are classes."""

import re
from collections import Counter
from collections.abc import Sequence
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

# Pillow's modes. Older Pillow opens a 16-bit PNG as "I". Transparency is dropped.
_KINDS = {
    **dict.fromkeys(("1", "L", "LA", "La"), _GREY),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB"), _COLOUR),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N", "I"), _DEEP),
}


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
    """Return images of one size as (n, channels, height, width); of an animation the first."""
    # Headers first: an odd file is reported before any time goes into decoding.
    headers = [_header(path) for path in paths]
    _check_sizes(paths, [size for size, _ in headers])
    kind = _common_kind(paths, [kind for _, kind in headers])
    width, height = headers[0][0]
    X = np.empty((len(paths), kind.channels, height, width), kind.dtype)
    for row, path in zip(X, paths, strict=True):
        row[:] = _pixels(path, kind)
    return X


def _open(path: Path) -> Any:
    from PIL import Image

    return Image.open(path)


def _header(path: Path) -> tuple[tuple[int, int], _Kind]:
    with reading(path, "an image"), _open(path) as image:
        if image.mode not in _KINDS:
            raise DataError(f"{path} has pixels of mode {image.mode}: convert it to 8 or 16 bit.")
        return image.size, _KINDS[image.mode]


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


def _pixels(path: Path, kind: _Kind) -> np.ndarray:
    """Return one image as (channels, height, width), or (height, width) if it is grey."""
    with reading(path, "an image"), _open(path) as image:
        # A palette with transparent entries warns unless it passes through RGBA.
        opaque = image.convert("RGBA") if image.mode in ("P", "PA") else image
        values = np.asarray(opaque.convert(kind.mode))
    if kind is _DEEP and (values.min() < 0 or values.max() > np.iinfo(np.uint16).max):
        raise DataError(f"{path} has values beyond 16 bits: convert it to 8 or 16 bit.")
    return np.moveaxis(values, 2, 0) if values.ndim == 3 else values
