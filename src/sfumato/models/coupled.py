"""The coupled autoencoder: codes of small pictures are mapped to codes of large ones."""

from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.nn import blocks


class CoupledAutoencoder(nn.Module):
    r"""Two convolutional autoencoders and a map between their codes.

    .. math:: z_l = f_l(y), \quad \hat y = g_l(z_l), \qquad
              z_h = f_h(d), \quad \hat d = g_h(z_h), \qquad z_h \approx m(z_l)

    for a small picture y and the detail :math:`d = x - U y` that its large version x has beside
    the interpolation U y. Both codes are maps of the small picture's size.

    Parameters
    ----------
    factor : int
        How much larger x is than y.
    width : int
        Channels of the codes.
    n_blocks : int
        Residual blocks of the map; the low encoder has as many.

    References
    ----------
    Zeng, Yu, Wang, Li and Tao, Coupled Deep Autoencoder for Single Image Super-Resolution, 2017.
    """

    def __init__(self, factor: int, width: int, n_blocks: int) -> None:
        super().__init__()
        self.factor = factor
        n_detail = factor**2
        self.low_encoder = nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2), nn.ReLU(), blocks(width, n_blocks)
        )
        self.low_decoder = nn.Conv2d(width, 1, 3, padding=1)
        self.high_encoder = nn.Sequential(
            nn.PixelUnshuffle(factor),
            nn.Conv2d(n_detail, width, 3, padding=1),
            nn.ReLU(),
            blocks(width, 1),
        )
        self.high_decoder = nn.Sequential(
            blocks(width, 1), nn.Conv2d(width, n_detail, 3, padding=1), nn.PixelShuffle(factor)
        )
        self.map = blocks(width, n_blocks)

    def interpolate(self, y: Tensor) -> Tensor:
        """Return U y, the bicubic interpolation, shape (n, c, factor * h, factor * w)."""
        return F.interpolate(y, scale_factor=float(self.factor), mode="bicubic", antialias=True)

    def forward(self, y: Tensor) -> Tensor:
        """Return x-hat, shape (n, 1, factor * h, factor * w), for y of shape (n, 1, h, w)."""
        return self.interpolate(y) + self.detail(y).float()

    def detail(self, y: Tensor) -> Tensor:
        """Return d-hat by way of both codes."""
        found: Tensor = self.high_decoder(self.map(self.low_encoder(y)))
        return found


def shrink(x: Tensor, factor: int) -> Tensor:
    """Return pictures a factor smaller, by a bicubic kernel as wide as the factor."""
    return F.interpolate(x, scale_factor=1 / factor, mode="bicubic", antialias=True)
