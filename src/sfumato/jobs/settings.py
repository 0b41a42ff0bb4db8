"""Settings by name: found anywhere in a model, checked against the type that they take."""

import ast
import re
import types
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import inf
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sklearn.base import BaseEstimator
from sklearn.mixture import GaussianMixture

import sfumato
from sfumato.artifacts import ArtifactError
from sfumato.estimators import find_model
from sfumato.estimators.recipe import RECIPES
from sfumato.likelihoods import LIKELIHOODS, LOSSES
from sfumato.nn import BACKBONES
from sfumato.objectives import Corruption, Objective, Penalty
from sfumato.priors import POSTERIORS, PRIORS
from sfumato.scaling import SCALINGS
from sfumato.storage import GROUP, declared, find, is_storable, registered

T = TypeVar("T")

# Words that parameters take as they are.
PLAIN = {*BACKBONES, *LIKELIHOODS, *LOSSES, *POSTERIORS, *PRIORS, *RECIPES, *SCALINGS}
# Short words for objects, besides the names of their classes.
SHORT = {
    "sparsity": "KLSparsity",
    "masking": "MaskingNoise",
}
# What a setting takes whose type hint says more than the command line can give.
TAKES: Mapping[str, Any] = {
    "objective": Objective | None,
    "corruption": Corruption | None,
    "penalty": Penalty | None,
}
IN_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    types.NoneType: "none",
    Objective: "an objective such as elbo or iwae",
    Corruption: "gaussian-noise, masking-noise, salt-and-pepper",
    Penalty: "kl-sparsity, k-sparse, contractive",
}
CALL = re.compile(r"^([\w.:-]+)\((.*)\)$", re.DOTALL)


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


def kebab(name: str) -> str:
    """Return a class's name as a word of the command line.

    Examples
    --------
    >>> kebab("GMVAEBound"), kebab("KSparse"), kebab("SemiAmortised")
    ('gmvae-bound', 'k-sparse', 'semi-amortised')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _words() -> dict[str, Callable[..., Any]]:
    """Return the classes of settings objects by their words: ours, and those registered."""
    ours = {name: getattr(sfumato, name) for name in sfumato.__all__}
    known = {name: thing for name, thing in ours.items() if isinstance(thing, type)}
    known |= {name: cls for name, cls in registered(BaseEstimator).items() if ":" not in name}
    words: dict[str, Callable[..., Any]] = {
        kebab(name): cls
        for name, cls in known.items()
        if issubclass(cls, BaseEstimator) and not is_storable(cls)
    }
    return words | {short: known[name] for short, name in SHORT.items()}


def _named(word: str) -> Any:
    """Return the class or function that a word names, or None."""
    words = _words()
    if word.lower() in words or kebab(word) in words:
        return words.get(word.lower(), words.get(kebab(word)))
    if ":" in word or any(point.name == word for point in declared(GROUP)):
        try:
            # Typing the name of a class is trusting it.
            return find(word, trust=(word,))
        except ArtifactError as error:
            raise SettingError(str(error)) from None
    return None


def named_object(value: Any) -> Any:
    """Return a new object where the value names one, perhaps with arguments, else the value.

    Examples
    --------
    >>> named_object("iwae"), named_object("conv"), named_object(3)
    (IWAE(), 'conv', 3)
    >>> named_object("VampPrior(300)"), named_object("conv(dropout=0.1)")
    (VampPrior(n_components=300), Conv(dropout=0.1))
    """
    if not isinstance(value, str):
        return value
    call = CALL.match(value)
    word, arguments = call.groups() if call else (value, "")
    made = _named(word) if call or word not in PLAIN else None
    if made is None:
        return value
    # A class of settings stands for an object of it; an optimiser's, or a layer's, for itself.
    if not call and not (isinstance(made, type) and issubclass(made, BaseEstimator)):
        return made
    given, named = _arguments(value, arguments)
    try:
        return made(*given, **named)
    except TypeError as error:
        raise SettingError(f"{value!r} cannot be made: {error}.") from None


def _arguments(text: str, arguments: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the literal arguments of a call."""
    try:
        call: Any = ast.parse(f"f({arguments})", mode="eval").body
        given = [ast.literal_eval(value) for value in call.args]
        return given, {str(key.arg): ast.literal_eval(key.value) for key in call.keywords}
    except (SyntaxError, ValueError):
        raise SettingError(
            f"{text!r} is no object with plain arguments, such as VampPrior(300)."
        ) from None


def settings_of(model: str) -> dict[str, Any]:
    """Return the settings of a model of the catalogue with their defaults, by dotted names.

    Examples
    --------
    >>> settings_of("vae")["latent_dim"], settings_of("vae")["trainer.max_epochs"]
    (40, 100)
    """
    entry = model_entry(model)
    estimator = entry.build(None)
    give_objects(estimator)
    return {
        name.replace("__", "."): value
        for name, value in estimator.get_params(deep=True).items()
        if not isinstance(value, BaseEstimator) or not value.get_params()
    }


def apply_settings(
    estimator: BaseEstimator, settings: Mapping[str, Any], *, strict: bool = True
) -> set[str]:
    """Set parameters by full, dotted or last name; return the names that were used.

    Parameters
    ----------
    estimator : estimator of rows or restorer
    settings : mapping
        Name -> value. The name of an object, such as "iwae", stands for the object, and so does
        "VampPrior(300)".
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
    give_trainer(estimator)
    resolved = {name: named_object(value) for name, value in settings.items()}
    used = set()
    for name in sorted(resolved, key=lambda name: _order(estimator, name, resolved[name])):
        found = _find(estimator, name)
        if found is None:
            give_objects(estimator)
            found = _find(estimator, name)
        if found is None and strict:
            raise SettingError(_unknown(estimator, name))
        if found is not None:
            estimator.set_params(**{found: _fitting(estimator, found, resolved[name])})
            used.add(name)
    return used


def _order(estimator: BaseEstimator, name: str, value: Any) -> tuple[float, bool]:
    """Return what puts an object, by its own name or as a value, before the settings inside it."""
    depths = [found.count("__") for found in _matching(estimator, name)]
    return min(depths, default=inf), not isinstance(value, BaseEstimator)


def give_trainer(estimator: Any) -> None:
    """Set the trainer that None stands for: a job gives it a checkpoint and loggers."""
    trainer = _default_objects(estimator).get("trainer")
    if trainer is not None and estimator.trainer is None:
        estimator.set_params(trainer=trainer)


def give_objects(estimator: Any) -> None:
    """Set the objects that parameters of None, or names, stand for, so that they have settings."""
    own = _own(estimator)
    for name, value in _default_objects(estimator).items():
        # A subclass may leave a parameter out.
        if name in own and not isinstance(own[name], BaseEstimator):
            estimator.set_params(**{name: value})
    for value in _own(estimator).values():
        if isinstance(value, BaseEstimator):
            give_objects(value)


def _default_objects(estimator: Any) -> dict[str, Any]:
    """Return what parameters of None stand for; nothing where a class does not say."""
    objects: dict[str, Any] = getattr(estimator, "default_objects", dict)()
    return objects


def _own(estimator: Any) -> dict[str, Any]:
    own: dict[str, Any] = estimator.get_params(deep=False)
    return own


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
        if _is(candidate, kind) or (last == "objective" and callable(candidate)):
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
    return str(IN_WORDS.get(kind) or _named_kind(kind) or getattr(kind, "__name__", kind))


def _named_kind(kind: Any) -> str:
    """Return the words of the objects of a kind."""
    classes = {word: cls for word, cls in _words().items() if isinstance(cls, type)}
    is_kind = isinstance(kind, type) and issubclass(kind, BaseEstimator)
    return ", ".join(word for word, cls in classes.items() if is_kind and issubclass(cls, kind))


def _full(estimator: Any, name: str) -> str:
    """Return a name with underscores; the number of clusters has one name for all models."""
    full = name.replace(".", "__").replace("-", "_")
    if full != "n_clusters":
        return full
    named = "n_components" if type(estimator) is GaussianMixture else None
    return str(getattr(estimator, "clusters_named", None) or named or full)


def _find(estimator: BaseEstimator, name: str) -> str | None:
    found = _matching(estimator, name)
    if len(found) > 1:
        choices = ", ".join(full.replace("__", ".") for full in found)
        raise SettingError(f"The setting {name!r} could be any of {choices}; name one in full.")
    return found[0] if found else None


def _matching(estimator: BaseEstimator, name: str) -> list[str]:
    """Return the parameters that a name can mean: the one of that full name, or all that end so."""
    known: dict[str, Any] = estimator.get_params(deep=True)
    full = _full(estimator, name)
    return [full] if full in known else [key for key in known if key.endswith(f"__{full}")]


def _unknown(estimator: BaseEstimator, name: str) -> str:
    names = sorted({key.rsplit("__", 1)[-1] for key in estimator.get_params(deep=True)})
    near = get_close_matches(_full(estimator, name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" It has {', '.join(names)}."
    return f"{type(estimator).__name__} has no setting {name!r}.{hint}"
