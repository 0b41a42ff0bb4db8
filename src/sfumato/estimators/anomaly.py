"""Rows that a model fitted to normal ones finds strange."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.covariance import EmpiricalCovariance
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sfumato.data import Columns, Data, as_table, require
from sfumato.estimators.base import TabularEstimator
from sfumato.estimators.capabilities import HasLikelihood, HasLoss
from sfumato.estimators.cells import cell_surprise
from sfumato.estimators.tables import check_width, checked_table, note_columns
from sfumato.estimators.vae import VAE
from sfumato.nn import ImageShape
from sfumato.training import check_choice


def _likelihood(estimator: Any, X: np.ndarray) -> np.ndarray:
    """Log p(x), or whatever the estimator's score is, shape (n, 1)."""
    return np.asarray(estimator.score_samples(X), dtype=np.float64)[:, None]


def _deviance(estimator: Any, X: np.ndarray) -> np.ndarray:
    """Log p(x) less the most that a reconstruction attains, shape (n, 1)."""
    return _likelihood(estimator, X) - estimator.saturated(X)[:, None]


def _reconstruction(estimator: Any, X: np.ndarray) -> np.ndarray:
    """E_q log p(x|z) at one sample, or minus the loss, shape (n, 1)."""
    return -estimator.terms(X)["reconstruction"].astype(np.float64)[:, None]


def _states(estimator: Any, X: np.ndarray) -> np.ndarray:
    """Every term of the objective, and what a perfect reconstruction would have, shape (n, m)."""
    columns = [*estimator.terms(X).values(), estimator.saturated(X)]
    return np.column_stack(columns).astype(np.float64)


# name -> statistics of rows, shape (n, m): one is the score itself, of several the density is.
STATISTICS: dict[str, Callable[[Any, np.ndarray], np.ndarray]] = {
    "likelihood": _likelihood,
    "deviance": _deviance,
    "reconstruction": _reconstruction,
    "typicality": _states,
}


class AnomalyDetector(OutlierMixin, BaseEstimator):
    r"""Detector of anomalies: a model of normal rows, a score, and a threshold out of a quantile.

    .. math:: \mathrm{decision}(x) = s(x) - \mathrm{offset}, \qquad
              \#\{i : s(x_i) < \mathrm{offset}\} \approx \mathrm{contamination} \cdot n

    The likelihood alone can rank strange rows above normal ones: a model of the digit 8 finds nine
    ones in ten likelier than the median eight, as they are simple. What is scored is therefore an
    argument:

    ``"typicality"``
        Log density of the row's statistics t(x) under a Gaussian of the calibration rows' own, up
        to a constant, :math:`-\tfrac12 (t - \mu)^T \Sigma^{-1} (t - \mu)`. In t stand the named
        terms of the objective and the log-likelihood of a perfect reconstruction, which tells how
        simple the row is (Serrà et al. 2020). So rows can also be strange because they are far
        likelier than normal ones, or likely for something so complex (Morningstar et al. 2021).
    ``"deviance"``
        :math:`\log p(x) - \max_\mu \log p(x; \mu)`: the log-likelihood less that of a perfect
        reconstruction, so that grey pixels, which no model could have expected, cost nothing.
    ``"reconstruction"``
        :math:`E_q \log p(x|z)` by one sample (An and Cho 2015); an autoencoder's negative loss.
    ``"likelihood"``
        The estimator's ``score_samples``.

    Parameters
    ----------
    estimator : estimator with ``score_samples``, optional
        Default ``VAE(random_state=random_state)``. Scikit-learn's are taken too. One that is fitted
        already is kept as it is in ``sklearn.frozen.FrozenEstimator(estimator)``.
    statistic : "auto", "typicality", "deviance", "reconstruction" or "likelihood"
        "auto" is "typicality" for models with codes of this library and "likelihood" for others,
        which have no terms.
    contamination : float
        Share of normal rows below the threshold, in (0, 0.5].
    calibration_fraction : float
        Share of the rows on which the model is not fitted, so that statistics and threshold are
        those of new rows; 0 takes all rows for both. A flexible model knows its training rows: of
        new normal ones it then flags more than the stated share.
    random_state : int, RandomState or None
        Of the default estimator, and of which rows are held out.

    Attributes
    ----------
    estimator_ : fitted estimator
    offset_ : float
        The threshold of ``score_samples``: the quantile of the calibration rows.
    normal_states_ : EmpiricalCovariance
        Of the calibration rows' statistics.

    References
    ----------
    Nalisnick, Matsukawa, Teh, Gorur and Lakshminarayanan, Do Deep Generative Models Know What They
    Don't Know?, 2019; Serrà et al., Input Complexity and Out-of-distribution Detection with
    Likelihood-based Generative Models, 2020; Morningstar et al., Density of States Estimation for
    Out-of-Distribution Detection, 2021; An and Cho, Variational Autoencoder based Anomaly Detection
    using Reconstruction Probability, 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sfumato import VAE, Trainer
    >>> digits = load_digits()
    >>> vae = VAE(latent_dim=4, random_state=0, trainer=Trainer(min_steps=600))
    >>> detector = AnomalyDetector(vae, contamination=0.1)
    >>> detector = detector.fit(digits.images[digits.target == 0])
    >>> bool((detector.predict(digits.images[digits.target == 1]) == -1).mean() > 0.9)
    True
    """

    columns_: Columns | None
    image_shape_: ImageShape | None

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        statistic: str = "auto",
        contamination: float = 0.05,
        calibration_fraction: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.statistic = statistic
        self.contamination = contamination
        self.calibration_fraction = calibration_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> "AnomalyDetector":
        """Fit the model to X of shape (n, d), or images, and find the threshold; y is ignored.

        Parameters
        ----------
        X : array of shape (n, d) or of images, frame, tensor, Dataset, path, or data set's name
        y : ignored
        columns : mapping, optional
            Kinds of columns by name, see :meth:`VAE.fit`.

        Raises
        ------
        ValueError
            If the data or a parameter cannot be used; the message says why.
        """
        self._inspect()
        known = getattr(self._inner(), "columns_", None)
        table = as_table(X, known=known, columns=columns)
        values = checked_table(self, table.values, n_min=2)
        note_columns(self, table.columns, values.shape[1])
        fitted, held_out = self._split(len(values))
        self.image_shape_ = table.image_shape
        self.estimator_ = clone(self._estimator()).fit(self._rows(values[fitted]), None)
        states = self._statistics(self._rows(values[held_out]))
        self.normal_states_ = EmpiricalCovariance().fit(states)
        self.offset_ = float(np.quantile(self._score(states), self.contamination))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the score of every row, shape (n,): high is normal."""
        return self._score(self._statistics(self._checked(X)))

    def explain(self, X: Any) -> Any:
        r"""Return how strange every cell is given the others of its row, in nats.

        .. math:: s_j = \max_\mu \log p(x_j; \mu) - \log p(x_j | x_{-j})

        Near 0 for a cell that its row could have foretold; for densities the unit drops out.

        Parameters
        ----------
        X : array-like or frame of shape (n, d)

        Returns
        -------
        ndarray or frame of shape (n, d)
            0 for missing cells; a frame where columns have names.

        Raises
        ------
        ValueError
            If the model has no likelihood of single cells.
        """
        rows = self._checked(X)
        inner = self._fitted_inner()
        if not isinstance(inner, HasLikelihood):
            raise ValueError(
                f"explain needs a model with a likelihood, such as VAE(); "
                f"{type(inner).__name__} has none."
            )
        found = cell_surprise(inner, rows)
        if self.columns_ is None:
            return found
        pandas = require("pandas", "a table with names")
        index = getattr(X, "index", None)
        return pandas.DataFrame(found, columns=list(self.columns_.names), index=index)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the score above the threshold, shape (n,): negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return +1 for normal rows and -1 for anomalies, shape (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _inspect(self) -> None:
        check_choice("statistic", self.statistic, ["auto", *STATISTICS])
        if self.statistic not in ("auto", "likelihood") and not self._has_codes():
            raise ValueError(
                f"statistic={self.statistic!r} needs a model with codes of this library; for "
                f"{type(self.estimator).__name__} use 'likelihood'."
            )
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination must lie in (0, 0.5], got {self.contamination}.")
        if not 0 <= self.calibration_fraction < 1:
            raise ValueError(
                f"calibration_fraction must lie in [0, 1), got {self.calibration_fraction}."
            )

    @property
    def takes_holes(self) -> bool:
        """Whether cells may be missing."""
        return bool(getattr(self._inner(), "takes_holes", False))

    def _estimator(self) -> Any:
        """Return the estimator, or the default one."""
        return VAE(random_state=self.random_state) if self.estimator is None else self.estimator

    def _inner(self) -> Any:
        """Return the estimator, out of its frozen shell."""
        inner = self._estimator()
        return inner.estimator if isinstance(inner, FrozenEstimator) else inner

    def _fitted_inner(self) -> Any:
        inner = self.estimator_
        return inner.estimator if isinstance(inner, FrozenEstimator) else inner

    def _has_codes(self) -> bool:
        return isinstance(self._inner(), (HasLikelihood, HasLoss))

    def _checked(self, X: Any) -> Any:
        """Return new rows as the estimator takes them."""
        check_is_fitted(self, "offset_")
        table = as_table(X, known=self.columns_)
        values = checked_table(self, table.values)
        check_width(self, values, named=table.columns is not None)
        return self._rows(values)

    def _rows(self, values: Any) -> Any:
        """Return rows with what is known of them, for estimators that ask for it."""
        if not isinstance(self._inner(), TabularEstimator):
            return values
        return Data("the rows", values, image_shape=self.image_shape_, columns=self.columns_)

    def _split(self, n_rows: int) -> tuple[Any, Any]:
        """Return the rows that the model is fitted to, and those that calibrate it."""
        n_held_out = int(np.ceil(self.calibration_fraction * n_rows))
        if n_held_out == 0:
            return slice(None), slice(None)
        order = check_random_state(self.random_state).permutation(n_rows)
        return order[n_held_out:], order[:n_held_out]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = self._estimator().__sklearn_tags__().input_tags
        tags.input_tags.allow_nan, tags.input_tags.sparse = inner.allow_nan, inner.sparse
        return tags

    def _statistics(self, X: np.ndarray) -> np.ndarray:
        name = self.statistic
        if name == "auto":
            name = "typicality" if self._has_codes() else "likelihood"
        return STATISTICS[name](self.estimator_, X)

    def _score(self, states: np.ndarray) -> np.ndarray:
        """Return the one statistic, or the log density of several, shape (n,)."""
        if states.shape[1] == 1:
            return states[:, 0]
        return -0.5 * self.normal_states_.mahalanobis(states)
