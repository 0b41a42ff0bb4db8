"""What ``torch.distributions`` lacks: a point mass, and the KL divergence of any pair."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints, kl_divergence


class PointMass(Distribution):
    r"""All probability on one point, :math:`\delta(z - \mu)`: what a deterministic encoder returns.

    Parameters
    ----------
    loc : Tensor, shape (..., d)
        The point; its last axis is the event.

    Examples
    --------
    >>> q = PointMass(torch.zeros(3, 2))
    >>> q.rsample((5,)).shape
    torch.Size([5, 3, 2])
    """

    arg_constraints = {"loc": constraints.real_vector}  # noqa: RUF012 (torch's own declaration)
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor) -> None:
        self.loc = loc
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The point itself."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = torch.Size()) -> Tensor:
        """The point, repeated."""
        return self.loc.expand(self._extended_shape(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Refuse: a point mass has no density; use ``Autoencoder`` objectives that need none."""
        raise NotImplementedError("a point mass has no density, so no likelihood can be formed")


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor | None:
    r"""KL(q_j || p_j) of every latent dimension, shape (n, d), or None where q or p do not factorise.

    Parameters
    ----------
    q, p : Distribution
        Batch shape (n,) or (), event shape (d,).
    """
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return None
    return kl_divergence(q.base_dist, p.base_dist)


def kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    r"""KL(q || p) in nats: in closed form where torch knows one, else its estimate at samples z of q.

    .. math:: KL(q \| p) \approx \frac1L \sum_l \log q(z^{(l)}) - \log p(z^{(l)})

    Parameters
    ----------
    q, p : Distribution
        Batch shape (n,) or (), event shape (d,).
    z : Tensor, shape (L, n, d)
        Samples of q, used only where no closed form exists.

    Returns
    -------
    Tensor, shape (n,)

    Examples
    --------
    >>> from torch.distributions import Normal
    >>> q = Independent(Normal(torch.ones(4, 2), 1.0), 1)
    >>> p = Independent(Normal(torch.zeros(2), 1.0), 1)
    >>> kl(q, p, q.rsample((1,)))
    tensor([1., 1., 1., 1.])
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return (q.log_prob(z) - p.log_prob(z)).mean(0)
