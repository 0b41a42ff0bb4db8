"""Digits on photographs, made on the spot: each picture's background, mask and attributes known."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sfumato.data.bundle import DataError
from sfumato.data.named import load_named
from sfumato.data.pictures import read_picture, shipped_photographs

TEXTURES = ("grass", "gravel", "brick")
# Windows of scikit-learn's photographs (which of the two, rows, columns): textures as well.
SHIPPED_TEXTURES = {
    "foliage": (0, slice(290, 427), slice(320, 640)),
    "roofs": (0, slice(110, 390), slice(90, 330)),
    "petals": (1, slice(100, 350), slice(180, 430)),
}
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
SPLITS = ("train", "test")
# Left of this share of a photograph's width is for training, right of it for tests.
TRAIN_SHARE = 0.67
# A pixel of a crop is the mean of so many of the photograph a side.
ZOOM = 2
# Of scikit-learn's digits; writers follow each other, so the last ones wrote none of the first.
N_TRAIN_DIGITS = 1300
# Side of a glyph in units of the picture's side.
SCALES = (0.8, 1.0)
HUE_SPREAD = 0.03
# Half of the light goes to the patch, half to the digit: their sum needs no clipping.
PATCH_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class DigitScenes:
    """Pictures of digits and what they were made of.

    Parameters
    ----------
    images : ndarray of shape (n, channels, size, size), float32 in [0, 1]
        An estimator's ``fit`` takes them as they are.
    backgrounds : ndarray of shape (n, channels, size, size), float32
        The same pictures without their digits.
    ink : ndarray of shape (n, size, size), float32 in [0, 1]
        How much of a pixel the digit covers.
    digits : ndarray of shape (n,), int
        0 to 9.
    """

    images: np.ndarray
    backgrounds: np.ndarray
    ink: np.ndarray
    digits: np.ndarray

    @property
    def masks(self) -> np.ndarray:
        """True where a digit covers more than half of a pixel; bool of shape (n, size, size)."""
        return self.ink > 0.5


@dataclass(frozen=True, eq=False)
class TexturedDigits(DigitScenes):
    """Coloured digits on textures.

    Parameters
    ----------
    images, backgrounds, ink, digits : ndarray
        See :class:`DigitScenes`.
    textures : ndarray of shape (n,), int
        Codes into ``texture_names``.
    hues : ndarray of shape (n,), int
        Codes into ``sfumato.data.HUES``; -1 for white.
    colours : ndarray of shape (n, 3), float32 in [0, 1]
        Red, green and blue of the ink.
    texture_names : tuple of str
    """

    textures: np.ndarray
    hues: np.ndarray
    colours: np.ndarray
    texture_names: tuple[str, ...]


def digits_on_textures(
    n: int,
    size: int = 32,
    seed: int = 0,
    digits: str = "auto",
    split: str = "train",
    *,
    coloured: bool = True,
    moved: bool = True,
) -> TexturedDigits:
    r"""Return coloured digits on crops of grass, gravel and brick.

    .. math:: x = a\, c + (1 - a)\, b

    with ink a, the digit's colour c and the background b. Crops are grey, 64 pixels of the
    photograph for 32 of a picture; a digit lies wholly inside.
    The splits share neither a digit nor a pixel of a photograph.

    Parameters
    ----------
    n : int
    size : int
        Pixels a side.
    seed : int
    digits : "auto", "mnist" or "digits"
        MNIST, or scikit-learn's 8 x 8 digits, enlarged; "auto" takes MNIST where it is found in
        ``$SFUMATO_DATA``.
    split : "train" or "test"
    coloured : bool
        Draw the digits in bright colours, else in white.
    moved : bool
        Shift and scale the digits at random, else draw all in the middle, as large as can be.

    Returns
    -------
    TexturedDigits

    Raises
    ------
    DataError
        If a choice is unknown, or ``size`` too large for the photographs.

    Notes
    -----
    The photographs are ``$SFUMATO_DATA/textures/{grass,gravel,brick}.png``; without them,
    foliage, roofs and petals in scikit-learn's photographs stand in.

    Examples
    --------
    >>> made = digits_on_textures(100, digits="digits")
    >>> made.images.shape, made.masks.shape, made.colours.shape
    ((100, 3, 32, 32), (100, 32, 32), (100, 3))
    >>> bool(((made.images != made.backgrounds).any(axis=1) == (made.ink > 0))[made.masks].all())
    True
    """
    rng = _generator(seed, split, "scenes")
    photographs = _texture_photographs()
    backgrounds, kinds = _crops(list(photographs.values()), n, size, split, rng)
    ink, classes = _inked(digits, n, size, split, rng, moved=moved)
    hues = rng.integers(len(HUES), size=n)
    colours = _colours(hues, rng) if coloured else np.ones((n, 3), np.float32)
    grey, a = backgrounds[:, None], ink[:, None]
    return TexturedDigits(
        images=a * colours[:, :, None, None] + (1 - a) * grey,
        backgrounds=np.repeat(grey, 3, axis=1),
        ink=ink,
        digits=classes,
        textures=kinds,
        hues=hues if coloured else np.full(n, -1),
        colours=colours,
        texture_names=tuple(photographs),
    )


def textures(
    n: int, size: int = 32, seed: int = 0, split: str = "train"
) -> tuple[np.ndarray, np.ndarray]:
    """Return textures with nothing on them, from other crops than ``digits_on_textures`` takes.

    Parameters
    ----------
    n, size, seed, split
        See :func:`digits_on_textures`.

    Returns
    -------
    images : ndarray of shape (n, 3, size, size), float32 in [0, 1]
    kinds : ndarray of shape (n,), int
        Which texture, as in :class:`TexturedDigits`.

    Examples
    --------
    >>> images, kinds = textures(100)
    >>> images.shape, np.unique(kinds).tolist()
    ((100, 3, 32, 32), [0, 1, 2])
    """
    rng = _generator(seed, split, "backgrounds")
    crops, kinds = _crops(list(_texture_photographs().values()), n, size, split, rng)
    return np.repeat(crops[:, None], 3, axis=1), kinds


def digits_in_noise(
    n: int,
    size: int = 32,
    seed: int = 0,
    digits: str = "auto",
    split: str = "train",
    *,
    moved: bool = True,
) -> DigitScenes:
    r"""Return digits added to patches of natural photographs, in grey.

    .. math:: x = b + a / 2, \qquad b \in [0, 1/2]

    Patches come from scikit-learn's photographs. For contrastive learning,
    :func:`natural_patches` makes the set of backgrounds.

    Parameters
    ----------
    n, size, seed, digits, split, moved
        See :func:`digits_on_textures`.

    Returns
    -------
    DigitScenes

    References
    ----------
    Abid, Zhang, Bagaria and Zou, Exploring patterns enriched in a dataset with contrastive
    principal component analysis, 2018: the corrupted-MNIST experiment.

    Examples
    --------
    >>> digits_in_noise(100, digits="digits").images.shape
    (100, 1, 32, 32)
    """
    rng = _generator(seed, split, "scenes")
    backgrounds = _natural_patches(n, size, split, rng)
    ink, classes = _inked(digits, n, size, split, rng, moved=moved)
    return DigitScenes(backgrounds + (1 - PATCH_SHARE) * ink[:, None], backgrounds, ink, classes)


def natural_patches(n: int, size: int = 32, seed: int = 0, split: str = "train") -> np.ndarray:
    """Return the noise of ``digits_in_noise`` alone, from other patches, in [0, 1/2].

    Parameters
    ----------
    n, size, seed, split
        See :func:`digits_on_textures`.

    Returns
    -------
    ndarray of shape (n, 1, size, size), float32

    Examples
    --------
    >>> natural_patches(100).shape
    (100, 1, 32, 32)
    """
    return _natural_patches(n, size, split, _generator(seed, split, "backgrounds"))


def _generator(seed: int, split: str, purpose: str) -> np.random.Generator:
    """Return the random numbers of one set; no two sets share them."""
    if split not in SPLITS:
        raise DataError(f"split must be 'train' or 'test', got {split!r}.")
    return np.random.default_rng([seed, SPLITS.index(split), purpose == "backgrounds"])


def _grey(photograph: np.ndarray) -> np.ndarray:
    """Return the light of an 8-bit photograph, float32 in [0, 1]."""
    light: np.ndarray = photograph.mean(axis=2, dtype=np.float32) / 255
    return light


def _texture_photographs() -> dict[str, np.ndarray]:
    folder = Path(os.environ.get("SFUMATO_DATA", "")).expanduser() / "textures"
    paths = {name: folder / f"{name}.png" for name in TEXTURES}
    if all(path.is_file() for path in paths.values()):
        return {name: _grey(read_picture(path)) for name, path in paths.items()}
    shipped = shipped_photographs()
    return {
        name: _grey(shipped[which])[rows, columns]
        for name, (which, rows, columns) in SHIPPED_TEXTURES.items()
    }


def _natural_patches(n: int, size: int, split: str, rng: np.random.Generator) -> np.ndarray:
    patches, _ = _crops([_grey(p) for p in shipped_photographs()], n, size, split, rng)
    return PATCH_SHARE * patches[:, None]


def _crops(
    photographs: list[np.ndarray], n: int, size: int, split: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return n random crops of shape (n, size, size), and from which photograph each is."""
    side = ZOOM * size
    kinds = rng.integers(len(photographs), size=n)
    crops = np.empty((n, size, size), np.float32)
    for kind, photograph in enumerate(photographs):
        region = _region(photograph, split)
        if min(region.shape) < side:
            raise DataError(
                f"a crop of {side} pixels does not fit into {region.shape[0]} x "
                f"{region.shape[1]} pixels of photograph: choose a smaller size."
            )
        windows = sliding_window_view(region, (side, side))
        chosen = np.flatnonzero(kinds == kind)
        tops, lefts = (rng.integers(room, size=len(chosen)) for room in windows.shape[:2])
        cells = windows[tops, lefts].reshape(len(chosen), size, ZOOM, size, ZOOM)
        crops[chosen] = cells.mean(axis=(2, 4))
    return crops, kinds


def _region(photograph: np.ndarray, split: str) -> np.ndarray:
    edge = round(TRAIN_SHARE * photograph.shape[1])
    return photograph[:, :edge] if split == "train" else photograph[:, edge:]


def _inked(
    digits: str, n: int, size: int, split: str, rng: np.random.Generator, *, moved: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return n digits, perhaps shifted and scaled, of shape (n, size, size), and their classes."""
    glyphs, classes = _glyphs(digits, split)
    # Every glyph comes before any comes twice.
    chosen = np.resize(rng.permutation(len(glyphs)), n)
    scale = size * (rng.uniform(*SCALES, n) if moved else np.ones(n))
    # Of the glyph's middle, such that it is wholly inside.
    rows, columns = ((scale / 2 + rng.random(n) * (size - scale)) for _ in range(2))
    side = glyphs.shape[1]
    down, across = (_resampling(side, size, scale, middle) for middle in (rows, columns))
    ink = down @ glyphs[chosen] @ across.transpose(0, 2, 1)
    return ink.clip(0, 1), classes[chosen]


def _glyphs(digits: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits of a split, float32 in [0, 1] of shape (m, side, side), and classes."""
    if digits not in ("auto", "mnist", "digits"):
        raise DataError(f"digits must be 'auto', 'mnist' or 'digits', got {digits!r}.")
    here = (Path(os.environ.get("SFUMATO_DATA", "")).expanduser() / "mnist").is_dir()
    if digits == "mnist" or (digits == "auto" and here):
        data = load_named("mnist")
        X, y = (data.X, data.y) if split == "train" else (data.X_test, data.y_test)
        return _squared(X) / np.float32(255), np.asarray(y)
    data = load_named("digits")
    part = slice(N_TRAIN_DIGITS) if split == "train" else slice(N_TRAIN_DIGITS, None)
    # Strokes of four pixels a cell never fill one; MNIST's margin is a sixth of a glyph.
    strokes = (_squared(data.X[part]) / np.float32(12)).clip(0, 1)
    return np.pad(strokes, ((0, 0), (1, 1), (1, 1))), np.asarray(data.y)[part]


def _squared(X: np.ndarray | None) -> np.ndarray:
    rows = np.asarray(X)
    side = round(rows.shape[1] ** 0.5)
    return rows.reshape(-1, side, side)


def _resampling(n_in: int, n_out: int, scale: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return matrices (n, n_out, n_in) that draw n_in cells over ``scale`` pixels by hats.

    Linear interpolation where cells become larger, weighted means where they become smaller.
    """
    place = np.arange(n_out) + 0.5
    cell = (place - middle[:, None]) * (n_in / scale)[:, None] + n_in / 2
    width = np.maximum(n_in / scale, 1)[:, None, None]
    distance = abs(cell[:, :, None] - (np.arange(n_in) + 0.5)) / width
    weights: np.ndarray = ((1 - distance).clip(0) / width).astype(np.float32)
    return weights


def _colours(hues: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return red, green and blue of bright colours near the named hues, shape (n, 3)."""
    n = len(hues)
    hue = hues / len(HUES) + rng.uniform(-HUE_SPREAD, HUE_SPREAD, n)
    saturation, value = rng.uniform(0.7, 1.0, n), rng.uniform(0.85, 1.0, n)
    # Each channel falls from its own hue (0, 1/3, 2/3) to none at a third of the circle and beyond.
    apart = abs((hue[:, None] - np.array([0, 1 / 3, 2 / 3]) + 0.5) % 1 - 0.5)
    pure = (2 - 6 * apart).clip(0, 1)
    colours: np.ndarray = value[:, None] * (1 - saturation[:, None] * (1 - pure))
    return colours.astype(np.float32)
