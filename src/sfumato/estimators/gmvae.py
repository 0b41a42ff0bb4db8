"""The Gaussian mixture variational autoencoder (GMVAE)."""

import numpy as np

from sfumato import models
from sfumato.coupling import Coupling
from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.networks import build_pair
from sfumato.nn import Conditional, GaussianFamily, ImageShape, StyledComponents, mlp
from sfumato.objectives import Deformation, GMVAEBound
from sfumato.training import Trainer, check_count

# Width of the hidden layer of q(w|y): a style is little, and as deep a network as the code's would
# cost half as much again.
STYLE_WIDTH = 500


class GMVAE(MixtureEstimator):
    r"""Gaussian mixture variational autoencoder: a class and a style make the code.

    .. math:: w \sim N(0, I), \quad z \sim \mathrm{Cat}(\pi), \quad
              x|w, z \sim N(\mu_z(w), \mathrm{diag}\,\sigma_z^2(w)), \quad
              y|x \sim \mathrm{decoder}(x)

    Here the data are y and the code is x, as in the paper.

    Parameters
    ----------
    n_components : int
        Classes, K.
    latent_dim : int
        Length of the code x.
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; channels of its convolutions where
        there are some. Default (500, 500), for "conv" (32, 64), for "resnet" (32, 64, 64).
    backbone : "mlp", "conv" or "resnet"
        Of encoder and decoder; the recogniser of images is convolutional in any case.
    likelihood : "bernoulli" or "gaussian"
        p(y|x): pixels in a range (grey levels as probabilities), or real numbers with one learned
        noise scale in standardised units.
    activation : "relu", "silu", "elu", "tanh", "sigmoid" or "identity"
    style_dim : int
        Length of w.
    learned_weights : bool
        Learn pi; otherwise it is uniform.
    recipe : "default" or "paper"
        "paper" trains the four terms from scratch, every row alone.
    objective : GMVAEBound, optional
        Of the "paper" recipe (default: a warm-up of 10 epochs, no cut-off), and of ``terms``.
    coupling : "neighbours", Coupling, or None
        Prior that makes neighbours share a label; None leaves every row alone.
    n_subcomponents : int
        Components that each cluster begins with; they are merged, without labels, once they have
        been trained.
    rounds : (int, int)
        Rounds of joint training before and after that.
    n_init : int
        Starts, of which the one with the highest bound is kept.
    pretrained : Autoencoder, optional
        A fitted one to begin from, with the same ``latent_dim``, ``hidden`` and scaling.
    deformation : "auto", Deformation, or None
        Under which an image keeps its label; "auto" deforms images a little. New rows
        are seen in four of them.
    scaling : "auto", "range", "standard" or "none"
        As in :class:`VAE`.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional
        Of all rounds together; the pre-training has twice its epochs. Default: 30 epochs or 2,400
        steps, whichever is more, of 256 rows, learning rate 2e-3 falling like a cosine.

    Attributes
    ----------
    labels_ : ndarray, shape (n,)
        Clusters of the training rows.
    model_, history_, scaling_, image_shape_, seed_
        See :class:`LatentEstimator`.

    References
    ----------
    Dilokthanakul et al., Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders, 2016.

    Examples
    --------
    >>> from sfumato import GMVAE, Trainer
    >>> quick = Trainer(max_epochs=5)  # codes and a coupled mixture only, for the example's sake
    >>> m = GMVAE(hidden=(32,), rounds=(0, 0), random_state=0, trainer=quick)
    >>> m.fit("digits").transform("digits").shape
    (1797, 10)
    """

    recipes = ("default", "paper")

    def __init__(
        self,
        n_components: int = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        likelihood: str = "bernoulli",
        activation: str = "silu",
        style_dim: int = 10,
        learned_weights: bool = False,
        recipe: str = "default",
        objective: GMVAEBound | None = None,
        coupling: Coupling | str | None = "neighbours",
        n_subcomponents: int = 8,
        rounds: tuple[int, int] = (2, 2),
        n_init: int = 1,
        pretrained: Autoencoder | None = None,
        deformation: Deformation | str | None = "auto",
        scaling: str = "auto",
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.n_components = n_components
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.likelihood = likelihood
        self.activation = activation
        self.style_dim = style_dim
        self.learned_weights = learned_weights
        self.recipe = recipe
        self.objective = objective
        self.coupling = coupling
        self.n_subcomponents = n_subcomponents
        self.rounds = rounds
        self.n_init = n_init
        self.pretrained = pretrained
        self.deformation = deformation
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    def _inspect(self, X: np.ndarray) -> None:
        super()._inspect(X)
        check_count("style_dim", self.style_dim)

    def build(self, n_components: int) -> models.LatentVariableModel:
        """Build the untrained model with so many components."""
        posterior, likelihood = GaussianFamily(self.latent_dim), self.family()
        encoder, decoder = build_pair(self, posterior, likelihood)
        style = GaussianFamily(self.style_dim)
        prior = StyledComponents(
            n_components,
            self.latent_dim,
            self.style_dim,
            learned_weights=self.learned_weights,
        )
        return models.GMVAE(
            Conditional(encoder, posterior),
            Conditional(decoder, likelihood),
            prior,
            Conditional(mlp([self.n_features_in_, STYLE_WIDTH, style.n_parameters]), style),
            self.recogniser(n_components),
        )

    def _objective(self) -> GMVAEBound:
        return GMVAEBound(warmup=10) if self.objective is None else self.objective

    def _latent_model(self) -> models.LatentVariableModel:
        joint: models.LatentVariableModel = self.model_.joint()
        return joint
