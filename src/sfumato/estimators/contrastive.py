"""The contrastive variational autoencoder."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from sfumato.data import as_table
from sfumato.estimators.base import identified_by
from sfumato.estimators.latent import LatentEstimator
from sfumato.estimators.mixture import LIKELIHOODS
from sfumato.estimators.networks import build_pair, check_network
from sfumato.estimators.variational import warn_of_collapse
from sfumato.inference import (
    ContrastiveDiagnosis,
    LikelihoodEstimate,
    RowSource,
    diagnose_contrast,
    forked_rng,
    importance_sampling,
    map_precisely,
)
from sfumato.models import ContrastiveVAE as ContrastiveModel
from sfumato.models import MaskedDecoder
from sfumato.nn import (
    Conditional,
    Family,
    GaussianFamily,
    ImageShape,
    PointMassFamily,
    StandardNormal,
    mlp,
)
from sfumato.objectives import ContrastiveELBO
from sfumato.training import (
    ContrastedRows,
    Engine,
    History,
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


class ContrastiveVAE(LatentEstimator):
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
    hidden : tuple of int, optional
        See :class:`VAE`.
    backbone : "mlp", "conv" or "resnet"
    decoder : "layered" or "joint"
        Of p(x|z, s): a foreground by z that hides a background by s where it is, with a mask; or
        one network of both codes, as in Abid and Zou.
    likelihood : "gaussian" or "bernoulli"
        p(x|z, s): real numbers with one learned scale, or pixels in a range.
    activation : "silu", "relu", "elu", "tanh", "sigmoid" or "identity"
    objective : ContrastiveELBO, or callable (model, batch) -> dict, optional
        Default ``ContrastiveELBO()``.
    scaling : "auto", "range", "standard" or "none"
        See :class:`VAE`; learned from X, applied to the background too.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional

    Attributes
    ----------
    model_, history_, scaling_, image_shape_, seed_
        See :class:`LatentEstimator`.
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

    model_: Any

    def __init__(
        self,
        latent_dim: int = 10,
        background_dim: int = 40,
        hidden: tuple[int, ...] | None = None,
        backbone: str = "mlp",
        decoder: str = "layered",
        likelihood: str = "gaussian",
        activation: str = "silu",
        objective: Any = None,
        scaling: str = "auto",
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.background_dim = background_dim
        self.hidden = hidden
        self.backbone = backbone
        self.decoder = decoder
        self.likelihood = likelihood
        self.activation = activation
        self.objective = objective
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    def default_trainer(self) -> Trainer:
        """Return the trainer that ``trainer=None`` stands for."""
        return Trainer(max_epochs=20, min_steps=1500, schedule="cosine")

    def fit(self, X: Any, y: Any = None, *, background: Any = None) -> "ContrastiveVAE":
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
        self._background = background
        try:
            super().fit(X)
        finally:
            del self._background
        return self

    def _inspect(self, X: np.ndarray) -> None:
        check_network(self)
        check_count("background_dim", self.background_dim)
        check_choice("decoder", self.decoder, DECODERS)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        self.contrasted_ = self._background is not None
        if self.contrasted_:
            self._background = self._check_background(self._background)

    def _check_background(self, background: Any) -> np.ndarray:
        table, _ = as_table(background)
        checked: np.ndarray = check_array(table, ensure_min_samples=2, input_name="background")
        if checked.shape[1] != self.n_features_in_:
            raise ValueError(
                f"background has {checked.shape[1]} values in a row where X has "
                f"{self.n_features_in_}: give both the same columns."
            )
        return checked

    def _identified(self, X: np.ndarray, trainer: Trainer) -> dict[str, Any]:
        description = super()._identified(X, trainer)
        if self._background is None:
            return description
        # About a thousand rows tell one background from another, as they do for X.
        some = self._background[:: max(1, len(self._background) // 1000)]
        return identified_by(description, some)

    def _default_scaling(self) -> str:
        return LIKELIHOODS[self.likelihood][0]

    def _takes_pixels(self) -> bool:
        return self.likelihood == "bernoulli"

    def _model(self) -> ContrastiveModel:
        n_code = self.latent_dim + self.background_dim
        posterior = GaussianFamily(n_code)
        likelihood = LIKELIHOODS[self.likelihood][1](self.n_features_in_)
        encoder, decoder = build_pair(self, posterior, likelihood, code_dim=n_code)
        joint = Conditional(decoder, likelihood)
        wants_critic = getattr(self._objective(), "correlation", 0.0) > 0
        return ContrastiveModel(
            Conditional(encoder, posterior),
            joint if self.decoder == "joint" else self._layered(likelihood),
            StandardNormal(n_code),
            self.latent_dim,
            mlp([n_code, *CRITIC, 1]) if wants_critic else None,
        )

    def _layered(self, likelihood: Family) -> MaskedDecoder:
        # A value, and how much it hides.
        twice = PointMassFamily(2 * self.n_features_in_)
        _, foreground = build_pair(self, twice, twice)
        _, background = build_pair(self, likelihood, likelihood, code_dim=self.background_dim)
        n_channels = 1 if self.image_shape_ is None else self.image_shape_[0]
        return MaskedDecoder(foreground, background, likelihood, self.latent_dim, n_channels)

    def _objective(self) -> Any:
        objective = ContrastiveELBO() if self.objective is None else self.objective
        if isinstance(objective, type) or not callable(objective):
            raise ValueError(
                f"objective must be ContrastiveELBO(), or a function; got {objective!r}."
            )
        return objective

    def implied(self) -> dict[str, Any]:
        """Return the objects that parameters of None stand for."""
        return super().implied() | {"objective": ContrastiveELBO()}

    def _background_rows(self, background: np.ndarray, device: torch.device) -> Rows:
        resident = not is_memory_mapped(background)
        return Rows(background, self.scaling_.to_model, device, resident=resident)

    def _train(
        self, rows: Rows, trainer: Trainer, engine: Engine, description: dict[str, Any] | None
    ) -> tuple[ContrastiveModel, History]:
        with forked_rng(self.seed_):
            model = self._model()
        data: Rows | ContrastedRows = rows
        if self._background is not None:
            data = ContrastedRows(rows, self._background_rows(self._background, engine.device))
        history = trainer.fit(
            model,
            self._objective(),
            data,
            seed=self.seed_,
            description=description,
            engine=engine,
        )
        return model, history

    def _complete(self, model: ContrastiveModel, rows: Rows) -> None:
        some = slice(0, 1000)
        background = None
        if self._background is not None:
            background = self._background_rows(self._background[some], rows[:1].device)[some]
        warn_of_collapse(self._with_remedy(diagnose_contrast(model, rows[some], background)))

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
        codes = map_precisely(lambda model, block: model.encoder(block).mean, self.model_, x)
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
        Z = check_array(Z, dtype=(np.float64, np.float32))
        n_code = self.latent_dim + self.background_dim
        if Z.shape[1] not in (self.latent_dim, n_code):
            raise ValueError(
                f"Z must have shape (n, {self.latent_dim}) or (n, {n_code}), got {Z.shape}."
            )
        whole = np.pad(Z, ((0, 0), (0, n_code - Z.shape[1])))
        return self._decoded_whole(whole)

    def _decoded_whole(self, codes: np.ndarray) -> np.ndarray:
        code = torch.from_numpy(np.require(codes, np.float32, ["C", "W"])).to(self._device())
        return self._decode(code).astype(codes.dtype)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the decoder's mean at every row's code (z, s), shape (n, d)."""
        return self._decoded_whole(self.transform(X, "both"))

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
        return self._decoded_whole(codes)

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
        masks = map_precisely(_masks, self.model_, x)
        return masks.cpu().numpy().astype(dtype)

    def log_likelihood(self, X: Any, n_samples: int = 5000) -> LikelihoodEstimate:
        """Estimate log p(x) of every row in nats by importance sampling, with standard errors.

        For "gaussian" a log density in data units; for "bernoulli" grey rows score a lower bound of
        the mean over their binarisations.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_samples : int
            Samples of (z, s) for each row.
        """
        check_count("n_samples", n_samples)
        x, _ = self._rows(X)
        estimate = importance_sampling(self.model_, x, n_samples=n_samples, seed=self.seed_)
        if self.likelihood != "gaussian":
            return estimate
        volume = self.scaling_.log_volume(self.n_features_in_)
        return estimate._replace(log_likelihood=estimate.log_likelihood - volume)

    def score_samples(self, X: Any, n_samples: int = 100) -> np.ndarray:
        """Estimate log p(x) of every row in nats by importance sampling, shape (n,)."""
        return self.log_likelihood(X, n_samples).log_likelihood.cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())

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

    def _fitted_extras(self) -> dict[str, Any]:
        return {"contrasted_": self.contrasted_}


def _masks(model: Any, x: Tensor) -> Tensor:
    mask: Tensor = model.decoder.layers(model.encoder(x).mean).mask
    return mask
