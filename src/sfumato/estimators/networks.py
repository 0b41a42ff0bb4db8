"""The estimators' arguments about networks, turned into networks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from sfumato.nn import (
    ACTIVATIONS,
    Family,
    conv_pair,
    mlp_pair,
    residual_pair,
    tied_mlp_pair,
)
from sfumato.training import check_choice, check_count

DEFAULT_HIDDEN = {"mlp": (500, 500), "conv": (32, 64), "resnet": (32, 64, 64)}
CONVOLUTIONS = {"conv": conv_pair, "resnet": residual_pair}


def check_network(estimator: Any) -> None:
    """Check latent_dim, backbone, hidden and activation.

    Raises
    ------
    ValueError
        Naming the parameter and what it takes.
    """
    check_count("latent_dim", estimator.latent_dim)
    check_choice("backbone", estimator.backbone, DEFAULT_HIDDEN)
    check_choice("activation", estimator.activation, ACTIVATIONS)
    if estimator.hidden is not None:
        check_widths(estimator.hidden)
    if estimator.backbone in CONVOLUTIONS and estimator.image_shape_ is None:
        raise ValueError(
            f"backbone={estimator.backbone!r} needs images, and rows of "
            f"{estimator.n_features_in_} values are not square; give "
            "image_shape=(channels, height, width)."
        )
    if estimator.backbone in CONVOLUTIONS and not hidden_of(estimator):
        raise ValueError(f"backbone={estimator.backbone!r} needs at least one layer in hidden.")


def check_widths(hidden: Any) -> None:
    """Check the widths of layers.

    Raises
    ------
    ValueError
        If they are not positive whole numbers in a sequence.
    """
    if not _are_widths(hidden):
        raise ValueError(f"hidden must hold positive whole numbers, got {hidden!r}.")


def _are_widths(hidden: Any) -> bool:
    is_sequence = isinstance(hidden, Sequence) and not isinstance(hidden, str)
    return is_sequence and all(
        isinstance(width, (int, np.integer)) and width > 0 for width in hidden
    )


def hidden_of(estimator: Any) -> tuple[int, ...]:
    """Return the widths, or the backbone's default ones."""
    if estimator.hidden is None:
        return DEFAULT_HIDDEN[estimator.backbone]
    return tuple(estimator.hidden)


def build_pair(
    estimator: Any,
    posterior: Family,
    likelihood: Family,
    *,
    tied: bool = False,
    code_dim: int | None = None,
) -> tuple[nn.Sequential, nn.Sequential]:
    """Build encoder and decoder networks with as many outputs as the two families need.

    ``code_dim`` is what the decoder takes, where that is not ``latent_dim``.
    """
    n_features, latent_dim = estimator.n_features_in_, code_dim or estimator.latent_dim
    hidden, activation = hidden_of(estimator), estimator.activation
    if tied:
        return tied_mlp_pair(n_features, hidden, latent_dim, activation)
    n_code, n_out = posterior.n_parameters, likelihood.n_parameters
    if estimator.backbone == "mlp":
        return mlp_pair(n_features, hidden, n_code, n_out, latent_dim, activation)
    per_pixel = n_out // n_features
    pair = CONVOLUTIONS[estimator.backbone]
    return pair(estimator.image_shape_, hidden, n_code, per_pixel, latent_dim, activation)
