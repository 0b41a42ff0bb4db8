"""The variational autoencoder."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sfumato.data import as_table
from sfumato.estimators.latent import LatentEstimator
from sfumato.estimators.networks import build_pair, check_network
from sfumato.estimators.priors import Posterior, Prior, posterior_of, prior_of
from sfumato.inference import (
    LikelihoodEstimate,
    Refinement,
    diagnose,
    importance_sampling,
    naive_monte_carlo,
    refine,
    seeded_rows,
)
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    BernoulliFamily,
    CategoricalFamily,
    Conditional,
    Family,
    FixedScaleGaussianFamily,
    ImageShape,
    LogisticMixtureFamily,
    PixelScaleGaussianFamily,
    PseudoInputMixture,
    SharedScaleGaussianFamily,
)
from sfumato.objectives import ELBO, Binarized
from sfumato.training import Rows, Trainer, check_choice, check_count

# name -> (default scaling, family of p(x|z) given the row's length and its number of grey levels)
LIKELIHOODS: dict[str, tuple[str, Callable[[int, int], Family]]] = {
    "bernoulli": ("range", lambda dim, n_levels: BernoulliFamily(dim)),
    "gaussian": ("standard", lambda dim, n_levels: SharedScaleGaussianFamily(dim)),
    "unit-gaussian": ("standard", lambda dim, n_levels: FixedScaleGaussianFamily(dim)),
    "pixel-gaussian": ("standard", lambda dim, n_levels: PixelScaleGaussianFamily(dim)),
    "categorical": ("range", CategoricalFamily),
    "logistic-mixture": ("range", LogisticMixtureFamily),
}
# Densities of real numbers, whose unit is that of the data; masses of grey levels.
DENSITIES = ("gaussian", "unit-gaussian", "pixel-gaussian")
LEVELLED = ("categorical", "logistic-mixture")
ESTIMATES = {"importance": importance_sampling, "naive": naive_monte_carlo}
MAX_LEVELS = 1024


class VAE(LatentEstimator):
    r"""Variational autoencoder.

    .. math:: p(z) = N(0, I), \quad p(x|z) = \mathrm{decoder}(z), \quad
              q(z|x) = N(\mu(x), \mathrm{diag}\,\sigma^2(x))

    Prior, posterior and likelihood are arguments.

    Parameters
    ----------
    latent_dim : int
        Length of z.
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; for ``backbone="conv"`` the
        channels of its stride-2 convolutions. Default (500, 500) and (32, 64).
    backbone : "mlp" or "conv"
    likelihood : str
        p(x|z). "bernoulli": pixels in a range (grey levels as probabilities). "gaussian": real
        numbers with one learned scale in standardised units; "unit-gaussian" with a scale of 1;
        "pixel-gaussian" with a scale from the network for every value. "categorical": whole
        numbers, a free mass for every level; "logistic-mixture": whole numbers such as 8-bit
        pixels, five logistics a pixel cut into levels.
    prior : "normal", "mixture", "vamp", "flow", MixturePrior, VampPrior or FlowPrior
        p(z): N(0, I); a mixture of 100 diagonal Gaussians; the mean posterior of 500 learned
        pseudo-inputs; a normalising flow.
    posterior : "diagonal", "full", "flow" or FlowPosterior
        q(z|x): a Gaussian with a diagonal or a full covariance; a normalising flow.
    activation : "silu", "relu", "elu", "tanh", "sigmoid" or "identity"
    objective : ELBO, IWAE, SemiAmortised, or callable (model, x) -> dict, optional
        Default ``ELBO()``.
    scaling : "auto", "range", "standard" or "none"
        Of the data before the model: to [0, 1] by the smallest and largest value of all, or each
        feature to mean 0 and variance 1. "auto" is "standard" for the Gaussians, else "range", and
        values beyond those of the training rows are then clipped.
    binarize : bool
        Draw every batch anew as b ~ Bernoulli(x) (dynamic binarisation); likelihoods are then of
        binarised rows. For "bernoulli" only. Rows of zeros and ones are not changed by it.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional

    Attributes
    ----------
    model_, history_, scaling_, image_shape_, seed_
        See :class:`LatentEstimator`.

    References
    ----------
    Kingma and Welling, Auto-Encoding Variational Bayes, 2014; Tomczak and Welling, VAE with a
    VampPrior, 2018.

    Examples
    --------
    >>> from sfumato import VAE, Trainer
    >>> vae = VAE(latent_dim=2, random_state=0, trainer=Trainer(max_epochs=1)).fit("digits")
    >>> vae.transform("digits").shape
    (1797, 2)
    """

    def __init__(
        self,
        latent_dim: int = 40,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        likelihood: str = "bernoulli",
        prior: Prior | str = "normal",
        posterior: Posterior | str = "diagonal",
        activation: str = "silu",
        objective: Any = None,
        scaling: str = "auto",
        binarize: bool = False,
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.likelihood = likelihood
        self.prior = prior
        self.posterior = posterior
        self.activation = activation
        self.objective = objective
        self.scaling = scaling
        self.binarize = binarize
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    def _inspect(self, X: np.ndarray) -> None:
        check_network(self)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        posterior_of(self.posterior)
        prior_of(self.prior)
        if self.binarize and self.likelihood != "bernoulli":
            raise ValueError("binarize=True needs likelihood='bernoulli'.")
        self.n_levels_ = _count_levels(X) if self.likelihood in LEVELLED else 2

    def _default_scaling(self) -> str:
        return LIKELIHOODS[self.likelihood][0]

    def _takes_pixels(self) -> bool:
        return self.likelihood not in DENSITIES

    def _complete(self, model: LatentVariableModel, rows: Rows) -> None:
        remedy = diagnose(model, rows[torch.arange(min(1000, len(rows)))]).remedy
        if remedy is not None:
            warnings.warn(remedy, ConvergenceWarning, stacklevel=3)

    def _model(self) -> LatentVariableModel:
        posterior = posterior_of(self.posterior).build(self.latent_dim)
        likelihood = LIKELIHOODS[self.likelihood][1](self.n_features_in_, self.n_levels_)
        encoder, decoder = build_pair(self, posterior, likelihood)
        q = Conditional(encoder, posterior)
        prior = prior_of(self.prior).build(
            q, self.latent_dim, self.n_features_in_, pixels=self._takes_pixels()
        )
        return LatentVariableModel(q, Conditional(decoder, likelihood), prior)

    def _begin(self, model: LatentVariableModel, rows: Rows) -> None:
        if isinstance(model.prior, PseudoInputMixture):
            some = torch.randint(len(rows), (len(model.prior.pseudo_inputs),))
            model.prior.pseudo_inputs.data.copy_(rows[some])

    def _objective(self) -> Any:
        objective = ELBO() if self.objective is None else self.objective
        if isinstance(objective, type) or not callable(objective):
            raise ValueError(
                "objective must be ELBO(), IWAE(), SemiAmortised(), or a function; got "
                f"{objective!r}."
            )
        return Binarized(objective) if self.binarize else objective

    def implied(self) -> dict[str, Any]:
        """Return the objects that parameters of None stand for."""
        return super().implied() | {"objective": ELBO()}

    def _fitted_extras(self) -> dict[str, Any]:
        return {"n_levels_": self.n_levels_}

    def log_likelihood(
        self, X: Any, n_samples: int = 5000, *, method: str = "importance"
    ) -> LikelihoodEstimate:
        """Estimate log p(x) of every row in nats, with standard errors.

        For the Gaussians a log density in data units; for the others the log of a probability. Grey
        rows under "bernoulli" score a lower bound of the mean log-likelihood of their
        binarisations, unless ``binarize`` draws one, seeded by the row.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_samples : int
            Samples of z for each row.
        method : "importance" or "naive"
            Draw z from q(z|x), or from the prior.
        """
        check_choice("method", method, ESTIMATES)
        check_count("n_samples", n_samples)
        x = self._observed(X)
        estimate = ESTIMATES[method](self.model_, x, n_samples=n_samples, seed=self.seed_)
        log_likelihood = estimate.log_likelihood - self._log_volume()
        return estimate._replace(log_likelihood=log_likelihood)

    def refine(self, X: Any, steps: int = 100, *, start: str = "encoder") -> Refinement:
        """Optimise the posterior of every row on its own, see :func:`~sfumato.inference.refine`.

        Parameters
        ----------
        X : array-like of shape (n, d)
        steps : int
            Of gradients.
        start : "encoder" or "zero"
            Posterior to begin with: the encoder's, or N(0, I).

        Returns
        -------
        Refinement
            Bounds are in nats, for the Gaussians of a log density in data units.
        """
        check_count("steps", steps)
        x = self._observed(X)
        found = refine(self.model_, x, steps=steps, start=start, seed=self.seed_)
        volume = self._log_volume()
        return found._replace(
            amortised_bound=found.amortised_bound - volume,
            refined_bound=found.refined_bound - volume,
        )

    def _observed(self, X: Any) -> "Rows | BinarizedRows":
        """Return the rows as the likelihood is told of them."""
        X, _ = as_table(X)
        rows, _ = self._rows(X)
        if self.likelihood in LEVELLED:
            self._check_levels(np.asarray(X))
        return BinarizedRows(rows, self.seed_) if self.binarize else rows

    def _log_volume(self) -> float:
        """Return what turns a density of scaled rows into one in data units; 0 for masses."""
        density = self.likelihood in DENSITIES
        return self.scaling_.log_volume(self.n_features_in_) if density else 0.0

    def _check_levels(self, X: np.ndarray) -> None:
        low = self.scaling_.offset[0]
        high = low + self.scaling_.scale[0]
        if X.min() < low or X.max() > high or not _all_whole(X):
            raise ValueError(
                f"Every value must be one of the whole numbers {low:g} to {high:g} of the training "
                "rows: others have no probability."
            )

    def score_samples(self, X: Any, n_samples: int = 100) -> np.ndarray:
        """Estimate log p(x) of every row in nats by importance sampling, shape (n,)."""
        return self.log_likelihood(X, n_samples).log_likelihood.cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())


class BinarizedRows:
    """Rows drawn as b ~ Bernoulli(x) when they are asked for, the draw seeded by the row."""

    def __init__(self, rows: Rows, seed: int) -> None:
        self.rows = rows
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice) -> Tensor:
        return torch.cat([torch.bernoulli(row) for row in seeded_rows(self.rows[index], self.seed)])


def _count_levels(X: np.ndarray) -> int:
    levels = float(X.max()) - float(X.min()) + 1
    if levels > MAX_LEVELS or not _all_whole(X):
        raise ValueError(
            f"This likelihood needs whole numbers with at most {MAX_LEVELS} levels; use 'gaussian' "
            "for real numbers."
        )
    return max(int(levels), 2)


def _all_whole(X: np.ndarray) -> bool:
    return X.dtype.kind in "biu" or all(np.array_equal(row, np.round(row)) for row in X)
