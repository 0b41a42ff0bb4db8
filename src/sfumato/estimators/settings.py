"""Settings as JSON: an estimator's parameters, nested objects and all, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sfumato.artifacts import ArtifactError
from sfumato.coupling import Coupling
from sfumato.estimators.priors import (
    DiagonalPosterior,
    FlowPosterior,
    FlowPrior,
    FullPosterior,
    MixturePrior,
    NormalPrior,
    VampPrior,
)
from sfumato.objectives import (
    ELBO,
    IWAE,
    Contractive,
    ContrastiveELBO,
    Correntropy,
    Deformation,
    Gaussian,
    GMVAEBound,
    KLSparsity,
    KSparse,
    Masking,
    MixtureELBO,
    SaltAndPepper,
    SemiAmortised,
)
from sfumato.training import EarlyStopping, Trainer

# Only these can be named by a file: loading never looks a class up anywhere else.
SETTINGS: Mapping[str, type[BaseEstimator]] = {
    cls.__name__: cls
    for cls in (
        Contractive,
        ContrastiveELBO,
        Correntropy,
        Coupling,
        Deformation,
        DiagonalPosterior,
        EarlyStopping,
        ELBO,
        FlowPosterior,
        FlowPrior,
        FullPosterior,
        Gaussian,
        GMVAEBound,
        IWAE,
        KLSparsity,
        KSparse,
        Masking,
        MixtureELBO,
        MixturePrior,
        NormalPrior,
        SaltAndPepper,
        SemiAmortised,
        Trainer,
        VampPrior,
    )
}
# Belong to the moment of the fit, not to what was fitted.
TRANSIENT = {"loggers", "checkpoint", "threads", "device", "pretrained"}


def to_json(value: Any) -> Any:
    """Return a JSON value for a parameter.

    Raises
    ------
    ArtifactError
        If the parameter is an object that cannot be stored as data.
    """
    if SETTINGS.get(type(value).__name__) is type(value):
        return {"class": type(value).__name__, "params": params_to_json(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.random.RandomState):
        # Its state at the fit is gone; the seed that was drawn from it is stored.
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ArtifactError(
        f"{value!r} cannot be saved as a setting; save only with sfumato's own objects and numbers."
    )


def params_to_json(estimator: BaseEstimator) -> dict[str, Any]:
    """Return all constructor parameters that outlive the fit."""
    params = estimator.get_params(deep=False)
    return {k: to_json(v) for k, v in params.items() if k not in TRANSIENT}


def from_json(value: Any) -> Any:
    """Undo :func:`to_json`; sequences come back as tuples."""
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if isinstance(value, dict):
        return SETTINGS[value["class"]](**params_from_json(value["params"]))
    return value


def params_from_json(params: Mapping[str, Any]) -> dict[str, Any]:
    """Undo :func:`params_to_json`."""
    return {name: from_json(value) for name, value in params.items()}
