"""From data units to model units and back."""

from sfumato.scaling.affine import (
    COLUMN_UNITS,
    SCALINGS,
    GivenUnits,
    Scaler,
    Scaling,
    Standardised,
    ToRange,
    Units,
    Unscaled,
    robust_units,
    scaling_of,
)
from sfumato.scaling.projection import PrincipalAxes, Projection, n_axes_of, scaling_from

__all__ = [
    "COLUMN_UNITS",
    "SCALINGS",
    "GivenUnits",
    "PrincipalAxes",
    "Projection",
    "Scaler",
    "Scaling",
    "Standardised",
    "ToRange",
    "Units",
    "Unscaled",
    "n_axes_of",
    "robust_units",
    "scaling_from",
    "scaling_of",
]
