"""What all estimators share whose networks are fitted to rows: the public face."""

import json
import os
from abc import ABC, abstractmethod
from dataclasses import replace
from hashlib import blake2b
from math import isqrt
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sfumato import __version__
from sfumato.artifacts import tensor_tree, write_directory
from sfumato.data import as_table
from sfumato.estimators.scaling import SCALINGS, Scaling
from sfumato.estimators.settings import params_to_json
from sfumato.inference import (
    Diagnosis,
    RowSource,
    diagnose,
    forked_rng,
    map_precisely,
    seeded_rows,
)
from sfumato.nn import ImageShape
from sfumato.objectives import Objective
from sfumato.training import (
    Engine,
    History,
    Rows,
    Trainer,
    check_choice,
    is_memory_mapped,
)


class RowEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """A thin shell around a model whose ``encoder(x)`` is the posterior of a row's code.

    A subclass stores its parameters, builds the model and names the objective.

    Attributes
    ----------
    model_ : Module
        In model units; see ``scaling_``.
    history_ : History
        Every term of the objective, epoch by epoch.
    scaling_ : Scaling
        From data units to model units.
    image_shape_ : (channels, height, width) or None
        Of one row, where the rows are images.
    seed_ : int
        All randomness of the fit and of later Monte Carlo estimates comes from it.
    """

    # A phase begins where the one before it ended: a longer fit then differs from the first on.
    trained_in_phases: ClassVar[bool] = False

    latent_dim: int
    scaling: str
    image_shape: ImageShape | None
    random_state: int | np.random.RandomState | None
    trainer: Trainer | None

    model_: Any
    history_: History
    scaling_: Scaling
    image_shape_: ImageShape | None
    n_features_in_: int
    seed_: int

    @abstractmethod
    def _model(self) -> Any:
        """Build the untrained model from parameters and what is known of the data."""

    @abstractmethod
    def _objective(self) -> Any:
        """Return the objective to minimise, annealed or plain."""

    @abstractmethod
    def _default_scaling(self) -> str:
        """Name the scaling that ``scaling="auto"`` stands for."""

    @abstractmethod
    def _takes_pixels(self) -> bool:
        """Tell whether the model takes values in [0, 1] only."""

    def _inspect(self, X: np.ndarray) -> None:
        """Check the parameters and learn what the model needs to know of the data."""

    def _joined(self, rows: Rows) -> Any:
        """Return the rows together with what else the fit was given for each."""
        return rows

    def _begin(self, model: Any, rows: Rows) -> None:
        """Give the untrained model what it takes from the rows."""

    def _complete(self, model: Any, rows: Rows) -> None:
        """Finish the model after training, and warn of what went wrong in it."""

    def fit(self, X: Any, y: Any = None) -> "RowEstimator":
        """Fit the model.

        Parameters
        ----------
        X : array of shape (n, d) or of images, frame, tensor, Dataset, path, or data set's name
        y : ignored

        Raises
        ------
        ValueError
            If the data or a parameter cannot be used; the message says why.
        """
        for name in ("model_", "history_"):
            # A fit that fails must not leave an older one's answers behind.
            self.__dict__.pop(name, None)
        trainer = self.default_trainer() if self.trainer is None else self.trainer
        if not isinstance(trainer, Trainer):
            raise ValueError(f"trainer must be a Trainer or None, got {trainer!r}.")
        trainer.validate()
        X = self._check(X, reset=True)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._inspect(X)
        self.scaling_ = self._scaling(X)
        engine = trainer.engine()
        rows = self._joined(
            Rows(X, self.scaling_.to_model, engine.device, resident=not is_memory_mapped(X))
        )
        description = None if trainer.checkpoint is None else self._identified(X, trainer)
        model, history = self._train(rows, trainer, engine, description)
        self._complete(model, rows)
        self.model_, self.history_ = model, history
        return self

    def _train(
        self, rows: Rows, trainer: Trainer, engine: Engine, description: dict[str, Any] | None
    ) -> tuple[Any, History]:
        """Build and train the model; estimators that train in several phases have their own way."""
        with forked_rng(self.seed_):
            model = self._model()
            self._begin(model, rows)
        history = trainer.fit(
            model,
            self._objective(),
            rows,
            seed=self.seed_,
            description=description,
            engine=engine,
        )
        return model, history

    def default_trainer(self) -> Trainer:
        """Return the trainer that ``trainer=None`` stands for."""
        return Trainer()

    def implied(self) -> dict[str, Any]:
        """Return the objects that parameters of None stand for."""
        return {"trainer": self.default_trainer()}

    def _identified(self, X: np.ndarray, trainer: Trainer) -> dict[str, Any]:
        description = self.describe()
        any_length = trainer.schedule == "constant" and not self.trained_in_phases
        identity = _identity(description, X, any_length=any_length)
        return description | {"identity": identity}

    def _check(self, X: Any, *, reset: bool) -> np.ndarray:
        X, image_shape = as_table(X)
        n_min = 2 if reset else 1
        X = validate_data(self, X, reset=reset, ensure_min_samples=n_min)
        if reset:
            self.image_shape_ = self._image_shape(X.shape[1], image_shape)
        return X

    def _image_shape(self, n_features: int, found: ImageShape | None) -> ImageShape | None:
        if self.image_shape is not None:
            if np.shape(self.image_shape) != (3,) or int(np.prod(self.image_shape)) != n_features:
                raise ValueError(
                    f"image_shape={self.image_shape} must be (channels, height, width) with a "
                    f"product of {n_features}, the number of values in a row."
                )
            return self.image_shape
        side = isqrt(n_features)
        square = (1, side, side) if side * side == n_features and side >= 8 else None
        return found or square

    def _scaling(self, X: np.ndarray) -> Scaling:
        check_choice("scaling", self.scaling, ["auto", *SCALINGS])
        name = self._default_scaling() if self.scaling == "auto" else self.scaling
        scaling = SCALINGS[name](X)
        if not self._takes_pixels():
            return scaling
        if name == "standard" or (name == "none" and not (X.min() >= 0 and X.max() <= 1)):
            raise ValueError("This model needs pixels in [0, 1]: use scaling='range'.")
        return replace(scaling, bounded=True)

    def _rows(self, X: Any) -> tuple[Rows, np.dtype]:
        check_is_fitted(self, "model_")
        X = self._check(X, reset=False)
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float32)
        # Converted block by block: a file larger than memory can be transformed as it was fitted.
        return Rows(X, self.scaling_.to_model, self._device(), resident=False), dtype

    def _device(self) -> torch.device:
        return next(self.model_.parameters()).device

    def transform(self, X: Any) -> np.ndarray:
        """Return the posterior mean of every row, shape (n, latent_dim)."""
        return self._codes(*self._rows(X))

    def _codes(self, rows: RowSource, dtype: np.dtype) -> np.ndarray:
        codes = map_precisely(lambda model, block: model.encoder(block).mean, self.model_, rows)
        return codes.cpu().numpy().astype(dtype)

    def terms(self, X: Any) -> dict[str, np.ndarray]:
        """Return the objective's named terms for every row, each of shape (n,), in model units.

        For a VAE with beta = 1 their sum is minus the evidence lower bound in nats; annealing and
        free bits belong to training and are left out. Samples of z are seeded by the row.
        """
        return self._terms(self._rows(X)[0])

    @torch.no_grad()
    def _terms(self, x: RowSource) -> dict[str, np.ndarray]:
        objective: Objective = self._objective()
        rows = [objective(self.model_, row) for row in seeded_rows(x, self.seed_)]
        return {name: torch.cat([row[name] for row in rows]).cpu().numpy() for name in rows[0]}

    def diagnose(self, X: Any) -> Diagnosis:
        """Tell how the code is used over the rows of X: active units, divergence, remedy."""
        x, _ = self._rows(X)
        return diagnose(self.model_, x)

    def describe(self) -> dict[str, Any]:
        """Return class, parameters and fitted numbers as JSON values; the weights not included."""
        names = getattr(self, "feature_names_in_", None)
        return {
            "format": 1,
            "sfumato": __version__,
            "estimator": type(self).__name__,
            "params": params_to_json(self),
            "fitted": {
                "n_features_in_": self.n_features_in_,
                "feature_names_in_": None if names is None else list(names),
                "image_shape_": self.image_shape_,
                "scaling_": self.scaling_.to_dict(),
                "seed_": self.seed_,
                **self._fitted_extras(),
            },
        }

    def _fitted_extras(self) -> dict[str, Any]:
        """Return further fitted numbers that the model's shape depends on."""
        return {}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a folder: params.json, weights.safetensors, history.json.

        Raises
        ------
        ArtifactError
            If the folder cannot be written.
        """
        check_is_fitted(self, "model_")
        tensors = tensor_tree("model", self.model_.state_dict())
        write_directory(path, self.describe(), tensors, self.history_.records)

    @property
    def _n_features_out(self) -> int:
        return self.latent_dim

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _identity(description: dict[str, Any], X: np.ndarray, *, any_length: bool) -> str:
    """Return a digest of the settings and of about a thousand of the rows.

    With ``any_length`` the number of epochs does not count: a longer fit begins like a shorter one.
    """
    settings = json.loads(json.dumps(description))
    if any_length and settings["params"]["trainer"] is not None:
        settings["params"]["trainer"]["params"].pop("max_epochs")
    digest = blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    digest.update(str(X.shape).encode())
    digest.update(np.ascontiguousarray(X[:: max(1, len(X) // 1000)]).tobytes())
    return digest.hexdigest()


def identified_by(description: dict[str, Any], array: np.ndarray) -> dict[str, Any]:
    """Return the description of a run whose identity tells of an array beside the rows as well."""
    digest = blake2b(description["identity"].encode(), digest_size=16)
    digest.update(str(array.shape).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return description | {"identity": digest.hexdigest()}
