"""The conditional variational autoencoder."""

from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sfumato.data.conditions import (
    Classes,
    Condition,
    checked,
    condition_of,
    from_dict,
    to_dict,
)
from sfumato.deprecation import accept_moved
from sfumato.estimators.base import CLUSTERS, CODES, DENSITY, GENERATES, TabularEstimator
from sfumato.estimators.capabilities import (
    HasLikelihood,
    RandomState,
    checked_codes,
    decoded,
    generated,
    sampled_likelihood,
    warn_of_collapse,
)
from sfumato.estimators.exhibits import MAX_GROUPS, N_PICTURES, Exhibit, Pictures, spread
from sfumato.estimators.vae import ESTIMATES, check_binarize, objective_of, observed
from sfumato.inference import Diagnosis, LikelihoodEstimate, RowSource, diagnose
from sfumato.likelihoods import Likelihood, likelihood_of
from sfumato.models import ConditionalModel
from sfumato.nn import (
    Backbone,
    Conditional,
    ConditionedNormal,
    GaussianFamily,
    ImageShape,
    Injected,
    StandardNormal,
    Unconditioned,
    backbone_of,
    chained,
)
from sfumato.noise import Noise
from sfumato.objectives import Binarized, Objective
from sfumato.scaling import Scaler
from sfumato.training import JoinedRows, Trainer, check_choice, check_count

CONDITIONINGS = ("concatenate", "inject")
PRIORS = ("normal", "conditional")


def class_pictures(estimator: Any, X: np.ndarray) -> list[Exhibit]:
    """Return generated rows of every class, and rows as they would be in the other classes."""
    if estimator.columns_ is not None:
        return []
    if estimator.classes_ is None:
        return []
    classes = np.asarray(estimator.classes_)[:MAX_GROUPS]
    drawn = {str(c): estimator.sample(N_PICTURES, y=c, random_state=0) for c in classes}
    rows = spread(X)
    y = estimator.predict(rows)
    swapped = {str(c): estimator.swap(rows, y, np.full(len(rows), c)) for c in classes}
    return [
        Pictures(
            "Samples of each class",
            drawn,
            f"{N_PICTURES} pictures generated for each class; a column is one draw.",
        ),
        Pictures(
            "Rows in every class",
            {"data": rows} | swapped,
            f"{len(rows)} rows, and below each the same code in every class.",
        ),
    ]


class ConditionalVAE(HasLikelihood, TabularEstimator):
    r"""Variational autoencoder of rows with a condition c: a class, or attributes.

    .. math:: \log p(x|c) \ge E_{q(z|x, c)}[\log p(x|z, c)] - KL(q(z|x, c) \| p(z|c))

    What the condition says is left out of the code: rows are generated on demand, and a row is
    shown as it would be under another condition.

    Parameters
    ----------
    latent_dim : int
        Length of z.
    hidden, backbone
        See :class:`VAE`; networks of one's own must be sequences of layers.
    likelihood : str or Likelihood
        p(x|z, c); see :class:`VAE`.
    conditioning : "inject" or "concatenate"
        Condition encoder and decoder on c in every layer (for "resnet" between its blocks), or
        beside their input.
    prior : "conditional" or "normal"
        p(z|c): a Gaussian for every c that a network learns, or N(0, I) for all.
    objective, scaling, binarize, image_shape, random_state, trainer
        See :class:`VAE`.

    Attributes
    ----------
    classes_ : ndarray or None
        The classes, sorted; None for attributes.
    condition_ : dict
        What is known of the conditions: the classes and their shares, or the attributes' means and
        deviations.
    likelihood_, model_, history_, scaling_, image_shape_, seed_
        See :class:`VAE`.

    References
    ----------
    Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative
    Models, 2015; Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014.

    Examples
    --------
    >>> from sfumato import ConditionalVAE, Trainer
    >>> from sfumato.data import load_data
    >>> digits = load_data("digits")
    >>> cvae = ConditionalVAE(latent_dim=5, random_state=0, trainer=Trainer(max_epochs=2))
    >>> cvae.fit(digits.X, digits.y).sample(3, y=7).shape
    (3, 64)
    """

    operations = CODES | CLUSTERS | DENSITY | GENERATES
    supervised = True
    resolvers = {
        "backbone": backbone_of,
        "likelihood": likelihood_of,
        "objective": objective_of,
    }
    stored = ("likelihood_", "condition_")
    shows = (class_pictures,)

    def __init__(
        self,
        latent_dim: int = 10,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        likelihood: Likelihood | str = "auto",
        conditioning: str = "inject",
        prior: str = "conditional",
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
        self.conditioning = conditioning
        self.prior = prior
        self.objective = objective
        self.scaling = scaling
        self.binarize = binarize
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> Self:
        """Fit the model to rows and their conditions.

        Parameters
        ----------
        X : array of shape (n, d) or of images, frame, tensor, Dataset, path, or data set's name
        y : array of shape (n,) or (n, m)
            One column without fractions, or of words: classes. Else attributes, real or binary.

        Raises
        ------
        ValueError
            If the data, the conditions or a parameter cannot be used; the message says why.
        """
        X = self._begin(X, columns)
        self._check_network()
        self._fit_likelihood(X)
        check_binarize(self.binarize, self.likelihood_)
        check_choice("conditioning", self.conditioning, CONDITIONINGS)
        check_choice("prior", self.prior, PRIORS)
        objective = self._objective()
        y = checked(y, len(X))
        self.condition_ = to_dict(condition_of(y))
        conditions = self._condition.encode(y)
        fit = self._start(X, conditions.numpy())
        rows = JoinedRows(fit.rows, conditions.to(fit.engine.device))
        model = fit.build(self._build)
        history = fit.train(model, objective, rows)
        warn_of_collapse(diagnose(model, rows[torch.arange(min(1000, len(X)))]))
        return self._finish(model, history)

    @property
    def _condition(self) -> Condition:
        return from_dict(self.condition_)

    @property
    def classes_(self) -> np.ndarray | None:  # type: ignore[override]
        """The classes, sorted; None for attributes."""
        condition = self._condition
        return np.array(condition.values) if isinstance(condition, Classes) else None

    def _build(self) -> ConditionalModel:
        width = self._condition.width
        posterior = GaussianFamily(self.latent_dim)
        likelihood = self.likelihood_.family(self.row_width_)
        networks = self._networks(posterior.n_parameters, likelihood.n_parameters)
        every_layer = self.conditioning == "inject"
        # What the likelihood does to rows at first is not for conditions.
        layers = chained(*self.likelihood_.input_layers(), networks[0]), chained(networks[1])
        encoder, decoder = (Injected(part, width, every_layer=every_layer) for part in layers)
        prior: nn.Module = (
            ConditionedNormal(width, self.latent_dim)
            if self.prior == "conditional"
            else Unconditioned(StandardNormal(self.latent_dim))
        )
        q = Conditional(encoder, posterior)
        return ConditionalModel(q, Conditional(decoder, likelihood), prior, width)

    def _objective(self) -> Objective:
        objective = objective_of(self.objective)
        return Binarized(objective) if self.binarize else objective

    def _conditioned(self, X: Any, y: Any) -> tuple[JoinedRows, np.dtype]:
        """Return rows with their conditions; where y is missing, the most probable class."""
        rows, dtype = self._rows(X)
        y = self.predict(X) if y is None else checked(y, len(rows))
        return self._with(rows, self._condition.encode(y)), dtype

    def _with(self, rows: RowSource, conditions: Tensor) -> JoinedRows:
        return JoinedRows(rows, conditions.to(self._device()))

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Return the posterior mean of every row, shape (n, latent_dim).

        Without conditions y, that given the class that ``predict`` finds.
        """
        return self._codes(*self._conditioned(X, y))

    def inverse_transform(self, Z: Any, y: Any = None) -> np.ndarray:
        """Return the decoder's mean at codes Z, shape (n, latent_dim), and conditions y."""
        check_is_fitted(self, "model_")
        y = checked(y, len(Z))
        return decoded(self, checked_codes(Z, self.latent_dim), self._condition.encode(y))

    def reconstruct(self, X: Any, y: Any = None) -> np.ndarray:
        """Return the decoder's mean at every row's code and condition, shape (n, d)."""
        y = self.predict(X) if y is None else y
        return self.inverse_transform(self.transform(X, y), y)

    def swap(self, X: Any, y: Any, y_new: Any) -> np.ndarray:
        r"""Return rows as they would be under other conditions, shape (n, d).

        What is kept is the place of the code within p(z|c), not the code itself.

        .. math:: z' = \mu(c') + \sigma(c')\, \frac{z - \mu(c)}{\sigma(c)}

        Parameters
        ----------
        X : array-like of shape (n, d)
        y, y_new : array-like of shape (n,) or (n, m)
            The rows' conditions, and those wanted.
        """
        return self.inverse_transform(self._carried(self.transform(X, y), y, y_new), y_new)

    @torch.no_grad()
    def _carried(self, codes: np.ndarray, y: Any, y_new: Any) -> np.ndarray:
        """Return codes at the same place within the prior of other conditions."""
        old, new = (
            self.model_.prior(self._condition.encode(checked(c, len(codes))).to(self._device()))
            for c in (y, y_new)
        )
        z = torch.from_numpy(codes).to(self._device()).double()
        carried = new.mean + new.stddev * ((z - old.mean) / old.stddev)
        return carried.cpu().numpy().astype(codes.dtype)

    def terms(self, X: Any, y: Any = None) -> dict[str, np.ndarray]:
        """Return the objective's named terms for every row, as :meth:`VAE.terms` does."""
        return self._terms(self._conditioned(X, y)[0])

    def diagnose(self, X: Any, y: Any = None) -> Diagnosis:
        """Measure how the code is used over the rows of X: active units, divergence, remedy."""
        return diagnose(self.model_, self._conditioned(X, y)[0])

    @torch.no_grad()
    def sample(
        self,
        n_samples: int | None = None,
        *,
        y: Any = None,
        random_state: RandomState = None,
        mean: bool | None = None,
    ) -> Any:
        """Generate rows, shape (n_samples, d), as a frame if the fit was to a table with names.

        Parameters
        ----------
        n_samples : int, optional
            By default as many as y has conditions.
        y : condition, or array of n_samples of them, optional
            By default classes are drawn as often as the fit saw them.
        random_state : int or RandomState, optional
            Of the draws; by default that of the fit, so that repeated calls agree.
        mean : bool, optional
            Return E[x | z, c] for z from the prior; False draws x, as is the default for tables
            with names.
        """
        check_is_fitted(self, "model_")
        generator = check_random_state(self.seed_ if random_state is None else random_state)
        conditions = self._wanted(n_samples, y, generator).to(self._device())
        with Noise(int(generator.randint(2**31 - 1))):
            z = self.model_.prior(conditions).expand((len(conditions),)).sample()
            return generated(self, torch.cat([z, conditions], dim=1), mean=mean)

    def _wanted(self, n_samples: int | None, y: Any, generator: np.random.RandomState) -> Tensor:
        """Return one condition for each row to be generated."""
        condition = self._condition
        if n_samples is not None:
            check_count("n_samples", n_samples)
        if y is None:
            if not isinstance(condition, Classes):
                raise ValueError("Say with which attributes to sample: y=...")
            places = generator.choice(condition.width, n_samples or 1, p=condition.shares)
            return torch.eye(condition.width)[places]
        if np.ndim(y) < condition.n_axes:
            y = np.repeat(np.asarray(y)[None], n_samples or 1, axis=0)
        return condition.encode(checked(y, len(y) if n_samples is None else n_samples))

    def condition_named(self, text: str) -> Any:
        """Return the class, or the attributes, that a word of a command line stands for."""
        check_is_fitted(self, "model_")
        return self._condition.named(text)

    def log_likelihood(
        self, X: Any, y: Any = None, n_samples: int = 5000, *, method: str = "importance"
    ) -> LikelihoodEstimate:
        r"""Estimate log p(x|c) of every row in nats, with standard errors, as a :class:`VAE` does.

        Without conditions :math:`\log p(x) = \log \sum_c p(c)\, p(x|c)`, over the classes.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,) or (n, m), optional
            Conditions.
        n_samples : int
            Samples of z for each row; the classes share them where there is no y.
        method : "importance" or "naive"
            Draw z from q(z|x, c), or from the prior.
        """
        check_choice("method", method, ESTIMATES)
        x = observed(self, X)
        if y is None:
            return _marginal(self._every_class(x, n_samples, method))
        rows = self._with(x, self._condition.encode(checked(y, len(x))))
        return sampled_likelihood(self, self.model_, rows, n_samples, ESTIMATES[method])

    def _every_class(self, x: RowSource, n_samples: int, method: str) -> LikelihoodEstimate:
        """Estimate log p(x, c) of every row and class; all of shape (n, K)."""
        check_count("n_samples", n_samples)
        condition = self._condition
        if not isinstance(condition, Classes):
            raise ValueError("Attributes cannot be inferred from rows: give them as y.")
        estimate = ESTIMATES[method](
            self.model_,
            x,
            n_samples=-(-n_samples // condition.width),
            seed=self.seed_,
            conditions=torch.eye(condition.width),
        )
        log_shares = torch.tensor(condition.shares).log().to(estimate.log_likelihood)
        log_joint = estimate.log_likelihood - self._log_volume() + log_shares
        return estimate._replace(log_likelihood=log_joint)

    def _log_posterior(self, X: Any, n_samples: int) -> np.ndarray:
        log_joint = self._every_class(observed(self, X), n_samples, "importance").log_likelihood
        return torch.log_softmax(log_joint, dim=1).cpu().numpy()

    def predict_proba(self, X: Any, n_samples: int = 200) -> np.ndarray:
        r"""Return the posterior of every class, shape (n, K), by Bayes' rule.

        .. math:: p(c|x) \propto p(c)\, p(x|c)

        The classes share the importance samples of a row, ``n_samples``.
        """
        return np.exp(self._log_posterior(X, n_samples))

    def predict(self, X: Any, n_samples: int = 200) -> np.ndarray:
        """Return the most probable class of every row, shape (n,)."""
        best = self._log_posterior(X, n_samples).argmax(axis=1)
        return np.asarray(self.classes_)[best]

    def score_samples(self, X: Any, y: Any = None, n_samples: int = 100) -> np.ndarray:
        """Estimate log p(x|c), or without conditions log p(x), of every row in nats, shape (n,)."""
        return self.log_likelihood(X, y, n_samples).log_likelihood.cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X, y).mean())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _marginal(classes: LikelihoodEstimate) -> LikelihoodEstimate:
    """Sum over the classes, the columns, a stratified estimate."""
    total = torch.logsumexp(classes.log_likelihood, dim=1)
    share = (classes.log_likelihood - total[:, None]).exp()
    # The classes' errors are independent, and so are their weights.
    error = (share * classes.standard_error).square().sum(1).sqrt()
    effective = 1 / (share.square() / classes.effective_sample_size).sum(1)
    return LikelihoodEstimate(total, error, effective)
