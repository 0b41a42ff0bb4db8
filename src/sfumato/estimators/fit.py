"""One fit as a value."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from sfumato.checks import check_choice
from sfumato.inference import RowSource
from sfumato.nn import ColumnInputs, Deformation, ImageShape, Views
from sfumato.noise import Noise
from sfumato.training import (
    Engine,
    History,
    IndexedRows,
    Rows,
    Trainer,
)

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Fit:
    """What the phases of one fit share.

    Attributes
    ----------
    rows : Rows
        In model units, on the engine's device.
    seed : int
    trainer : Trainer
    engine : Engine
    description : dict or None
        Stored with checkpoints: what is being fitted.
    image_shape : (channels, height, width) or None
        Of one row, where rows are images.
    deformation : Deformation or None
        Under which an image stays what it is.
    see : Sequential (n, d) -> (n, width), or None
        What the networks see of a row, where that is not the row itself.
    """

    rows: Rows
    seed: int
    trainer: Trainer
    engine: Engine
    description: dict[str, Any] | None
    image_shape: ImageShape | None = None
    deformation: Deformation | None = None
    see: nn.Sequential | None = None

    @property
    def seen(self) -> RowSource:
        """The rows as the networks see them."""
        return self.rows if self.see is None else SeenRows(self.rows, self.see)

    @property
    def points(self) -> RowSource:
        """The rows as points whose distances count: as seen, without the mask of missing cells."""
        return self.rows if self.see is None else SeenRows(self.rows, values_alone(self.see))

    @property
    def of_levels(self) -> np.ndarray:
        """Whether each number of a point has few values, shape (width,)."""
        row = self.rows[slice(0, 1)]
        layers = () if self.see is None else tuple(self.see)
        known = [layer.of_levels(row) for layer in layers if isinstance(layer, ColumnInputs)]
        return np.array(known[0] if known else [False] * row.shape[1])

    @property
    def view(self) -> Callable[[Tensor], Tensor] | None:
        """The random deformation of a batch of rows, None where there is none."""
        return view_of(self.deformation, self.image_shape)

    def deforming(self, deformation: Deformation | None) -> "Fit":
        """Return the same fit with images deformed so."""
        return replace(self, deformation=deformation)

    def build(self, make: Callable[[], Model], seed: int | None = None) -> Model:
        """Return a new model, its weights drawn from the fit's seed."""
        with Noise(self.seed if seed is None else seed):
            return make()

    def train(
        self, model: nn.Module, objective: Any, data: Any = None, *, seed: int | None = None
    ) -> History:
        """Train in one phase, on the rows or on what is joined to them."""
        return self._train(self.trainer, model, objective, data, seed)

    def phase(
        self,
        name: str,
        model: nn.Module,
        objective: Any,
        data: IndexedRows | Any = None,
        *,
        share: int = 1,
        seed: int | None = None,
        **settings: Any,
    ) -> History:
        """Train in one phase of several, with 1 / share of the epochs and a checkpoint of its own.

        Further settings are the trainer's.
        """
        trainer = self.trainer.phase(name, share, **settings)
        return self._train(trainer, model, objective, data, seed)

    def _train(
        self, trainer: Trainer, model: nn.Module, objective: Any, data: Any, seed: int | None
    ) -> History:
        return trainer.fit(
            model,
            objective,
            self.rows if data is None else data,
            seed=self.seed if seed is None else seed,
            description=self.description,
            engine=self.engine,
        )


def values_alone(layers: Iterable[nn.Module]) -> nn.Sequential:
    """Return layers before the networks' own without what says which cells are missing."""
    return nn.Sequential(
        *(layer.without_mask() if isinstance(layer, ColumnInputs) else layer for layer in layers)
    )


class SeenRows:
    """Rows as networks see them.

    Parameters
    ----------
    rows : Rows
    see : callable (n, d) -> (n, width)
    """

    def __init__(self, rows: Rows, see: Callable[[Tensor], Tensor]) -> None:
        self.rows = rows
        self.see = see

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def __getitem__(self, index: Tensor | slice) -> Tensor:
        return self.see(self.rows[index])


def view_of(
    deformation: Deformation | None, image_shape: ImageShape | None
) -> Callable[[Tensor], Tensor] | None:
    """Return the deformation of a batch of images, None where there is none."""
    if deformation is None or image_shape is None:
        return None

    def view(x: Tensor) -> Tensor:
        return deformation(x, image_shape)

    return view


def deformation_of(value: Any, image_shape: ImageShape | None) -> Deformation | None:
    """Return the deformation that an argument stands for: for images only.

    Raises
    ------
    ValueError
        If the argument is none.
    """
    if isinstance(value, Deformation):
        if image_shape is None:
            raise ValueError(
                "deformation has no effect on rows that are no images: leave it out, or give "
                "image_shape=(channels, height, width)."
            )
        return value
    check_choice("deformation", str(value), ["auto", "None"])
    return Deformation() if value == "auto" and image_shape else None


def fixed_views(deformation: Deformation | None, image_shape: ImageShape | None) -> Views:
    """Return the fixed views over which a trained network averages its answers."""
    maps = None if deformation is None else deformation.views()
    return Views(maps, image_shape)
