"""The mixture variational autoencoder."""

from collections.abc import Callable
from typing import Any

from sfumato.deprecation import accept_moved
from sfumato.estimators.capabilities import RandomState
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.recipe import Published, Recipe
from sfumato.likelihoods import Likelihood
from sfumato.models import LatentVariableModel, MixtureELBO, MixtureVAEModel
from sfumato.nn import (
    Backbone,
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
from sfumato.scaling import Scaler
from sfumato.training import Trainer, check_choice

# Width of the one hidden layer of q(c|z).
CLASSIFIER_WIDTH = 128
# name -> (family of q(z|x), p(c) and p(z|c), and their settings as published: p(c) stays uniform,
# and nothing of the batches before is kept)
CODES: dict[str, tuple[Callable[[int], Family], Callable[..., Components], dict[str, float]]] = {
    "gaussian": (
        GaussianFamily,
        GaussianComponents,
        {"decay": 0.0, "shrinkage": 0.0, "uniform": True},
    ),
    "bernoulli": (RelaxedBernoulliFamily, BernoulliComponents, {"decay": 0.0, "uniform": True}),
}
INFERENCES = ("auto", "exact", "marginal", "gumbel")


class MixtureVAE(MixtureEstimator):
    r"""Variational autoencoder whose code comes from a mixture of full-covariance Gaussians.

    .. math:: c \sim \mathrm{Cat}(\pi), \quad z|c \sim N(\mu_c, \Sigma_c), \quad
              x|z \sim \mathrm{decoder}(z), \qquad q(z, c|x) = q(z|x)\, q(c|z)

    Parameters
    ----------
    n_components : int, "auto" or None
        Classes, K; "auto", or None, finds how many clusters there are: of tables by
        :class:`~sfumato.partitions.UnknownNumber`, of pictures by joining components
        (:func:`~sfumato.partitions.number_of_clusters`).
    latent_dim : int
        Length of z.
    hidden, backbone, likelihood
        See :class:`VAE`; the recogniser of images is convolutional in any case.
    latent_likelihood : "gaussian" or "bernoulli"
        p(z|c): real codes, or binary ones whose draws are relaxed in training.
    inference : "auto", "exact", "marginal" or "gumbel"
        q(c|z): the mixture's own posterior; a network, summed over c; a network with relaxed draws
        of c (Gumbel-softmax). "auto" is "gumbel" as published, else "exact".
    recipe : "default", "report" or Recipe
        "default" is :class:`~sfumato.Coupled`. "report" is :class:`~sfumato.Published`: everything
        at once from scratch, with the means and covariances of the batch, as in the report that
        proposed the model. Its classes collapse.
    scaling, image_shape, random_state
        See :class:`VAE`.
    trainer : Trainer, optional
        Of all rounds together; the pre-training has twice its epochs. Default: 30 epochs or 2,400
        steps, whichever is more, of 256 rows, learning rate 2e-3 falling like a cosine.

    Attributes
    ----------
    labels_ : ndarray, shape (n,)
        Clusters of the training rows.
    n_components_ : int
        How many there are.
    choice_, number_ : Choice, Number or None
        Which labelling of a table was chosen, and which number of clusters, and why.
    likelihood_, model_, history_, scaling_, image_shape_, seed_
        See :class:`VAE`.

    References
    ----------
    Wu, Mixture Variational Autoencoders (project report), 2018; Jang, Gu and Poole, Categorical
    Reparameterization with Gumbel-Softmax, 2017.

    Examples
    --------
    >>> from sfumato import Coupled, MixtureVAE, Trainer
    >>> quick = Trainer(max_epochs=5)  # codes and a coupled mixture only, for the example's sake
    >>> m = MixtureVAE(hidden=(32,), recipe=Coupled(rounds=(0, 0)), random_state=0, trainer=quick)
    >>> m.fit("digits").sample(3, component=0).shape
    (3, 64)
    """

    def __init__(
        self,
        n_components: int | str | None = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        likelihood: Likelihood | str = "auto",
        latent_likelihood: str = "gaussian",
        inference: str = "auto",
        recipe: Recipe | str = "default",
        scaling: Scaler | str = "auto",
        image_shape: ImageShape | bool | None = None,
        random_state: RandomState = None,
        trainer: Trainer | None = None,
        **moved: Any,
    ) -> None:
        self.n_components = n_components
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.likelihood = likelihood
        self.latent_likelihood = latent_likelihood
        self.inference = inference
        self.recipe = recipe
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    def build(self, n_components: int) -> LatentVariableModel:
        """Build the untrained model with ``n_components`` components."""
        _, components, published = CODES[self.latent_likelihood]
        posterior = self._code()
        encoder, decoder, family = self._parts(posterior.n_parameters)
        settings = {} if self._recipe().averages else published
        prior = components(n_components, self.latent_dim, **settings)
        widths = [self.latent_dim, CLASSIFIER_WIDTH, n_components]
        return MixtureVAEModel(
            Conditional(encoder, posterior),
            Conditional(decoder, family),
            prior,
            None if self._inference() == "exact" else mlp(widths),
            self.recogniser(n_components),
        )

    def _code(self) -> Family:
        return CODES[self.latent_likelihood][0](self.latent_dim)

    def _check_own(self) -> None:
        check_choice("latent_likelihood", self.latent_likelihood, CODES)
        check_choice("inference", self.inference, INFERENCES)
        given = self._given_objective()
        self._objective().validate()
        if given is not None and self.inference not in ("auto", given.inference):
            raise ValueError(
                f"inference={self.inference!r} and objective={given!r} differ: give one of them."
            )

    def _given_objective(self) -> Any:
        recipe = self._recipe()
        return recipe.objective if isinstance(recipe, Published) else None

    def _inference(self) -> str:
        given = self._given_objective()
        if given is not None:
            return str(given.inference)
        if self.inference != "auto":
            return self.inference
        return "exact" if self._recipe().averages else "gumbel"

    def _objective(self) -> MixtureELBO:
        given: MixtureELBO | None = self._given_objective()
        if given is not None:
            return given
        return MixtureELBO(self._inference(), closed_form=not self._recipe().averages)
