"""BackgroundModel: the background of a video, and what stands before it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from sfumato.data import DataError, Video, open_video
from sfumato.distributions import ColourHistogram
from sfumato.models.background import Background
from sfumato.storage import Stored, save, storable
from sfumato.video.fitting import (
    MAX_RANK,
    Coupling,
    Sample,
    fit_background,
    foreground_probability,
    negative_bound,
)
from sfumato.video.light import Light, find_light
from sfumato.video.sampling import (
    MAX_PIXELS,
    draw_sample,
    model_size,
    sample_of,
    smoothed,
    to_model,
)
from sfumato.video.shift import UNMOVED, Shift, find_shift, shifted, unshifted

# Radius of each of the two boxes that couple pixels, as a share of the height, and in pixels.
COUPLING_RADIUS = 1 / 60
MIN_RADIUS = 3
Frames = np.ndarray | str | os.PathLike[str] | Video


def check_size(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    """Check that frames have the (height, width) of those of the fit.

    Raises
    ------
    DataError
        If they have not.
    """
    if tuple(size) != tuple(fitted):
        raise DataError(
            f"The frames are {size[1]} x {size[0]} pixels where the model was fitted to "
            f"{fitted[1]} x {fitted[0]}: resize them or fit anew."
        )


@dataclass(frozen=True)
class View:
    """A frame in the model's light and place, and the light and place that it had.

    Attributes
    ----------
    sharp, smooth : Tensor, shape (3, height, width)
        As it is, and each pixel averaged with those around it.
    light : Light
    shift : Shift
    """

    sharp: Tensor
    smooth: Tensor
    light: Light
    shift: Shift

    def replaced(self, image: Tensor) -> Tensor:
        """Return a map of the view, shape (height, width), where the frame had it."""
        return shifted(image[None], self.shift)[0]


@storable()
class BackgroundModel(BaseEstimator):
    r"""Robust mixture model of a video: background, shadow or foreground at every pixel.

    .. math:: z_t \sim N(0, I), \quad b_t = \mu + U z_t, \quad
              p(c) \propto \exp\Big(-\frac\lambda2 \sum_{ij} w_{ij} [c_i \ne c_j]\Big), \quad
              p(x_{tp} | z_t, c_{tp})

    with densities as in :class:`sfumato.models.background.Background`. Fitting needs no labels;
    the same video gives the same model, bit for bit.

    Parameters
    ----------
    max_rank : int
        Most numbers in the code z_t; so many are used as lower the noise markedly.
    coupling : float
        lambda, in nats.
    shadows : bool
        Whether darkened background is told from foreground.
    refinement : int
        Steps of per-frame inference after the first, linear one.
    max_pixels : int
        Larger frames are shrunk to so many pixels for the model.

    Attributes
    ----------
    model_ : Background
    size_ : (height, width)
        Of the frames.
    shakes_ : bool
        Whether the camera shakes, so that frames are aligned.
    bounds_ : dict of float
        Mean bound of a frame in nats per pixel after each step of the fit:
        :func:`sfumato.video.fitting.fit_background`.
    background_ : ndarray, shape (height, width, 3), uint8
        The mean background.

    References
    ----------
    Stauffer and Grimson, "Adaptive background mixture models for real-time tracking" (1999), for
    mixtures at pixels; Kingma and Welling, "Auto-encoding variational Bayes" (2014).

    Examples
    --------
    >>> from sfumato.data import moving_digits
    >>> frames, truth = moving_digits(60, seed=0)
    >>> masks = BackgroundModel().fit(frames).predict(frames)
    >>> masks.shape == truth.shape
    True
    """

    def __init__(
        self,
        max_rank: int = MAX_RANK,
        coupling: float = 6.0,
        shadows: bool = True,
        refinement: int = 3,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.max_rank = max_rank
        self.coupling = coupling
        self.shadows = shadows
        self.refinement = refinement
        self.max_pixels = max_pixels

    def fit(self, X: Frames, y: None = None) -> "BackgroundModel":
        """Find the background of a video.

        Parameters
        ----------
        X : ndarray of shape (n, height, width[, 3]), path or Video
        y : None
            Ignored.

        Raises
        ------
        DataError
            If X cannot be read, or is a stream without end.
        """
        video = open_video(X)
        if video.n_frames is None:
            raise DataError("A stream has no end: fit to its first frames, as an array.")
        size = model_size(video.size, self.max_pixels)
        return self._fit(*draw_sample(video, size), video.size)

    def fit_frames(self, images: list[np.ndarray]) -> "BackgroundModel":
        """Find the background of frames of shape (height, width, 3) that follow each other."""
        full = images[0].shape[:2]
        size = model_size((full[0], full[1]), self.max_pixels)
        return self._fit(*sample_of(enumerate(images), len(images), size), (full[0], full[1]))

    def _fit(self, sample: Sample, shakes: bool, size: tuple[int, int]) -> "BackgroundModel":
        with torch.no_grad():
            self.model_, self.bounds_ = fit_background(
                sample,
                self._coupling(sample.frames.shape[-2]),
                max_rank=self.max_rank,
                shadows=self.shadows,
            )
        self.size_ = size
        self.shakes_ = shakes
        return self

    def _coupling(self, height: int) -> Coupling:
        return Coupling(self.coupling, max(MIN_RADIUS, round(COUPLING_RADIUS * height)))

    @property
    def model_size_(self) -> tuple[int, int]:
        """(height, width) at which the model sees frames."""
        height, width = self.model_.mean.shape[1:]
        return height, width

    @property
    def background_(self) -> np.ndarray:
        """The mean background, shape (height, width, 3), bytes."""
        return self._enlarged_image(self.model_.mean)

    def _enlarged_image(self, image: Tensor) -> np.ndarray:
        large = F.interpolate(image[None], self.size_, mode="bilinear", antialias=False)[0]
        return large.clamp(0, 255).round().to(torch.uint8).movedim(0, -1).numpy()

    def frames_of(self, X: Frames) -> Iterator[Tensor]:
        """Yield the frames of a video at the size of the model.

        Raises
        ------
        DataError
            If the frames have another size than those of the fit.
        """
        check_is_fitted(self, "model_")
        video = open_video(X)
        check_size(video.size, self.size_)
        for frame in video:
            yield to_model(frame.image, self.model_size_)

    def code(self, x: Tensor) -> Tensor:
        """Posterior mean of a frame's code, shape (r,)."""
        return self.model_.encoder(x, 1 + self.refinement).mean

    def view(self, x: Tensor) -> View:
        """Return a frame, shape (3, height, width), in the model's light and place."""
        smooth = smoothed(x)
        light = find_light(smooth, self.model_.mean)
        x, smooth = light.undone(x), light.undone(smooth)
        if not self.shakes_:
            return View(x, smooth, light, UNMOVED)
        shift = find_shift(smooth, self.model_.mean)
        x = unshifted(x, shift)
        return View(x, smoothed(x), light, shift)

    @torch.no_grad()
    def probability(self, x: Tensor) -> Tensor:
        """Probability of foreground at the size of the model, its pixels coupled.

        Parameters
        ----------
        x : Tensor, shape (3, height, width)
            A frame at the size of the model, as it is in the video.
        """
        view = self.view(x)
        return view.replaced(self.view_probability(view))

    @torch.no_grad()
    def view_probability(self, view: View) -> Tensor:
        """Probability of foreground of a frame in the model's light and place."""
        z = self.code(view.smooth)
        # The mean around a pixel is what noise and leaves are told by, but a pixel beside an object
        # has some of the object in its mean, and nothing of it in itself.
        odds = self.model_.log_odds(torch.stack([view.smooth, view.sharp]), z).amin(0)
        return foreground_probability(odds, self._coupling(odds.shape[0]))

    def enlarged(self, probability: Tensor) -> np.ndarray:
        """Return a map at the size of the frames, shape (height, width)."""
        if tuple(probability.shape) == tuple(self.size_):
            return probability.numpy()
        large: np.ndarray = F.interpolate(
            probability[None, None], self.size_, mode="bilinear", align_corners=False
        )[0, 0].numpy()
        return large

    def predict_proba(self, X: Frames) -> np.ndarray:
        """Probability of foreground, shape (n, height, width)."""
        return np.stack([self.enlarged(self.probability(x)) for x in self.frames_of(X)])

    def predict(self, X: Frames) -> np.ndarray:
        """Masks of the foreground, bool, shape (n, height, width)."""
        return self.predict_proba(X) > 0.5

    @torch.no_grad()
    def transform(self, X: Frames) -> np.ndarray:
        """Posterior means of the codes, shape (n, r); r may be 0."""
        return np.stack([self.code(self.view(x).smooth).numpy() for x in self.frames_of(X)])

    @torch.no_grad()
    def inverse_transform(self, Z: np.ndarray) -> np.ndarray:
        """Return the backgrounds of codes, shape (n, height, width, 3), bytes."""
        codes = torch.from_numpy(np.asarray(Z, np.float32))
        return np.stack(
            [self._enlarged_image(self.model_.decoder(z).mean.movedim(-1, 0)) for z in codes]
        )

    def background(self, X: Frames) -> np.ndarray:
        """Background of every frame in the model's light, shape (n, height, width, 3), bytes."""
        return self.inverse_transform(self.transform(X))

    @torch.no_grad()
    def terms(self, X: Frames) -> dict[str, np.ndarray]:
        """Negative bound of each frame, smoothed, at its code, in nats; terms of shape (n,).

        They are those of :func:`sfumato.video.fitting.negative_bound`.
        """
        coupling = self._coupling(self.model_size_[0])
        smooth = (self.view(x).smooth for x in self.frames_of(X))
        rows = [negative_bound(self.model_, x, self.code(x), coupling) for x in smooth]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def score_samples(self, X: Frames) -> np.ndarray:
        """Bound of each frame in nats, shape (n,): low where the model does not know the frame."""
        return -np.sum(list(self.terms(X).values()), axis=0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a folder of JSON and safetensors."""
        check_is_fitted(self, "model_")
        save(self, path)

    def describe(self) -> dict[str, Any]:
        """Return all but the tensors, as JSON can hold it."""
        return {
            "format": 1,
            "estimator": type(self).__name__,
            "params": self.get_params(),
            "size": list(self.size_),
            "shakes": self.shakes_,
            "bounds": self.bounds_,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return what the fit found, by name."""
        return dict(self.model_.state_dict())

    def records(self) -> list[dict[str, float]]:
        """Return no epochs: a video is not learned in any."""
        return []

    @classmethod
    def restored(cls, stored: Stored) -> "BackgroundModel":
        """Return the model that a folder describes."""
        description, tensors = stored.description, dict(stored.tensors)
        model = cls(**description["params"])
        foreground = ColourHistogram(tensors.pop("foreground.log_density"))
        model.model_ = Background(**tensors, foreground=foreground, shadows=model.shadows)
        height, width = description["size"]
        model.size_ = (height, width)
        model.shakes_ = bool(description["shakes"])
        model.bounds_ = dict(description["bounds"])
        return model
