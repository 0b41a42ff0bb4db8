"""Ground truth in the layout of CDnet 2014 (changedetection.net)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sfumato.data.bundle import DataError
from sfumato.data.pictures import read_picture
from sfumato.data.video import file_number, images_in


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Labelled frames of one clip.

    Parameters
    ----------
    roi : bool ndarray of shape (h, w) or None
        Pixels that count; None if all do.
    frames : mapping of int to Path
        Image of labels for each frame that counts, by the number in its name.
    """

    roi: np.ndarray | None
    frames: Mapping[int, Path]

    def load(self, number: int) -> np.ndarray:
        """Return the labels of a frame, uint8 of shape (h, w): 0, 50, 85, 170 and 255."""
        if number not in self.frames:
            raise DataError(f"frame {number} has no ground truth: ask for one of the frames.")
        return read_picture(self.frames[number])[..., 0]


def read_groundtruth(folder: str | os.PathLike[str]) -> GroundTruth:
    """Return the ground truth in a folder ``groundtruth``, or in the folder that holds it.

    Parameters
    ----------
    folder : str or path-like
        Images numbered like the frames: ``gt000470.png`` belongs to ``in000470.jpg``.
        ``ROI.bmp`` (above 0: inside) and ``temporalROI.txt`` (first and last number, both
        included), beside or above the images, say which pixels and frames count.

    Returns
    -------
    GroundTruth

    Raises
    ------
    DataError
        If there are no numbered images, or a file is damaged.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise DataError(f"{path} is not a folder: give the folder groundtruth of a clip.")
    images = images_in(path, "groundtruth")
    homes = (images[0].parent, images[0].parent.parent)
    roi, limits = _first(homes, "ROI.bmp"), _first(homes, "temporalROI.txt")
    first, last = _limits(limits) if limits else (0, None)
    numbered = {number: image for image in images if (number := file_number(image)) is not None}
    frames = {n: p for n, p in numbered.items() if n >= first and (last is None or n <= last)}
    if not frames:
        raise DataError(f"{path} has no image whose number counts: name them like gt000001.png.")
    return GroundTruth(read_picture(roi).max(axis=2) > 0 if roi else None, frames)


def _first(folders: tuple[Path, ...], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _limits(path: Path) -> tuple[int, int]:
    try:
        first, last = map(int, path.read_text().split())
    except ValueError as error:
        raise DataError(
            f"{path} does not hold two whole numbers: write the first and the last frame."
        ) from error
    return first, last
