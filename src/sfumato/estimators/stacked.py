"""The stacked autoencoder."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import column_or_1d
from torch import Tensor, nn
from torch.nn import functional

from sfumato.estimators.autoencoder import (
    all_of,
    check_objective,
    fit_prior,
    loss_of,
)
from sfumato.estimators.base import identified_by
from sfumato.estimators.latent import LatentEstimator
from sfumato.estimators.networks import build_pair, check_network
from sfumato.inference import forked_rng, map_precisely
from sfumato.models import Classifier, LatentVariableModel, StackedModel, layers_of
from sfumato.nn import (
    ACTIVATIONS,
    Conditional,
    FittedMixture,
    ImageShape,
    PointMassFamily,
    dropping_out,
)
from sfumato.objectives import (
    Correntropy,
    Corruption,
    Reconstruction,
    classification,
    layer_reconstruction,
    squared_error,
)
from sfumato.training import (
    AssignedRows,
    Engine,
    History,
    IndexedRows,
    Rows,
    Trainer,
    check_choice,
    finish_phases,
    phase_of,
)

UNLABELLED = -1
DEFAULT_LAYERS = {"mlp": (500, 500, 2000, 10), "conv": (32, 64, 10)}


class StackedAutoencoder(LatentEstimator):
    r"""Deep autoencoder, trained layer by layer, then end to end, then with labels if given.

    .. math:: h^{(0)} = x, \quad h^{(k)} = f_k(h^{(k-1)}), \quad
              \min_{f_k, g_k} L\big(h^{(k-1)}, g_k(f_k(\tilde h^{(k-1)}))\big), \quad k = 1, \dots

    With a corruption this is the stacked denoising autoencoder, with ``backbone="conv"`` the
    stacked convolutional one. Labels train a copy of the encoder as a classifier; the codes and
    reconstructions stay those of the autoencoder.

    Parameters
    ----------
    layers : tuple of int, optional
        Widths of the layers (for ``backbone="conv"`` channels of stride-2 convolutions), the last
        the length of the code z. Default (500, 500, 2000, 10) and (32, 64, 10).
    backbone : "mlp" or "conv"
    corruption : Gaussian, Masking, SaltAndPepper, or a sequence of them, optional
        Of the input of the layer that is trained, of the rows when all are, and of labelled rows.
    loss : "mse", "cross-entropy", "correntropy" or Correntropy
        Of the rows; what layers hand on is compared by squared errors.
    activation : "silu", "relu", "elu", "tanh", "sigmoid" or "identity"
    dropout : float
        Share of the hidden layers' values that a training step sets to zero.
    layerwise : bool
        Train layer by layer first.
    scaling : "auto", "range", "standard" or "none"
        See :class:`Autoencoder`.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional
        Of each phase: every layer, the whole, and the classifier.

    Attributes
    ----------
    model_, history_, scaling_, image_shape_, seed_
        See :class:`LatentEstimator`; the history is that of the training end to end.
    phase_losses_ : dict
        Loss of every epoch of the other phases, by their names.
    classes_ : ndarray or None
        The labels that were seen.

    References
    ----------
    Bengio, Lamblin, Popovici and Larochelle, Greedy Layer-Wise Training of Deep Networks, 2007;
    Vincent et al., Stacked Denoising Autoencoders, 2010; Masci et al., Stacked Convolutional
    Auto-Encoders, 2011.

    Examples
    --------
    >>> from sfumato import Masking, StackedAutoencoder, Trainer
    >>> from sfumato.data import load_data
    >>> digits = load_data("digits")
    >>> sae = StackedAutoencoder(
    ...     (64, 32, 10),
    ...     corruption=Masking(0.2),
    ...     random_state=0,
    ...     trainer=Trainer(max_epochs=30, batch_size=64),
    ... ).fit(digits.X, digits.y)
    >>> bool((sae.predict(digits.X) == digits.y).mean() > 0.9)
    True
    """

    trained_in_phases = True

    def __init__(
        self,
        layers: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        corruption: Corruption | Sequence[Corruption] | None = None,
        loss: str | Correntropy = "mse",
        activation: str = "silu",
        dropout: float = 0.0,
        layerwise: bool = True,
        scaling: str = "auto",
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.layers = layers
        self.backbone = backbone
        self.corruption = corruption
        self.loss = loss
        self.activation = activation
        self.dropout = dropout
        self.layerwise = layerwise
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    @property
    def _layers(self) -> tuple[int, ...]:
        return DEFAULT_LAYERS[self.backbone] if self.layers is None else tuple(self.layers)

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Length of the code."""
        return self._layers[-1]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the layers before the code."""
        return self._layers[:-1]

    @property
    def penalty(self) -> None:
        """Layers are held in check by the corruption alone."""

    def default_trainer(self) -> Trainer:
        """Return the trainer that ``trainer=None`` stands for."""
        return Trainer(max_epochs=20, min_steps=2000, schedule="cosine", averaging=0.0)

    def fit(self, X: Any, y: Any = None) -> "StackedAutoencoder":
        """Fit the autoencoder to all rows, and the classifier to those with labels.

        Parameters
        ----------
        X : array of shape (n, d) or of images, frame, tensor, Dataset, path, or data set's name
        y : array of shape (n,), optional
            Classes; -1 stands for an unknown one.

        Raises
        ------
        ValueError
            If the data, the labels or a parameter cannot be used; the message says why.
        """
        self._labels = y
        self._targets: np.ndarray | None = None
        try:
            super().fit(X)
        finally:
            del self._labels, self._targets
        return self

    def _inspect(self, X: np.ndarray) -> None:
        check_choice("backbone", self.backbone, DEFAULT_LAYERS)
        if self.layers is not None and not _are_layers(self.layers):
            raise ValueError(f"layers must hold positive whole numbers, got {self.layers!r}.")
        if self.backbone == "conv" and len(self._layers) < 2:
            raise ValueError("backbone='conv' needs two layers or more: convolutions, and a code.")
        check_network(self)
        check_objective(self)
        self.phase_losses_: dict[str, list[float]] = {}
        self.classes_, self._targets = _encoded(self._labels)
        if self._targets is not None and len(self._targets) != len(X):
            raise ValueError(
                f"X has {len(X)} rows and y {len(self._targets)} labels: give one for each row."
            )

    def _identified(self, X: np.ndarray, trainer: Trainer) -> dict[str, Any]:
        description = super()._identified(X, trainer)
        return description if self._targets is None else identified_by(description, self._targets)

    def _default_scaling(self) -> str:
        return "range"

    def _takes_pixels(self) -> bool:
        return self.loss == "cross-entropy"

    def _model(self) -> LatentVariableModel:
        code = PointMassFamily(self.latent_dim)
        output = loss_of(self)[0](self.n_features_in_)
        encoder, decoder = build_pair(self, code, output)
        if self.dropout:
            encoder, decoder = (dropping_out(part, self.dropout) for part in (encoder, decoder))
        classifier = None if self.classes_ is None else self._classifier(encoder)
        return StackedModel(
            Conditional(encoder, code),
            Conditional(decoder, output),
            FittedMixture(self.latent_dim),
            classifier,
        )

    def _classifier(self, encoder: nn.Module) -> Classifier:
        # Loaded classes are a list.
        classes = self.classes_ = np.asarray(self.classes_)
        activation = ACTIVATIONS[self.activation]()
        return Classifier(deepcopy(encoder), activation, self.latent_dim, len(classes))

    def _objective(self) -> Any:
        return Reconstruction(loss_of(self)[1], all_of(self.corruption))

    def _train(
        self, rows: Rows, trainer: Trainer, engine: Engine, description: dict[str, Any] | None
    ) -> tuple[LatentVariableModel, History]:
        with forked_rng(self.seed_):
            model: Any = self._model()
        train = partial(self._phase, trainer=trainer, engine=engine, description=description)
        if self.layerwise:
            self._train_layers(model, rows, train)
        history = train("all", model, self._objective(), rows)
        if model.classifier is not None:
            self._train_classifier(model, rows, train)
        finish_phases(trainer)
        return model, history

    def _phase(
        self,
        name: str,
        model: nn.Module,
        objective: Any,
        rows: IndexedRows,
        *,
        trainer: Trainer,
        engine: Engine,
        description: dict[str, Any] | None,
    ) -> History:
        history = phase_of(trainer, name).fit(
            model, objective, rows, seed=self.seed_, description=description, engine=engine
        )
        if name != "all":
            self.phase_losses_[name] = history["loss"]
        return history

    def _train_layers(self, model: Any, rows: Rows, train: Callable[..., History]) -> None:
        encoder, decoder = model.encoder.network, model.decoder.network
        layers = layers_of(encoder, decoder, model.decoder.family)
        for k, layer in enumerate(layers):
            objective = partial(
                layer_reconstruction,
                below=nn.Sequential(*(lower.encoder for lower in layers[:k])),
                loss=loss_of(self)[1] if k == 0 else squared_error,
                corruptions=all_of(self.corruption),
            )
            train(f"layer-{k + 1}", layer, objective, rows)

    def _train_classifier(self, model: Any, rows: Rows, train: Callable[..., History]) -> None:
        targets = torch.from_numpy(self._targets)
        known = targets != UNLABELLED
        x = rows[known.nonzero().squeeze(1)]
        one_hot = functional.one_hot(targets[known]).to(x)
        labelled = Rows(x.cpu().numpy(), torch.from_numpy, x.device)
        model.classifier.encoder.load_state_dict(model.encoder.network.state_dict())
        objective = partial(classification, corruptions=all_of(self.corruption))
        data = AssignedRows(labelled, one_hot, one_hot.new_zeros(len(one_hot)))
        train("classifier", model.classifier, objective, data)

    def _complete(self, model: LatentVariableModel, rows: Rows) -> None:
        fit_prior(model, rows, self.seed_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of every class, shape (n, n_classes).

        Raises
        ------
        ValueError
            If the fit had no labels.
        """
        x, dtype = self._rows(X)
        if self.classes_ is None:
            raise ValueError("The classes are unknown: fit with labels, fit(X, y), to predict.")
        return map_precisely(_probabilities, self.model_, x).cpu().numpy().astype(dtype)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of every row, shape (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_)[best]

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction error of every row, shape (n,), as an autoencoder's."""
        return -self.terms(X)["reconstruction"].astype(np.float64)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``, or the accuracy where labels are given."""
        if y is None or self.classes_ is None:
            return float(self.score_samples(X).mean())
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def _fitted_extras(self) -> dict[str, Any]:
        classes = None if self.classes_ is None else self.classes_.tolist()
        return {"classes_": classes, "phase_losses_": self.phase_losses_}


def _are_layers(layers: Any) -> bool:
    return (
        isinstance(layers, Sequence)
        and len(layers) > 0
        and all(isinstance(width, (int, np.integer)) and width > 0 for width in layers)
    )


def _probabilities(model: Any, x: Tensor) -> Tensor:
    probabilities: Tensor = model.classifier(x).probs
    return probabilities


def _encoded(y: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the classes and each row's place among them, -1 for an unknown one."""
    if y is None:
        return None, None
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.floor(y)).all()):
        raise ValueError("y must hold classes, -1 for an unknown one, and holds fractions or NaN.")
    unknown = y == UNLABELLED if y.dtype.kind in "ifO" else np.zeros(len(y), dtype=bool)
    if unknown.all():
        raise ValueError("y holds no label: leave it out, or give the classes of some rows.")
    try:
        classes, targets = np.unique(y[~unknown], return_inverse=True)
    except TypeError:
        raise ValueError("y must hold classes of one kind, and -1 for an unknown one.") from None
    places = np.full(len(y), UNLABELLED)
    places[~unknown] = targets
    return classes, places
