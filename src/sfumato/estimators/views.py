"""The argument ``deformation`` of estimators: random views in training, fixed ones afterwards."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from sfumato.nn import Views
from sfumato.objectives import Deformation
from sfumato.training import check_choice


def deformation_of(estimator: Any) -> Deformation | None:
    """Return the deformation that an estimator's argument stands for: for images only.

    Raises
    ------
    ValueError
        If the argument is none.
    """
    if isinstance(estimator.deformation, Deformation):
        return estimator.deformation
    check_choice("deformation", str(estimator.deformation), ["auto", "None"])
    return Deformation() if estimator.deformation == "auto" and estimator.image_shape_ else None


def fixed_views(estimator: Any) -> Views:
    """Return the fixed views over which a trained network averages its answers."""
    deformation = deformation_of(estimator)
    maps = None if deformation is None else deformation.views()
    return Views(maps, estimator.image_shape_)


def random_view(estimator: Any) -> Callable[[Tensor], Tensor] | None:
    """Return the deformation of a batch of rows, or None where there is none."""
    deformation = deformation_of(estimator)
    if deformation is None or estimator.image_shape_ is None:
        return None
    return partial(deformation, image_shape=estimator.image_shape_)
