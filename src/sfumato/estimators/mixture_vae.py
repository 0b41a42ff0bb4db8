"""The mixture variational autoencoder."""

from collections.abc import Callable

import numpy as np

from sfumato import models
from sfumato.coupling import Coupling
from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.networks import build_pair
from sfumato.nn import (
    BernoulliComponents,
    Components,
    Conditional,
    Family,
    GaussianComponents,
    GaussianFamily,
    ImageShape,
    RelaxedBernoulliFamily,
    mlp,
)
from sfumato.objectives import Deformation, MixtureELBO
from sfumato.training import Trainer, check_choice

# Width of the one hidden layer of q(c|z).
CLASSIFIER_WIDTH = 128
# name -> (family of q(z|x), p(c) and p(z|c), and their settings in the report: p(c) stays uniform,
# and nothing of the batches before is kept)
CODES: dict[str, tuple[Callable[[int], Family], Callable[..., Components], dict[str, float]]] = {
    "gaussian": (
        GaussianFamily,
        GaussianComponents,
        {"decay": 0.0, "shrinkage": 0.0, "uniform": True},
    ),
    "bernoulli": (RelaxedBernoulliFamily, BernoulliComponents, {"decay": 0.0, "uniform": True}),
}
INFERENCES = ("exact", "marginal", "gumbel")


class MixtureVAE(MixtureEstimator):
    r"""Variational autoencoder whose code comes from a mixture of full-covariance Gaussians.

    .. math:: c \sim \mathrm{Cat}(\pi), \quad z|c \sim N(\mu_c, \Sigma_c), \quad
              x|z \sim \mathrm{decoder}(z), \qquad q(z, c|x) = q(z|x)\, q(c|z)

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
    latent_likelihood : "gaussian" or "bernoulli"
        p(z|c): real codes, or binary ones whose draws are relaxed in training.
    inference : "exact", "marginal" or "gumbel"
        q(c|z): the mixture's own posterior; a network, summed over c; a network with relaxed draws
        of c (Gumbel-softmax).
    recipe : "default" or "report"
        "report" trains everything at once from scratch, with the means and covariances of the
        batch, as in the report that proposed the model. Its classes collapse.
    objective : MixtureELBO, optional
        Of the "report" recipe, and of ``terms``.
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
    Wu, Mixture Variational Autoencoders (project report), 2018; Jang, Gu and Poole, Categorical
    Reparameterization with Gumbel-Softmax, 2017.

    Examples
    --------
    >>> from sfumato import MixtureVAE, Trainer
    >>> quick = Trainer(max_epochs=5)  # codes and a coupled mixture only, for the example's sake
    >>> m = MixtureVAE(hidden=(32,), rounds=(0, 0), random_state=0, trainer=quick)
    >>> m.fit("digits").sample(3, component=0).shape
    (3, 64)
    """

    recipes = ("default", "report")

    def __init__(
        self,
        n_components: int = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        likelihood: str = "bernoulli",
        activation: str = "silu",
        latent_likelihood: str = "gaussian",
        inference: str = "exact",
        recipe: str = "default",
        objective: MixtureELBO | None = None,
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
        self.latent_likelihood = latent_likelihood
        self.inference = inference
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
        check_choice("latent_likelihood", self.latent_likelihood, CODES)
        check_choice("inference", self.inference, INFERENCES)

    def build(self, n_components: int) -> models.LatentVariableModel:
        """Build the untrained model with so many components."""
        family, components, report = CODES[self.latent_likelihood]
        posterior, likelihood = family(self.latent_dim), self.family()
        encoder, decoder = build_pair(self, posterior, likelihood)
        settings = report if self.recipe == "report" else {}
        prior = components(n_components, self.latent_dim, **settings)
        by_network = self.inference != "exact" or self.recipe == "report"
        widths = [self.latent_dim, CLASSIFIER_WIDTH, n_components]
        return models.MixtureVAE(
            Conditional(encoder, posterior),
            Conditional(decoder, likelihood),
            prior,
            mlp(widths) if by_network else None,
            self.recogniser(n_components),
        )

    def _objective(self) -> MixtureELBO:
        if self.objective is not None:
            return self.objective
        if self.recipe == "report":
            return MixtureELBO("gumbel", closed_form=True)
        return MixtureELBO(self.inference)
