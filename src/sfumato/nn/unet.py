"""A convolutional autoencoder with skip connections, from images to images."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """h + conv(relu(conv(h))), both 3x3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """Return features of the same shape."""
        step: Tensor = self.second(F.relu(self.first(h)))
        return h + step


def blocks(width: int, n: int) -> nn.Sequential:
    """Return n residual blocks."""
    return nn.Sequential(*(ResidualBlock(width) for _ in range(n)))


class UNet(nn.Module):
    """Encoder and decoder over several scales; each scale of the decoder also sees the encoder's.

    The image enters with 2x2 pixels as channels, so that the widest maps have a quarter of its
    size, and every further scale halves the sides.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    widths : sequence of int
        Channels at each scale.
    n_blocks : int
        Residual blocks at each scale, on the way down and on the way up.

    References
    ----------
    Ronneberger et al., U-Net, 2015; Mao et al., Image Restoration Using Very Deep Convolutional
    Encoder-Decoder Networks with Symmetric Skip Connections, 2016; He et al. 2016 for the blocks.

    Examples
    --------
    >>> UNet(2, 1, (4, 8), 1)(torch.zeros(1, 2, 8, 12)).shape
    torch.Size([1, 1, 8, 12])
    """

    def __init__(
        self, n_in: int, n_out: int, widths: Sequence[int] = (32, 64, 128), n_blocks: int = 2
    ) -> None:
        super().__init__()
        self.multiple = 2 ** len(widths)
        steps = list(pairwise(widths))
        self.head = nn.Conv2d(4 * n_in, widths[0], 3, padding=1)
        self.down = nn.ModuleList(blocks(width, n_blocks) for width in widths[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in steps)
        self.bottom = blocks(widths[-1], n_blocks)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(steps))
        self.up = nn.ModuleList(blocks(width, n_blocks) for width in reversed(widths[:-1]))
        self.tail = nn.Conv2d(widths[0], 4 * n_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return images of shape (n, n_out, h, w); h and w are multiples of ``multiple``."""
        h = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        h = self.head(h)
        seen: list[Tensor] = []
        for down, shrink in zip(self.down, self.shrink, strict=True):
            seen.append(down(h))
            h = shrink(seen[-1])
        h = self.bottom(h)
        for grow, up in zip(self.grow, self.up, strict=True):
            h = up(grow(h) + seen.pop())
        return F.pixel_shuffle(self.tail(h), 2)
