"""Conditions of rows: classes or attributes, as a network takes them."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.multiclass import type_of_target
from torch import Tensor

CLASSIFIED = ("binary", "multiclass")


@dataclass(frozen=True)
class Classes:
    """One of K classes, as a one-hot vector.

    Attributes
    ----------
    values : list
        The classes, sorted.
    shares : list of float
        Share of each among the rows, p(c).
    """

    values: list[Any]
    shares: list[float]
    # Axes of the conditions of many rows.
    n_axes: ClassVar[int] = 1

    @classmethod
    def of(cls, y: np.ndarray) -> "Classes":
        """Return the classes of y, shape (n,)."""
        values, counts = np.unique(y, return_counts=True)
        return cls(values.tolist(), (counts / counts.sum()).tolist())

    @property
    def width(self) -> int:
        """Length of the vector."""
        return len(self.values)

    def named(self, text: str) -> Any:
        """Return the class that a word stands for.

        Raises
        ------
        ValueError
            If there is none.
        """
        for value in self.values:
            if str(value) == text:
                return value
        known = ", ".join(map(str, self.values))
        raise ValueError(f"There is no class {text!r}: the fit saw {known}.")

    def encode(self, y: np.ndarray) -> Tensor:
        """Return the one-hot vectors of y, shape (n, K).

        Raises
        ------
        ValueError
            If y holds a class that the fit did not see.
        """
        hits = np.asarray(y)[:, None] == np.asarray(self.values)
        unseen = np.asarray(y)[~hits.any(axis=1)]
        if len(unseen):
            known = ", ".join(map(str, self.values))
            raise ValueError(f"y holds {unseen.flat[0]!s}, which is none of the classes {known}.")
        return torch.from_numpy(hits.astype(np.float32))


@dataclass(frozen=True)
class Attributes:
    """Real or binary attributes, in units of their deviations.

    Attributes
    ----------
    offset, scale : list of float
        Mean and deviation of each.
    n_axes : int
        1 for a single attribute given as a vector, else 2.
    """

    offset: list[float]
    scale: list[float]
    n_axes: int

    @classmethod
    def of(cls, y: np.ndarray) -> "Attributes":
        """Return the attributes of y, shape (n, m) or (n,)."""
        table = y.reshape(len(y), -1).astype(np.float64)
        deviation = table.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1.0)
        return cls(table.mean(axis=0).tolist(), scale.tolist(), y.ndim)

    @property
    def width(self) -> int:
        """Length of the vector."""
        return len(self.offset)

    def named(self, text: str) -> Any:
        """Return the attributes that numbers with commas stand for.

        Raises
        ------
        ValueError
            If they are no numbers, or not as many as there are attributes.
        """
        try:
            values = np.array([float(word) for word in text.split(",")])
        except ValueError:
            raise ValueError(f"Attributes are numbers such as 0.5,1,0; got {text!r}.") from None
        if len(values) != self.width:
            raise ValueError(f"The model has {self.width} attributes; got {len(values)}.")
        return values if self.n_axes > 1 else values[0]

    def encode(self, y: np.ndarray) -> Tensor:
        """Return the standardised attributes, shape (n, m).

        Raises
        ------
        ValueError
            If y has another number of them.
        """
        table = np.asarray(y, np.float64).reshape(len(y), -1)
        if table.shape[1] != self.width:
            raise ValueError(
                f"y has {table.shape[1]} attributes for each row, and the fit saw {self.width}."
            )
        scaled = (table - np.asarray(self.offset)) / np.asarray(self.scale)
        return torch.from_numpy(scaled.astype(np.float32))


Condition = Classes | Attributes


def condition_of(y: np.ndarray) -> Condition:
    """Return the kind of condition that y is: classes if it is one column without fractions."""
    return Classes.of(y) if type_of_target(y) in CLASSIFIED else Attributes.of(y)


def to_dict(condition: Condition) -> dict[str, Any]:
    """Return plain values, as JSON takes them."""
    return {"kind": type(condition).__name__.lower(), **asdict(condition)}


def from_dict(values: dict[str, Any]) -> Condition:
    """Undo :func:`to_dict`."""
    kinds: dict[str, type[Classes | Attributes]] = {"classes": Classes, "attributes": Attributes}
    rest = dict(values)
    return kinds[rest.pop("kind")](**rest)


def checked(y: Any, n_rows: int) -> np.ndarray:
    """Return y as an array of n_rows conditions.

    Raises
    ------
    ValueError
        If y is missing, has gaps, or is of another length.
    """
    if y is None:
        raise ValueError(
            "This model requires y to be passed, but the target y is None: give every row its "
            "class or its attributes."
        )
    y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim > 2:
        raise ValueError(f"y must have one or two axes, and has {y.ndim}.")
    if len(y) != n_rows:
        raise ValueError(f"X has {n_rows} rows and y {len(y)}: give one condition for each row.")
    return y
