"""What all restorers share: trained on clean photographs, applied to pictures of any size."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sfumato import __version__
from sfumato.artifacts import tensor_tree
from sfumato.data import DataError, Photograph, image_paths, read_photograph
from sfumato.noise import Noise
from sfumato.restoration.patches import Patches
from sfumato.storage import Stored, params_to_json, save, storable
from sfumato.training import History, Optimizer, Trainer, check_count
from sfumato.training.engine import threads

# Beyond five scales the bottleneck of a default-size patch is too small to be useful.
MAX_SCALES = 5

# Largest gradient of a step, in units of the average one: where chance decides how much of a patch
# is to be found, gradients differ tenfold.
CLIPPING = 2.0

Images = str | os.PathLike[str] | Sequence[Any] | np.ndarray


@storable()
class Restorer(BaseEstimator, ABC):
    """A network that undoes one kind of damage, having seen clean photographs damaged so.

    Attributes
    ----------
    model_ : Module
    history_ : History
        Every term of the objective, epoch by epoch.
    n_channels_ : int
        3 if all training photographs had colours, else 1.
    seed_ : int
    """

    widths: tuple[int, ...]
    n_blocks: int
    patch_size: int
    random_state: int | np.random.RandomState | None
    trainer: Trainer | None

    model_: nn.Module
    history_: History
    n_channels_: int
    seed_: int

    # Whether nothing can be learned from grey photographs, or nothing of colours is learned.
    needs_colours: ClassVar[bool] = False
    luminance_only: ClassVar[bool] = False

    @abstractmethod
    def _model(self, n_channels: int) -> nn.Module:
        """Build the untrained networks."""

    @abstractmethod
    def _objective(self) -> Any:
        """Return the objective: (model, clean patches) to named terms."""

    def _inspect(self) -> None:
        """Check the parameters: unless it is overridden, those of networks of several scales."""
        if not isinstance(self.widths, (tuple, list)) or not 1 <= len(self.widths) <= MAX_SCALES:
            raise ValueError(
                f"widths must be 1 to {MAX_SCALES} whole numbers, one for every scale; "
                f"got {self.widths!r}."
            )
        for width in self.widths:
            check_count("widths", width)
        check_count("n_blocks", self.n_blocks)
        multiple = 2 ** len(self.widths)
        if self.patch_size % multiple:
            raise ValueError(
                f"patch_size must be a multiple of {multiple}, 2 to the number of widths; "
                f"got {self.patch_size}."
            )

    def default_trainer(self) -> Trainer:
        """Return the trainer that ``trainer=None`` stands for."""
        return Trainer(
            max_epochs=60,
            batch_size=8,
            learning_rate=1e-3,
            schedule="cosine",
            optimizer=Optimizer(averaging=0.999),
        )

    def default_objects(self) -> dict[str, Any]:
        """Return the objects that parameters of None stand for."""
        return {"trainer": self.default_trainer()}

    def fit(self, images: Images, y: Any = None) -> "Restorer":
        """Train on clean photographs.

        Parameters
        ----------
        images : folder, or sequence of files or arrays
            Arrays are of shape (h, w), (h, w, 1) or (h, w, 3): uint8, or floats in [0, 1].
        y : ignored

        Raises
        ------
        DataError
            If there are no photographs, or one cannot be used.
        ValueError
            If a parameter cannot be used.
        """
        for name in ("model_", "history_"):
            self.__dict__.pop(name, None)
        trainer = self.default_trainer() if self.trainer is None else self.trainer
        if not isinstance(trainer, Trainer):
            raise ValueError(f"trainer must be a Trainer or None, got {trainer!r}.")
        trainer.validate()
        check_count("patch_size", self.patch_size)
        self._inspect()
        photographs = _as_levels(images)
        self.n_channels_ = min(image.shape[2] for image in photographs)
        if self.luminance_only:
            self.n_channels_ = 1
        if self.needs_colours and self.n_channels_ == 1:
            raise DataError("Colours are learned from photographs in colour, and one is grey.")
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        with Noise(self.seed_):
            model = self._model(self.n_channels_)
        alike = photographs if self.n_channels_ == 3 else _luminances(photographs)
        seen, held_out = self._split(alike)
        patches = Patches(seen, self._side(), trainer.batch_size)
        description = self.describe()
        description["identity"] = _identity(description, alike)
        self.history_ = self._train(model, patches, trainer, description)
        self._calibrate(model.eval(), held_out)
        self.model_ = model
        return self

    def _train(
        self, model: nn.Module, patches: Patches, trainer: Trainer, description: dict[str, Any]
    ) -> History:
        return trainer.fit(
            model, self._objective(), patches, seed=self.seed_, description=description
        )

    def _split(self, photographs: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the photographs to train on, and those to calibrate with: none by default."""
        return photographs, []

    def _calibrate(self, model: Any, held_out: list[np.ndarray]) -> None:
        """Finish the model by photographs that it has not seen."""

    def _side(self) -> int:
        """Return the side of a patch as it is cut."""
        return self.patch_size

    def _apply(self, function: Callable[[Tensor], Tensor], image: Any) -> Any:
        """Return what a function of (c, h, w) makes of a picture, in the picture's own type.

        Raises
        ------
        DataError
            If it is no picture.
        """
        check_is_fitted(self, "model_")
        if isinstance(image, Photograph):
            return image.with_values(self._apply(function, image.values))
        device = next(self.model_.parameters()).device
        x = torch.from_numpy(as_values(image)).movedim(-1, 0).to(device)
        with threads("auto", self.model_):
            restored = function(x).clamp(0, 1).movedim(0, -1).cpu().numpy()
        return _like(restored, np.asarray(image))

    def describe(self) -> dict[str, Any]:
        """Return class, parameters and what the fit found, as JSON values."""
        return {
            "format": 1,
            "sfumato": __version__,
            "estimator": type(self).__name__,
            "params": params_to_json(self),
            "fitted": {"n_channels_": self.n_channels_, "seed_": self.seed_},
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted restorer to a folder: params.json, weights.safetensors, history.json.

        Raises
        ------
        ArtifactError
            If the folder cannot be written.
        """
        check_is_fitted(self, "model_")
        save(self, path)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        return tensor_tree("model", self.model_.state_dict())

    def records(self) -> list[dict[str, float]]:
        """Return the records of the epochs."""
        return self.history_.records

    @classmethod
    def restored(cls, stored: Stored) -> "Restorer":
        """Return the restorer that a folder, or a checkpoint, describes."""
        restorer = cls(**stored.params())
        fitted = stored.description["fitted"]
        restorer.n_channels_, restorer.seed_ = int(fitted["n_channels_"]), int(fitted["seed_"])
        with Noise(restorer.seed_):
            model = restorer._model(restorer.n_channels_)
        model.load_state_dict(stored.weights())
        restorer.history_ = History(stored.history)
        restorer.model_ = model.eval()
        return restorer


def as_values(image: Any) -> np.ndarray:
    """Return a picture as float32 of shape (h, w, c) in [0, 1].

    Raises
    ------
    DataError
        If it is no picture.
    """
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or not array.size:
        raise DataError(
            f"a picture has shape {np.shape(image)}: give (h, w), (h, w, 1) or (h, w, 3)."
        )
    if _is_whole(array):
        return array.astype(np.float32) / np.iinfo(array.dtype).max
    if array.dtype.kind != "f" or not (array.min() >= -1 and array.max() <= 2):
        raise DataError(f"a picture holds {array.dtype}: give uint8, uint16, or floats in [0, 1].")
    return array.astype(np.float32)


def _is_whole(array: np.ndarray) -> bool:
    """Whether values are of 8 or 16 bits, of any order of bytes."""
    return array.dtype.kind == "u" and array.dtype.itemsize <= 2


def _like(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return values of shape (h, w, c) in the type and the number of axes of another picture."""
    if _is_whole(image):
        values = np.rint(values * np.iinfo(image.dtype).max)
    plain = values[..., 0] if image.ndim == 2 and values.shape[2] == 1 else values
    return plain.astype(image.dtype)


def _as_levels(images: Images) -> list[np.ndarray]:
    """Return photographs as uint8 of shape (h, w, c)."""
    if isinstance(images, (str, os.PathLike)):
        folder = Path(images)
        if not folder.is_dir():
            raise DataError(f"{str(images)!r} is no folder: photographs are learned from a folder.")
        images = image_paths(folder)
        if not images:
            raise DataError(f"{folder} holds no images to learn from: add some.")
    if isinstance(images, Photograph) or _is_one_picture(images):
        raise DataError("That is one photograph: give a list of photographs, even of one.")
    if len(images) == 0:
        raise DataError("There are no photographs to learn from: give at least one.")
    return [_levels(image) for image in images]


def _is_one_picture(images: Any) -> bool:
    shape: tuple[int, ...] = images.shape if isinstance(images, np.ndarray) else ()
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


def _levels(image: Any) -> np.ndarray:
    if isinstance(image, (str, os.PathLike)):
        image = read_photograph(image)
    # What is learned is what is seen, not the colours behind what is transparent.
    values = as_values(image.on_background().values if isinstance(image, Photograph) else image)
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def _luminances(images: list[np.ndarray]) -> list[np.ndarray]:
    return [np.rint(image.mean(axis=2, keepdims=True)).astype(np.uint8) for image in images]


def _identity(description: dict[str, Any], photographs: list[np.ndarray]) -> str:
    """Return a digest of the settings and of the photographs."""
    digest = blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16)
    for photograph in photographs:
        digest.update(str(photograph.shape).encode())
        digest.update(photograph[::7, ::7].tobytes())
    return digest.hexdigest()
