"""The deterministic autoencoder."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sfumato.estimators.latent import LatentEstimator
from sfumato.estimators.networks import build_pair, check_network
from sfumato.estimators.views import deformation_of, random_view
from sfumato.inference import posterior_means
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    BernoulliFamily,
    Conditional,
    Family,
    FittedMixture,
    ImageShape,
    PointMassFamily,
    TopK,
    dropping_out,
)
from sfumato.objectives import (
    Correntropy,
    Corruption,
    Deformation,
    Penalty,
    Reconstruction,
    negative_log_likelihood,
    squared_error,
)
from sfumato.training import Rows, Trainer, check_choice

# name -> (family of the decoder, loss)
LOSSES: dict[str, tuple[Callable[[int], Family], Any]] = {
    "mse": (PointMassFamily, squared_error),
    "cross-entropy": (BernoulliFamily, negative_log_likelihood),
    "correntropy": (PointMassFamily, Correntropy()),
}
# The prior is fitted to at most this many codes.
PRIOR_ROWS = 10_000


class Autoencoder(LatentEstimator):
    r"""Deterministic autoencoder: shallow or deep, sparse, contractive, denoising, robust.

    .. math:: z = f(x), \quad \hat x = g(z), \quad
              \min_{f, g} \frac1n \sum_i L(x_i, g(f(\tilde x_i))) + \Omega(f, x_i)
              + \tfrac{\lambda}{2} \|W\|^2

    The corruption makes x-tilde, the penalty is Omega, and lambda is the trainer's
    ``weight_decay``. With ``hidden=()`` and ``activation="identity"`` the map is linear, and under
    "mse" the code spans the subspace of the first principal components.

    Parameters
    ----------
    latent_dim : int
        Length of z, smaller (undercomplete) or larger (overcomplete) than a row.
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; for "conv" the channels of its
        stride-2 convolutions, for "resnet" those of its residual blocks at the full resolution, at
        half of it, and so on. Default (500, 500), (32, 64) and (32, 64, 64).
    backbone : "mlp", "conv" or "resnet"
    corruption : Gaussian, Masking, SaltAndPepper, or a sequence of them, optional
        Of the input in training, while the reconstruction is compared with the clean row.
    penalty : KLSparsity, KSparse, Contractive, or a sequence of them, optional
    loss : "mse", "cross-entropy", "correntropy" or Correntropy
        Squared error summed over a row, in squared model units; the cross-entropy of pixels in
        [0, 1], in nats; or minus the correntropy, which outliers cannot drive.
    activation : "silu", "relu", "elu", "tanh", "sigmoid" or "identity"
    tied : bool
        The decoder uses the encoder's weights transposed; for "mlp" only.
    dropout : float
        Share of the hidden layers' values that a training step sets to zero.
    deformation : Deformation, "auto" or None
        Under which training images are shown, and reconstructed, in ever new variants; "auto"
        deforms images a little and leaves other rows alone.
    scaling : "auto", "range", "standard" or "none"
        Of the data before the model; "auto" is "range": to [0, 1] by the smallest and largest
        value of all. Tables with mixed units want "standard".
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional

    Attributes
    ----------
    model_, history_, scaling_, image_shape_, seed_
        See :class:`LatentEstimator`. ``model_.prior`` is a Gaussian mixture fitted to the codes of
        the training rows, from which ``sample`` draws.

    References
    ----------
    Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, 2006;
    Vincent et al., Stacked Denoising Autoencoders, 2010.

    Examples
    --------
    >>> from sfumato import Autoencoder, KSparse, Masking, Trainer
    >>> trainer = Trainer(max_epochs=1)
    >>> ae = Autoencoder(latent_dim=2, random_state=0, trainer=trainer).fit("digits")
    >>> ae.reconstruct("digits").shape
    (1797, 64)
    >>> sparse = Autoencoder(
    ...     100, (), penalty=KSparse(k=10), corruption=Masking(p=0.2), trainer=trainer
    ... ).fit("digits")
    >>> int((sparse.transform("digits") != 0).sum(axis=1).max())
    10
    """

    def __init__(
        self,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        corruption: Corruption | Sequence[Corruption] | None = None,
        penalty: Penalty | Sequence[Penalty] | None = None,
        loss: str | Correntropy = "mse",
        activation: str = "silu",
        tied: bool = False,
        dropout: float = 0.0,
        deformation: Deformation | str | None = None,
        scaling: str = "auto",
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.corruption = corruption
        self.penalty = penalty
        self.loss = loss
        self.activation = activation
        self.tied = tied
        self.dropout = dropout
        self.deformation = deformation
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    def _inspect(self, X: np.ndarray) -> None:
        check_network(self)
        check_objective(self)
        deformation_of(self)
        if self.tied and self.backbone != "mlp":
            raise ValueError("tied=True needs backbone='mlp'.")
        if self.dropout and self.backbone == "resnet":
            raise ValueError("dropout needs backbone='mlp' or 'conv'.")

    def _default_scaling(self) -> str:
        return "range"

    def _takes_pixels(self) -> bool:
        return self.loss == "cross-entropy"

    def _model(self) -> LatentVariableModel:
        code = PointMassFamily(self.latent_dim)
        output = loss_of(self)[0](self.n_features_in_)
        encoder, decoder = build_pair(self, code, output, tied=self.tied)
        if self.dropout:
            encoder, decoder = (dropping_out(part, self.dropout) for part in (encoder, decoder))
        return LatentVariableModel(
            Conditional(nn.Sequential(*encoder, *_code_layers(all_of(self.penalty))), code),
            Conditional(decoder, output),
            FittedMixture(self.latent_dim),
        )

    def _objective(self) -> Any:
        return Reconstruction(
            loss_of(self)[1], all_of(self.corruption), all_of(self.penalty), random_view(self)
        )

    def _complete(self, model: LatentVariableModel, rows: Rows) -> None:
        fit_prior(model, rows, self.seed_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction error of every row, shape (n,): high is typical.

        An autoencoder has no density; the unit is that of its loss, not nats.
        """
        return -self.terms(X)["reconstruction"].astype(np.float64)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())


def _code_layers(penalties: Sequence[Penalty]) -> list[nn.Module]:
    """Return the layers that end an encoder: each kind once, and zeros stay zeros at the end."""
    layers = {type(layer): layer for layer in (penalty.code_layer() for penalty in penalties)}
    return sorted(layers.values(), key=lambda layer: isinstance(layer, TopK))


def fit_prior(model: Any, rows: Rows, seed: int) -> None:
    """Fit the model's prior to the codes of some of the rows, spread over all."""
    index = torch.arange(0, len(rows), -(-len(rows) // PRIOR_ROWS))
    codes = [posterior_means(model, rows[chunk]) for chunk in index.split(4096)]
    model.prior.fit(torch.cat(codes), seed)


def all_of(objects: Any) -> tuple[Any, ...]:
    """Return the objects of an argument that takes none, one, or a sequence of them."""
    if objects is None:
        return ()
    return tuple(objects) if isinstance(objects, (list, tuple)) else (objects,)


def loss_of(estimator: Any) -> tuple[Callable[[int], Family], Any]:
    """Return the decoder's family and the loss that an estimator's ``loss`` stands for."""
    if isinstance(estimator.loss, Correntropy):
        return PointMassFamily, estimator.loss
    return LOSSES[estimator.loss]


def check_objective(estimator: Any) -> None:
    """Check loss, corruption, penalty and dropout.

    Raises
    ------
    ValueError
        Naming the parameter and what it takes.
    """
    if not isinstance(estimator.loss, Correntropy):
        check_choice("loss", estimator.loss, LOSSES)
    for name, kind, examples in (
        ("corruption", Corruption, "Gaussian(), Masking(), SaltAndPepper()"),
        ("penalty", Penalty, "KLSparsity(), KSparse(), Contractive()"),
    ):
        for value in all_of(getattr(estimator, name)):
            if not isinstance(value, kind):
                raise ValueError(f"{name} must be of {examples}, or a tuple; got {value!r}.")
    if not 0 <= estimator.dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {estimator.dropout}.")
