"""Single pictures in and out: 8-bit arrays, and photographs that keep depth and transparency."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data.bundle import DataError
from sfumato.data.images import (
    BACKGROUNDS,
    ENDINGS,
    alpha_of,
    background_of,
    composed,
    levels_of,
    open_image,
    read_images,
    upright,
)

# What JPEG is written with: the marks of 75, the usual default, would undo a restoration.
JPEG_QUALITY = 95
LARGEST = {8: 255, 16: 65535}


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture with what its file says beside the colours.

    Parameters
    ----------
    values : ndarray of shape (h, w, c), float32 in [0, 1]
        Grey for c = 1; red, green and blue for c = 3.
    alpha : ndarray of shape (h, w), uint8, optional
        Opacity; 0 is transparent.
    depth : int
        Bits a value: 8, or 16 for grey.
    profile : bytes, optional
        The file's colour profile.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    depth: int = 8
    profile: bytes | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.values.shape[0], self.values.shape[1]

    def with_values(self, values: np.ndarray) -> "Photograph":
        """Return the same photograph with other values, of any size; alpha follows that size.

        Grey that becomes colours is of 8 bits, and its profile, one of grey, is dropped.
        """
        if values.shape[2] != self.values.shape[2]:
            return replace(self, values=values, depth=8, profile=None).with_values(values)
        alpha = self.alpha
        if alpha is not None and alpha.shape != values.shape[:2]:
            from PIL import Image

            size = (values.shape[1], values.shape[0])
            alpha = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC))
        return replace(self, values=values, alpha=alpha)

    def on_background(self) -> "Photograph":
        """Return the photograph on white, or what else its shape shows on, without alpha."""
        if self.alpha is None:
            return self
        channels = np.moveaxis(self.values, 2, 0)
        level = BACKGROUNDS[background_of([(channels, self.alpha)])]
        flat = np.moveaxis(composed(channels, self.alpha, level), 0, 2).astype(np.float32)
        return replace(self, values=flat, alpha=None)


def read_photograph(path: str | os.PathLike[str]) -> Photograph:
    """Read one image file, upright as its camera held it; of an animation the first picture.

    Palettes become colours. 16 bits are kept for grey images.

    Raises
    ------
    DataError
        If there is no such file, or it is no image, or one of more than 16 bits.
    """
    path = Path(path)
    with open_image(path) as opened:
        image = upright(opened)
        if image.mode == "F":
            raise DataError(f"{path} has pixels of mode F: convert it to 8 or 16 bit.")
        alpha, profile = alpha_of(image), opened.info.get("icc_profile")
        if image.mode.startswith("I"):
            return Photograph(_deep(image, path), alpha, depth=16, profile=profile)
        grey = image.mode in ("1", "L", "LA", "La")
        values = levels_of(image, "L" if grey else "RGB").astype(np.float32) / 255
    values = values[..., None] if grey else values
    return Photograph(values, alpha, profile=None if image.mode == "CMYK" else profile)


def _deep(image: Any, path: Path) -> np.ndarray:
    values = np.asarray(image.convert("I"), dtype=np.int64)
    if values.min() < 0 or values.max() > LARGEST[16]:
        raise DataError(f"{path} has values beyond 16 bits: convert it to 8 or 16 bit.")
    deep: np.ndarray = (values / LARGEST[16]).astype(np.float32)[..., None]
    return deep


def shipped_photographs() -> list[np.ndarray]:
    """Return the two photographs in colour that scikit-learn brings, uint8 of shape (h, w, 3)."""
    from sklearn.datasets import load_sample_images

    return [np.asarray(image) for image in load_sample_images().images]


def write_photograph(path: str | os.PathLike[str], photograph: Photograph) -> None:
    """Write a photograph so that a reader sees the old file or the new one.

    A format that cannot hold 16 bits gets 8, one without transparency none; so do colours, and grey
    with transparency, which are written with 8 bits.

    Raises
    ------
    DataError
        If the ending is no image's, or the file cannot be written.
    """
    target = checked_ending(path)
    ending = target.suffix.lower()
    rich = ending in (".png", ".tif", ".tiff")
    alpha = photograph.alpha if rich else None
    deep = rich and alpha is None and photograph.values.shape[2] == 1
    depth = photograph.depth if deep else 8
    levels = np.rint(np.clip(photograph.values, 0, 1) * LARGEST[depth])
    image = _image(levels.astype(np.uint8 if depth == 8 else np.uint16), alpha)
    options: dict[str, Any] = {"quality": JPEG_QUALITY} if ending in (".jpg", ".jpeg") else {}
    if photograph.profile is not None:
        options["icc_profile"] = photograph.profile
    try:
        with replacing(target) as partial:
            image.save(partial, **options)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path} cannot be written ({reason}): choose another file.") from error


def _image(levels: np.ndarray, alpha: np.ndarray | None) -> Any:
    from PIL import Image

    if alpha is None:
        plain = levels[..., 0] if levels.shape[2] == 1 else levels
        return Image.fromarray(np.ascontiguousarray(plain))
    return Image.fromarray(np.dstack([levels, alpha]), "LA" if levels.shape[2] == 1 else "RGBA")


def checked_ending(path: str | os.PathLike[str]) -> Path:
    """Return the path of an image to be written.

    Raises
    ------
    DataError
        If its ending is no image's.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise DataError(f"{path} does not end in {', '.join(ENDINGS)}: choose one of them.")
    return target


def in_colour(image: np.ndarray) -> np.ndarray:
    """Return a fresh array of shape (h, w, 3) from one of shape (h, w, 1) or (h, w, 3)."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image.copy()


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """Return an image file as uint8 of shape (h, w, 3).

    Raises
    ------
    DataError
        If there is no such file, or it is no image.
    """
    image = np.moveaxis(read_images([Path(path)])[0], 0, 2)
    if image.dtype == np.uint16:
        # 65535 = 257 * 255; half of 257 is added to round.
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return in_colour(image)


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an image so that a reader sees the old file or the new one.

    Parameters
    ----------
    path : str or path-like
        Its ending says the format.
    image : ndarray of shape (h, w) or (h, w, 3), uint8
        Grey, or red, green and blue.

    Raises
    ------
    DataError
        If the ending is no image's, the folder cannot be written to, or the array is no image.
    """
    target = checked_ending(path)
    picture = _picture(image)
    with replacing(target) as partial:
        picture.save(partial)


def encode_jpeg(image: np.ndarray, quality: int = 85) -> bytes:
    """Return a grey (h, w) or RGB (h, w, 3) image of uint8 as the bytes of a JPEG file."""
    buffer = BytesIO()
    _picture(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _picture(image: np.ndarray) -> Any:
    from PIL import Image

    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise DataError(
            f"an image is {image.dtype} of shape {image.shape}: "
            "give uint8 of shape (h, w) or (h, w, 3)."
        )
    return Image.fromarray(image)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file beside another, of the same ending, that takes its place at last."""
    partial = temporary(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def temporary(path: Path) -> Path:
    """Make an empty file in the folder of another, with its ending.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}): choose another folder."
        ) from error
    os.close(handle)
    os.chmod(name, 0o644)
    return Path(name)
