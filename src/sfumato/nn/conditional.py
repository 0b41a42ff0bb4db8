"""A conditional distribution: a network and the family its outputs parameterise."""

from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.nn.families import Family


class Conditional(nn.Module):
    r"""p(a | b): ``family(network(b))``, any number of leading batch axes.

    ``network`` is the exportable core (tensors in, tensors out, shape (n, in) to
    (n, family.n_parameters)); calling the module returns a distribution.
    """

    def __init__(self, network: nn.Module, family: Family) -> None:
        super().__init__()
        self.network = network
        self.family = family

    def forward(self, b: Tensor) -> Distribution:
        """Return p(. | b) for b of shape (..., in); its parameters are float32 or better."""
        raw = self.network(b.flatten(0, -2)).unflatten(0, b.shape[:-1])
        return self.family(raw if raw.dtype.itemsize >= 4 else raw.float())
