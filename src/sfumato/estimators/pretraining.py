"""The autoencoder whose codes are clustered: given, or fitted to the rows first."""

from abc import abstractmethod
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.base import TabularEstimator
from sfumato.estimators.fit import Fit
from sfumato.estimators.stacked import StackedAutoencoder
from sfumato.inference import posterior_means
from sfumato.likelihoods import Loss
from sfumato.models import LatentVariableModel
from sfumato.nn import MLP, Backbone, Conditional, Family, PointMassFamily, Sizes, chained
from sfumato.objectives import Reconstruction
from sfumato.scaling import Scaler, Scaling

Pretrained = Autoencoder | StackedAutoencoder
PRETRAINING = "pretraining"
# An autoencoder has this many times the epochs that its clusters have afterwards.
PRETRAINING_EPOCHS = 2
# The pre-trained encoder is a point; its posterior starts with this share of the codes' deviation.
FIRST_SCALE = 0.1


@dataclass(frozen=True)
class Pretraining:
    """An autoencoder that a model continues.

    Attributes
    ----------
    backbone : Backbone
    latent_dim : int
    loss : Loss
    code : Family
        Of the posterior that continues it: its mean is the autoencoder's code.
    scaling : Scaling
        Of the rows that the model is fitted to.
    given : Autoencoder, StackedAutoencoder or None
        A fitted one.
    """

    backbone: Backbone
    latent_dim: int
    loss: Loss
    code: Family
    scaling: Scaling
    given: Any = None

    def model(self, fit: Fit) -> Any:
        """Return the trained autoencoder's model: the given one, or one fitted to the rows."""
        if self.given is not None:
            self._check_given()
            return self.given.model_
        seed = int(check_random_state(fit.seed).randint(2**31 - 1))
        model = fit.build(lambda: self._build(fit), seed)
        objective = Reconstruction(self.loss, view=fit.view)
        epochs = PRETRAINING_EPOCHS * fit.trainer.max_epochs
        fit.phase(PRETRAINING, model, objective, seed=seed, max_epochs=epochs)
        return model

    def _build(self, fit: Fit) -> LatentVariableModel:
        n_features = fit.rows[:1].shape[1]
        n_inputs = self.loss.input_width(n_features)
        point, output = PointMassFamily(self.latent_dim), self.loss.family(n_features)
        sizes = Sizes(
            n_inputs, fit.image_shape, self.latent_dim, output.n_parameters, self.latent_dim
        )
        encoder, decoder = self.backbone.build(sizes)
        layers = chained(*self.loss.input_layers(), encoder, *self.code.mean_layers())
        # No prior: nobody draws from it.
        return LatentVariableModel(
            Conditional(layers, point),
            Conditional(decoder, output),
            nn.Identity(),
        )

    def _check_given(self) -> None:
        """Check that the given autoencoder can be continued.

        Raises
        ------
        ValueError
            Naming what must be different.
        """
        given = self.given
        if not isinstance(given, Pretrained):
            raise ValueError(
                f"pretrained must be a fitted Autoencoder or StackedAutoencoder, got {given!r}."
            )
        check_is_fitted(given, "model_")
        if self.code.mean_layers():
            raise ValueError("pretrained has real codes; binary codes cannot continue them.")
        found, needed = describe(given), self._needed()
        for name, value in needed.items():
            if found[name] != value:
                raise ValueError(
                    f"pretrained has {name}={found[name]!r}; to continue it, it must be {value!r}."
                )
        if given.scaling_ != self.scaling:
            raise ValueError(
                "pretrained scales its rows differently; fit it to the same rows with the same "
                "scaling."
            )

    def _needed(self) -> dict[str, Any]:
        architecture = {"backbone": type(self.backbone).__name__, **_settings(self.backbone)}
        return {
            "latent_dim": self.latent_dim,
            **architecture,
            "loss": repr(self.loss),
            "penalty": None,
        }


def describe(autoencoder: Pretrained) -> dict[str, Any]:
    """Return what a model that continues an autoencoder must have in common with it."""
    backbone = autoencoder._backbone()
    return {
        "latent_dim": autoencoder.latent_dim,
        "backbone": type(backbone).__name__,
        **_settings(backbone),
        "loss": repr(autoencoder._judge()),
        "penalty": autoencoder.penalty,
    }


def _settings(backbone: Any) -> dict[str, Any]:
    settings = backbone.get_params(deep=False)
    return settings | ({"hidden": backbone.widths} if "hidden" in settings else {})


if TYPE_CHECKING:
    # What the mixin takes from the class that it is mixed into.
    Host = TabularEstimator
else:
    Host = object


class StartsFromCodes(Host):
    """A model that starts from the codes of an autoencoder, which several fits can share."""

    recipe: Any

    @abstractmethod
    def _recipe(self) -> Any:
        """Return the recipe, which may hold a fitted autoencoder."""

    def _backbone(self) -> Backbone:
        default = self.backbone == "mlp" and self.hidden is None
        return MLP(by_columns=True) if default else super()._backbone()

    @abstractmethod
    def _first_loss(self) -> Loss:
        """Return the loss of the autoencoder."""

    @abstractmethod
    def _first_scaling(self) -> Scaler | str:
        """Return the default scaling."""

    @property
    @abstractmethod
    def starts_pretrained(self) -> bool:
        """Whether a fit starts with an autoencoder at all."""

    def start_from(self, autoencoder: Pretrained) -> None:
        """Let the next fit start from a fitted autoencoder."""
        recipe = self._recipe()
        self.recipe = type(recipe)(**recipe.get_params(deep=False) | {"pretrained": autoencoder})

    def pretraining(self) -> Autoencoder:
        """Return the autoencoder that a fit starts with where none is given, unfitted."""
        trainer = self._trainer()
        return Autoencoder(
            latent_dim=self.latent_dim,
            backbone=self._backbone(),
            loss=self._first_loss(),
            deformation=self._recipe().deformation,
            scaling=self._first_scaling() if self.scaling == "auto" else self.scaling,
            image_shape=self.image_shape,
            random_state=self.random_state,
            trainer=trainer.phase(PRETRAINING, max_epochs=PRETRAINING_EPOCHS * trainer.max_epochs),
        )

    def pretrain(self, X: Any) -> Autoencoder:
        """Fit the autoencoder that a fit to X would start with, to share it by ``pretrained``.

        With whole numbers for ``random_state`` the fit that starts with it is the same, bit for
        bit.
        """
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return self.pretraining().set_params(random_state=seed).fit(X)


def codes_of(autoencoder: Any, fit: Fit) -> Tensor:
    """Return the autoencoder's codes of all rows, shape (n, latent_dim)."""
    return posterior_means(autoencoder, fit.rows)


@torch.no_grad()
def take_over(model: Any, autoencoder: Any, scale: float) -> None:
    """Give a model the weights of a pre-trained autoencoder of the same widths.

    A Gaussian posterior's deviation, which a point lacks, starts at a tenth of that of the codes.
    """
    point, posterior = autoencoder.encoder.network, model.encoder.network
    weights, shapes = dict(point.state_dict()), posterior.state_dict()
    for name in list(shapes)[-2:]:
        filled = torch.zeros_like(shapes[name])
        n = len(weights[name])
        filled[:n] = weights[name]
        if filled.ndim == 1 and len(filled) > n:
            filled[n:] = log(FIRST_SCALE * scale)
        weights[name] = filled
    posterior.load_state_dict(weights)
    if type(model.decoder.family) is type(autoencoder.decoder.family):
        # Scales and thresholds are part of what was learned.
        model.decoder.family.load_state_dict(autoencoder.decoder.family.state_dict())
    model.decoder.network.load_state_dict(autoencoder.decoder.network.state_dict())
