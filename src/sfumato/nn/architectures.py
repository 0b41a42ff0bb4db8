"""Backbones as arguments: what the networks of encoder and decoder look like."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, NamedTuple, Self

from sklearn.base import BaseEstimator
from torch import nn

from sfumato.nn.backbones import (
    ACTIVATIONS,
    ImageShape,
    conv_pair,
    dropping_out,
    mlp_pair,
    tied_mlp_pair,
)
from sfumato.nn.initialisation import preserve_variance
from sfumato.nn.residual import residual_pair

# (encoder, decoder); the decoder's first axis is the batch, and so is the encoder's.
Networks = tuple[nn.Module, nn.Module]


class Sizes(NamedTuple):
    """How many numbers the networks take and give."""

    n_features: int
    """Values of a row, the encoder's input."""
    image_shape: ImageShape | None
    """(channels, height, width) of a row that is an image."""
    n_code: int
    """Raw outputs of the encoder."""
    n_out: int
    """Raw outputs of the decoder; those of one value lie side by side."""
    latent_dim: int
    """The decoder's input."""


class Backbone(BaseEstimator, ABC):
    """The networks of encoder and decoder, mirrored, flat vectors outside.

    A subclass defines :meth:`build`. Those that have widths call them ``hidden``.

    Attributes
    ----------
    needs_images : bool
        Whether rows must be images.
    """

    needs_images: ClassVar[bool] = False

    @abstractmethod
    def build(self, sizes: Sizes) -> Networks:
        """Return the encoder, (n, n_features) to (n, n_code), and the decoder.

        The decoder maps (n, latent_dim) to (n, n_out).
        """

    def initialised(self, networks: Networks) -> Networks:
        """Return the networks with the weights that a variational autoencoder starts from."""
        return networks

    def with_widths(self, hidden: Sequence[int] | None) -> Self:
        """Return the backbone with the widths that an estimator's ``hidden`` gives.

        Raises
        ------
        ValueError
            If it has others already, or none.
        """
        if hidden is None:
            return self
        own = self.get_params(deep=False).get("hidden", ())
        if own is not None and tuple(own) != tuple(hidden):
            raise ValueError(
                f"hidden={hidden!r} and backbone={self!r} name different widths: give one of them."
            )
        return type(self)(**{**self.get_params(deep=False), "hidden": tuple(hidden)})


# Widths that follow the columns of a table: for each, at least, and at most.
PER_COLUMN, LEAST, MOST = 4, 64, 500


class _Layered(Backbone):
    """Layers of given widths."""

    default: ClassVar[tuple[int, ...]]

    hidden: tuple[int, ...] | None
    activation: str

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths, or the default ones.

        Raises
        ------
        ValueError
            If they, or the activation, cannot be used.
        """
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation must be one of {known}; got {self.activation!r}.")
        if self.hidden is None:
            return self.default
        check_widths(self.hidden)
        if self.needs_images and not len(self.hidden):
            name = type(self).__name__.lower()
            raise ValueError(f"backbone={name!r} needs at least one layer in hidden.")
        return tuple(self.hidden)


class MLP(_Layered):
    """Fully connected layers.

    Parameters
    ----------
    hidden : tuple of int, optional
        Widths of the encoder's layers, mirrored by the decoder; by default the estimator's
        ``hidden``, or (500, 500).
    activation : "silu", "relu", "elu", "tanh", "sigmoid" or "identity"
    dropout : float
        Share of the hidden values that a training step sets to zero.
    tied : bool
        The decoder uses the encoder's weights transposed.
    by_columns : bool
        Where no widths are given, those of a table follow its columns: two layers of 4 for each
        number that the encoder sees, at least 64, at most 500.
    """

    default = (500, 500)

    def __init__(
        self,
        hidden: tuple[int, ...] | None = None,
        activation: str = "silu",
        dropout: float = 0.0,
        tied: bool = False,
        by_columns: bool = False,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout
        self.tied = tied
        self.by_columns = by_columns

    def widths_for(self, sizes: Sizes) -> tuple[int, ...]:
        """Return the widths of networks of such rows."""
        if self.hidden is not None or not self.by_columns or sizes.image_shape is not None:
            return self.widths
        return (min(max(PER_COLUMN * sizes.n_features, LEAST), MOST),) * 2

    def build(self, sizes: Sizes) -> Networks:
        """Return the networks."""
        if self.tied and sizes.n_code != sizes.latent_dim:
            raise ValueError("tied=True needs a deterministic code, as an autoencoder's.")
        if self.tied and sizes.n_out != sizes.n_features:
            raise ValueError("tied=True needs one output a value.")
        if self.tied:
            widths = self.widths_for(sizes)
            pair = tied_mlp_pair(sizes.n_features, widths, sizes.latent_dim, self.activation)
        else:
            widths, latent_dim = self.widths_for(sizes), sizes.latent_dim
            pair = mlp_pair(
                sizes.n_features, widths, sizes.n_code, sizes.n_out, latent_dim, self.activation
            )
        return _with_dropout(pair, self.dropout)

    def initialised(self, networks: Networks) -> Networks:
        """Return the networks with weights that keep the size of signals."""
        encoder, decoder = networks
        return preserve_variance(encoder), preserve_variance(decoder)


class Conv(_Layered):
    """Convolutions of stride 2, mirrored by transposed ones.

    Parameters
    ----------
    hidden : tuple of int, optional
        Channels of the encoder's convolutions; by default the estimator's ``hidden``, or (32, 64).
    activation : "silu", "relu", "elu", "tanh", "sigmoid" or "identity"
    dropout : float
        Share of the hidden values that a training step sets to zero.
    """

    needs_images = True
    default = (32, 64)

    def __init__(
        self,
        hidden: tuple[int, ...] | None = None,
        activation: str = "silu",
        dropout: float = 0.0,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout

    def build(self, sizes: Sizes) -> Networks:
        """Return the networks."""
        return _with_dropout(_of_images(conv_pair, self, sizes), self.dropout)


class ResNet(_Layered):
    """Residual blocks at the full resolution, at half of it, and so on.

    Parameters
    ----------
    hidden : tuple of int, optional
        Channels at each resolution; by default the estimator's ``hidden``, or (32, 64, 64).
    activation : "silu", "relu", "elu", "tanh", "sigmoid" or "identity"
    """

    needs_images = True
    default = (32, 64, 64)

    def __init__(self, hidden: tuple[int, ...] | None = None, activation: str = "silu") -> None:
        self.hidden = hidden
        self.activation = activation

    def build(self, sizes: Sizes) -> Networks:
        """Return the networks."""
        return _of_images(residual_pair, self, sizes)


class Modules(Backbone):
    """Networks of one's own.

    Parameters
    ----------
    encoder, decoder : callable (n_in, n_out) -> Module
        A class or a function, so that a saved model can be built anew.

    Examples
    --------
    >>> sizes = Sizes(6, None, 4, 6, 2)
    >>> encoder, decoder = Modules(nn.Linear, nn.Linear).build(sizes)
    >>> encoder.out_features, decoder.in_features
    (4, 2)
    """

    def __init__(
        self, encoder: Callable[[int, int], nn.Module], decoder: Callable[[int, int], nn.Module]
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder

    def build(self, sizes: Sizes) -> Networks:
        """Return the networks."""
        return (
            self.encoder(sizes.n_features, sizes.n_code),
            self.decoder(sizes.latent_dim, sizes.n_out),
        )


BACKBONES: Mapping[str, type[_Layered]] = {"mlp": MLP, "conv": Conv, "resnet": ResNet}


def _of_images(pair: Callable[..., Any], backbone: _Layered, sizes: Sizes) -> Networks:
    per_value = sizes.n_out // sizes.n_features
    networks: Networks = pair(
        sizes.image_shape,
        backbone.widths,
        sizes.n_code,
        per_value,
        sizes.latent_dim,
        backbone.activation,
    )
    return networks


def _with_dropout(pair: Any, dropout: float) -> Networks:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {dropout}.")
    encoder, decoder = (dropping_out(part, dropout) for part in pair) if dropout else pair
    return encoder, decoder


def backbone_of(value: Any, hidden: Sequence[int] | None = None) -> Backbone:
    """Return the backbone that an argument names or is, with the widths of ``hidden``.

    Raises
    ------
    ValueError
        If it is neither, or the widths cannot be used.
    """
    if hidden is not None:
        check_widths(hidden)
    if isinstance(value, Backbone):
        return value.with_widths(hidden)
    if not isinstance(value, str) or value not in BACKBONES:
        raise ValueError(
            f"backbone must be one of {', '.join(map(repr, BACKBONES))}, or a Backbone; "
            f"got {value!r}."
        )
    return BACKBONES[value](hidden=None if hidden is None else tuple(hidden))


def check_widths(hidden: Any) -> None:
    """Check the widths of layers.

    Raises
    ------
    ValueError
        If they are not positive whole numbers in a sequence.
    """
    is_sequence = isinstance(hidden, Sequence) and not isinstance(hidden, str)
    if not is_sequence or not all(isinstance(w, Integral) and int(w) > 0 for w in hidden):
        raise ValueError(f"hidden must hold positive whole numbers, got {hidden!r}.")
