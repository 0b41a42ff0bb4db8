"""Penalties on the code of an autoencoder: sparse, k-sparse, contractive."""

from numbers import Integral

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from sfumato.checks import require_not_negative, require_positive, require_share
from sfumato.nn import Conditional, PointMassFamily, TopK
from sfumato.objectives.base import LatentModel, Terms


class Penalty(BaseEstimator):
    """What an autoencoder asks of its code, as named terms and as the code's last layer.

    Attributes
    ----------
    of_a_batch : bool
        The terms belong to a batch and not to its rows: they are trained, and not reported for a
        row.
    """

    of_a_batch = False

    def code_layer(self) -> nn.Module:
        """Return the layer that ends the encoder."""
        return nn.Identity()

    def __call__(self, model: LatentModel, x: Tensor, z: Tensor) -> Terms:
        """Return the named terms, each of shape (n,), for rows x with codes z."""
        raise NotImplementedError


class KLSparsity(Penalty):
    r"""Each unit of the code is active for a share rho of the rows.

    .. math:: \Omega = \beta \sum_j KL(\rho \| \hat\rho_j)
              = \beta \sum_j \rho \log\frac{\rho}{\hat\rho_j}
              + (1 - \rho) \log\frac{1 - \rho}{1 - \hat\rho_j},
              \qquad \hat\rho_j = \frac1{|S|} \sum_{x \in S} f_j(x)

    over a batch S; the code passes through a sigmoid.

    Parameters
    ----------
    rho : float
        Wanted mean activation, between 0 and 1.
    beta : float
        Weight, in units of the loss per nat.

    References
    ----------
    Ng, Sparse Autoencoder, CS294A lecture notes, 2011.
    """

    of_a_batch = True

    def __init__(self, rho: float = 0.05, beta: float = 1.0) -> None:
        self.rho = rho
        self.beta = beta

    def code_layer(self) -> nn.Module:
        """Return the sigmoid."""
        return nn.Sigmoid()

    def __call__(self, model: LatentModel, x: Tensor, z: Tensor) -> Terms:
        """Return ``sparsity``, the same for every row of the batch."""
        require_not_negative(beta=self.beta)
        require_share(rho=self.rho)
        rho = torch.full_like(z[0], self.rho)
        # A unit that is never active has an infinite penalty and no gradient.
        mean = z.mean(0).clamp(1e-6, 1 - 1e-6)
        divergence = torch.xlogy(rho, rho / mean) + torch.xlogy(1 - rho, (1 - rho) / (1 - mean))
        return {"sparsity": self.beta * divergence.sum().expand(len(z))}


class KSparse(Penalty):
    r"""Only the k largest values of the code are kept, and gradients pass through these alone.

    .. math:: z = \mathrm{supp}_k(f(x)) \odot f(x)

    In training k are kept, in every encoding afterwards :math:`\alpha k`.

    Parameters
    ----------
    k : int
    alpha : float
        At least 1.

    References
    ----------
    Makhzani and Frey, k-Sparse Autoencoders, 2013.
    """

    def __init__(self, k: int = 25, alpha: float = 1.0) -> None:
        self.k = k
        self.alpha = alpha

    def code_layer(self) -> nn.Module:
        """Return the layer that keeps the largest values."""
        if not isinstance(self.k, Integral) or self.k < 1:
            raise ValueError(f"k must be a whole number of at least 1; got {self.k!r}.")
        if self.alpha < 1:
            raise ValueError(f"alpha must be at least 1, got {self.alpha}.")
        return TopK(self.k, round(self.alpha * self.k))

    def __call__(self, model: LatentModel, x: Tensor, z: Tensor) -> Terms:
        """Return no term: the layer is all there is to it."""
        return {}


class Contractive(Penalty):
    r"""Codes change little where rows change little.

    .. math:: \Omega = \lambda \|J_f(x)\|_F^2
              = \lambda \sum_{ij} \Big(\frac{\partial f_j(x)}{\partial x_i}\Big)^2

    The code passes through a sigmoid. With one layer the norm is :math:`\sum_j (h_j (1 - h_j))^2
    \|W_j\|^2`; deeper encoders take one backward pass for each dimension of the code, or
    ``n_probes`` passes for an unbiased estimate: :math:`E\|J^T v\|^2 = \|J\|_F^2` for random
    signs v.

    Parameters
    ----------
    strength : float
        lambda.
    n_probes : int, optional
        Random directions of the estimate; by default the norm is exact.

    References
    ----------
    Rifai et al., Contractive Auto-Encoders, 2011; Hutchinson 1989 for the estimate.
    """

    def __init__(self, strength: float = 0.1, n_probes: int | None = None) -> None:
        self.strength = strength
        self.n_probes = n_probes

    def code_layer(self) -> nn.Module:
        """Return the sigmoid."""
        return nn.Sigmoid()

    def __call__(self, model: LatentModel, x: Tensor, z: Tensor) -> Terms:
        """Return ``contraction``, shape (n,)."""
        require_not_negative(strength=self.strength)
        if self.n_probes is not None:
            require_positive("n_probes", self.n_probes)
        return {"contraction": self.strength * jacobian_norm(model.encoder, x, self.n_probes)}


def jacobian_norm(encoder: nn.Module, x: Tensor, n_probes: int | None = None) -> Tensor:
    r"""Squared Frobenius norm :math:`\|J_f(x)\|_F^2` of an encoder's mean f, shape (n,).

    Parameters
    ----------
    encoder : Module, (n, d) -> distribution over codes
    x : Tensor, shape (n, d)
    n_probes : int, optional
        Random signs to estimate it by, without bias; by default it is exact.
    """
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        z: Tensor = encoder(x).mean
        layer = _one_sigmoid_layer(encoder)
        if layer is not None and n_probes is None:
            norm = (z * (1 - z)).square() @ layer.weight.square().sum(1).to(z)
        else:
            norm = _by_backward_passes(x, z, _directions(z, n_probes), wanted) / (n_probes or 1)
    return norm if wanted else norm.detach()


def _one_sigmoid_layer(encoder: nn.Module) -> nn.Linear | None:
    if not isinstance(encoder, Conditional) or not isinstance(encoder.family, PointMassFamily):
        return None
    leaves = [layer for layer in encoder.network.modules() if not list(layer.children())]
    match [layer for layer in leaves if not isinstance(layer, nn.Identity)]:
        case [nn.Linear() as linear, nn.Sigmoid()]:
            return linear
    return None


def _directions(z: Tensor, n_probes: int | None) -> Tensor:
    """Return the vectors of the products, shape (m, n, latent_dim)."""
    n, dim = z.shape
    if n_probes is None:
        return torch.eye(dim, dtype=z.dtype, device=z.device)[:, None, :].expand(dim, n, dim)
    return torch.randint(0, 2, (n_probes, n, dim)).to(z) * 2 - 1


def _by_backward_passes(x: Tensor, z: Tensor, directions: Tensor, keep: bool) -> Tensor:
    (products,) = torch.autograd.grad(z, x, directions, is_grads_batched=True, create_graph=keep)
    return products.square().sum((0, 2))
