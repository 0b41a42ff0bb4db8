"""The deterministic autoencoder."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from sfumato.estimators.base import LatentEstimator
from sfumato.estimators.networks import build_pair, check_network
from sfumato.inference import map_blocks
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    BernoulliFamily,
    Conditional,
    Family,
    FittedMixture,
    ImageShape,
    PointMassFamily,
)
from sfumato.objectives import negative_log_likelihood, reconstruction, squared_error
from sfumato.training import Rows, Trainer, check_choice

# name -> (family of the decoder, loss)
LOSSES: dict[str, tuple[Callable[[int], Family], Any]] = {
    "mse": (PointMassFamily, squared_error),
    "cross-entropy": (BernoulliFamily, negative_log_likelihood),
}
# The prior is fitted to at most this many codes.
PRIOR_ROWS = 10_000


class Autoencoder(LatentEstimator):
    r"""Deterministic autoencoder.

    .. math:: z = f(x), \quad \hat x = g(z), \quad
              \min_{f, g} \frac1n \sum_i L(x_i, g(f(x_i))) + \tfrac{\lambda}{2} \|W\|^2

    Lambda is the trainer's ``weight_decay``. With ``hidden=()`` and ``activation="identity"`` the
    map is linear, and under "mse" the code spans the subspace of the first principal components.

    Parameters
    ----------
    latent_dim : int
        Length of z, smaller (undercomplete) or larger (overcomplete) than a row.
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; for ``backbone="conv"`` the
        channels of its stride-2 convolutions. Default (500, 500) and (32, 64).
    backbone : "mlp" or "conv"
    loss : "mse" or "cross-entropy"
        Squared error summed over a row, in squared model units; or the cross-entropy of pixels in
        [0, 1], in nats.
    activation : "silu", "relu", "elu", "tanh", "sigmoid" or "identity"
    tied : bool
        The decoder uses the encoder's weights transposed; for "mlp" only.
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
    Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, 2006.

    Examples
    --------
    >>> from sfumato import Autoencoder, Trainer
    >>> ae = Autoencoder(latent_dim=2, random_state=0, trainer=Trainer(max_epochs=1)).fit("digits")
    >>> ae.reconstruct("digits").shape
    (1797, 64)
    """

    def __init__(
        self,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        loss: str = "mse",
        activation: str = "silu",
        tied: bool = False,
        scaling: str = "auto",
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.loss = loss
        self.activation = activation
        self.tied = tied
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    def _inspect(self, X: np.ndarray) -> None:
        check_network(self)
        check_choice("loss", self.loss, LOSSES)
        if self.tied and self.backbone != "mlp":
            raise ValueError("tied=True needs backbone='mlp'.")

    def _default_scaling(self) -> str:
        return "range"

    def _takes_pixels(self) -> bool:
        return self.loss == "cross-entropy"

    def _model(self) -> LatentVariableModel:
        code = PointMassFamily(self.latent_dim)
        output = LOSSES[self.loss][0](self.n_features_in_)
        encoder, decoder = build_pair(self, code, output, tied=self.tied)
        return LatentVariableModel(
            Conditional(encoder, code),
            Conditional(decoder, output),
            FittedMixture(self.latent_dim),
        )

    def _objective(self) -> Any:
        return partial(reconstruction, loss=LOSSES[self.loss][1])

    def _complete(self, model: LatentVariableModel, rows: Rows) -> None:
        index = torch.arange(0, len(rows), -(-len(rows) // PRIOR_ROWS))
        codes = [
            map_blocks(lambda block: model.encoder(block).mean, rows[chunk])
            for chunk in index.split(4096)
        ]
        model.prior.fit(torch.cat(codes), self.seed_)  # type: ignore[operator]

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction error of every row, shape (n,): high is typical.

        An autoencoder has no density; the unit is that of its loss, not nats.
        """
        return -self.terms(X)["reconstruction"].astype(np.float64)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())
