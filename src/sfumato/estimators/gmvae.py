"""The estimator of the Gaussian mixture variational autoencoder (GMVAE)."""

from typing import Any

from sfumato.deprecation import accept_moved
from sfumato.estimators.capabilities import RandomState
from sfumato.estimators.mixture import MixtureEstimator
from sfumato.estimators.recipe import Published, Recipe
from sfumato.likelihoods import Likelihood
from sfumato.models import GMVAEBound, GMVAEModel, LatentVariableModel, StyledComponents
from sfumato.nn import Backbone, Conditional, Family, GaussianFamily, ImageShape, chained, mlp
from sfumato.scaling import Scaler
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
    n_components : int, "auto" or None
        Classes, K; "auto", or None, finds how many clusters there are: of tables by
        :class:`~sfumato.partitions.UnknownNumber`, of pictures by joining components
        (:func:`~sfumato.partitions.number_of_clusters`).
    latent_dim : int
        Length of the code x.
    hidden, backbone, likelihood
        See :class:`VAE`; the recogniser of images is convolutional in any case.
    style_dim : int
        Length of w.
    learned_weights : bool
        Learn pi; otherwise it is uniform.
    recipe : "default", "paper" or Recipe
        "default" is :class:`~sfumato.Coupled`. "paper" is :class:`~sfumato.Published`: the four
        terms from scratch, every row alone, by default with a warm-up of 10 epochs and no cut-off.
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
    Dilokthanakul et al., Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders, 2016.

    Examples
    --------
    >>> from sfumato import GMVAE, Coupled, Trainer
    >>> quick = Trainer(max_epochs=5)  # codes and a coupled mixture only, for the example's sake
    >>> m = GMVAE(hidden=(32,), recipe=Coupled(rounds=(0, 0)), random_state=0, trainer=quick)
    >>> m.fit("digits").transform("digits").shape
    (1797, 10)
    """

    def __init__(
        self,
        n_components: int | str | None = 10,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        likelihood: Likelihood | str = "auto",
        style_dim: int = 10,
        learned_weights: bool = False,
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
        self.style_dim = style_dim
        self.learned_weights = learned_weights
        self.recipe = recipe
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    def build(self, n_components: int) -> LatentVariableModel:
        """Build the untrained model with ``n_components`` components."""
        posterior, style = self._code(), GaussianFamily(self.style_dim)
        encoder, decoder, family = self._parts(posterior.n_parameters)
        styling = mlp([self.input_width_, STYLE_WIDTH, style.n_parameters])
        prior = StyledComponents(
            n_components,
            self.latent_dim,
            self.style_dim,
            learned_weights=self.learned_weights,
        )
        return GMVAEModel(
            Conditional(encoder, posterior),
            Conditional(decoder, family),
            prior,
            Conditional(chained(*self._input_layers(), styling), style),
            self.recogniser(n_components),
        )

    def _code(self) -> Family:
        return GaussianFamily(self.latent_dim)

    def _check_own(self) -> None:
        check_count("style_dim", self.style_dim)

    def _objective(self) -> GMVAEBound:
        recipe = self._recipe()
        given: Any = recipe.objective if isinstance(recipe, Published) else None
        return GMVAEBound(warmup=10) if given is None else given
