"""Images under affine maps."""

from torch import Tensor
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
