"""Video in and out: files, folders of images, arrays, cameras and streams, all frame by frame."""

import os
import re
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from sfumato.data.bundle import DataError
from sfumato.data.images import ENDINGS, image_paths
from sfumato.data.pictures import in_colour, read_picture, temporary

FRAME_RATE = 25.0  # where the source names none
HIGHEST_FRAME_RATE = 1000.0  # beyond it a header gives the tick of its clock, not a rate

# Decoding in order is exact, and seeking need not be; beyond this length the wait is too long.
LONGEST_IN_ORDER = 20_000
# A seek decodes again from the last key frame: over a shorter way it only costs.
SHORTEST_SEEK = 64


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    Parameters
    ----------
    index : int
        Place in the video, from 0.
    time : float
        Seconds since the first frame.
    image : ndarray of shape (h, w, 3), uint8
        Red, green and blue.
    """

    index: int
    time: float
    image: np.ndarray


class Video(ABC):
    """Frames of one size, in order.

    Attributes
    ----------
    name : str
        Name of the file, folder or camera.
    frame_rate : float
        Frames per second, on average.
    n_frames : int or None
        Number of frames that the source announces; None for a stream, or if it does not say.
    size : tuple (height, width)
        In pixels.
    """

    name: str
    frame_rate: float
    n_frames: int | None
    size: tuple[int, int]

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield all frames from the start; a stream goes on from where it is."""

    @abstractmethod
    def at(self, indices: Iterable[int]) -> Iterator[Frame]:
        """Yield the frames at ascending indices.

        Raises
        ------
        DataError
            If the indices do not ascend or lie outside the video, or if this is a stream.
        """

    def number(self, index: int) -> int:
        """Return the number of a frame: that in its file's name, or else its index plus one."""
        return index + 1

    def _frame(self, index: int, seconds: float, image: np.ndarray) -> Frame:
        size = (image.shape[0], image.shape[1])
        if size != self.size:
            raise DataError(
                f"frame {index} is {_by(size)} pixels where the first is {_by(self.size)}: "
                f"bring all frames of {self.name} to one size."
            )
        return Frame(index, seconds, image)


def open_video(
    source: "str | os.PathLike[str] | np.ndarray | int | Video", frame_rate: float | None = None
) -> Video:
    """Return the video behind a path, an array, a camera or an address.

    Parameters
    ----------
    source : str, path-like, ndarray, int or Video
        A video file; a folder of images in natural order, or one whose subfolder ``input`` holds
        them (the layout of CDnet); an array of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3), of
        uint8 or of floats in [0, 1]; the number of a camera; the address of a stream, such as
        ``rtsp://...``; or a Video, handed back as it is. Grey becomes three equal channels,
        16 bits become 8, transparent pixels white.
    frame_rate : float or None
        Frames per second. None takes a file's own time stamps, and 25 for folders and arrays.

    Returns
    -------
    Video

    Raises
    ------
    DataError
        If there is no such source, or it cannot be read as a video.

    Examples
    --------
    >>> video = open_video(np.zeros((50, 24, 32), np.uint8))
    >>> video.n_frames, video.size, video.frame_rate
    (50, (24, 32), 25.0)
    >>> [frame.time for frame in video.at([0, 25])]
    [0.0, 1.0]
    """
    if frame_rate is not None and not 0 < frame_rate < float("inf"):
        raise DataError(f"frame_rate is {frame_rate}: give frames per second, above 0.")
    if isinstance(source, Video):
        return source
    if isinstance(source, np.ndarray):
        return _Array(source, frame_rate)
    if isinstance(source, int) or (isinstance(source, str) and source.isdecimal()):
        return _Stream(int(source), f"camera {int(source)}", frame_rate)
    if isinstance(source, str) and re.match(r"[a-z][a-z0-9+.-]*://", source, re.IGNORECASE):
        return _Stream(source, _without_secrets(source), frame_rate)
    if not isinstance(source, str | os.PathLike):
        raise DataError(f"a {type(source).__name__} is no video: give a path or a NumPy array.")
    return _open_path(Path(source).expanduser(), frame_rate)


def _open_path(path: Path, frame_rate: float | None) -> Video:
    if path.is_dir():
        return _Folder(path, frame_rate)
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path.")
    if path.suffix.lower() in set(ENDINGS) - {".gif"}:
        raise DataError(f"{path} is one image, not a video: give the folder of the images.")
    return _File(path, frame_rate)


def _without_secrets(address: str) -> str:
    """Return host and path only: user, password and query must not reach a report or a message."""
    parts = urlsplit(address)
    return f"{parts.hostname or ''}{parts.path}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def _checked(indices: Iterable[int], n_frames: int | None, name: str) -> list[int]:
    wanted = [int(index) for index in indices]
    if any(first >= second for first, second in pairwise(wanted)):
        raise DataError("the indices of frames must ascend: sort them, each once.")
    if wanted and (wanted[0] < 0 or (n_frames is not None and wanted[-1] >= n_frames)):
        last = "" if n_frames is None else f" to {n_frames - 1}"
        raise DataError(f"{name} has no such frame: give indices from 0{last}.")
    return wanted


class _Stills(Video):
    """Images that can be read in any order, at an even rate."""

    n_frames: int

    @abstractmethod
    def _image(self, index: int) -> np.ndarray:
        """Return one image of shape (h, w, 3)."""

    def __iter__(self) -> Iterator[Frame]:
        return self.at(range(self.n_frames))

    def at(self, indices: Iterable[int]) -> Iterator[Frame]:
        wanted = _checked(indices, self.n_frames, self.name)
        return (self._frame(i, i / self.frame_rate, self._image(i)) for i in wanted)


class _Folder(_Stills):
    def __init__(self, folder: Path, frame_rate: float | None) -> None:
        self._paths = images_in(folder, "input")
        self.name = folder.resolve().name
        self.frame_rate = frame_rate or FRAME_RATE
        self.n_frames = len(self._paths)
        height, width, _ = self._image(0).shape
        self.size = (height, width)

    def number(self, index: int) -> int:
        number = file_number(self._paths[index])
        return index + 1 if number is None else number

    def _image(self, index: int) -> np.ndarray:
        return read_picture(self._paths[index])


class _Array(_Stills):
    def __init__(self, frames: np.ndarray, frame_rate: float | None) -> None:
        _check_array(frames)
        self._frames = frames
        self.name = "array"
        self.frame_rate = frame_rate or FRAME_RATE
        self.n_frames = len(frames)
        self.size = (frames.shape[1], frames.shape[2])

    def _image(self, index: int) -> np.ndarray:
        image = self._frames[index]
        if image.dtype != np.uint8:
            image = np.rint(image * 255.0).astype(np.uint8)
        return in_colour(image if image.ndim == 3 else image[..., None])


def _check_array(frames: np.ndarray) -> None:
    if frames.ndim not in (3, 4) or (frames.ndim == 4 and frames.shape[3] not in (1, 3)):
        raise DataError(
            f"the array has shape {frames.shape}: give (n, h, w), (n, h, w, 1) or (n, h, w, 3)."
        )
    if frames.size == 0:
        raise DataError(f"the array has shape {frames.shape} and so no frames: give at least one.")
    if frames.dtype != np.uint8 and frames.dtype.kind != "f":
        raise DataError(f"the array holds {frames.dtype}: give uint8, or floats in [0, 1].")
    # Written so that NaN fails too.
    if frames.dtype.kind == "f" and not (frames.min() >= 0 and frames.max() <= 1):
        raise DataError("the array holds floats outside [0, 1]: scale them, or give uint8.")


def images_in(folder: Path, subfolder: str) -> list[Path]:
    """Return the images of a folder's subfolder, or else its own, in natural order."""
    inner = folder / subfolder
    # A region of interest may lie beside the subfolder.
    paths = (image_paths(inner) if inner.is_dir() else []) or image_paths(folder)
    if not paths:
        raise DataError(f"{folder} holds no images ({', '.join(ENDINGS)}) and so no frames.")
    return paths


def file_number(path: Path) -> int | None:
    """Return the last number in a file's name.

    Examples
    --------
    >>> file_number(Path("in000470.jpg")), file_number(Path("sky.jpg"))
    (470, None)
    """
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else None


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise DataError('Reading video needs OpenCV: pip install "sfumato[video]".') from error
    return cv2


def _rgb(image: np.ndarray) -> np.ndarray:
    """Return what OpenCV decoded in its own order of colours, or in grey, as RGB."""
    cv2 = _cv2()
    code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, code))


def _frame_rate(capture: Any) -> float:
    rate = float(capture.get(_cv2().CAP_PROP_FPS))
    return rate if 0 < rate <= HIGHEST_FRAME_RATE else FRAME_RATE


class _Clock:
    """Times that increase: the source's own stamps, or even steps wherever these stand still."""

    def __init__(self, frame_rate: float, stamped: bool) -> None:
        self._rate, self._stamped = frame_rate, stamped
        self._index, self._time = 0, 0.0

    def time(self, index: int, milliseconds: float) -> float:
        if index == 0 or not self._stamped:
            seconds = index / self._rate
        elif isfinite(milliseconds) and milliseconds / 1000 > self._time:
            seconds = milliseconds / 1000
        else:
            seconds = self._time + (index - self._index) / self._rate
        self._index, self._time = index, seconds
        return seconds


class _File(Video):
    def __init__(self, path: Path, frame_rate: float | None) -> None:
        cv2 = _cv2()
        self.name = path.name
        self._path, self._stamped = path, frame_rate is None
        with self._opened() as capture:
            self.frame_rate = frame_rate or _frame_rate(capture)
            announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            self.n_frames = announced if announced > 0 else None
            found, image = capture.read()
        if not found:
            raise DataError(f"{path} has no frames that can be read: check that it is whole.")
        self.size = (image.shape[0], image.shape[1])

    def __iter__(self) -> Iterator[Frame]:
        return self._frames(count())

    def at(self, indices: Iterable[int]) -> Iterator[Frame]:
        return self._frames(_checked(indices, self.n_frames, self.name))

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        capture = _cv2().VideoCapture(str(self._path))
        try:
            if not capture.isOpened():
                raise DataError(
                    f"{self._path} is not a video that OpenCV can read: check that it is whole, "
                    "or convert it to mp4."
                )
            yield capture
        finally:
            capture.release()

    def _frames(self, indices: Iterable[int]) -> Iterator[Frame]:
        cv2 = _cv2()
        clock = _Clock(self.frame_rate, self._stamped)
        following = 0
        with self._opened() as capture:
            for index in indices:
                if self._is_far(index - following):
                    capture.set(cv2.CAP_PROP_POS_FRAMES, index)
                    following = index
                while following < index and capture.grab():
                    following += 1
                image = capture.read()[1] if following == index else None
                if image is None:
                    return self._report_missing(following)
                following += 1
                seconds = clock.time(index, capture.get(cv2.CAP_PROP_POS_MSEC))
                yield self._frame(index, seconds, _rgb(image))

    def _is_far(self, way: int) -> bool:
        return (self.n_frames or 0) > LONGEST_IN_ORDER and way >= SHORTEST_SEEK

    def _report_missing(self, n_read: int) -> None:
        if self.n_frames is not None and n_read < self.n_frames:
            warnings.warn(
                f"{self.name} ends early: {n_read} of the {self.n_frames} frames that it "
                "announces could be read.",
                stacklevel=3,
            )


class _Stream(Video):
    n_frames = None

    def __init__(self, source: int | str, name: str, frame_rate: float | None) -> None:
        self.name = name
        self._capture = _cv2().VideoCapture(source)
        found, image = self._capture.read()
        if not found:
            raise DataError(f"{name} gives no frames: check that it is on and not in use.")
        self._first: np.ndarray | None = image
        self._start = time.monotonic() if isinstance(source, int) else None
        self.frame_rate = frame_rate or _frame_rate(self._capture)
        self.size = (image.shape[0], image.shape[1])
        self._clock = _Clock(self.frame_rate, stamped=frame_rate is None)
        self._index = count()

    def __iter__(self) -> Iterator[Frame]:
        while (image := self._next()) is not None:
            index = next(self._index)
            seconds = self._clock.time(index, self._milliseconds())
            yield self._frame(index, seconds, _rgb(image))

    def at(self, indices: Iterable[int]) -> Iterator[Frame]:
        raise DataError(f"{self.name} is a stream, which only goes on: record it to a file first.")

    def _next(self) -> np.ndarray | None:
        image, self._first = self._first, None
        return self._capture.read()[1] if image is None else image

    def _milliseconds(self) -> float:
        # A camera's driver counts from where it likes, if at all.
        if self._start is not None:
            return 1000 * (time.monotonic() - self._start)
        return float(self._capture.get(_cv2().CAP_PROP_POS_MSEC))


class ClipWriter:
    """Write frames to an mp4 file that gets its name only when it is whole.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.mp4``; a file of that name is replaced.
    frame_rate : float
        Frames per second.
    size : tuple (height, width)
        Of every frame. The codec wants even numbers: an odd edge is repeated.

    Raises
    ------
    DataError
        If the file cannot be written, a frame does not fit, or none was written.
        Leaving the context by an error leaves no file.
    """

    def __init__(
        self, path: str | os.PathLike[str], frame_rate: float, size: tuple[int, int]
    ) -> None:
        cv2 = _cv2()
        self._path, self._size = Path(path), size
        if self._path.suffix.lower() != ".mp4":
            raise DataError(f"{path} does not end in .mp4: clips are written as mp4 only.")
        even = (size[1] + size[1] % 2, size[0] + size[0] % 2)
        self._n_written = 0
        self._partial = temporary(self._path)
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._partial), codec, frame_rate, even)
        if not self._writer.isOpened():
            self.discard()
            raise DataError(
                f"{path} cannot be written at {_by(size)} pixels and {frame_rate} frames per "
                "second: OpenCV has no encoder for it."
            )

    def write(self, image: np.ndarray) -> None:
        """Append a frame, uint8 of shape (h, w, 3), red, green and blue."""
        if image.dtype != np.uint8 or image.shape != (*self._size, 3):
            raise DataError(
                f"a frame is {image.dtype} of shape {image.shape}: "
                f"give uint8 of shape {(*self._size, 3)}."
            )
        padding = [(0, side % 2) for side in self._size]
        even = np.pad(image, [*padding, (0, 0)], mode="edge")
        self._writer.write(np.ascontiguousarray(even[..., ::-1]))
        self._n_written += 1

    def close(self) -> None:
        """Finish the clip and give it its name; closing again does nothing."""
        if not self._partial.exists():
            return
        if not self._n_written:
            self.discard()
            raise DataError(f"{self._path} would have no frames: write one before closing.")
        self._writer.release()
        os.replace(self._partial, self._path)

    def discard(self) -> None:
        """Give the clip up: leave no file."""
        self._writer.release()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> "ClipWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
