"""Images seen a little aside: under affine maps."""

from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.nn.backbones import ImageShape


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
