"""The variational autoencoder."""

from typing import Any

import numpy as np
import torch

from sfumato.estimators.networks import build_pair
from sfumato.estimators.priors import Posterior, Prior, posterior_of, prior_of
from sfumato.estimators.variational import VariationalEstimator
from sfumato.inference import (
    LikelihoodEstimate,
    Refinement,
    importance_sampling,
    naive_monte_carlo,
    refine,
)
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    Conditional,
    ImageShape,
    PseudoInputMixture,
    preserve_variance,
)
from sfumato.training import Rows, Trainer, check_choice, check_count

# method -> estimate of log p(x)
ESTIMATES = {"importance": importance_sampling, "naive": naive_monte_carlo}


class VAE(VariationalEstimator):
    r"""Variational autoencoder.

    .. math:: p(z) = N(0, I), \quad p(x|z) = \mathrm{decoder}(z), \quad
              q(z|x) = N(\mu(x), \mathrm{diag}\,\sigma^2(x))

    Prior, posterior and likelihood are arguments.

    Parameters
    ----------
    latent_dim : int
        Length of z.
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; for "conv" the channels of its
        stride-2 convolutions, for "resnet" those of its residual blocks at the full resolution, at
        half of it, and so on. Default (500, 500), (32, 64) and (32, 64, 64).
    backbone : "mlp", "conv" or "resnet"
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
        super()._inspect(X)
        posterior_of(self.posterior)
        prior_of(self.prior)

    def _model(self) -> LatentVariableModel:
        posterior = posterior_of(self.posterior).build(self.latent_dim)
        likelihood = self._family()
        encoder, decoder = build_pair(self, posterior, likelihood)
        if self.backbone == "mlp":
            encoder, decoder = preserve_variance(encoder), preserve_variance(decoder)
        q = Conditional(encoder, posterior)
        prior = prior_of(self.prior).build(
            q, self.latent_dim, self.n_features_in_, pixels=self._takes_pixels()
        )
        return LatentVariableModel(q, Conditional(decoder, likelihood), prior)

    def _begin(self, model: LatentVariableModel, rows: Rows) -> None:
        if isinstance(model.prior, PseudoInputMixture):
            some = torch.randint(len(rows), (len(model.prior.pseudo_inputs),))
            model.prior.pseudo_inputs.data.copy_(rows[some])

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

    def score_samples(self, X: Any, n_samples: int = 100) -> np.ndarray:
        """Estimate log p(x) of every row in nats by importance sampling, shape (n,)."""
        return self.log_likelihood(X, n_samples).log_likelihood.cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())
