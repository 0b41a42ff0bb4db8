"""The variational autoencoder."""

from typing import Any, Self

import torch
from torch import Tensor

from sfumato.deprecation import accept_moved
from sfumato.estimators.base import CODES, DENSITY, GENERATES, IMPUTES, TabularEstimator
from sfumato.estimators.capabilities import (
    Decodes,
    DiagnosesCode,
    HasDensity,
    HasLikelihood,
    Imputes,
    RandomState,
    Samples,
    sampled_likelihood,
    warn_of_collapse,
)
from sfumato.inference import (
    LikelihoodEstimate,
    Refinement,
    RowSource,
    diagnose,
    importance_sampling,
    naive_monte_carlo,
    refine,
    seeded_rows,
)
from sfumato.likelihoods import Bernoulli, Likelihood, likelihood_of
from sfumato.models import LatentVariableModel
from sfumato.nn import Backbone, Conditional, ImageShape, backbone_of, chained
from sfumato.noise import Noise
from sfumato.objectives import ELBO, IWAE, Binarized, Objective, as_objective
from sfumato.priors import Posterior, Prior, posterior_of, prior_of
from sfumato.scaling import Scaler
from sfumato.training import Trainer, check_choice, check_count

# Of the bound, where cells are missing.
SAMPLES_WITH_HOLES = 5
# method -> estimate of log p(x)
ESTIMATES = {"importance": importance_sampling, "naive": naive_monte_carlo}


def objective_of(value: Any) -> Objective:
    """Return the objective that an argument is, by default the evidence lower bound."""
    return as_objective(value, ELBO())


class VAE(HasLikelihood, Imputes, Decodes, Samples, HasDensity, DiagnosesCode, TabularEstimator):
    r"""Variational autoencoder.

    .. math:: p(z) = N(0, I), \quad p(x|z) = \mathrm{decoder}(z), \quad
              q(z|x) = N(\mu(x), \mathrm{diag}\,\sigma^2(x))

    Prior, posterior, likelihood and backbone are arguments.

    Parameters
    ----------
    latent_dim : int
        Length of z.
    hidden : tuple of int, optional
        Widths of the backbone; see :class:`~sfumato.nn.MLP`, :class:`~sfumato.nn.Conv` and
        :class:`~sfumato.nn.ResNet`.
    backbone : "mlp", "conv", "resnet" or Backbone
        The networks of encoder and decoder; an object sets activation and dropout as well.
    likelihood : str or Likelihood
        p(x|z). "bernoulli": pixels in a range (grey levels as probabilities). "gaussian": real
        numbers with one learned scale in standardised units; "unit-gaussian" with a scale of 1;
        "pixel-gaussian" with a scale from the network for every value; "student-t": heavy tails.
        "categorical": whole numbers, a free mass for every level; "logistic-mixture": whole numbers
        such as 8-bit pixels. "poisson" and "negative-binomial": counts.
    prior : "normal", "mixture", "vamp", "flow" or Prior
        p(z): N(0, I); a mixture of 100 diagonal Gaussians; the mean posterior of 500 learned
        pseudo-inputs; a normalising flow.
    posterior : "diagonal", "full", "flow" or Posterior
        q(z|x): a Gaussian with a diagonal or a full covariance; a normalising flow.
    objective : Objective, or callable (model, x) -> dict, optional
        :class:`~sfumato.ELBO` by default, and :class:`~sfumato.IWAE` of five samples where cells
        are missing; :class:`~sfumato.SemiAmortised`.
    scaling : "auto", "range", "standard", "none" or Scaler
        Of the data before the model: to [0, 1] by the smallest and largest value of all, or each
        feature to mean 0 and variance 1. "auto" is what the likelihood takes. For pixels, values
        beyond those of the training rows are clipped.
    binarize : bool
        Draw every batch anew as b ~ Bernoulli(x) (dynamic binarisation); likelihoods are then of
        binarised rows. For "bernoulli" only. Rows of zeros and ones are not changed by it.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional

    Attributes
    ----------
    likelihood_ : Likelihood
        With what it learned from the training rows.
    model_, history_, scaling_, image_shape_, seed_
        See :class:`TabularEstimator`.

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

    operations = CODES | DENSITY | GENERATES | IMPUTES
    resolvers = {
        "backbone": backbone_of,
        "likelihood": likelihood_of,
        "prior": prior_of,
        "posterior": posterior_of,
        "objective": objective_of,
    }
    stored = ("likelihood_",)

    def __init__(
        self,
        latent_dim: int = 40,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        likelihood: Likelihood | str = "auto",
        prior: Prior | str = "normal",
        posterior: Posterior | str = "diagonal",
        objective: Any = None,
        scaling: Scaler | str = "auto",
        binarize: bool = False,
        image_shape: ImageShape | bool | None = None,
        random_state: RandomState = None,
        trainer: Trainer | None = None,
        **moved: Any,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.backbone = backbone
        self.likelihood = likelihood
        self.prior = prior
        self.posterior = posterior
        self.objective = objective
        self.scaling = scaling
        self.binarize = binarize
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> Self:
        """Fit the model to rows X; see :meth:`TabularEstimator.fit`."""
        X = self._begin(X, columns)
        self._check_network()
        self._fit_likelihood(X)
        check_binarize(self.binarize, self.likelihood_)
        prior, objective = prior_of(self.prior), self._objective()
        fit = self._start(X)
        with Noise(fit.seed):
            model = self._build()
            prior.begin(model.prior, fit.seen)
        history = fit.train(model, objective)
        warn_of_collapse(diagnose(model, fit.rows[torch.arange(min(1000, len(X)))]))
        return self._finish(model, history)

    def _build(self) -> LatentVariableModel:
        posterior = posterior_of(self.posterior).build(self.latent_dim)
        likelihood = self.likelihood_.family(self.row_width_)
        networks = self._networks(posterior.n_parameters, likelihood.n_parameters)
        encoder, decoder = self._backbone().initialised(networks)
        q = Conditional(chained(*self._input_layers(), encoder), posterior)
        prior = prior_of(self.prior).build(
            Conditional(encoder, posterior),
            self.latent_dim,
            self.input_width_,
            pixels=self.likelihood_.bounded,
        )
        return LatentVariableModel(q, Conditional(decoder, likelihood), prior)

    def _objective(self) -> Objective:
        objective = objective_of(self.objective)
        if self.objective is None and getattr(self.likelihood_, "holes", None):
            # With few observed cells the posterior is wide, and one sample says little of it.
            objective = IWAE(SAMPLES_WITH_HOLES)
        return Binarized(objective) if self.binarize else objective

    def log_likelihood(
        self, X: Any, n_samples: int = 5000, *, method: str = "importance"
    ) -> LikelihoodEstimate:
        """Estimate log p(x) of every row in nats, with standard errors.

        A log density in data units, or the log of a probability. Grey rows under "bernoulli" score
        a lower bound of the mean log-likelihood of their binarisations, unless ``binarize`` draws
        one, seeded by the row.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_samples : int
            Samples of z for each row.
        method : "importance" or "naive"
            Draw z from q(z|x), or from the prior.
        """
        check_choice("method", method, ESTIMATES)
        x = observed(self, X)
        return sampled_likelihood(self, self.model_, x, n_samples, ESTIMATES[method])

    def refine(self, X: Any, steps: int = 100, *, start: str = "encoder") -> Refinement:
        """Optimise the posterior of every row on its own, see :func:`~sfumato.inference.refine`.

        Parameters
        ----------
        X : array-like of shape (n, d)
        steps : int
            Of gradients.
        start : "encoder" or "zero"
            Posterior to start from: the encoder's, or N(0, I).

        Returns
        -------
        Refinement
            Bounds are in nats; those of a density are of one in data units.
        """
        check_count("steps", steps)
        x = observed(self, X)
        found = refine(self.model_, x, steps=steps, start=start, seed=self.seed_)
        volume = self._log_volume()
        return found._replace(
            amortised_bound=found.amortised_bound - volume,
            refined_bound=found.refined_bound - volume,
        )


def check_binarize(binarize: bool, likelihood: Likelihood) -> None:
    """Check that only pixels are binarised.

    Raises
    ------
    ValueError
        If the likelihood is of something else.
    """
    if binarize and not isinstance(likelihood, Bernoulli):
        raise ValueError("binarize=True needs likelihood='bernoulli'.")


def observed(estimator: Any, X: Any) -> RowSource:
    """Return the rows of X as the likelihood sees them, in model units."""
    rows: RowSource = estimator._likely_rows(X)
    return BinarizedRows(rows, estimator.seed_) if estimator.binarize else rows


class BinarizedRows:
    """Rows drawn as b ~ Bernoulli(x) when they are asked for, the draw seeded by the row."""

    def __init__(self, rows: RowSource, seed: int) -> None:
        self.rows = rows
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice) -> Tensor:
        drawn = [
            torch.bernoulli(row, generator=noise.generator(row.device))
            for row, noise in seeded_rows(self.rows[index], self.seed)
        ]
        return torch.cat(drawn)
