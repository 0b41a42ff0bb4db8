"""Small deformations under which an image keeps its label."""

from math import pi

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from sfumato.nn import ImageShape, warped

# Signs of three amounts in four views.
HALF_FACTORIAL = ((1.0, 1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, -1.0, -1.0), (-1.0, -1.0, 1.0))


class Deformation(BaseEstimator):
    """Random rotation, shear, scaling and shift of every image of a batch.

    All amounts are drawn uniformly, up to these in both directions.

    Parameters
    ----------
    rotation : float
        Degrees.
    shift : float
        Share of the image's side.
    scale : float
        Share of the size.
    shear : float
    """

    def __init__(
        self,
        rotation: float = 10.0,
        shift: float = 0.08,
        scale: float = 0.1,
        shear: float = 0.1,
    ) -> None:
        self.rotation = rotation
        self.shift = shift
        self.scale = scale
        self.shear = shear

    def __call__(self, x: Tensor, image_shape: ImageShape) -> Tensor:
        """Return rows of shape (n, d) deformed at random."""
        return warped(x, self._maps(2 * torch.rand(6, len(x)) - 1), image_shape)

    def views(self) -> Tensor:
        """Return four fixed deformations in place of the draws, shape (4, 2, 3).

        The amounts have the mean and the variance of the draws; rotation, shear and width are
        uncorrelated, and so are height and the two shifts: half of a factorial design each.
        """
        signs = torch.tensor(HALF_FACTORIAL).T.repeat(2, 1)
        return self._maps(signs / 3**0.5)

    def _maps(self, amounts: Tensor) -> Tensor:
        """Return affine maps, shape (n, 2, 3), for shares of the amounts, shape (6, n)."""
        angle, shear, width, height, across, down = amounts
        angle = angle * self.rotation * pi / 180
        width, height = 1 + self.scale * width, 1 + self.scale * height
        # Coordinates run from -1 to 1: a whole side is 2.
        across, down = 2 * self.shift * across, 2 * self.shift * down
        first = torch.stack([angle.cos() * width, self.shear * shear - angle.sin() * width, across])
        second = torch.stack([angle.sin() * height, angle.cos() * height, down])
        return torch.stack([first, second]).permute(2, 0, 1)
