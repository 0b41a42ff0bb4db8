"""What all estimators share whose networks are fitted to rows."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from hashlib import blake2b
from inspect import Signature
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils import ClassifierTags, Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sfumato import __version__
from sfumato.artifacts import tensor_tree
from sfumato.checks import check_count
from sfumato.data import Columns, Table, array_columns, as_table
from sfumato.deprecation import accept_moved, present_signature, split_moved
from sfumato.estimators.exhibits import Exhibit
from sfumato.estimators.fit import Fit
from sfumato.estimators.tables import (
    check_complete,
    check_places,
    check_range,
    check_width,
    checked_table,
    is_streamed,
    note_columns,
    tell_of_squares,
)
from sfumato.inference import RowSource, map_float64, seeded_rows
from sfumato.likelihoods import Likelihood
from sfumato.nn import Backbone, ImageShape, Networks, Sizes, backbone_of
from sfumato.noise import Noise
from sfumato.objectives import Objective, Terms
from sfumato.scaling import Scaler, Scaling, scaling_from, scaling_of
from sfumato.storage import (
    Stored,
    from_json,
    name_of,
    params_to_json,
    save,
    storable,
    to_json,
)
from sfumato.training import (
    History,
    Rows,
    Trainer,
)

# What can be asked of a model; "density": its score is a log density or log mass in nats.
CODES = frozenset({"transform", "reconstruct"})
CLUSTERS = frozenset({"predict"})
DENSITY = frozenset({"score", "density"})
GENERATES = frozenset({"sample"})
IMPUTES = frozenset({"impute"})
# Numbers of clusters that stand for one that has to be found.
UNKNOWN = (None, "auto")
# Rows that an objective of a whole batch sees at once where it is reported.
BATCH = 1024


Show = Callable[[Any, np.ndarray], list[Exhibit]]


class Unit(NamedTuple):
    """What rows are in model units: which scaling is meant, and whether it must end in [0, 1]."""

    scaling: Scaler | str
    bounded: bool


@storable()
class TabularEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """A thin shell around a model whose ``encoder(x)`` is the posterior of a row's code.

    A subclass stores its parameters, builds the model (``_build``), names the objective
    (``_objective``), and says in ``fit`` how the model is trained.

    Attributes
    ----------
    model_ : Module
        In model units; see ``scaling_``.
    history_ : History
        Every term of the objective, epoch by epoch, in model units.
    scaling_ : Scaling
        From data units to model units.
    image_shape_ : (channels, height, width) or None
        Of one row, where the rows are images.
    columns_ : Columns or None
        What each column of a table with names was taken for.
    seed_ : int
        All randomness of the fit and of later Monte Carlo estimates comes from it.
    """

    # What the commands may ask, whether labels are needed, may help, or a background does.
    operations: ClassVar[frozenset[str]] = CODES
    supervised: ClassVar[bool] = False
    teachable: ClassVar[bool] = False
    contrastive: ClassVar[bool] = False
    # Whether ``fit`` says itself why cells may not be missing.
    explains_holes: ClassVar[bool] = False
    # The parameter that is the number of clusters.
    clusters_named: ClassVar[str | None] = None
    # What a page shows of a fitted model, given rows.
    shows: ClassVar[tuple[Show, ...]] = ()
    # A phase starts where the one before it ended: a longer fit then differs from the first on.
    trained_in_phases: ClassVar[bool] = False
    # Settings of the trainer that ``trainer=None`` stands for.
    trainer_defaults: ClassVar[Mapping[str, Any]] = {}
    # Further fitted numbers that the model's shape depends on.
    stored: ClassVar[tuple[str, ...]] = ()
    # Parameters that stand for objects, and what finds these.
    resolvers: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    # Former arguments, and the present ones whose objects hold them.
    homes: ClassVar[Mapping[str, str]] = {"activation": "backbone"}

    latent_dim: int
    hidden: tuple[int, ...] | None
    backbone: Backbone | str
    scaling: Scaler | str
    image_shape: ImageShape | bool | None
    random_state: int | np.random.RandomState | None
    trainer: Trainer | None

    model_: Any
    history_: History
    scaling_: Scaling
    image_shape_: ImageShape | None
    # Columns or None: whoever knows that there are columns need not ask.
    columns_: Any
    n_features_in_: int
    seed_: int
    # How many clusters were found, where nobody said how many there are.
    n_found_: int | None = None
    # The labels that were seen, where there were any.
    classes_: np.ndarray | None = None
    __signature__: ClassVar[Signature]

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "__init__" in vars(cls):
            # What help and scikit-learn's checks see.
            cls.__signature__ = present_signature(cls.__init__)

    @abstractmethod
    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array of shape (n, d) or of images, frame, tensor, Dataset, path, or data set's name
            Missing cells are NaN.
        y : ignored
        columns : mapping, optional
            What columns of a table are, by name, where it is not what their values look like, such
            as ``{"city": "category", "id": "ignore"}``; see :class:`~sfumato.data.Columns`.

        Raises
        ------
        ValueError
            If the data or a parameter cannot be used; the message says why.
        """

    @abstractmethod
    def _build(self) -> Any:
        """Build the untrained model from parameters and fitted numbers."""

    @abstractmethod
    def _objective(self) -> Objective:
        """Return the objective that is trained and reported."""

    @abstractmethod
    def _unit(self) -> Unit:
        """Return which model units the model takes."""

    def default_objects(self) -> dict[str, Any]:
        """Return the objects that parameters of None, or names, stand for."""
        found = {name: of(getattr(self, name)) for name, of in self.resolvers.items()}
        return found | {"trainer": self.default_trainer()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those that have moved into an object among them."""
        present, moved = split_moved(self, params)
        super().set_params(**present)
        accept_moved(self, moved)
        return self

    def default_trainer(self) -> Trainer:
        """Return the trainer that ``trainer=None`` stands for."""
        return clone(Trainer(**self.trainer_defaults))

    @property
    def takes_holes(self) -> bool:
        """Whether cells of the training rows may be missing, by the parameters."""
        return False

    @property
    def seen_as_(self) -> Likelihood | None:
        """As values of which likelihood the fitted networks see rows; None: as real numbers."""
        return None

    @property
    def leaves_out_holes_(self) -> bool:
        """Whether the fitted model leaves missing cells out."""
        return False

    @property
    def n_clusters_(self) -> int | None:
        """How many clusters there are; None for a model without any, or before they are found."""
        if self.clusters_named is None:
            return None
        given = getattr(self, self.clusters_named) if self.n_found_ is None else self.n_found_
        return None if given in UNKNOWN else int(given)

    @property
    def row_width_(self) -> int:
        """How many values a row has in model units."""
        return self.scaling_.width(self.n_features_in_)

    @property
    def input_width_(self) -> int:
        """How many numbers the networks see of a row."""
        return self.row_width_

    def _input_layers(self) -> tuple[nn.Module, ...]:
        """Return what becomes of a row before the networks see it."""
        return ()

    @property
    def learned_from_labels_(self) -> bool:
        """Whether the fit used labels."""
        return self.supervised or (self.teachable and self.classes_ is not None)

    def exhibits(self, X: np.ndarray) -> list[Exhibit]:
        """Return what a page shows of the fitted model, besides codes, reconstructions and samples.

        Parameters
        ----------
        X : ndarray, shape (n, d)
            Rows that may be shown, in data units.
        """
        return [exhibit for show in self.shows for exhibit in show(self, X)]

    # Fitting.

    def _begin(self, X: Any, columns: Any = None) -> np.ndarray:
        """Forget an earlier fit, check settings and rows, and return the rows.

        Parameters
        ----------
        X : whatever ``fit`` takes
        columns : mapping, optional
            Kinds of columns by name, see :meth:`fit`.

        Raises
        ------
        ValueError
            If a row or the trainer cannot be used.
        ArtifactError
            If the fitted model could not be saved.
        """
        for name in ("model_", "history_"):
            # A fit that fails must not leave an older one's answers behind.
            self.__dict__.pop(name, None)
        if not isinstance(self._trainer(), Trainer):
            raise ValueError(f"trainer must be a Trainer or None, got {self.trainer!r}.")
        self._trainer().validate()
        table = self._check(X, reset=True, columns=columns)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        name_of(type(self)), params_to_json(self)
        return table

    def _start(self, X: np.ndarray, *others: np.ndarray | None) -> Fit:
        """Return the fit to rows in data units; other arrays are part of its identity."""
        self.scaling_ = self._scaling(X)
        trainer = self._trainer()
        engine = trainer.engine()
        resident = not is_streamed(X)
        rows = Rows(X, self.scaling_.to_model, engine.device, resident=resident)
        description = None
        if trainer.checkpoint is not None:
            description = self._identified(X, trainer, others)
        inputs = self._input_layers()
        see = nn.Sequential(*inputs).to(engine.device) if inputs else None
        return Fit(rows, self.seed_, trainer, engine, description, self.image_shape_, see=see)

    def _finish(self, model: Any, history: History) -> Self:
        for buffer in model.buffers():
            # As a loaded model has it: sums along other strides end in other bits.
            buffer.data = buffer.data.contiguous()
        self.model_, self.history_ = model, history
        return self

    def _trainer(self) -> Trainer:
        return self.default_trainer() if self.trainer is None else self.trainer

    def _backbone(self) -> Backbone:
        return backbone_of(self.backbone, self.hidden)

    def _networks(self, n_code: int, n_out: int, latent_dim: int | None = None) -> Networks:
        """Build the encoder's and the decoder's networks."""
        sizes = Sizes(
            self.input_width_,
            self.image_shape_,
            n_code,
            n_out,
            self.latent_dim if latent_dim is None else latent_dim,
        )
        return self._backbone().build(sizes)

    def _check_network(self) -> None:
        """Check the length of the code and the backbone.

        Raises
        ------
        ValueError
            Naming the parameter and what it takes.
        """
        check_count("latent_dim", self.latent_dim)
        backbone = self._backbone()
        if backbone.needs_images and self.image_shape_ is None:
            raise ValueError(
                f"backbone={self.backbone!r} needs pictures, and these rows of "
                f"{self.n_features_in_} values are a table: give image_shape=(channels, height, "
                "width)."
            )

    def _identified(
        self, X: np.ndarray, trainer: Trainer, others: tuple[np.ndarray | None, ...]
    ) -> dict[str, Any]:
        description = self.describe()
        any_length = trainer.schedule == "constant" and not self.trained_in_phases
        identity = _identity(description, X, others, any_length=any_length)
        return description | {"identity": identity}

    def _check(self, X: Any, *, reset: bool, columns: Any = None) -> np.ndarray:
        """Return rows as an array, with NaN for missing cells, or as a sparse matrix."""
        if not reset:
            return self._checked(as_table(X, known=self.columns_))
        table = as_table(X, columns=columns)
        values: np.ndarray = checked_table(self, table.values, n_min=2)
        note_columns(self, table.columns, values.shape[1])
        self.image_shape_ = self._image_shape(values.shape[1], table.image_shape)
        return values

    def _checked(self, table: Table) -> np.ndarray:
        """Return the values of a table that was read as the training rows were."""
        values: np.ndarray = checked_table(self, table.values)
        check_width(self, values, named=table.columns is not None)
        names = None if table.columns is None else table.columns.names
        check_range(values, names)
        if self.seen_as_ is not None:
            check_places(self.seen_as_, values, names)
        if not self.leaves_out_holes_:
            check_complete(self, values)
        return values

    def table_columns(self, X: Any) -> Columns | None:
        """Return what the columns of training rows are; None where rows are pictures."""
        if self.image_shape_ is not None:
            return None
        return array_columns(X) if self.columns_ is None else self.columns_

    def _image_shape(self, n_features: int, found: ImageShape | None) -> ImageShape | None:
        given = self.image_shape
        if given is None and found is None:
            tell_of_squares(n_features)
        if given is None or isinstance(given, bool):
            return None if given is False else found
        if np.shape(given) != (3,) or int(np.prod(given)) != n_features:
            raise ValueError(
                f"image_shape={given} must be (channels, height, width) with a product of "
                f"{n_features}, the number of values in a row; False: rows are no pictures."
            )
        return given

    def _scaling(self, X: np.ndarray) -> Scaling:
        unit = self._unit()
        scaling = scaling_of(self.scaling, unit.scaling).fitted_to(X)
        if not unit.bounded:
            return scaling
        if not scaling.fits_pixels(X):
            raise ValueError("This model needs pixels in [0, 1]: use scaling='range'.")
        return replace(scaling, bounded=True)

    # Answers.

    def _rows(self, X: Any) -> tuple[Rows, np.dtype]:
        check_is_fitted(self, "model_")
        return self._rows_of(self._check(X, reset=False))

    def _rows_of(self, X: np.ndarray) -> tuple[Rows, np.dtype]:
        """Return checked rows in model units, and the type of answers."""
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float32)
        # Converted block by block: a file larger than memory can be transformed as it was fitted.
        return Rows(X, self.scaling_.to_model, self._device(), resident=False), dtype

    def _device(self) -> torch.device:
        return next(self.model_.parameters()).device

    def transform(self, X: Any) -> np.ndarray:
        """Return the posterior mean of every row, shape (n, latent_dim)."""
        return self._codes(*self._rows(X))

    def _codes(self, rows: RowSource, dtype: np.dtype) -> np.ndarray:
        codes = map_float64(lambda model, block: model.encoder(block).mean, self.model_, rows)
        return codes.cpu().numpy().astype(dtype)

    def terms(self, X: Any) -> dict[str, np.ndarray]:
        """Return the objective's named terms for every row, each of shape (n,).

        For a VAE with beta = 1 their sum is minus the evidence lower bound in nats; a likelihood
        that is a density is one in data units. Annealing and free bits belong to training and are
        left out. Draws of z are seeded by the row, and are such as the model can emit.
        """
        return self._terms(self._rows(X)[0])

    @torch.no_grad()
    def _terms(self, x: RowSource) -> dict[str, np.ndarray]:
        objective = self._objective()
        found = list(self._row_terms(objective, x) if objective.per_row else self._batch_terms(x))
        values = {name: torch.cat([part[name] for part in found]) for name in found[0]}
        if objective.likelihood_term in values:
            values[objective.likelihood_term] += self._log_volume()
        return {name: value.cpu().numpy() for name, value in values.items()}

    def _row_terms(self, objective: Objective, x: RowSource) -> list[Terms]:
        found = []
        for row, noise in seeded_rows(x, self.seed_):
            with noise:
                found.append(objective(self.model_, row))
        return found

    def _batch_terms(self, x: RowSource) -> list[Terms]:
        noise, objective = Noise(self.seed_), self._objective()
        found = []
        for start in range(0, len(x), BATCH):
            with noise:
                found.append(objective(self.model_, x[start : start + BATCH]))
        return found

    @abstractmethod
    def _log_volume(self) -> float:
        """Return what a log density of scaled rows has more than one in data units, in nats."""

    def _seeded(
        self, random_state: int | np.random.RandomState | None
    ) -> AbstractContextManager[Noise]:
        """Return the generators of draws: the fit's own by default, so that calls agree."""
        generator = check_random_state(self.seed_ if random_state is None else random_state)
        return Noise(int(generator.randint(2**31 - 1)))

    # Storage.

    def describe(self) -> dict[str, Any]:
        """Return class, parameters and fitted numbers as JSON values; the weights not included."""
        names = getattr(self, "feature_names_in_", None)
        return {
            "format": 2,
            "sfumato": __version__,
            "estimator": name_of(type(self)),
            "params": params_to_json(self),
            "fitted": {
                "n_features_in_": self.n_features_in_,
                "feature_names_in_": None if names is None else list(names),
                "image_shape_": self.image_shape_,
                "columns_": None if self.columns_ is None else self.columns_.to_json(),
                "scaling_": self.scaling_.to_dict(),
                "seed_": self.seed_,
                **{name: to_json(getattr(self, name)) for name in self.stored},
            },
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        scaling = tensor_tree("scaling", self.scaling_.tensors())
        return tensor_tree("model", self.model_.state_dict()) | scaling

    def records(self) -> list[dict[str, float]]:
        """Return the records of the epochs."""
        return self.history_.records

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a folder: params.json, weights.safetensors, history.json.

        Raises
        ------
        ArtifactError
            If the folder cannot be written.
        """
        check_is_fitted(self, "model_")
        save(self, path)

    @classmethod
    def restored(cls, stored: Stored) -> Self:
        """Return the estimator that a folder, or a checkpoint, describes."""
        estimator = cls(**stored.params())
        fitted = dict(stored.description["fitted"])
        estimator.scaling_ = scaling_from(fitted.pop("scaling_"), stored.weights("scaling"))
        columns = fitted.pop("columns_", None)
        estimator.columns_ = None if columns is None else Columns.from_json(columns)
        names = fitted.pop("feature_names_in_")
        if names is not None:
            estimator.feature_names_in_ = np.array(names, dtype=object)
        for name, value in fitted.items():
            setattr(estimator, name, from_json(value, stored.trust))
        with Noise(estimator.seed_):
            estimator.model_ = estimator._build()
        estimator.model_.load_state_dict(stored.weights())
        estimator.model_.eval()
        estimator.history_ = History(stored.history)
        return estimator

    @property
    def _n_features_out(self) -> int:
        return self.latent_dim

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self.takes_holes
        tags.input_tags.sparse = True
        if hasattr(self, "predict_proba"):
            # What scikit-learn's check of sparse rows asks of whoever gives probabilities.
            several = self.clusters_named is None or getattr(self, self.clusters_named) != 2
            tags.classifier_tags = ClassifierTags(multi_class=several)
        return tags


def _identity(
    description: dict[str, Any],
    X: np.ndarray,
    others: tuple[np.ndarray | None, ...],
    *,
    any_length: bool,
) -> str:
    """Return a digest of the settings, of about a thousand of the rows, and of other arrays.

    With ``any_length`` the number of epochs does not count: a longer fit starts like a shorter one.
    """
    settings = json.loads(json.dumps(description))
    if any_length and settings["params"]["trainer"] is not None:
        settings["params"]["trainer"]["params"].pop("max_epochs")
    digest = blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    for array in (X[:: max(1, len(X) // 1000)], *(array for array in others if array is not None)):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
