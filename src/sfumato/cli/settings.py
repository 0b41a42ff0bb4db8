"""--set name=value: names found anywhere in a model's settings, values as Python or words."""

import ast
import tomllib
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import click
from sklearn.base import BaseEstimator
from sklearn.mixture import GaussianMixture

from sfumato.coupling import Coupling
from sfumato.estimators import GMVAE, MixtureVAE, RowEstimator, VaDE
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

WORDS = {"true": True, "false": False, "none": None}
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
# The number of clusters goes by one name in every model.
SYNONYMS = {
    (cls, "n_clusters"): "n_components" for cls in (GaussianMixture, MixtureVAE, GMVAE, VaDE)
}
# What a setting takes where the command line takes less than Python does.
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


def parse(settings: Iterable[str]) -> dict[str, Any]:
    """Return names and values of `name=value` words.

    Raises
    ------
    click.UsageError
        If a word has no equals sign.
    """
    parsed = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or not name:
            raise click.UsageError(f"--set takes name=value, got {setting!r}.")
        parsed[name.strip()] = _value(text.strip())
    return parsed


def _value(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if text.lower() in OBJECTS:
        return OBJECTS[text.lower()]()
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def read_config(path: str | None) -> dict[str, Any]:
    """Return the settings of a TOML file; tables become dotted names."""
    if path is None:
        return {}
    try:
        content = tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"Cannot read the settings in {path}: {error}") from None
    return {name: _toml_value(value) for name, value in _flat(content).items()}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        full = prefix + name
        flat |= _flat(value, f"{full}.") if isinstance(value, dict) else {full: value}
    return flat


def _toml_value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return _value(value) if isinstance(value, str) else value


def apply(
    estimator: BaseEstimator, settings: Mapping[str, Any], *, strict: bool = True
) -> set[str]:
    """Set parameters by full, dotted or last name; returns the names that were used.

    Parameters
    ----------
    strict : bool
        Refuse names that the estimator lacks; otherwise pass over them.

    Raises
    ------
    click.UsageError
        If a name is unknown (suggesting the nearest) or could be several, or a value is of the
        wrong type.
    """
    own = estimator.get_params(deep=False)
    # Objects that stand behind a None default, so that `--set warmup=10` finds its place.
    implied = estimator.implied() if isinstance(estimator, (RowEstimator, Restorer)) else {}
    for name, value in implied.items():
        if own[name] is None:
            estimator.set_params(**{name: value})
    # Whole objects first, so that settings inside them are not lost.
    ordered = sorted(settings.items(), key=lambda item: not isinstance(item[1], BaseEstimator))
    used = set()
    for name, value in ordered:
        found = _find(estimator, name, strict)
        if found:
            estimator.set_params(**{found: _fitting(estimator, found, value)})
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
    # An object's text is no word that anyone gave.
    texts = () if isinstance(value, BaseEstimator) else (str(value),)
    for candidate in (value, (value,), *texts):
        if _is(candidate, kind):
            return candidate
    raise click.UsageError(f"The setting {last!r} takes {_in_words(kind)}; got {value!r}.")


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
        raise click.UsageError(f"The setting {name!r} could be any of {choices}; name one in full.")
    if not strict:
        return None
    names = sorted({key.rsplit("__", 1)[-1] for key in known})
    near = get_close_matches(full, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" It has {', '.join(names)}."
    raise click.UsageError(f"{type(estimator).__name__} has no setting {name!r}.{hint}")
