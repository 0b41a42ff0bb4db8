"""What a detection leaves in its folder, written as it goes."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar

from sfumato.artifacts import make_directory
from sfumato.data import ClipWriter, write_image
from sfumato.video.detector import Detection
from sfumato.video.events import FrameScore, write_scores

# The outline and the tint of what changed.
COLOUR = np.array([230, 80, 40], np.float32)
TINT = 0.35
SCORES, OVERLAY, MASKS = "scores.csv", "overlay.mp4", "masks"
MASK_NAME = re.compile(r"\d{6,}\.png")


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return an image with what changed tinted and outlined, shape (height, width, 3), bytes."""
    if not mask.any():
        return image
    painted = image.copy()
    painted[mask] = ((1 - TINT) * image[mask] + TINT * COLOUR).round().astype(np.uint8)
    painted[mask & ~_inner(mask)] = COLOUR.astype(np.uint8)
    return painted


def _inner(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask whose four neighbours are in it, or outside of the image."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


@dataclass
class Recording:
    """Writes masks and the overlay frame by frame, and keeps the scores.

    Parameters
    ----------
    folder : Path
    frame_rate : float
    size : (height, width)
    """

    folder: Path
    frame_rate: float
    size: tuple[int, int]
    scores: list[FrameScore] = field(default_factory=list)

    @contextmanager
    def opened(self) -> Iterator["Recording"]:
        """Open the overlay; when left, whatever way, what was found so far is complete on disk."""
        masks = make_directory(self.folder / MASKS)
        for old in masks.iterdir():
            if MASK_NAME.fullmatch(old.name):
                old.unlink()
        self._overlay = ClipWriter(self.folder / OVERLAY, self.frame_rate, self.size)
        try:
            yield self
        finally:
            if self.scores:
                write_scores(self.folder / SCORES, self.scores)
                self._overlay.close()
            else:
                self._overlay.discard()
                if not any(masks.iterdir()):
                    masks.rmdir()

    def add(self, detection: Detection) -> None:
        """Write one frame."""
        self.scores.append(detection.score)
        mask = detection.mask.astype(np.uint8) * 255
        write_image(self.folder / MASKS / f"{len(self.scores):06d}.png", mask)
        self._overlay.write(overlay(detection.frame.image, detection.mask))


def tracked(
    detections: Iterable[Detection], n_frames: int | None, title: str
) -> Iterator[Detection]:
    """Yield detections and show how far they are: a bar on a terminal, elsewhere a few lines."""
    console = Console(stderr=True)
    every = max(1, (n_frames or 1000) // 10)
    with Bar(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(title), total=n_frames)
        for number, detection in enumerate(detections, 1):
            yield detection
            bar.advance(task)
            if not console.is_terminal and number % every == 0:
                console.print(
                    f"{title}: frame {number} of {n_frames or '?'}", highlight=False, markup=False
                )
