"""Settings by name: found anywhere in a model, checked against the type that they take."""

import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sklearn.base import BaseEstimator
from sklearn.mixture import GaussianMixture

from sfumato.coupling import Coupling
from sfumato.estimators import GMVAE, MixtureVAE, RowEstimator, VaDE, find_model
from sfumato.objectives import (
    ELBO,
    IWAE,
    Contractive,
    Correntropy,
    Deformation,
    Gaussian,
    GMVAEBound,
    KLSparsity,
    KSparse,
    Masking,
    MixtureELBO,
    SaltAndPepper,
)
from sfumato.restoration import Restorer
from sfumato.training import EarlyStopping

T = TypeVar("T")

OBJECTS = {
    "elbo": ELBO,
    "iwae": IWAE,
    "mixture-elbo": MixtureELBO,
    "gmvae-bound": GMVAEBound,
    "coupling": Coupling,
    "deformation": Deformation,
    "early-stopping": EarlyStopping,
    "gaussian-noise": Gaussian,
    "masking": Masking,
    "salt-and-pepper": SaltAndPepper,
    "sparsity": KLSparsity,
    "k-sparse": KSparse,
    "contractive": Contractive,
    "correntropy": Correntropy,
}
# Every model calls the number of clusters by one name.
SYNONYMS = {
    (cls, "n_clusters"): "n_components" for cls in (GaussianMixture, MixtureVAE, GMVAE, VaDE)
}
# Settings whose type hint is wider than the objects that have a name here.
TAKES: Mapping[str, Any] = {
    "objective": ELBO | IWAE | None,
    "corruption": Gaussian | Masking | SaltAndPepper | None,
    "penalty": KLSparsity | KSparse | Contractive | None,
}
IN_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    types.NoneType: "none",
    **{cls: name for name, cls in OBJECTS.items()},
}


class SettingError(ValueError):
    """A model, an option or a setting that does not exist, or a value that it does not take."""


def choose(choices: Mapping[str, T], name: str, what: str) -> T:
    """Return what a name stands for among several.

    Raises
    ------
    SettingError
        If the name is none of them.

    Examples
    --------
    >>> choose({"a": 1, "b": 2}, "c", "letter")
    Traceback (most recent call last):
    sfumato.jobs.settings.SettingError: letter must be one of a, b; got 'c'.
    """
    if name not in choices:
        raise SettingError(f"{what} must be one of {', '.join(choices)}; got {name!r}.")
    return choices[name]


def model_entry(name: str) -> Any:
    """Return the catalogue's entry of a model.

    Raises
    ------
    SettingError
        If there is no such model; it suggests the nearest.
    """
    try:
        return find_model(name)
    except ValueError as error:
        raise SettingError(str(error)) from None


def named_object(value: Any) -> Any:
    """Return a new object where the value is the name of one, else the value itself.

    Examples
    --------
    >>> named_object("iwae"), named_object("conv"), named_object(3)
    (IWAE(), 'conv', 3)
    """
    made = OBJECTS.get(value.lower()) if isinstance(value, str) else None
    return value if made is None else made()


def apply_settings(
    estimator: BaseEstimator, settings: Mapping[str, Any], *, strict: bool = True
) -> set[str]:
    """Set parameters by full, dotted or last name; return the names that were used.

    Parameters
    ----------
    estimator : estimator of rows or restorer
    settings : mapping
        Name -> value. The name of an object, such as "iwae", stands for the object.
    strict : bool
        Refuse names that the estimator lacks; otherwise skip them.

    Raises
    ------
    SettingError
        If a name is unknown (suggesting the nearest) or ambiguous, or a value is of the wrong type.

    Examples
    --------
    >>> from sfumato import VAE
    >>> vae = VAE()
    >>> sorted(apply_settings(vae, {"latent_dim": 3, "batch_size": 50}))
    ['batch_size', 'latent_dim']
    >>> vae.latent_dim, vae.trainer.batch_size
    (3, 50)
    """
    own = estimator.get_params(deep=False)
    # The objects behind a None default, so that `warmup` finds its place.
    implied = estimator.implied() if isinstance(estimator, (RowEstimator, Restorer)) else {}
    for name, value in implied.items():
        if own[name] is None:
            estimator.set_params(**{name: value})
    resolved = {name: named_object(value) for name, value in settings.items()}
    used = set()
    # Whole objects first, so that settings inside them are not lost.
    for name in sorted(resolved, key=lambda name: not isinstance(resolved[name], BaseEstimator)):
        found = _find(estimator, name, strict)
        if found:
            estimator.set_params(**{found: _fitting(estimator, found, resolved[name])})
            used.add(name)
    return used


def _fitting(estimator: BaseEstimator, name: str, value: Any) -> Any:
    """Return the value as the setting's type hint takes it: itself, a tuple of it, or its text.

    scikit-learn's models have no hints; they check their settings when they are fitted.
    """
    prefix, _, last = name.rpartition("__")
    owner = estimator.get_params()[prefix] if prefix else estimator
    kind = get_type_hints(type(owner).__init__).get(last, object)
    kind = TAKES.get(last, kind)
    # The text of an object is not a word that anyone gave.
    texts = () if isinstance(value, BaseEstimator) else (str(value),)
    for candidate in (value, (value,), *texts):
        if _is(candidate, kind):
            return candidate
    raise SettingError(f"The setting {last!r} takes {_in_words(kind)}; got {value!r}.")


def _is(value: Any, kind: Any) -> bool:
    parts = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return any(_is(value, part) for part in parts)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is(item, parts[0]) for item in value)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return kind is Any or not isinstance(kind, type) or isinstance(value, kind)


def _in_words(kind: Any) -> str:
    if get_origin(kind) in (Union, types.UnionType):
        *first, last = (_in_words(part) for part in get_args(kind))
        return f"{', '.join(first)} or {last}"
    if get_origin(kind) is tuple:
        return "whole numbers such as 64,32"
    return str(IN_WORDS.get(kind) or getattr(kind, "__name__", kind))


def _find(estimator: BaseEstimator, name: str, strict: bool) -> str | None:
    known: dict[str, Any] = estimator.get_params(deep=True)
    full = name.replace(".", "__").replace("-", "_")
    full = SYNONYMS.get((type(estimator), full), full)
    if full in known:
        return full
    ends = [key for key in known if key.endswith(f"__{full}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        choices = ", ".join(end.replace("__", ".") for end in ends)
        raise SettingError(f"The setting {name!r} could be any of {choices}; name one in full.")
    if not strict:
        return None
    names = sorted({key.rsplit("__", 1)[-1] for key in known})
    near = get_close_matches(full, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" It has {', '.join(names)}."
    raise SettingError(f"{type(estimator).__name__} has no setting {name!r}.{hint}")
