"""The contrastive VAE: foreground against background."""

from dataclasses import replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sfumato.data import as_table
from sfumato.deprecation import accept_moved
from sfumato.estimators.base import CODES, DENSITY, GENERATES, TabularEstimator
from sfumato.estimators.capabilities import (
    HasDensity,
    HasLikelihood,
    RandomState,
    Samples,
    checked_codes,
    decoded,
    sampled_likelihood,
    warn_of_collapse,
)
from sfumato.estimators.exhibits import Exhibit, Pictures, spread
from sfumato.estimators.fit import Fit
from sfumato.inference import (
    ContrastiveDiagnosis,
    LikelihoodEstimate,
    RowSource,
    diagnose_contrast,
    map_float64,
)
from sfumato.likelihoods import Likelihood, likelihood_of
from sfumato.models import ContrastiveELBO, ContrastiveModel
from sfumato.nn import (
    Backbone,
    Conditional,
    Family,
    GaussianFamily,
    ImageShape,
    MaskedDecoder,
    PointMassFamily,
    StandardNormal,
    backbone_of,
    chained,
    mlp,
)
from sfumato.objectives import Objective, as_objective
from sfumato.scaling import Scaler
from sfumato.training import (
    ContrastedRows,
    Rows,
    Trainer,
    check_choice,
    check_count,
    is_memory_mapped,
)

# Widths of the critic that the total correlation is estimated by.
CRITIC = (256, 256)
DECODERS = ("layered", "joint")
ALONE = (
    "Nothing tells the salient code from the shared one without a background: fit(X, "
    "background=B) with rows B that lack what is salient in X."
)
PARTS = ("salient", "background", "both")
# Rows between whose codes a walk goes, in so many steps from one to the next.
N_STATIONS, N_STEPS = 4, 4


def contrast_pictures(estimator: Any, X: np.ndarray) -> list[Exhibit]:
    """Return what is salient in rows and what they share, and walks of either code alone."""
    if estimator.columns_ is not None:
        return []
    if not estimator.contrasted_:
        return []
    rows = spread(X)
    groups = {
        "data": rows,
        "reconstruction": estimator.reconstruct(rows),
        "salient": estimator.remove_background(rows),
        "background": estimator.remove_foreground(rows),
    }
    caption = (
        f"{len(rows)} rows, their reconstructions, what is salient in them on the average "
        "background, and their backgrounds."
    )
    parts: list[Exhibit] = [Pictures("Salient against shared", groups, caption)]
    stations = np.unique(np.linspace(0, len(X) - 1, N_STATIONS).astype(int))
    if len(stations) < 2:
        return parts
    codes = estimator.transform(np.asarray(X)[stations], "both")
    n = estimator.latent_dim
    walks = {
        "salient code": walked(codes, slice(None, n), N_STEPS),
        "shared code": walked(codes, slice(n, None), N_STEPS),
    }
    decodings = {name: estimator.inverse_transform(walk) for name, walk in walks.items()}
    caption = (
        f"From one row to {len(codes) - 1} others: above, the salient code alone walks, and the "
        "background should stay; below, the shared code, and the foreground should."
    )
    return [*parts, Pictures("Walks of either code", decodings, caption)]


def walked(codes: np.ndarray, part: slice, n_steps: int) -> np.ndarray:
    """Return the first code with one part on straight lines to those of the others in turn.

    Parameters
    ----------
    codes : ndarray, shape (m, l)
        Two or more.
    part : slice
        What walks of a code.
    n_steps : int
        Codes on each line, its end included.

    Returns
    -------
    ndarray, shape (1 + (m - 1) * n_steps, l)
    """
    steps = np.linspace(0, 1, n_steps + 1)[1:, None]
    lines = [(1 - steps) * a + steps * b for a, b in pairwise(codes[:, part])]
    path = np.repeat(codes[:1], 1 + len(lines) * n_steps, axis=0)
    path[1:, part] = np.concatenate(lines)
    return path


class ContrastiveVAE(HasLikelihood, Samples, HasDensity, TabularEstimator):
    r"""Contrastive variational autoencoder: foreground against background.

    .. math:: z, s \sim N(0, I), \qquad x \sim p(x | z, s), \qquad b \sim p(x | z = 0, s)

    Rows x have what a set of background rows b has, and something more: s is the code of what both
    share, z that of what is salient in x.

    Parameters
    ----------
    latent_dim : int
        Length of z, the salient code.
    background_dim : int
        Length of s, the shared code.
    hidden, backbone
        See :class:`VAE`.
    decoder : "layered" or "joint"
        Of p(x|z, s): a foreground by z that hides a background by s where it is, with a mask; or
        one network of both codes, as in Abid and Zou.
    likelihood : str or Likelihood
        p(x|z, s); see :class:`VAE`. A layered decoder needs one with one parameter a value.
    objective : Objective, or callable (model, batch) -> dict, optional
        :class:`~sfumato.ContrastiveELBO` by default.
    scaling : "auto", "range", "standard", "none" or Scaler
        See :class:`VAE`; learned from X, applied to the background too.
    image_shape, random_state, trainer
        See :class:`VAE`.

    Attributes
    ----------
    likelihood_, model_, history_, scaling_, image_shape_, seed_
        See :class:`VAE`.
    contrasted_ : bool
        Whether the fit had a background.

    References
    ----------
    Abid and Zou, Contrastive Variational Autoencoder Enhances Salient Features, 2019; Weinberger,
    Beebe-Wang and Lee, Moment Matching Deep Contrastive Latent Variable Models, 2022.

    Examples
    --------
    >>> from sfumato import ContrastiveVAE, Trainer
    >>> from sfumato.data import digits_on_textures, textures
    >>> X = digits_on_textures(500, size=8, digits="digits").images
    >>> B, _ = textures(500, size=8)
    >>> cvae = ContrastiveVAE(4, 4, (64,), random_state=0, trainer=Trainer(60, batch_size=64))
    >>> cvae.fit(X, background=B).transform(X).shape
    (500, 4)
    >>> cvae.transform(X, which="both").shape, cvae.remove_background(X).shape
    ((500, 8), (500, 192))
    >>> cvae.diagnose(X, B).salient_contrast > 0.9  # z knows rows from background rows
    True
    """

    operations = CODES | DENSITY | GENERATES
    contrastive = True
    resolvers = {
        "backbone": backbone_of,
        "likelihood": likelihood_of,
        "objective": lambda value: as_objective(value, ContrastiveELBO()),
    }
    trainer_defaults = {"max_epochs": 20, "min_steps": 1500, "schedule": "cosine"}
    stored = ("likelihood_", "contrasted_")
    shows = (contrast_pictures,)

    def __init__(
        self,
        latent_dim: int = 10,
        background_dim: int = 40,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "mlp",
        decoder: str = "layered",
        likelihood: Likelihood | str = "gaussian",
        objective: Any = None,
        scaling: Scaler | str = "auto",
        image_shape: ImageShape | bool | None = None,
        random_state: RandomState = None,
        trainer: Trainer | None = None,
        **moved: Any,
    ) -> None:
        self.latent_dim = latent_dim
        self.background_dim = background_dim
        self.hidden = hidden
        self.backbone = backbone
        self.decoder = decoder
        self.likelihood = likelihood
        self.objective = objective
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    def fit(self, X: Any, y: Any = None, *, background: Any = None, columns: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array of shape (n, d) or of images, frame, tensor, Dataset, path, or data set's name
        y : ignored
        background : like X, of shape (m, d), optional
            Rows without what is salient in X. Without them nothing tells the two codes apart.

        Raises
        ------
        ValueError
            If the data or a parameter cannot be used; the message says why.
        """
        X = self._begin(X, columns)
        self._check_network()
        check_count("background_dim", self.background_dim)
        check_choice("decoder", self.decoder, DECODERS)
        self._fit_likelihood(X)
        objective = self._objective()
        self.contrasted_ = background is not None
        table = self._check_background(background) if self.contrasted_ else None
        # About a thousand rows tell one background from another, as they do for X.
        some = None if table is None else table[:: max(1, len(table) // 1000)]
        fit = self._start(X, some)
        model = fit.build(self._build)
        background_rows = None if table is None else self._background_rows(table, fit)
        data = None if background_rows is None else ContrastedRows(fit.rows, background_rows)
        history = fit.train(model, objective, data)
        first = None if background_rows is None else background_rows[slice(0, 1000)]
        found = diagnose_contrast(model, fit.rows[slice(0, 1000)], first)
        warn_of_collapse(self._with_remedy(found))
        return self._finish(model, history)

    def _check_background(self, background: Any) -> np.ndarray:
        table = as_table(background, known=self.columns_).values
        checked: np.ndarray = check_array(
            table,
            ensure_min_samples=2,
            input_name="background",
            ensure_all_finite="allow-nan" if self.likelihood_.takes_holes else True,
        )
        if checked.shape[1] != self.n_features_in_:
            raise ValueError(
                f"background has {checked.shape[1]} values in a row where X has "
                f"{self.n_features_in_}: give both the same columns."
            )
        return checked

    def _background_rows(self, table: np.ndarray, fit: Fit) -> Rows:
        resident = not is_memory_mapped(table)
        return Rows(table, self.scaling_.to_model, fit.engine.device, resident=resident)

    def _build(self) -> ContrastiveModel:
        n_code = self.latent_dim + self.background_dim
        posterior = GaussianFamily(n_code)
        likelihood = self.likelihood_.family(self.row_width_)
        encoder, decoder = self._networks(
            posterior.n_parameters, likelihood.n_parameters, latent_dim=n_code
        )
        joint = Conditional(decoder, likelihood)
        wants_critic = getattr(self._objective(), "correlation", 0.0) > 0
        return ContrastiveModel(
            Conditional(chained(*self.likelihood_.input_layers(), encoder), posterior),
            joint if self.decoder == "joint" else self._layered(likelihood),
            StandardNormal(n_code),
            self.latent_dim,
            mlp([n_code, *CRITIC, 1]) if wants_critic else None,
        )

    def _layered(self, likelihood: Family) -> MaskedDecoder:
        if likelihood.n_parameters != likelihood.dim:
            raise ValueError(
                f"A layered decoder has one number a value, and likelihood={self.likelihood!r} "
                "needs several: give decoder='joint', or another likelihood."
            )
        # A value, and how much it hides.
        twice = PointMassFamily(2 * self.n_features_in_).n_parameters
        _, foreground = self._networks(twice, twice)
        n_out = likelihood.n_parameters
        _, background = self._networks(n_out, n_out, latent_dim=self.background_dim)
        n_channels = 1 if self.image_shape_ is None else self.image_shape_[0]
        return MaskedDecoder(foreground, background, likelihood, self.latent_dim, n_channels)

    def _objective(self) -> Objective:
        return as_objective(self.objective, ContrastiveELBO())

    def transform(self, X: Any, which: str = "salient") -> np.ndarray:
        """Return the posterior mean of every row's code.

        Parameters
        ----------
        X : array-like of shape (n, d)
        which : "salient", "background" or "both"
            z of shape (n, latent_dim), s of shape (n, background_dim), or z followed by s.
        """
        check_choice("which", which, PARTS)
        x, dtype = self._rows(X)
        codes = map_float64(lambda model, block: model.encoder(block).mean, self.model_, x)
        part = {"salient": self.model_.salient, "background": self.model_.shared}
        chosen = part[which](codes) if which in part else codes
        return chosen.cpu().numpy().astype(dtype)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return the decoder's mean, shape (n, d), at salient codes or at whole ones.

        Parameters
        ----------
        Z : array-like of shape (n, latent_dim) or (n, latent_dim + background_dim)
            Salient codes are decoded on the background at the prior's mean, s = 0.
        """
        check_is_fitted(self, "model_")
        n_code = self.latent_dim + self.background_dim
        codes = checked_codes(Z, self.latent_dim, n_code)
        return decoded(self, np.pad(codes, ((0, 0), (0, n_code - codes.shape[1]))))

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the decoder's mean at every row's code (z, s), shape (n, d)."""
        return decoded(self, self.transform(X, "both"))

    def remove_background(self, X: Any) -> np.ndarray:
        """Return what is salient in every row, on the average background, shape (n, d).

        That is the decoder's mean at (z, 0). It is a row like the others, in their units; the
        difference of ``reconstruct(X)`` and ``remove_foreground(X)`` would not be one, and where
        the foreground hides the background it would show both.
        """
        return self.inverse_transform(self.transform(X))

    def remove_foreground(self, X: Any) -> np.ndarray:
        """Return every row's background, the decoder's mean at (0, s), shape (n, d)."""
        codes = self.transform(X, "both")
        codes[:, : self.latent_dim] = 0
        return decoded(self, codes)

    def masks(self, X: Any) -> np.ndarray:
        """Return how much of every value the foreground hides, 0 to 1, shape (n, d).

        All channels of a pixel have the same mask.

        Raises
        ------
        ValueError
            If the decoder is joint and so has no mask.
        """
        check_is_fitted(self, "model_")
        if self.decoder == "joint":
            raise ValueError("A joint decoder has no masks: fit with decoder='layered'.")
        x, dtype = self._rows(X)
        masks = map_float64(_masks, self.model_, x)
        return masks.cpu().numpy().astype(dtype)

    def log_likelihood(self, X: Any, n_samples: int = 5000) -> LikelihoodEstimate:
        """Estimate log p(x) of every row in nats by importance sampling, with standard errors.

        A log density in data units, or the log of a probability; under "bernoulli" grey rows score
        a lower bound of the mean over their binarisations.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_samples : int
            Samples of (z, s) for each row.
        """
        x = self._likely_rows(X)
        return sampled_likelihood(self, self.model_, x, n_samples)

    def diagnose(self, X: Any, background: Any = None) -> ContrastiveDiagnosis:
        """Tell how both codes are used over the rows of X, and whether they keep to their parts.

        Parameters
        ----------
        X : array-like of shape (n, d)
        background : array-like of shape (m, d), optional
            Without it, what the shared code tells of the foreground is not known.
        """
        x, _ = self._rows(X)
        b: RowSource | None = None
        if background is not None:
            b, _ = self._rows(background)
        return self._with_remedy(diagnose_contrast(self.model_, x, b))

    def _with_remedy(self, found: ContrastiveDiagnosis) -> ContrastiveDiagnosis:
        """Let the remedy be a background, where the fit had none."""
        return found if self.contrasted_ else replace(found, remedy=ALONE)


def _masks(model: Any, x: Tensor) -> Tensor:
    mask: Tensor = model.decoder.layers(model.encoder(x).mean).mask
    return mask
