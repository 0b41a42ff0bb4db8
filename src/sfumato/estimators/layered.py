"""The layered VAE: foreground, background and mask of pictures, without masks to learn from."""

from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sfumato.data.conditions import (
    Condition,
    checked,
    condition_of,
    from_dict,
    to_dict,
)
from sfumato.deprecation import accept_moved
from sfumato.estimators.base import CODES, DENSITY, GENERATES, TabularEstimator, Unit
from sfumato.estimators.capabilities import (
    RandomState,
    checked_codes,
    decoded,
    generated,
    sampled_likelihood,
    warn_of_collapse,
)
from sfumato.estimators.exhibits import Exhibit, Pictures, spread
from sfumato.estimators.vae import objective_of
from sfumato.inference import (
    LayeredDiagnosis,
    LikelihoodEstimate,
    RowSource,
    diagnose_layers,
    map_float64,
)
from sfumato.models import ConditionalModel, LatentVariableModel, LayeredDecoder, Novelty
from sfumato.nn import (
    Backbone,
    Conditional,
    GaussianFamily,
    ImageShape,
    Injected,
    Sizes,
    StandardNormal,
    Unconditioned,
    backbone_of,
    chained,
    mlp,
)
from sfumato.noise import Noise
from sfumato.objectives import Objective
from sfumato.training import IndexedRows, JoinedRows, Trainer, check_choice, check_count

# Width of the one layer between a code and colours on a coarse grid.
COLOUR_WIDTH = 100
# Pictures, and pixels of them, from which the background is first guessed.
FIRST_ROWS, FIRST_PIXELS = 1000, 50_000
# Foregrounds, and backgrounds, that change places on a page.
MAX_SWAPS = 6
CODE_PARTS = ("both", "foreground", "background")


class Decomposition(NamedTuple):
    """What pictures are composed of."""

    masks: np.ndarray
    """True where the foreground covers more than half of a pixel; bool of shape (n, h, w)."""
    coverage: np.ndarray
    """Share of a pixel that it covers, shape (n, h, w)."""
    foregrounds: np.ndarray
    """Colours of the foreground, everywhere, shape (n, d), in data units."""
    backgrounds: np.ndarray
    """The background, also where it is hidden, shape (n, d), in data units."""


def layer_pictures(estimator: Any, X: np.ndarray) -> list[Exhibit]:
    """Return pictures taken apart, and foregrounds before other pictures' backgrounds."""
    if estimator.columns_ is not None:
        return []
    if estimator.condition_ is not None:
        return []
    rows = spread(X)
    parts = estimator.decompose(rows)
    low, high = float(np.min(X)), float(np.max(X))
    masks = np.repeat(parts.coverage[:, None], estimator.image_shape_[0], axis=1)
    groups = {
        "data": rows,
        "coverage": low + (high - low) * masks.reshape(len(rows), -1),
        "foreground": parts.foregrounds,
        "background": parts.backgrounds,
    }
    caption = f"{len(rows)} rows: how much of a pixel the foreground covers, and the layers."
    shown = rows[:MAX_SWAPS]
    swapped = {
        f"before {k + 1}": estimator.compose(shown, np.repeat(row[None], len(shown), axis=0))
        for k, row in enumerate(shown)
    }
    return [
        Pictures("Layers of the pictures", groups, caption),
        Pictures(
            "Swapped layers",
            {"data": shown} | swapped,
            "The same pictures' foregrounds, each row before one picture's background.",
        ),
    ]


class LayeredVAE(TabularEstimator):
    r"""Variational autoencoder of a foreground, with a gate, before a background.

    .. math:: z_F, z_B \sim N(0, I), \qquad
              E[x|z_F, z_B] = g(z_F)\, x_F(z_F) + (1 - g(z_F))\, x_B(z_B)

    Learned from pictures alone. What tells the layers apart is that shapes are sharp and colours
    smooth, that the background is what most pixels show, and that the colours of a layer vary
    together.

    Parameters
    ----------
    foreground_dim, background_dim : int
        Lengths of z_F and z_B.
    hidden, backbone
        Of the encoder and, mirrored, of the gate's decoder; see :class:`VAE`.
    foreground_grid, background_grid : int
        A layer's colours are drawn on so many points a side, and interpolated.
    objective : Objective, or callable (model, x) -> dict, optional
        :class:`~sfumato.ELBO` by default.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised. Other rows count as pixels in a line.
    random_state : int, RandomState or None
    trainer : Trainer, optional

    Attributes
    ----------
    condition_ : dict or None
        What is known of the foreground's attributes, where the fit had any.
    model_, history_, scaling_, image_shape_, seed_
        See :class:`TabularEstimator`.

    References
    ----------
    Yan, Yang, Sohn and Lee, Attribute2Image: Conditional Image Generation from Visual Attributes,
    2016.

    Examples
    --------
    >>> from sfumato import LayeredVAE, Trainer
    >>> from sfumato.data import digits_on_textures
    >>> scenes = digits_on_textures(60, size=16, digits="digits")
    >>> lvae = LayeredVAE(hidden=(8,), random_state=0, trainer=Trainer(max_epochs=1))
    >>> lvae.fit(scenes.images).decompose(scenes.images).masks.shape
    (60, 16, 16)
    """

    operations = CODES | DENSITY | GENERATES
    stored = ("condition_",)
    resolvers = {"backbone": backbone_of, "objective": objective_of}
    shows = (layer_pictures,)
    scaling = "range"

    def __init__(
        self,
        foreground_dim: int = 24,
        background_dim: int = 8,
        hidden: tuple[int, ...] | None = None,
        backbone: Backbone | str = "conv",
        foreground_grid: int = 1,
        background_grid: int = 4,
        objective: Any = None,
        image_shape: ImageShape | bool | None = None,
        random_state: RandomState = None,
        trainer: Trainer | None = None,
        **moved: Any,
    ) -> None:
        self.foreground_dim = foreground_dim
        self.background_dim = background_dim
        self.hidden = hidden
        self.backbone = backbone
        self.foreground_grid = foreground_grid
        self.background_grid = background_grid
        self.objective = objective
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer
        accept_moved(self, moved)

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Length of the whole code (z_F, z_B)."""
        return self.foreground_dim + self.background_dim

    def fit(self, X: Any, y: Any = None, *, attributes: Any = None, columns: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array of shape (n, d) or of images, frame, tensor, Dataset, path, or data set's name
        y : ignored
        attributes : array of shape (n,) or (n, m), optional
            Classes or attributes that the foreground is conditioned on, as a ConditionalVAE's rows;
            later rows then need them too.

        Raises
        ------
        ValueError
            If the data, the attributes or a parameter cannot be used; the message says why.
        """
        X = self._begin(X, columns)
        for name in ("foreground_dim", "background_dim", "foreground_grid", "background_grid"):
            check_count(name, getattr(self, name))
        self.image_shape_ = self.image_shape_ or (1, 1, self.n_features_in_)
        self._check_network()
        objective = self._objective()
        given = self._learned_conditions(attributes, len(X))
        fit = self._start(X, None if given is None else given.numpy())
        rows: IndexedRows = fit.rows if given is None else JoinedRows(fit.rows, given)
        with Noise(fit.seed):
            model = self._build()
            self._guess_background(model, rows)
        history = fit.train(model, objective, rows)
        some = rows[torch.arange(min(1000, len(X)))]
        warn_of_collapse(diagnose_layers(model, some))
        return self._finish(model, history)

    def _learned_conditions(self, attributes: Any, n_rows: int) -> Tensor | None:
        self.condition_: dict[str, Any] | None = None
        if attributes is None:
            return None
        y = checked(attributes, n_rows)
        self.condition_ = to_dict(condition_of(y))
        return self._encoded(y)

    @property
    def _condition(self) -> Condition | None:
        return None if self.condition_ is None else from_dict(self.condition_)

    def _encoded(self, y: Any) -> Tensor | None:
        condition = self._condition
        return None if condition is None else condition.encode(y)

    def _unit(self) -> Unit:
        return Unit("range", bounded=True)

    def _log_volume(self) -> float:
        return self.scaling_.log_volume(self.n_features_in_)

    def _objective(self) -> Objective:
        return objective_of(self.objective)

    @property
    def likelihood_measure_(self) -> str:
        """Name of the negative log-likelihood in tables."""
        return "nll_density"

    def _build(self) -> LatentVariableModel:
        shape = self.image_shape_
        assert shape is not None
        width = 0 if self._condition is None else self._condition.width
        activation = self._backbone().get_params().get("activation", "silu")
        encoder, gate = self._pair(shape, width)
        decoder = LayeredDecoder(
            gate,
            _colours(self.foreground_dim + width, shape[0], self.foreground_grid, activation),
            _colours(self.background_dim, shape[0], self.background_grid, activation),
            self.foreground_dim,
            self.background_dim,
            shape,
            width,
        )
        encoder = chained(Novelty(decoder), encoder)
        posterior = GaussianFamily(self.latent_dim)
        prior = StandardNormal(self.latent_dim)
        if width == 0:
            return LatentVariableModel(Conditional(encoder, posterior), decoder, prior)
        conditioned = Conditional(Injected(encoder, width, every_layer=False), posterior)
        return ConditionalModel(conditioned, decoder, Unconditioned(prior), width)

    def _pair(self, shape: ImageShape, width: int) -> tuple[nn.Module, nn.Module]:
        """Return the encoder of rows beside their novelty, and the decoder of the gate."""
        backbone, n_code = self._backbone(), 2 * self.latent_dim
        n_pixels, seen = shape[1] * shape[2], (shape[0] + 1, *shape[1:])
        rows = Sizes(
            self.n_features_in_ + n_pixels,
            seen,
            n_code,
            self.n_features_in_ + n_pixels,
            self.latent_dim,
        )
        encoder, _ = backbone.build(rows)
        gates = Sizes(n_pixels, (1, *shape[1:]), n_code, n_pixels, self.foreground_dim + width)
        _, gate = backbone.build(gates)
        return encoder, gate

    @torch.no_grad()
    def _guess_background(self, model: LatentVariableModel, rows: Any) -> None:
        """Take most pixels for background: the foreground is what then stands out."""
        channels = self.image_shape_[0] if self.image_shape_ else 1
        some = torch.randint(len(rows), (min(FIRST_ROWS, len(rows)),))
        x, _ = model.split(rows[some])
        pixels = x.unflatten(1, (channels, -1)).movedim(1, 2).flatten(0, 1)
        pixels = pixels[torch.randint(len(pixels), (min(FIRST_PIXELS, len(pixels)),))]
        decoder: Any = model.decoder
        mean = decoder.background_noise.fit(pixels).clamp(0.01, 0.99).logit()
        last = decoder.background[-1]
        last.weight.mul_(0.1)
        last.bias.copy_(mean.repeat_interleave(self.background_grid**2))

    def _conditioned(self, X: Any, attributes: Any) -> tuple[RowSource, np.dtype]:
        rows, dtype = self._rows(X)
        given = self._attributes(attributes, len(rows))
        return (rows if given is None else JoinedRows(rows, given)), dtype

    def _attributes(self, attributes: Any, n_rows: int) -> Tensor | None:
        """Return the foreground's attributes as the model takes them."""
        if self.condition_ is None and attributes is not None:
            raise ValueError("The fit had no attributes: leave them out here too.")
        if self.condition_ is None:
            return None
        if attributes is None:
            raise ValueError("The fit had attributes of the foreground: give them here too.")
        given = self._encoded(checked(attributes, n_rows))
        return None if given is None else given.to(self._device())

    def transform(self, X: Any, *, attributes: Any = None, which: str = "both") -> np.ndarray:
        """Return the posterior mean of every row, shape (n, latent_dim).

        Parameters
        ----------
        X : array-like of shape (n, d)
        attributes : array-like of shape (n,) or (n, m), optional
            Of the foreground, where the fit had them.
        which : "both", "foreground" or "background"
            The whole code (z_F, z_B), or one of its parts.
        """
        check_choice("which", which, CODE_PARTS)
        codes = self._codes(*self._conditioned(X, attributes))
        parts = {
            "both": codes,
            "foreground": codes[:, : self.foreground_dim],
            "background": codes[:, self.foreground_dim :],
        }
        return parts[which]

    def inverse_transform(self, Z: Any, *, attributes: Any = None) -> np.ndarray:
        """Return the composed pictures at codes Z of shape (n, latent_dim), shape (n, d)."""
        check_is_fitted(self, "model_")
        codes = checked_codes(Z, self.latent_dim)
        return decoded(self, codes, self._attributes(attributes, len(codes)))

    def reconstruct(self, X: Any, *, attributes: Any = None) -> np.ndarray:
        """Return the composed picture at every row's code, shape (n, d)."""
        codes = self.transform(X, attributes=attributes)
        return self.inverse_transform(codes, attributes=attributes)

    def decompose(self, X: Any, *, attributes: Any = None) -> Decomposition:
        """Take pictures apart into a mask, a foreground and a background."""
        rows, _ = self._conditioned(X, attributes)
        assert self.image_shape_ is not None
        n_pixels = self.image_shape_[1] * self.image_shape_[2]
        parts = map_float64(_parts, self.model_, rows)
        coverage, foreground, background = parts.split(
            [n_pixels, self.n_features_in_, self.n_features_in_], dim=1
        )
        covered = coverage.cpu().numpy().reshape(-1, *self.image_shape_[1:])
        layers = (self.scaling_.to_data(part) for part in (foreground, background))
        return Decomposition(covered > 0.5, covered, *layers)

    def compose(self, foreground: Any, background: Any, *, attributes: Any = None) -> np.ndarray:
        """Return the foregrounds of some rows before the backgrounds of others, shape (n, d)."""
        shape = self.transform(foreground, attributes=attributes, which="foreground")
        # The background's code hardly depends on what the foreground is conditioned on.
        scene = self.transform(background, attributes=attributes, which="background")
        if len(shape) != len(scene):
            raise ValueError(f"{len(shape)} foregrounds and {len(scene)} backgrounds: give pairs.")
        return self.inverse_transform(np.hstack([shape, scene]), attributes=attributes)

    @torch.no_grad()
    def sample(
        self,
        n_samples: int = 1,
        *,
        foreground: Any = None,
        background: Any = None,
        attributes: Any = None,
        random_state: RandomState = None,
        mean: bool = True,
    ) -> np.ndarray:
        """Generate pictures, shape (n_samples, d); either layer can be kept from given rows.

        Parameters
        ----------
        n_samples : int
        foreground, background : array-like of shape (n_samples, d), optional
            Rows whose foreground, or background, is kept; the other layer is drawn.
        attributes : array-like of shape (n_samples,) or (n_samples, m), optional
            Of the foreground, where the fit had them.
        random_state : int or RandomState, optional
            Of the draws; by default that of the fit, so that repeated calls agree.
        mean : bool
            Return E[x | z] for the code; False draws x.
        """
        check_is_fitted(self, "model_")
        check_count("n_samples", n_samples)
        given = self._attributes(attributes, n_samples)
        with self._seeded(random_state):
            z = torch.randn(n_samples, self.latent_dim)
            z_f, z_b = z.tensor_split([self.foreground_dim], dim=1)
            z_f = self._kept(foreground, "foreground", z_f, attributes)
            z_b = self._kept(background, "background", z_b, attributes)
            code = torch.cat([z_f, z_b], dim=1).to(self._device())
            given = code if given is None else torch.cat([code, given], 1)
            return generated(self, given, mean=mean)

    def _kept(self, rows: Any, which: str, drawn: Tensor, attributes: Any) -> Tensor:
        if rows is None:
            return drawn
        codes = self.transform(rows, attributes=attributes, which=which)
        if codes.shape != drawn.shape:
            raise ValueError(f"{which} has {len(codes)} rows for {len(drawn)} samples.")
        return torch.from_numpy(codes.astype(np.float32))

    def terms(self, X: Any, *, attributes: Any = None) -> dict[str, np.ndarray]:
        """Return the objective's named terms for every row, as :meth:`VAE.terms` does."""
        return self._terms(self._conditioned(X, attributes)[0])

    def diagnose(self, X: Any, *, attributes: Any = None) -> LayeredDiagnosis:
        """Measure how codes and layers are used over the rows of X; name the remedy, if needed."""
        return diagnose_layers(self.model_, self._conditioned(X, attributes)[0])

    def log_likelihood(
        self, X: Any, n_samples: int = 5000, *, attributes: Any = None
    ) -> LikelihoodEstimate:
        """Estimate the log density of every row in data units and nats, with standard errors."""
        rows, _ = self._conditioned(X, attributes)
        return sampled_likelihood(self, self.model_, rows, n_samples)

    def score_samples(self, X: Any, n_samples: int = 100, *, attributes: Any = None) -> np.ndarray:
        """Estimate the log density of every row in nats, shape (n,)."""
        estimate = self.log_likelihood(X, n_samples, attributes=attributes)
        return estimate.log_likelihood.cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())


def _colours(dim: int, channels: int, grid: int, activation: str) -> nn.Sequential:
    return mlp([dim, COLOUR_WIDTH, channels * grid**2], activation)


def _parts(model: LatentVariableModel, rows: Tensor) -> Tensor:
    """Return coverage, foreground and background side by side."""
    x, c = model.split(rows)
    code = torch.cat([model.encoder(rows).mean, c], dim=-1)
    p = model.decoder(code)
    layers = (p.layers.foreground, p.layers.background)
    return torch.cat([p.coverage(x), *(layer.flatten(1) for layer in layers)], dim=1)
