"""What estimators can do besides encoding rows, each a mixin."""

import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sfumato.data import Columns, as_table
from sfumato.estimators.base import UNKNOWN, TabularEstimator, Unit
from sfumato.estimators.cells import as_named, impute_cells
from sfumato.estimators.exhibits import MAX_GROUPS, N_PICTURES, Exhibit, Pictures
from sfumato.estimators.profiles import Profile, profile_of
from sfumato.estimators.tables import has_holes
from sfumato.inference import (
    Diagnosis,
    LikelihoodEstimate,
    MixtureDiagnosis,
    RowSource,
    diagnose,
    diagnose_mixture,
    importance_sampling,
    map_float64,
)
from sfumato.likelihoods import (
    ByColumn,
    ColumnGroup,
    Likelihood,
    Loss,
    NegativeLogLikelihood,
    likelihood_of,
    loss_of,
)
from sfumato.partitions import Number
from sfumato.scaling import Scaler
from sfumato.training import Rows, check_count

RandomState = int | np.random.RandomState | None
DRAWN = 1024


if TYPE_CHECKING:
    # What the mixins take from the class that they are mixed into.
    Host = TabularEstimator
else:
    Host = object


def checked_codes(Z: Any, *lengths: int) -> np.ndarray:
    """Return codes as an array of one of the lengths.

    Raises
    ------
    ValueError
        If they have another length.
    """
    codes: np.ndarray = check_array(Z, dtype=(np.float64, np.float32))
    if codes.shape[1] not in lengths:
        wanted = " or ".join(f"(n, {length})" for length in lengths)
        raise ValueError(f"Z must have shape {wanted}, got {codes.shape}.")
    return codes


def decoded(estimator: Any, codes: np.ndarray, conditions: Tensor | None = None) -> np.ndarray:
    """Return the decoder's mean at codes (n, l), with conditions where the decoder takes any."""
    z = torch.from_numpy(np.require(codes, np.float32, ["C", "W"]))
    given = z if conditions is None else torch.cat([z, conditions], dim=1)
    return means(estimator, given.to(estimator._device())).astype(codes.dtype)


def means(estimator: Any, z: Tensor) -> np.ndarray:
    """Return E[x|z] in data units, shape (n, d)."""
    x = map_float64(lambda model, block: model.decoder(block).mean, estimator.model_, z)
    rows: np.ndarray = estimator.scaling_.to_data(x)
    return rows


def generated(estimator: Any, z: Tensor, *, mean: bool | None) -> Any:
    """Return E[x|z] in data units, or a draw of x for every z; a frame of a table with names.

    By default a table with names gets draws, so that levels are levels, and all else E[x|z].
    """
    if estimator.columns_ is None if mean is None else mean:
        return as_named(estimator, means(estimator, z).astype(np.float32))
    x = torch.cat([estimator.model_.decoder(block).sample() for block in z.split(DRAWN)])
    rows: np.ndarray = estimator.scaling_.to_data(x)
    return as_named(estimator, rows.astype(np.float32))


class Decodes(Host):
    """Codes that are decoded."""

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return the decoder's mean at codes Z of shape (n, latent_dim), shape (n, d)."""
        check_is_fitted(self, "model_")
        return decoded(self, checked_codes(Z, self.latent_dim))

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the decoder's mean at every row's code, shape (n, d)."""
        return self.inverse_transform(self.transform(X))


def saturated(estimator: Any, X: Any, judge: Likelihood | Loss) -> np.ndarray:
    """Return what a perfect reconstruction of every row would have, shape (n,), in data units."""
    x, _ = estimator._rows(X)

    def attainable(model: Any, block: Tensor) -> Tensor:
        return judge.saturated(model.decoder(model.encoder(block).mean), block)

    attained: np.ndarray = map_float64(attainable, estimator.model_, x).cpu().numpy()
    return attained - estimator._log_volume()


def scaling_given(scaling: Any) -> str | None:
    """Return the word of the scaling that a user has chosen, "own" for an object; else None."""
    if isinstance(scaling, str):
        return None if scaling == "auto" else scaling
    return "own"


def check_scaling(scaling: Any, chosen: Likelihood | Loss) -> None:
    """Check that columns with likelihoods of their own are not given one scaling for all.

    Raises
    ------
    ValueError
        If they are.
    """
    if isinstance(chosen.scaling, Scaler) and scaling_given(scaling) is not None:
        raise ValueError(
            f"scaling={scaling!r} has no effect where every column has a likelihood and a unit of "
            "its own: leave it out."
        )


def check_words(columns: Columns | None, name: str, value: Any) -> None:
    """Check that no column without an order is taken for a number.

    Raises
    ------
    ValueError
        Naming the columns that would be.
    """
    categories = [c.name for c in columns.features if c.kind == "category"] if columns else []
    if categories:
        raise ValueError(
            f"{name}={value!r} takes numbers, and the columns {', '.join(map(repr, categories))} "
            f"hold categories: use {name}='auto', or leave them out."
        )


class HasLikelihood(Host):
    """A model of p(x|z).

    Attributes
    ----------
    likelihood_ : Likelihood
        With what it learned from the training rows.
    """

    explains_holes = True

    likelihood: Likelihood | str
    likelihood_: Likelihood
    binarize: bool = False

    @property
    def takes_holes(self) -> bool:
        """Whether cells may be missing: unless all columns have one scaling."""
        return scaling_given(self.scaling) is None

    @property
    def seen_as_(self) -> Likelihood:
        """The fitted likelihood."""
        return self.likelihood_

    @property
    def leaves_out_holes_(self) -> bool:
        """Whether the fitted likelihood leaves missing cells out."""
        return self.likelihood_.takes_holes

    def _fit_likelihood(self, X: np.ndarray) -> None:
        """Find the likelihood of the training rows."""
        chosen = likelihood_of(self.likelihood)
        columns = self.table_columns(X)
        chosen = chosen.for_columns(columns, X, scaled=scaling_given(self.scaling))
        if not isinstance(chosen, ByColumn):
            check_words(columns, "likelihood", self.likelihood)
        if chosen.of_columns or (has_holes(X) and not chosen.takes_holes):
            every = ColumnGroup(tuple(range(X.shape[1])), chosen)
            chosen = ByColumn([every], masked=self.image_shape_ is None)
        check_scaling(self.scaling, chosen)
        self.likelihood_ = chosen.fitted_to(X)

    @property
    def input_width_(self) -> int:
        """How many numbers the networks see of a row."""
        return self.likelihood_.input_width(self.row_width_)

    def _input_layers(self) -> tuple[nn.Module, ...]:
        return self.likelihood_.input_layers()

    @property
    def likelihood_measure_(self) -> str:
        """Name of the negative log-likelihood in tables."""
        return "nll_dynamic" if self.binarize else self.likelihood_.measure

    def _unit(self) -> Unit:
        return Unit(self.likelihood_.scaling, self.likelihood_.bounded)

    def _log_volume(self) -> float:
        return self.likelihood_.log_volume(self.scaling_, self.n_features_in_)

    def saturated(self, X: Any) -> np.ndarray:
        """Return the log-likelihood that a perfect reconstruction would have, shape (n,), in nats.

        A row's log-likelihood less this is its deviance, negative; see
        :meth:`~sfumato.likelihoods.Likelihood.saturated`.
        """
        return saturated(self, X, self.likelihood_)

    def _likely_rows(self, X: Any) -> Rows:
        """Return rows in model units, once each can have a likelihood."""
        check_is_fitted(self, "model_")
        table = self._check(X, reset=False)
        low = float(self.scaling_.offset[0])
        self.likelihood_.check(table, low, low + float(self.scaling_.scale[0]))
        return self._rows_of(table)[0]


class HasLoss(Host):
    """A model that is judged by a loss, as it has no density.

    Attributes
    ----------
    loss_ : Loss
        With what it learned from the training rows.
    """

    explains_holes = True

    loss: Loss | str
    loss_: Loss

    @property
    def takes_holes(self) -> bool:
        """Whether cells may be missing: where every column of a table has its own likelihood."""
        pictures = self.image_shape is not None and self.image_shape is not False
        by_column = scaling_given(self.scaling) is None and not pictures
        return by_column and loss_of(self.loss).takes_holes

    @property
    def seen_as_(self) -> Likelihood | None:
        """The likelihood whose nats are the fitted loss."""
        return self.loss_.likelihood if isinstance(self.loss_, NegativeLogLikelihood) else None

    @property
    def leaves_out_holes_(self) -> bool:
        """Whether the fitted loss leaves missing cells out."""
        return self.loss_.takes_holes

    def _fit_loss(self, X: np.ndarray) -> None:
        """Find the loss of the training rows.

        Raises
        ------
        ValueError
            If cells are missing and the loss has no use for such rows.
        """
        columns = self.table_columns(X)
        chosen = loss_of(self.loss).for_columns(columns, X, scaled=scaling_given(self.scaling))
        if not isinstance(getattr(chosen, "likelihood", None), ByColumn):
            check_words(columns, "loss", self.loss)
        if has_holes(X) and not chosen.takes_holes:
            remedy = "use loss='auto' with scaling='auto', or fill them in first"
            if self.image_shape_ is not None:
                remedy = "fill them in first, or use a VAE, whose likelihood can"
            raise ValueError(
                f"Input X contains NaN, missing cells, which loss={chosen!r} cannot leave out: "
                f"{remedy}."
            )
        check_scaling(self.scaling, chosen)
        self.loss_ = chosen.fitted_to(X)

    @property
    def input_width_(self) -> int:
        """How many numbers the networks see of a row."""
        return self.loss_.input_width(self.row_width_)

    def _input_layers(self) -> tuple[nn.Module, ...]:
        return self.loss_.input_layers()

    def _unit(self) -> Unit:
        return Unit(self.loss_.scaling, self.loss_.bounded)

    def _log_volume(self) -> float:
        return 0.0

    def _judge(self) -> Loss:
        return self.loss_

    def saturated(self, X: Any) -> np.ndarray:
        """Return minus the loss that a perfect reconstruction would have, shape (n,)."""
        return saturated(self, X, self._judge())

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction error of every row, shape (n,): high is typical.

        There is no density; the unit is that of the loss, not nats.
        """
        x, _ = self._rows(X)
        loss = self._judge()

        def error(model: Any, block: Tensor) -> Tensor:
            return loss(model.decoder(model.encoder(block).mean), block)

        return -map_float64(error, self.model_, x).cpu().numpy().astype(np.float64)


class Samples(Host):
    """Rows that are generated from the prior."""

    @torch.no_grad()
    def sample(
        self, n_samples: int = 1, *, random_state: RandomState = None, mean: bool | None = None
    ) -> Any:
        """Generate rows, shape (n_samples, d), as a frame if the fit was to a table with names.

        Parameters
        ----------
        n_samples : int
        random_state : int or RandomState, optional
            Of the draws; by default that of the fit, so that repeated calls agree.
        mean : bool, optional
            Return E[x | z] for z from the prior, as pictures are usually shown; False draws x, as
            is the default for tables with names.
        """
        check_is_fitted(self, "model_")
        check_count("n_samples", n_samples)
        with self._seeded(random_state):
            return generated(self, self.model_.prior().sample((n_samples,)), mean=mean)


class SamplesComponents(Host):
    """Rows that are generated from a mixture, or from one of its components."""

    @torch.no_grad()
    def sample(
        self,
        n_samples: int = 1,
        *,
        component: int | None = None,
        random_state: RandomState = None,
        mean: bool | None = None,
    ) -> Any:
        """Generate rows, shape (n_samples, d), as a frame if the fit was to a table with names.

        Parameters
        ----------
        n_samples : int
        component : int, optional
            Draw from this component only; by default each row from one drawn by its weight.
        random_state : int or RandomState, optional
            Of the draws; by default that of the fit, so that repeated calls agree.
        mean : bool, optional
            Return E[x | z], as pictures are usually shown; False draws x, as is the default for
            tables with names.
        """
        check_is_fitted(self, "model_")
        check_count("n_samples", n_samples)
        n = self.n_clusters_ or 0
        if component is not None and not 0 <= component < n:
            raise ValueError(f"component must lie between 0 and {n - 1}, got {component}.")
        prior = self.model_.prior
        with self._seeded(random_state):
            if component is None:
                z = prior().sample((n_samples,))
            else:
                z = prior.draw(component, n_samples)
            return generated(self, z, mean=mean)


def component_pictures(estimator: Any, X: np.ndarray) -> list[Exhibit]:
    """Return generated rows of every component."""
    if estimator.columns_ is not None:
        return []
    n = min(estimator.n_clusters_ or 1, MAX_GROUPS)
    groups = {str(k): estimator.sample(N_PICTURES, component=k, random_state=0) for k in range(n)}
    caption = f"{N_PICTURES} pictures generated from each component; a row is a component."
    return [Pictures("Samples of each component", groups, caption)]


class HasDensity(Host):
    """Rows whose likelihood is estimated."""

    @abstractmethod
    def log_likelihood(self, X: Any, n_samples: int = 5000) -> LikelihoodEstimate:
        """Estimate log p(x) of every row in nats, with standard errors."""

    def score_samples(self, X: Any, n_samples: int = 100) -> np.ndarray:
        """Estimate log p(x) of every row in nats by importance sampling, shape (n,)."""
        return self.log_likelihood(X, n_samples=n_samples).log_likelihood.cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())


class Imputes(Host):
    """Missing cells that are filled from what is observed."""

    def impute(
        self,
        X: Any,
        *,
        n_draws: int | None = None,
        n_samples: int = 100,
        random_state: RandomState = None,
    ) -> Any:
        """Fill missing cells by importance sampling; see :func:`~sfumato.inference.impute`.

        Parameters
        ----------
        X : whatever ``predict`` takes
        n_draws : int, optional
            By default each cell gets its best guess: the mean of numbers, the likeliest level, the
            median of ordered levels. Else that many draws, for multiple imputation.
        n_samples : int
            Samples of z for each row.
        random_state : int or RandomState, optional
            Of the draws; by default that of the fit, so that repeated calls agree.

        Returns
        -------
        filled : frame or array, or a list of n_draws of them
            Of the type of X; the path of a table gives a pandas frame. Columns that are not
            modelled, and cells that are there, are as they were.
        """
        check_is_fitted(self, "model_")
        if n_draws is not None:
            check_count("n_draws", n_draws)
        generator = check_random_state(self.seed_ if random_state is None else random_state)
        seed = int(generator.randint(2**31 - 1))
        return impute_cells(self, X, n_samples=n_samples, n_draws=n_draws, seed=seed)


def sampled_likelihood(
    estimator: Any, model: Any, x: RowSource, n_samples: int, estimate: Any = importance_sampling
) -> LikelihoodEstimate:
    """Estimate log p(x) of rows in model units, and return it in data units."""
    check_count("n_samples", n_samples)
    found: LikelihoodEstimate = estimate(model, x, n_samples=n_samples, seed=estimator.seed_)
    return found._replace(log_likelihood=found.log_likelihood - estimator._log_volume())


class DiagnosesCode(Host):
    """Codes whose use is diagnosed."""

    def diagnose(self, X: Any) -> Diagnosis:
        """Tell how the code is used over the rows of X: active units, divergence, remedy."""
        x, _ = self._rows(X)
        return diagnose(self.model_, x)


class Clusters(Host):
    """Rows that belong to clusters.

    Attributes
    ----------
    labels_ : ndarray, shape (n,)
        Clusters of the training rows.
    number_ : Number or None
        How many clusters were found, and why, where nobody said how many there are.
    """

    labels_: np.ndarray
    # Number or None: whoever knows that there is one need not ask.
    number_: Any = None

    def _note_number(self, number: Number | None) -> None:
        """Set the fitted attributes that say how many clusters were found."""
        self.number_ = number
        self.n_found_ = None if number is None else number.n_clusters

    @abstractmethod
    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        """Return the probability of every cluster for every row, shape (n, K)."""

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit the model and return the cluster of every row, shape (n,)."""
        labels: np.ndarray = self.fit(X).labels_
        return labels

    def predict(self, X: Any) -> np.ndarray:
        """Return the cluster of every row, shape (n,)."""
        x, _ = self._rows(X)
        labels: np.ndarray = self._posterior(self.model_, x).argmax(axis=1)
        return labels

    def profile(self, X: Any) -> Profile:
        """Tell what the clusters of the rows of X are: sizes, columns, and rows to look at.

        Parameters
        ----------
        X : whatever ``predict`` takes

        Returns
        -------
        Profile
            ``print`` gives a line for every cluster, ``to_frame()`` all figures.
        """
        check_is_fitted(self, "model_")
        table = as_table(X, known=self.columns_)
        values = self._checked(table)
        x, dtype = self._rows_of(values)
        posterior, codes = self._posterior(self.model_, x), self._codes(x, dtype)
        return profile_of(values, self.table_columns(values), posterior, codes, table.row_names)

    def diagnose(self, X: Any) -> MixtureDiagnosis:
        """Tell how codes and classes are used over the rows of X, and what would mend them."""
        x, _ = self._rows(X)
        return diagnose_mixture(self.model_, x, self._posterior(self.model_, x))


class SoftClusters(Host):
    """Rows that belong to clusters with a probability."""

    @abstractmethod
    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        """Return the probability of every cluster for every row, shape (n, K)."""

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of every cluster for every row, shape (n, K)."""
        x, dtype = self._rows(X)
        return self._posterior(self.model_, x).astype(dtype)


def check_clusters(name: str, n_clusters: Any, n_rows: int) -> None:
    """Check a number of clusters.

    Raises
    ------
    ValueError
        If there cannot be so many.
    """
    if n_clusters in UNKNOWN:
        return
    check_count(name, n_clusters, "'auto' or ")
    if n_clusters > n_rows:
        raise ValueError(f"{name}={n_clusters} must not exceed the number of rows, {n_rows}.")


def warn_of_collapse(diagnosis: Diagnosis, stacklevel: int = 3) -> None:
    """Warn, at the call of ``fit``, of what went wrong in training."""
    if diagnosis.remedy is not None:
        warnings.warn(diagnosis.remedy, ConvergenceWarning, stacklevel=stacklevel)
