"""Checks of arguments: each names the argument, what it takes, and what it got."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any


def check_count(name: str, value: Any, alternative: str = "") -> None:
    """Check a whole number of at least one.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(
            f"{name} must be {alternative}a whole number of at least 1; got {value!r}."
        )


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Check a name out of a table.

    Raises
    ------
    ValueError
        Naming what there is to choose from.
    """
    known = list(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}.")
