"""The text of settings: `--set name=value` and TOML files, values as Python or words."""

import ast
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from sfumato.jobs.settings import named_object

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


def read_config(path: str | None) -> dict[str, Any]:
    """Return the settings of a TOML file; tables become dotted names.

    Raises
    ------
    click.UsageError
        If the file cannot be read, or is not TOML.
    """
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
