"""ChangeDetector: masks, scores and events of a video, in one pass and with bounded memory."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sfumato.artifacts import tensor_tree
from sfumato.data import DataError, Frame, Video, open_video
from sfumato.storage import Stored, save, storable
from sfumato.video.background_model import BackgroundModel, Frames, check_size
from sfumato.video.candidates import MODE_WIDTH
from sfumato.video.events import Event, EventRules, FrameScore, find_events
from sfumato.video.light import Light
from sfumato.video.objects import largest_box, remove_objects
from sfumato.video.sampling import smoothed, to_model

# Objects smaller than this share of the frame are noise.
MIN_OBJECT = 1.5e-4
# A stream's model is fitted to so many seconds of its beginning.
LEARNING_SECONDS = 20.0
# Large frames: to fewer, for they are kept until they are detected in.
LEARNING_BYTES = 500e6
# Settings that are pictures.
IMAGES = ("roi", "background")


@dataclass(frozen=True)
class Detection:
    """What was found in one frame.

    Attributes
    ----------
    frame : Frame
    probability : ndarray, shape (height, width)
        Of foreground, pixels coupled.
    mask : ndarray of bool, shape (height, width)
    score : FrameScore
    """

    frame: Frame
    probability: np.ndarray
    mask: np.ndarray
    score: FrameScore


@storable()
class ChangeDetector(BaseEstimator):
    """Finds what changes in a video, without labels.

    Parameters
    ----------
    model : BackgroundModel, optional
        By default one with its own defaults.
    threshold : float
        Probability from which a pixel is foreground.
    roi : ndarray of shape (height, width), optional
        Only where this is not zero is anything found.
    min_area, max_area : int, optional
        Limits of an object, in pixels; by default at least 1.5e-4 of the frame.
    background : ndarray of shape (height, width, 3), optional
        Set by hand, in levels of 0 to 255; noise and foreground are still found in the video.
    adapt : bool
        Whether the background follows slow changes while frames are seen.
    memory : float
        Seconds over which an adapting background forgets.
    absorb_after : float, optional
        Seconds after which what stands still becomes background, adapting or not; by default never.
    rules : EventRules, optional
        How events are made of the scores of the frames.

    Attributes
    ----------
    model_ : BackgroundModel

    Examples
    --------
    >>> from sfumato.data import moving_digits
    >>> frames, truth = moving_digits(60, seed=0)
    >>> detector = ChangeDetector().fit(frames)
    >>> detector.predict(frames).shape
    (60, 120, 160)
    """

    def __init__(
        self,
        model: BackgroundModel | None = None,
        threshold: float = 0.5,
        roi: np.ndarray | None = None,
        min_area: int | None = None,
        max_area: int | None = None,
        background: np.ndarray | None = None,
        adapt: bool = False,
        memory: float = 60.0,
        absorb_after: float | None = None,
        rules: EventRules | None = None,
    ) -> None:
        self.model = model
        self.threshold = threshold
        self.roi = roi
        self.min_area = min_area
        self.max_area = max_area
        self.background = background
        self.adapt = adapt
        self.memory = memory
        self.absorb_after = absorb_after
        self.rules = rules

    def fit(self, X: Frames, y: None = None) -> "ChangeDetector":
        """Find the background of a video.

        Parameters
        ----------
        X : ndarray of shape (n, height, width[, 3]), path or Video
        y : None
            Ignored.

        Raises
        ------
        DataError
            If X cannot be read, or sizes differ.
        """
        self.model_ = self._new_model().fit(X)
        self._settle()
        return self

    def _new_model(self) -> BackgroundModel:
        model: BackgroundModel = BackgroundModel() if self.model is None else clone(self.model)
        return model

    def _settle(self) -> None:
        """Take over the background that was set by hand, and begin."""
        self._start_mean = self.model_.model_.mean
        if self.background is not None:
            self._start_mean = self._checked(np.asarray(self.background))
        self._begin()

    def _checked(self, image: np.ndarray) -> Tensor:
        if image.shape != (*self.model_.size_, 3):
            raise DataError(
                f"The background has shape {image.shape}; the frames need "
                f"{(*self.model_.size_, 3)}."
            )
        return smoothed(to_model(image, self.model_.model_size_))

    def _begin(self) -> None:
        """Forget the frames that were seen since the fit."""
        self.model_.model_.mean = self._start_mean
        self._light: Light | None = None
        self._since: Tensor | None = None
        self._held: Tensor | None = None
        self._region = region_of(self.roi, self.model_.size_)
        for name in ("memory", "absorb_after"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0 seconds, not {value}.")

    def score(self, X: Frames) -> np.ndarray:
        """Log odds of foreground at every pixel, neighbours included, shape (n, h, w)."""
        probability = np.stack([d.probability for d in self.detect(X)])
        clipped = np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)
        return np.log(clipped / (1 - clipped))

    def score_frames(self, X: Frames) -> list[FrameScore]:
        """Return the table of scores, one row a frame."""
        return [detection.score for detection in self.detect(X)]

    def predict(self, X: Frames) -> np.ndarray:
        """Masks of what changed, bool, shape (n, height, width)."""
        return np.stack([detection.mask for detection in self.detect(X)])

    def events(self, scores: list[FrameScore]) -> list[Event]:
        """Return the events of a table of scores, by the rules."""
        return find_events(scores, self.rules or EventRules())

    def detect(self, X: Frames) -> Iterator[Detection]:
        """Yield what is found in each frame of a video, from a fresh start.

        Parameters
        ----------
        X : ndarray of shape (n, height, width[, 3]), path or Video
        """
        check_is_fitted(self, "model_")
        video = open_video(X)
        self._begin()
        for frame in video:
            yield self.step(frame, 1 / video.frame_rate)

    def update(self, X: Frames, frame_rate: float = 25.0) -> np.ndarray:
        """Masks of further frames of a stream; the background follows, and nothing is forgotten.

        Parameters
        ----------
        X : ndarray of shape (n, height, width[, 3]), path or Video
        frame_rate : float
            Frames in a second, for arrays.
        """
        check_is_fitted(self, "model_")
        video = open_video(X, frame_rate if isinstance(X, np.ndarray) else None)
        steps = (self.step(frame, 1 / video.frame_rate, adapt=True) for frame in video)
        return np.stack([detection.mask for detection in steps])

    def stream(self, video: Video) -> Iterator[Detection]:
        """Yield detections of a stream; the background follows.

        Without a fit, its beginning is kept, fitted to, and then detected in.
        """
        frames = iter(video)
        beginning: list[Frame] = []
        if hasattr(self, "model_"):
            self._begin()
        else:
            beginning = self._learn(frames, video.name)
        for frame in chain(beginning, frames):
            yield self.step(frame, 1 / video.frame_rate, adapt=True)

    def _learn(self, frames: Iterator[Frame], name: str) -> list[Frame]:
        """Fit to the first frames of a stream, and return them."""
        beginning: list[Frame] = []
        for frame in frames:
            beginning.append(frame)
            long_enough = frame.time - beginning[0].time >= LEARNING_SECONDS
            if long_enough or len(beginning) * frame.image.nbytes >= LEARNING_BYTES:
                break
        if not beginning:
            raise DataError(f"{name} sent no frames.")
        self.model_ = self._new_model().fit_frames([frame.image for frame in beginning])
        self._settle()
        return beginning

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the detector, as it is after the frames that it has seen, to a folder."""
        check_is_fitted(self, "model_")
        save(self, path)

    def describe(self) -> dict[str, Any]:
        """Return all but the tensors, as JSON can hold it."""
        params = self.get_params(deep=False)
        rules = params.pop("rules")
        plain = {name: _plain(value) for name, value in params.items() if name not in IMAGES}
        plain["model"] = None if self.model is None else self.model.get_params()
        plain["rules"] = None if rules is None else asdict(rules)
        own = {"estimator": type(self).__name__, "detector": plain}
        return self.model_.describe() | own

    def tensors(self) -> dict[str, Tensor]:
        """Return the model's tensors, and the images that were given."""
        given = {name: getattr(self, name) for name in IMAGES}
        images = {
            name: torch.from_numpy(np.ascontiguousarray(image))
            for name, image in given.items()
            if image is not None
        }
        return tensor_tree("model", self.model_.tensors()) | images

    def records(self) -> list[dict[str, float]]:
        """Return no epochs: a video is not learned in any."""
        return []

    @classmethod
    def restored(cls, stored: Stored) -> "ChangeDetector":
        """Return the detector that a folder describes."""
        params = dict(stored.description["detector"])
        rules, model = params.pop("rules"), params.pop("model")
        params |= {name: stored.tensors[name].numpy() for name in IMAGES if name in stored.tensors}
        detector = cls(
            model=None if model is None else BackgroundModel(**model),
            rules=None if rules is None else EventRules(**rules),
            **params,
        )
        inner = replace(stored, tensors=stored.weights())
        detector.model_ = BackgroundModel.restored(inner)
        # A background set by hand is in the model already, and may have been followed since.
        detector._start_mean = detector.model_.model_.mean
        detector._begin()
        return detector

    @torch.no_grad()
    def step(self, frame: Frame, seconds: float, *, adapt: bool | None = None) -> Detection:
        """Return what is found in the next frame.

        Parameters
        ----------
        frame : Frame
        seconds : float
            Time since the frame before.
        adapt : bool, optional
            By default the detector's own.
        """
        model = self.model_
        height, width, _ = frame.image.shape
        check_size((height, width), model.size_)
        x = to_model(frame.image, model.model_size_)
        view = model.view(x)
        probability = model.view_probability(view)
        switched = self._light is not None and view.light.differs(self._light)
        self._light = view.light
        if (self.adapt if adapt is None else adapt) or self.absorb_after is not None:
            self._follow(view.smooth, probability, seconds, drift=self.adapt or bool(adapt))
        large = model.enlarged(view.replaced(probability))
        mask = remove_objects(
            (large > self.threshold) & self._region, self._least_area(), self.max_area
        )
        return make_detection(frame, large, mask, self._region, light_change=switched)

    def _least_area(self) -> int:
        height, width = self.model_.size_
        return round(MIN_OBJECT * height * width) if self.min_area is None else self.min_area

    def _follow(self, x: Tensor, probability: Tensor, seconds: float, *, drift: bool) -> None:
        """Move the mean background towards what is background now, and take in what has stood."""
        background = self.model_.model_
        z = self.model_.code(x)
        difference = x - background.decoder(z).mean.movedim(-1, 0)
        if drift:
            rate = min(1.0, seconds / self.memory)
            background.mean = background.mean + rate * (1 - probability) * difference
        if self.absorb_after is not None:
            self._absorb(x, difference, probability > self.threshold, seconds)

    def _absorb(self, x: Tensor, difference: Tensor, changed: Tensor, seconds: float) -> None:
        """Make background of what has stood still for long."""
        if self._held is None or self._since is None:
            self._held, self._since = x.clone(), torch.zeros(x.shape[1:])
        still = changed & ((x - self._held).abs().amax(0) < MODE_WIDTH)
        self._since = torch.where(still, self._since + seconds, 0.0)
        self._held = torch.where(still, self._held, x)
        old = self._since >= (self.absorb_after or 0.0)
        background = self.model_.model_
        background.mean = torch.where(old, background.mean + difference, background.mean)


def _plain(value: Any) -> Any:
    """Return a scalar of NumPy's as Python's, which JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value


def make_detection(
    frame: Frame,
    probability: np.ndarray,
    mask: np.ndarray,
    region: np.ndarray,
    *,
    light_change: bool = False,
    learning: bool = False,
) -> Detection:
    """Return a detection with its row of the table of scores."""
    area = int(mask.sum())
    score = FrameScore(
        index=frame.index,
        time=frame.time,
        score=area / max(1, int(region.sum())),
        area=area,
        box=largest_box(mask),
        light_change=light_change,
        learning=learning,
    )
    return Detection(frame, probability, mask, score)


def region_of(roi: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """Return where to look, as bool of shape (height, width); everywhere by default."""
    if roi is None:
        return np.ones(size, bool)
    region = np.asarray(roi)
    region = region.max(axis=2) if region.ndim == 3 else region
    if region.shape != tuple(size):
        raise DataError(
            f"The region of interest is {region.shape[1]} x {region.shape[0]} pixels; the frames "
            f"are {size[1]} x {size[0]}."
        )
    return region > 0
