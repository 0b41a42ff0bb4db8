"""Variational deep embedding (VaDE)."""

import numpy as np

from sfumato import models
from sfumato.coupling import Coupling
from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.networks import build_pair
from sfumato.nn import Conditional, GaussianFamily, ImageShape, LearnedComponents
from sfumato.objectives import Deformation, MixtureELBO
from sfumato.training import Trainer


class VaDE(MixtureEstimator):
    r"""Variational deep embedding: a Gaussian mixture prior learned by gradients.

    .. math:: c \sim \mathrm{Cat}(\pi), \quad z|c \sim N(\mu_c, \mathrm{diag}\,\sigma_c^2), \quad
              x|z \sim \mathrm{decoder}(z), \qquad q(c|x) = p(c|z)

    Parameters
    ----------
    n_components : int
        Classes, K.
    latent_dim : int
        Length of z.
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; channels of its convolutions where
        there are some. Default (500, 500), for "conv" (32, 64), for "resnet" (32, 64, 64).
    backbone : "mlp", "conv" or "resnet"
        Of encoder and decoder; the recogniser of images is convolutional in any case.
    likelihood : "bernoulli" or "gaussian"
        p(x|z): pixels in a range (grey levels as probabilities), or real numbers with one learned
        noise scale in standardised units.
    activation : "relu", "silu", "elu", "tanh", "sigmoid" or "identity"
    recipe : "default" or "paper"
        "paper" pre-trains an autoencoder, fits a Gaussian mixture to its codes and trains all
        jointly, every row alone.
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
    Jiang et al., Variational Deep Embedding: An Unsupervised and Generative Approach to
    Clustering, 2017.

    Examples
    --------
    >>> from sfumato import VaDE, Trainer
    >>> quick = Trainer(max_epochs=5)  # codes and a coupled mixture only, for the example's sake
    >>> m = VaDE(hidden=(32,), rounds=(0, 0), random_state=0, trainer=quick)
    >>> m.fit("digits").predict_proba("digits").shape
    (1797, 10)
    """

    recipes = ("default", "paper")
    begins_with_codes = True

    def __init__(
        self,
        n_components: int = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        likelihood: str = "bernoulli",
        activation: str = "silu",
        recipe: str = "default",
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
        self.recipe = recipe
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

    def build(self, n_components: int) -> models.LatentVariableModel:
        """Build the untrained model with so many components."""
        posterior, likelihood = GaussianFamily(self.latent_dim), self.family()
        encoder, decoder = build_pair(self, posterior, likelihood)
        return models.MixtureVAE(
            Conditional(encoder, posterior),
            Conditional(decoder, likelihood),
            LearnedComponents(n_components, self.latent_dim),
            recogniser=self.recogniser(n_components),
        )

    def _objective(self) -> MixtureELBO:
        return MixtureELBO("exact", closed_form=True)
