"""What every video method is measured against: temporal median, and OpenCV's MOG2 and KNN."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sfumato.coupling import box_mean
from sfumato.data import DataError, Video, open_video
from sfumato.video.background_model import Frames, check_size
from sfumato.video.detector import Detection, make_detection, region_of
from sfumato.video.sampling import sample_indices

# Levels of difference to the median; a usual choice.
MEDIAN_LEVELS = 25
N_MEDIAN_FRAMES = 60
# OpenCV's subtractors call nearly all of their first frames foreground; seconds.
WARM_UP = 1.0
METHODS = ("median", "mog2", "knn")


class Subtraction(BaseEstimator):
    """A classical background subtraction, its mask followed by a 5 x 5 median filter.

    Parameters
    ----------
    method : "median", "mog2" or "knn"
        The difference to the temporal median over 25 levels, or OpenCV's subtractor with its
        defaults. What it calls shadow counts as foreground, which on most clips is better for it.
    roi : ndarray of shape (height, width), optional

    Attributes
    ----------
    size_ : (height, width)
    """

    def __init__(self, method: str = "median", roi: np.ndarray | None = None) -> None:
        self.method = method
        self.roi = roi

    def fit(self, X: Frames, y: None = None) -> "Subtraction":
        """Take the median of 60 frames; the others learn while they detect.

        Raises
        ------
        ValueError
            If the method is unknown.
        DataError
            If X cannot be read.
        """
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}.")
        video = open_video(X)
        if self.method == "median":
            self.background_ = _median(video)
        self.size_ = video.size
        return self

    def detect(self, X: Frames) -> Iterator[Detection]:
        """Yield what is found in each frame."""
        check_is_fitted(self, "size_")
        region = region_of(self.roi, self.size_)
        subtractor = None if self.method == "median" else _subtractor(self.method)
        video = open_video(X)
        check_size(video.size, self.size_)
        for frame in video:
            if subtractor is None:
                difference = np.abs(frame.image.astype(np.int16) - self.background_).max(axis=2)
                raw = difference > MEDIAN_LEVELS
            else:
                raw = subtractor.apply(np.ascontiguousarray(frame.image[..., ::-1])) > 0
            share = box_mean(torch.from_numpy(raw).float(), 2).numpy()
            learning = subtractor is not None and frame.time < WARM_UP
            yield make_detection(frame, share, (share > 0.5) & region, region, learning=learning)

    def predict(self, X: Frames) -> np.ndarray:
        """Masks, bool, shape (n, height, width)."""
        return np.stack([detection.mask for detection in self.detect(X)])


def _median(video: Video) -> np.ndarray:
    if video.n_frames is None:
        raise DataError("A stream has no end, so no temporal median: use another method.")
    indices = sample_indices(video.n_frames, N_MEDIAN_FRAMES)
    images = [frame.image for frame in video.at(indices)]
    median: np.ndarray = np.median(np.stack(images), axis=0).astype(np.int16)
    return median


def _subtractor(method: str) -> Any:
    try:
        import cv2
    except ImportError:
        raise DataError(f'{method} is OpenCV\'s: pip install "sfumato[video]".') from None
    makers = {
        "mog2": cv2.createBackgroundSubtractorMOG2,
        "knn": cv2.createBackgroundSubtractorKNN,
    }
    return makers[method]()
