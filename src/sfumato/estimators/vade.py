"""The estimator of variational deep embedding (VaDE)."""

from typing import Any

from sfumato.deprecation import accept_moved
from sfumato.estimators.capabilities import RandomState
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.recipe import Published, Recipe
from sfumato.likelihoods import Likelihood
from sfumato.models import LatentVariableModel, MixtureELBO, MixtureVAEModel
from sfumato.nn import (
    Backbone,
    Conditional,
    Family,
    GaussianFamily,
    ImageShape,
    LearnedComponents,
)
from sfumato.scaling import Scaler
from sfumato.training import Trainer


class VaDE(MixtureEstimator):
    r"""Variational deep embedding: a Gaussian mixture prior learned by gradients.

    .. math:: c \sim \mathrm{Cat}(\pi), \quad z|c \sim N(\mu_c, \mathrm{diag}\,\sigma_c^2), \quad
              x|z \sim \mathrm{decoder}(z), \qquad q(c|x) = p(c|z)

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
    recipe : "default", "paper" or Recipe
        "default" is :class:`~sfumato.Coupled`. "paper" is :class:`~sfumato.Published`: an
        autoencoder, a Gaussian mixture of its codes, and joint training of all, every row alone.
    scaling, image_shape, random_state
        See :class:`VAE`.
    trainer : Trainer, optional
        See :class:`MixtureVAE`.

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
    Jiang et al., Variational Deep Embedding: An Unsupervised and Generative Approach to
    Clustering, 2017.

    Examples
    --------
    >>> from sfumato import Coupled, Trainer, VaDE
    >>> quick = Trainer(max_epochs=5)  # codes and a coupled mixture only, for the example's sake
    >>> m = VaDE(hidden=(32,), recipe=Coupled(rounds=(0, 0)), random_state=0, trainer=quick)
    >>> m.fit("digits").predict_proba("digits").shape
    (1797, 10)
    """

    pretrain_in_paper_recipe = True

    def __init__(
        self,
        n_components: int | str | None = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        likelihood: Likelihood | str = "auto",
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
        self.recipe = recipe
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    def build(self, n_components: int) -> LatentVariableModel:
        """Build the untrained model with ``n_components`` components."""
        posterior = self._code()
        encoder, decoder, family = self._parts(posterior.n_parameters)
        return MixtureVAEModel(
            Conditional(encoder, posterior),
            Conditional(decoder, family),
            LearnedComponents(n_components, self.latent_dim),
            recogniser=self.recogniser(n_components),
        )

    def _code(self) -> Family:
        return GaussianFamily(self.latent_dim)

    def _check_own(self) -> None:
        """Check nothing."""

    def _objective(self) -> MixtureELBO:
        recipe = self._recipe()
        given: Any = recipe.objective if isinstance(recipe, Published) else None
        return MixtureELBO("exact", closed_form=True) if given is None else given
