"""Checks of arguments: each names the argument, what it takes, and what it got."""

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, TypeVar

T = TypeVar("T")


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


def object_of(kind: type[Any], value: Any, table: Mapping[str, Callable[[], T]]) -> T:
    """Return the object that an argument, called as its kind is, names or is.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, str) or value not in table:
        name = kind.__name__
        raise ValueError(
            f"{name.lower()} must be one of {', '.join(table)}, or a {name}; got {value!r}."
        )
    return table[value]()


def require_positive(name: str, value: int) -> None:
    """Check a count.

    Raises
    ------
    ValueError
        If it is below one.
    """
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")


def require_not_negative(**values: float) -> None:
    """Check weights.

    Raises
    ------
    ValueError
        If one is below zero.
    """
    for name, value in values.items():
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}.")


def require_share(**values: float) -> None:
    """Check probabilities.

    Raises
    ------
    ValueError
        If one is not between zero and one.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}.")
