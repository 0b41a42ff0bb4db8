"""The argument ``deformation`` of estimators: random views in training, fixed ones afterwards."""

from typing import Any

from sfumato.nn import ImageShape, Views
from sfumato.objectives import Deformation
from sfumato.training import check_choice


def deformation_of(value: Any, image_shape: ImageShape | None) -> Deformation | None:
    """Return the deformation that an argument stands for: for images only.

    Raises
    ------
    ValueError
        If the argument is none.
    """
    if isinstance(value, Deformation):
        return value
    check_choice("deformation", str(value), ["auto", "None"])
    return Deformation() if value == "auto" and image_shape else None


def fixed_views(deformation: Deformation | None, image_shape: ImageShape | None) -> Views:
    """Return the fixed views over which a trained network averages its answers."""
    maps = None if deformation is None else deformation.views()
    return Views(maps, image_shape)
