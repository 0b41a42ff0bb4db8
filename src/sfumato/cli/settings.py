"""The text of settings: `--set name=value` and TOML files, values as Python or words."""

import ast
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from sfumato.data import KINDS
from sfumato.jobs.settings import named_object

COLUMN_KEYS = ("kind", "levels", "unit")
WORDS_OF_KINDS = ("number", "ignore")
WORDS = {"true": True, "false": False, "none": None}


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
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return named_object(text)


def _content(path: str, parse: Callable[[str], Any], what: str) -> Any:
    """Return what a file of settings holds.

    Raises
    ------
    click.UsageError
        If it cannot be read.
    """
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"Cannot read the {what} in {path}: {error}") from None


def read_config(path: str | None) -> dict[str, Any]:
    """Return the settings of a TOML file; tables become dotted names.

    Raises
    ------
    click.UsageError
        If the file cannot be read, or is not TOML.
    """
    if path is None:
        return {}
    content = _content(path, tomllib.loads, "settings")
    return {name: _toml_value(value) for name, value in _flat(content).items()}


def read_columns(path: str | None) -> dict[str, Any]:
    """Return the kinds of columns in a JSON or TOML file: name -> kind, or name -> table.

    Raises
    ------
    click.UsageError
        If the file cannot be read, or holds something else.
    """
    if path is None:
        return {}
    parse = tomllib.loads if path.lower().endswith(".toml") else json.loads
    found = _content(path, parse, "columns")
    if not isinstance(found, dict):
        raise click.UsageError(f"{path} must map names of columns to kinds.")
    for name, wanted in found.items():
        _check_column(path, name, wanted)
    return found


def _check_column(path: str, name: str, wanted: Any) -> None:
    entry = wanted if isinstance(wanted, dict) else {"kind": wanted}
    unknown = sorted(entry.keys() - COLUMN_KEYS)
    kind, levels = entry.get("kind"), entry.get("levels")
    if unknown or not isinstance(kind, str | None) or not isinstance(levels, list | None):
        raise click.UsageError(
            f"{path}: column {name!r} takes a kind, or a table of {', '.join(COLUMN_KEYS)}; got "
            f"{wanted!r}."
        )
    if kind is not None and kind not in (*KINDS, *WORDS_OF_KINDS):
        raise click.UsageError(
            f"{path}: column {name!r} cannot be of the kind {kind!r}; the kinds are "
            f"{', '.join((*KINDS, *WORDS_OF_KINDS))}."
        )


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
