"""The deterministic autoencoder."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from sfumato.deprecation import accept_moved
from sfumato.estimators.base import CODES, GENERATES, TabularEstimator
from sfumato.estimators.capabilities import (
    Decodes,
    DiagnosesCode,
    HasLoss,
    RandomState,
    Samples,
)
from sfumato.estimators.exhibits import Exhibit, Pictures
from sfumato.estimators.fit import deformation_of, view_of
from sfumato.inference import posterior_means
from sfumato.likelihoods import Loss, loss_of
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    Backbone,
    Conditional,
    Deformation,
    FittedMixture,
    ImageShape,
    PointMassFamily,
    TopK,
    backbone_of,
    chained,
)
from sfumato.objectives import Corruption, Penalty, Reconstruction
from sfumato.scaling import Scaler
from sfumato.training import Rows, Trainer

# The prior is fitted to at most this many codes.
PRIOR_ROWS = 10_000
# Units of the first layer that a page shows.
N_FILTERS = 48


def filters(estimator: Any, X: np.ndarray) -> list[Exhibit]:
    """Return what the units of the first layer look for, where that layer sees all pixels."""
    layers = estimator.model_.encoder.modules()
    first = next(layer for layer in layers if not any(True for _ in layer.children()))
    if not isinstance(first, nn.Linear):
        return []
    weights = first.weight.detach().cpu().numpy()
    strongest = np.argsort(-np.linalg.norm(weights, axis=1), kind="stable")[:N_FILTERS]
    # Each by itself: what matters is its shape.
    shown = weights[strongest]
    shown = shown / np.abs(shown).max(axis=1, keepdims=True).clip(1e-12)
    caption = f"Weights of {len(shown)} of {len(weights)} units of the first layer, largest first."
    return [Pictures("Filters", {"": shown}, caption, signed=True)]


class Autoencoder(HasLoss, Decodes, Samples, DiagnosesCode, TabularEstimator):
    r"""Deterministic autoencoder: shallow or deep, sparse, contractive, denoising, robust.

    .. math:: z = f(x), \quad \hat x = g(z), \quad
              \min_{f, g} \frac1n \sum_i L(x_i, g(f(\tilde x_i))) + \Omega(f, x_i)
              + \tfrac{\lambda}{2} \|W\|^2

    The corruption makes x-tilde, the penalty is Omega, and lambda is the optimiser's
    ``weight_decay``. With ``backbone=MLP((), "identity")`` the map is linear, and under "mse" the
    code spans the subspace of the first principal components.

    Parameters
    ----------
    latent_dim : int
        Length of z, smaller (undercomplete) or larger (overcomplete) than a row.
    hidden, backbone
        See :class:`VAE`; ``MLP(tied=True)`` uses the encoder's weights transposed in the decoder,
        ``MLP(dropout=0.2)`` drops hidden values out.
    corruption : Corruption, or a sequence of them, optional
        Of the input in training, while the reconstruction is compared with the clean row:
        :class:`~sfumato.GaussianNoise`, :class:`~sfumato.MaskingNoise`,
        :class:`~sfumato.SaltAndPepper`.
    penalty : Penalty, or a sequence of them, optional
        :class:`~sfumato.KLSparsity`, :class:`~sfumato.KSparse`, :class:`~sfumato.Contractive`.
    loss : "mse", "cross-entropy", "correntropy" or Loss
        Squared error summed over a row, in squared model units; the cross-entropy of pixels in
        [0, 1], in nats; or minus the correntropy, which outliers cannot drive.
    deformation : Deformation, "auto" or None
        Under which training images are shown, and reconstructed, in ever new variants; "auto"
        deforms images a little and leaves other rows alone.
    scaling : "auto", "range", "standard", "none" or Scaler
        "auto" is the loss's own, for the named ones "range": to [0, 1] by the smallest and largest
        value of all. Tables with mixed units want "standard".
    image_shape, random_state, trainer
        See :class:`VAE`.

    Attributes
    ----------
    model_, history_, scaling_, image_shape_, seed_
        See :class:`TabularEstimator`. ``model_.prior`` is a Gaussian mixture fitted to the codes of
        the training rows, from which ``sample`` draws.

    References
    ----------
    Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, 2006;
    Vincent et al., Stacked Denoising Autoencoders, 2010.

    Examples
    --------
    >>> from sfumato import Autoencoder, KSparse, MaskingNoise, Trainer
    >>> trainer = Trainer(max_epochs=1)
    >>> ae = Autoencoder(latent_dim=2, random_state=0, trainer=trainer).fit("digits")
    >>> ae.reconstruct("digits").shape
    (1797, 64)
    >>> sparse = Autoencoder(
    ...     100, (), penalty=KSparse(k=10), corruption=MaskingNoise(p=0.2), trainer=trainer
    ... ).fit("digits")
    >>> int((sparse.transform("digits") != 0).sum(axis=1).max())
    10
    """

    operations = CODES | {"score"} | GENERATES
    shows = (filters,)
    resolvers = {"backbone": backbone_of, "loss": loss_of}
    stored = ("loss_",)
    homes = dict.fromkeys(("activation", "tied", "dropout"), "backbone")

    def __init__(
        self,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        corruption: Corruption | Sequence[Corruption] | None = None,
        penalty: Penalty | Sequence[Penalty] | None = None,
        loss: Loss | str = "auto",
        deformation: Deformation | str | None = None,
        scaling: Scaler | str = "auto",
        image_shape: ImageShape | bool | None = None,
        random_state: RandomState = None,
        trainer: Trainer | None = None,
        **moved: Any,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.corruption = corruption
        self.penalty = penalty
        self.loss = loss
        self.deformation = deformation
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> Self:
        """Fit the model to rows X; see :meth:`TabularEstimator.fit`."""
        X = self._begin(X, columns)
        self._check_network()
        self._fit_loss(X)
        objective = self._objective()
        fit = self._start(X)
        model = fit.build(self._build)
        history = fit.train(model, objective)
        fit_prior(model, fit.rows, fit.seed)
        return self._finish(model, history)

    def _build(self) -> LatentVariableModel:
        code, loss = PointMassFamily(self.latent_dim), self._judge()
        output = loss.family(self.row_width_)
        encoder, decoder = self._networks(code.n_parameters, output.n_parameters)
        layers = chained(*loss.input_layers(), encoder, *_code_layers(all_of(self.penalty)))
        return LatentVariableModel(
            Conditional(layers, code),
            Conditional(decoder, output),
            FittedMixture(self.latent_dim),
        )

    def _objective(self) -> Reconstruction:
        return Reconstruction(
            self._judge(),
            kinds_of("corruption", self.corruption, Corruption),
            kinds_of("penalty", self.penalty, Penalty),
            view_of(deformation_of(self.deformation, self.image_shape_), self.image_shape_),
        )

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


EXAMPLES = {
    "corruption": "GaussianNoise(), MaskingNoise(), SaltAndPepper()",
    "penalty": "KLSparsity(), KSparse(), Contractive()",
}


def kinds_of(name: str, values: Any, kind: type) -> tuple[Any, ...]:
    """Return the objects of an argument, all of one kind.

    Raises
    ------
    ValueError
        If one is of another kind.
    """
    for value in all_of(values):
        if not isinstance(value, kind):
            raise ValueError(f"{name} must be of {EXAMPLES[name]}, or a tuple; got {value!r}.")
    return all_of(values)
