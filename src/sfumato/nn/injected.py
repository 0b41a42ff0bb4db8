"""Networks conditioned on c."""

from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.nn.backbones import mlp
from sfumato.nn.families import GaussianFamily

_WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class Injected(nn.Module):
    r"""A network of [x, c]: c is added, through weights of its own, to what its layers compute.

    .. math:: h_1 = W_1 x + V_1 c + b_1, \qquad h_k = W_k f(h_{k-1}) + V_k c + b_k

    The first sum alone is the concatenation of x and c, as W and V are the two halves of one
    matrix; before a convolution, that of the image and planes that are constant, also beyond its
    border.

    Parameters
    ----------
    network : Sequential
        Of x alone.
    n_conditions : int
        Length of c.
    every_layer : bool
        Add c in every layer, not in the first alone.

    Examples
    --------
    >>> import torch
    >>> network = Injected(mlp([5, 4, 3]), 2, every_layer=True)
    >>> network(torch.zeros(6, 7)).shape
    torch.Size([6, 3])
    """

    def __init__(self, network: nn.Sequential, n_conditions: int, *, every_layer: bool) -> None:
        super().__init__()
        self.network = network
        self.n_conditions = n_conditions
        widths = {
            i: _width(layer) for i, layer in enumerate(network) if isinstance(layer, _WEIGHTED)
        }
        if not widths:
            raise ValueError(
                "a condition needs a network that is a sequence of linear or convolutional layers; "
                f"got {network!r}."
            )
        sites = list(widths) if every_layer else list(widths)[:1]
        self.injections = nn.ModuleDict(
            {str(i): nn.Linear(n_conditions, widths[i], bias=False) for i in sites}
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Return the network's output for rows [x, c]."""
        h, c = rows.tensor_split([rows.shape[-1] - self.n_conditions], dim=-1)
        for i, layer in enumerate(self.network):
            h = layer(h)
            if str(i) in self.injections:
                shift = self.injections[str(i)](c)
                h = h + (shift if h.ndim == 2 else shift[:, :, None, None])
        return h


def _width(layer: nn.Module) -> int:
    width = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(width, int)
    return width


class ConditionedNormal(nn.Module):
    r"""p(z|c) = N(mu(c), diag sigma^2(c)), learned; N(0, I) to begin with.

    Parameters
    ----------
    n_conditions, dim : int
        Lengths of c and z.
    hidden : int
        Width of the network's one layer.
    """

    def __init__(self, n_conditions: int, dim: int, hidden: int = 100) -> None:
        super().__init__()
        self.network = mlp([n_conditions, hidden, 2 * dim], "tanh")
        self.family = GaussianFamily(dim)
        nn.init.zeros_(self.network[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.network[-1].bias)  # type: ignore[arg-type]

    def forward(self, c: Tensor) -> Distribution:
        """Return p(z|c), batch shape (n,)."""
        return self.family(self.network(c).float())


class Unconditioned(nn.Module):
    """p(z|c) = p(z)."""

    def __init__(self, prior: nn.Module) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, c: Tensor) -> Distribution:
        """Return p(z), batch shape ()."""
        p_z: Distribution = self.prior()
        return p_z
