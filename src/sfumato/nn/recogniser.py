"""The recogniser q(c|x): a network of its own for the label."""

from collections.abc import Sequence
from itertools import pairwise
from math import log, prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.nn.backbones import ImageShape, chained, conv_sizes, mlp
from sfumato.nn.views import Views

N_FEATURES = 32


class ChannelsLast(nn.Module):
    """Pixels of a channel apart, channels of a pixel together: the faster order on a processor."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x in the other order of memory."""
        return x.contiguous(memory_format=torch.channels_last)


def normalised_conv(image_shape: ImageShape, channels: Sequence[int], n_out: int) -> nn.Sequential:
    """Strided convolutions, each batch-normalised, from flat rows to ``n_out`` numbers.

    The first sees 5x5 pixels, the others 3x3.
    """
    layers: list[nn.Module] = [nn.Unflatten(1, image_shape), ChannelsLast()]
    for i, (c_in, c_out) in enumerate(pairwise([image_shape[0], *channels])):
        size = 5 if i == 0 else 3
        convolution = nn.Conv2d(c_in, c_out, size, 2, size // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(c_out), nn.ReLU()]
    n_flat = channels[-1] * prod(conv_sizes(image_shape, len(channels))[-1])
    layers += [nn.Flatten(), nn.Linear(n_flat, n_out)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Recogniser(nn.Module):
    r"""q(c|x): a softmax of a linear map of learned features, averaged over views of the row.

    .. math:: q(c|x) = \frac1V \sum_v q_1(c|T_v x)

    q_1 is trained on one random view of a row at a time. Since -log is convex, the divergence from
    an average of views is at most their mean divergence.

    Parameters
    ----------
    n_features_in : int
    n_components : int
    image_shape : (channels, height, width), optional
        Images are seen by convolutions, other rows by layers of 500, 500 and 2000.
    views : Views, optional
        T_v; without them a row is seen as it is.
    inputs : sequence of Module
        What becomes of a row first, to ``n_features_in`` numbers.
    """

    def __init__(
        self,
        n_features_in: int,
        n_components: int,
        image_shape: ImageShape | None = None,
        views: Views | None = None,
        inputs: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        network = (
            mlp([n_features_in, 500, 500, 2000, N_FEATURES])
            if image_shape is None
            else normalised_conv(image_shape, (32, 64, 128), N_FEATURES)
        )
        self.network = nn.Sequential(chained(*inputs, network), nn.ReLU())
        self.head = nn.Linear(N_FEATURES, n_components)
        self.views = Views() if views is None else views

    def forward(self, x: Tensor) -> Tensor:
        """Log q_1(c = k|x) of the rows as they are, in nats, shape (n, K)."""
        return self._log_class(self.network(x))

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, shape (n, 32), and log q(c = k|x), shape (n, K), over all views."""
        seen = [self.network(view) for view in self.views(x)]
        log_class = torch.stack([self._log_class(features) for features in seen])
        return torch.stack(seen).mean(0), log_class.logsumexp(0) - log(len(seen))

    def _log_class(self, features: Tensor) -> Tensor:
        logits = self.head(features)
        return F.log_softmax(logits if logits.dtype.itemsize >= 4 else logits.float(), dim=-1)
