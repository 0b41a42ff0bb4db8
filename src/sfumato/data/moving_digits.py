"""A clip made on the spot: digits that move over a photograph, with the exact foreground."""

import colorsys

import numpy as np

DIGIT = 28  # pixels, where the frame is at least twice as large
QUIET_START = 20  # frames
ACT = 100  # frames, of which the last are empty
EMPTY_SHARE = 0.15  # of an act
SPEED = 2.0  # pixels per frame, about
FLICKER = 0.04  # share of the light
FLICKER_PERIOD = 200  # frames
NOISE = 3.0  # standard deviation, in grey levels
INK = 0.4  # of full strength, from where a pixel belongs to a digit


def moving_digits(
    n_frames: int = 300, size: tuple[int, int] = (120, 160), n_digits: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a clip of coloured digits that enter, bounce and leave, and its foreground.

    The digits are scikit-learn's, over its photograph of a temple. The light drifts by a few
    percent, and each pixel has noise of standard deviation 3. The first frames, and a stretch
    after each entrance, show no digit.

    Parameters
    ----------
    n_frames : int
    size : tuple (height, width)
    n_digits : int
        Digits that are in view together.
    seed : int

    Returns
    -------
    frames : ndarray of shape (n_frames, height, width, 3), uint8
    masks : bool ndarray of shape (n_frames, height, width)
        True where a digit covers the photograph.

    Examples
    --------
    >>> frames, masks = moving_digits(60, (60, 80))
    >>> frames.shape, masks[:20].any(), masks.any()
    ((60, 60, 80, 3), np.False_, np.True_)
    """
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    digits = load_digits().images
    scenes = np.repeat(_photograph(size)[None], n_frames, axis=0)
    masks = np.zeros((n_frames, *size), bool)
    side = min(DIGIT, min(size) // 2)
    for start, stop in _acts(n_frames):
        for _ in range(n_digits):
            _perform(scenes[start:stop], masks[start:stop], _glyph(digits, side, rng), rng)
    return _filmed(scenes, rng), masks


def _photograph(size: tuple[int, int]) -> np.ndarray:
    from PIL import Image, ImageOps
    from sklearn.datasets import load_sample_image

    photograph = Image.fromarray(load_sample_image("china.jpg"))
    return np.asarray(ImageOps.fit(photograph, (size[1], size[0])))


def _acts(n_frames: int) -> list[tuple[int, int]]:
    """Return first and last frame of each stretch that digits may be in."""
    quiet = min(QUIET_START, n_frames // 3)
    n_acts = max(1, round((n_frames - quiet) / ACT))
    edges = np.linspace(quiet, n_frames, n_acts + 1)
    active = (1 - EMPTY_SHARE) * np.diff(edges)
    return [(int(a), int(a + d)) for a, d in zip(edges[:-1], active, strict=True)]


def _glyph(
    digits: np.ndarray, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a digit's colours of shape (side, side, 3), and where it is."""
    from PIL import Image

    digit = Image.fromarray((digits[rng.integers(len(digits))] * 15).astype(np.uint8))
    ink = np.asarray(digit.resize((side, side), Image.Resampling.BICUBIC)) / 240
    colour = 255 * np.array(colorsys.hsv_to_rgb(rng.random(), 0.9, 1.0))
    return (ink.clip(0, 1)[..., None] * colour).astype(np.uint8), ink > INK


def _perform(
    scenes: np.ndarray,
    masks: np.ndarray,
    glyph: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Draw one digit along its way through an act, in place."""
    n, height, width = masks.shape
    colours, shape = glyph
    side = len(shape)
    start, stop = int(rng.uniform(0, n / 4)), int(rng.uniform(3 * n / 4, n))
    columns = _crossing(stop - start, width - side, side, rng)
    rows = _bouncing(stop - start, height - side, rng)
    for t, top, left in zip(range(start, stop), rows, columns, strict=True):
        # The part of the digit that is inside the frame.
        inside = slice(max(0, -left), min(side, width - left))
        cut = shape[:, inside]
        place = (t, slice(top, top + side), slice(left + inside.start, left + inside.stop))
        scenes[place][cut] = colours[:, inside][cut]
        masks[place] |= cut


def _crossing(n: int, room: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Return n columns from outside one edge to and fro to outside an edge."""
    turns = max(1, round(SPEED * rng.uniform(0.5, 1.5) * n / room))
    way = np.linspace(-side, turns * room + side, n)
    within = _folded(way.clip(0, turns * room), room)
    # At the end of an odd number of turns the way leads out on the right.
    out = way.clip(None, 0) + (way - turns * room).clip(0) * (1 if turns % 2 else -1)
    columns = np.rint(within + out).astype(int)
    return columns if rng.random() < 0.5 else room - columns


def _bouncing(n: int, room: int, rng: np.random.Generator) -> np.ndarray:
    """Return n rows between the edges."""
    speed = SPEED * rng.uniform(-0.5, 0.5)
    return np.rint(_folded(rng.uniform(0, room) + speed * np.arange(n), room)).astype(int)


def _folded(way: np.ndarray, room: int) -> np.ndarray:
    """Return where a straight way leads between two mirrors."""
    return room - abs(way % (2 * room) - room)


def _filmed(scenes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the scenes under drifting light, through a noisy sensor."""
    frames = np.empty_like(scenes)
    phase = rng.uniform(0, 2 * np.pi)
    for t, scene in enumerate(scenes):
        light = 1 + FLICKER * np.sin(2 * np.pi * t / FLICKER_PERIOD + phase)
        noise = NOISE * rng.standard_normal(scene.shape, np.float32)
        frames[t] = np.rint(light * scene + noise).clip(0, 255)
    return frames
