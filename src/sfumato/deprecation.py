"""Arguments that have moved into an object: accepted for one release, with a warning."""

import warnings
from collections.abc import Mapping
from inspect import Signature, signature
from typing import Any

from sklearn.base import BaseEstimator


def accept_moved(estimator: Any, moved: Mapping[str, Any]) -> None:
    """Put former arguments where they belong now.

    Parameters
    ----------
    estimator : estimator with ``homes`` and ``default_objects()``
        ``homes`` maps a former argument to the present one whose object has a parameter of that
        name; ``default_objects()`` are the objects that None, or a name, stand for.
    moved : mapping
        Former arguments and their values.

    Raises
    ------
    TypeError
        If there has never been such an argument.
    ValueError
        If the object that would hold it has no use for it.
    """
    for name, value in moved.items():
        if name not in estimator.homes:
            raise TypeError(f"{type(estimator).__name__} takes no argument {name!r}.")
        home = estimator.homes[name]
        owner = _owner(estimator, home, name)
        new = f"{home}={type(owner).__name__}({name}={value!r})"
        warnings.warn(
            f"{type(estimator).__name__}({name}=...) is deprecated; use {new}.",
            DeprecationWarning,
            stacklevel=3,
        )
        setattr(estimator, home, type(owner)(**owner.get_params(deep=False) | {name: value}))


def _owner(estimator: Any, home: str, name: str) -> BaseEstimator:
    value = getattr(estimator, home)
    owner: BaseEstimator = (
        value if isinstance(value, BaseEstimator) else estimator.default_objects()[home]
    )
    if name not in owner.get_params(deep=False):
        raise ValueError(
            f"{name} has no effect with {home}={owner!r}: leave it out, or give another {home}."
        )
    return owner


def split_moved(estimator: Any, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return present parameters, and former ones, which belong to objects among the present."""
    moved = {name: value for name, value in params.items() if name in estimator.homes}
    return {name: value for name, value in params.items() if name not in moved}, moved


def present_signature(init: Any) -> Signature:
    """Return how a class is called whose ``__init__`` takes former arguments: without them."""
    _, *parameters = signature(init).parameters.values()
    return Signature([parameter for parameter in parameters if parameter.name != "moved"])
