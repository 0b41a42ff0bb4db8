"""The stacked autoencoder."""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import column_or_1d
from torch import Tensor, nn
from torch.nn import functional

from sfumato.deprecation import accept_moved
from sfumato.estimators.autoencoder import filters, fit_prior, kinds_of
from sfumato.estimators.base import CODES, GENERATES, TabularEstimator
from sfumato.estimators.capabilities import (
    Decodes,
    DiagnosesCode,
    HasLoss,
    RandomState,
    Samples,
)
from sfumato.estimators.exhibits import Exhibit, Figures
from sfumato.estimators.fit import Fit
from sfumato.inference import map_float64
from sfumato.likelihoods import Loss, loss_of, squared_error
from sfumato.models import (
    Classifier,
    LatentVariableModel,
    StackedModel,
    classification,
    layer_reconstruction,
    layers_of,
)
from sfumato.nn import (
    ACTIVATIONS,
    BACKBONES,
    Backbone,
    Conditional,
    FittedMixture,
    ImageShape,
    PointMassFamily,
    backbone_of,
    chained,
)
from sfumato.objectives import Corruption, Reconstruction, SameStep
from sfumato.scaling import Scaler
from sfumato.training import LabelledRows, Optimizer, Rows, Trainer, check_choice

UNLABELLED = -1
DEFAULT_LAYERS = {"mlp": (500, 500, 2000, 10), "conv": (32, 64, 10)}


def phases(estimator: Any, X: np.ndarray) -> list[Exhibit]:
    """Return what the layers, and the classifier, started and ended with."""
    rows = [
        [name, f"{losses[0]:.4g}", f"{losses[-1]:.4g}"]
        for name, losses in estimator.phase_losses_.items()
    ]
    header = ["phase", "loss of the first epoch", "of the last"]
    return [Figures("Layers", header, rows)] if rows else []


class StackedAutoencoder(HasLoss, Decodes, Samples, DiagnosesCode, TabularEstimator):
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
    backbone : "mlp", "conv", MLP or Conv
        An object sets activation and dropout as well.
    corruption : Corruption, or a sequence of them, optional
        Of the input of the layer that is trained, of the rows when all are, and of labelled rows.
    loss : "auto", "mse", "cross-entropy", "correntropy" or Loss
        Of the rows, see :class:`Autoencoder`; what layers hand on is compared by squared errors.
    layerwise : bool
        Train layer by layer first.
    scaling : "auto", "range", "standard", "none" or Scaler
        See :class:`Autoencoder`.
    image_shape, random_state
        See :class:`VAE`.
    trainer : Trainer, optional
        Of each phase: every layer, the whole, and the classifier.

    Attributes
    ----------
    model_, history_, scaling_, image_shape_, seed_
        See :class:`TabularEstimator`; the history is that of the training end to end.
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
    >>> from sfumato import MaskingNoise, StackedAutoencoder, Trainer
    >>> from sfumato.data import load_data
    >>> digits = load_data("digits")
    >>> sae = StackedAutoencoder(
    ...     (64, 32, 10),
    ...     corruption=MaskingNoise(0.2),
    ...     random_state=0,
    ...     trainer=Trainer(max_epochs=30, batch_size=64),
    ... ).fit(digits.X, digits.y)
    >>> bool((sae.predict(digits.X) == digits.y).mean() > 0.9)
    True
    """

    operations = CODES | {"score"} | GENERATES
    teachable = True
    resolvers = {"backbone": backbone_of, "loss": loss_of}
    trained_in_phases = True
    trainer_defaults = {
        "max_epochs": 20,
        "min_steps": 2000,
        "schedule": "cosine",
        "optimizer": Optimizer(averaging=0.0),
    }
    stored = ("classes_", "phase_losses_", "loss_")
    shows = (phases, filters)
    homes = dict.fromkeys(("activation", "dropout"), "backbone")
    # Layers are held in check by the corruption alone.
    penalty = None

    def __init__(
        self,
        layers: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        corruption: Corruption | Sequence[Corruption] | None = None,
        loss: Loss | str = "auto",
        layerwise: bool = True,
        scaling: Scaler | str = "auto",
        image_shape: ImageShape | bool | None = None,
        random_state: RandomState = None,
        trainer: Trainer | None = None,
        **moved: Any,
    ) -> None:
        self.layers = layers
        self.backbone = backbone
        self.corruption = corruption
        self.loss = loss
        self.layerwise = layerwise
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    @property
    def _layers(self) -> tuple[int, ...]:
        return DEFAULT_LAYERS[self._kind()] if self.layers is None else tuple(self.layers)

    def _kind(self) -> str:
        """Return the name of the backbone's kind."""
        own = backbone_of(self.backbone)
        kinds = [name for name, cls in BACKBONES.items() if type(own) is cls]
        kind = kinds[0] if kinds else type(own).__name__
        check_choice("backbone", kind, DEFAULT_LAYERS)
        return kind

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Length of the code."""
        return self._layers[-1]

    @property
    def hidden(self) -> tuple[int, ...]:  # type: ignore[override]
        """Widths of the layers before the code."""
        return self._layers[:-1]

    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> Self:
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
        X = self._begin(X, columns)
        self._fit_loss(X)
        self._check_layers()
        objective = self._objective()
        self.phase_losses_: dict[str, tuple[float, ...]] = {}
        self.classes_, targets = _encoded(y, len(X))
        fit = self._start(X, targets)
        model: Any = fit.build(self._build)
        if self.layerwise:
            self._train_layers(model, fit)
        history = fit.phase("all", model, objective)
        if targets is not None:
            self._train_classifier(model, fit, torch.from_numpy(targets))
        fit.trainer.finish_phases()
        fit_prior(model, fit.rows, fit.seed)
        return self._finish(model, history)

    def _check_layers(self) -> None:
        if self.layers is not None and not _are_layers(self.layers):
            raise ValueError(f"layers must hold positive whole numbers, got {self.layers!r}.")
        if self._kind() == "conv" and len(self._layers) < 2:
            raise ValueError("backbone='conv' needs two layers or more: convolutions, and a code.")
        self._check_network()

    def _build(self) -> LatentVariableModel:
        code, loss = PointMassFamily(self.latent_dim), self._judge()
        output = loss.family(self.row_width_)
        encoder, decoder = self._networks(code.n_parameters, output.n_parameters)
        encoder = chained(*loss.input_layers(), encoder)
        classifier = None if self.classes_ is None else self._classifier(encoder)
        return StackedModel(
            Conditional(encoder, code),
            Conditional(decoder, output),
            FittedMixture(self.latent_dim),
            classifier,
        )

    def _classifier(self, encoder: nn.Module) -> Classifier:
        backbone: Any = self._backbone()
        activation = ACTIVATIONS[backbone.activation]()
        n_classes = len(np.asarray(self.classes_))
        return Classifier(deepcopy(encoder), activation, self.latent_dim, n_classes)

    def _objective(self) -> Reconstruction:
        return Reconstruction(self._judge(), kinds_of("corruption", self.corruption, Corruption))

    def _train_layers(self, model: Any, fit: Fit) -> None:
        encoder, decoder = model.encoder.network, model.decoder.network
        layers = layers_of(encoder, decoder, model.decoder.family)
        for k, layer in enumerate(layers):
            step = partial(
                layer_reconstruction,
                below=nn.Sequential(*(lower.encoder for lower in layers[:k])),
                loss=self._judge() if k == 0 else squared_error,
                corruptions=kinds_of("corruption", self.corruption, Corruption),
            )
            name = f"layer-{k + 1}"
            losses = fit.phase(name, layer, SameStep(step))["loss"]
            self.phase_losses_[name] = tuple(losses)

    def _train_classifier(self, model: Any, fit: Fit, targets: Tensor) -> None:
        known = targets != UNLABELLED
        x = fit.rows[known.nonzero().squeeze(1)]
        one_hot = functional.one_hot(targets[known]).to(x)
        labelled = Rows(x.cpu().numpy(), torch.from_numpy, x.device)
        model.classifier.encoder.load_state_dict(model.encoder.network.state_dict())
        corruptions = kinds_of("corruption", self.corruption, Corruption)
        step = SameStep(partial(classification, corruptions=corruptions))
        data = LabelledRows(labelled, one_hot, one_hot.new_zeros(len(one_hot)))
        history = fit.phase("classifier", model.classifier, step, data)
        self.phase_losses_["classifier"] = tuple(history["loss"])

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
        return map_float64(_probabilities, self.model_, x).cpu().numpy().astype(dtype)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of every row, shape (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_)[best]

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``, or the accuracy where labels are given."""
        if y is None or self.classes_ is None:
            return float(self.score_samples(X).mean())
        return float(np.mean(self.predict(X) == np.asarray(y)))


def _are_layers(layers: Any) -> bool:
    return (
        isinstance(layers, Sequence)
        and len(layers) > 0
        and all(isinstance(width, (int, np.integer)) and width > 0 for width in layers)
    )


def _probabilities(model: Any, x: Tensor) -> Tensor:
    probabilities: Tensor = model.classifier(x).probs
    return probabilities


def _encoded(y: Any, n_rows: int) -> tuple[np.ndarray | None, np.ndarray | None]:
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
    if len(y) != n_rows:
        raise ValueError(f"X has {n_rows} rows and y {len(y)} labels: give one for each row.")
    return classes, places
