"""What a fitted estimator shows of itself on a page: pictures and tables as data, undrawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pictures:
    """Rows shown as images, a line for each group.

    Attributes
    ----------
    heading : str
    groups : mapping of name to ndarray of shape (m, d)
        In data units, or with ``signed`` from -1 to 1.
    caption : str
    signed : bool
        Values are weights of both signs instead of rows.
    """

    heading: str
    groups: Mapping[str, np.ndarray]
    caption: str
    signed: bool = False


@dataclass(frozen=True)
class Figures:
    """A table.

    Attributes
    ----------
    heading : str
    header : sequence of str
    rows : sequence of sequences of str
        The first cell names the row.
    """

    heading: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


Exhibit = Pictures | Figures
# Pictures on a line, and lines that a page has room for.
N_PICTURES, MAX_GROUPS = 12, 40


def spread(X: np.ndarray, n: int = N_PICTURES) -> np.ndarray:
    """Return n rows, evenly spaced from the first to the last."""
    rows: np.ndarray = np.asarray(X)[np.linspace(0, len(X) - 1, n).astype(int)]
    return rows
