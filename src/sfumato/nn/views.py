"""Small affine views of images: fixed ones, and random deformations that keep the label."""

from math import pi

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.nn.backbones import ImageShape

# Signs of three amounts in four views.
HALF_FACTORIAL = ((1.0, 1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, -1.0, -1.0), (-1.0, -1.0, 1.0))


def warped(x: Tensor, maps: Tensor, image_shape: ImageShape) -> Tensor:
    """Return images as rows of shape (n, d) under affine maps, with zeros from outside.

    Parameters
    ----------
    x : Tensor, shape (n, d)
    maps : Tensor, shape (n, 2, 3), or (1, 2, 3) for all rows alike
        From a place in the result to one in x, both in coordinates from -1 to 1.
    image_shape : (channels, height, width)
    """
    images = x.unflatten(1, image_shape)
    maps = maps.to(x).expand(len(x), 2, 3)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).flatten(1)


class Views(nn.Module):
    """The same few views of every row.

    Parameters
    ----------
    maps : Tensor, shape (V, 2, 3), optional
        Of images; without them a row is seen once, as it is.
    image_shape : (channels, height, width), optional
    """

    maps: Tensor | None

    def __init__(self, maps: Tensor | None = None, image_shape: ImageShape | None = None) -> None:
        super().__init__()
        # Settings, not weights: they are not saved.
        self.register_buffer("maps", maps, persistent=False)
        self.image_shape = image_shape

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the views of x, V of shape (n, d)."""
        if self.maps is None or self.image_shape is None:
            return [x]
        return [warped(x, view[None], self.image_shape) for view in self.maps]


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
