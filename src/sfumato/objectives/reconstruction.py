"""Reconstruction errors: what a deterministic autoencoder minimises."""

from collections.abc import Callable

from torch import Tensor
from torch.distributions import Distribution

from sfumato.models import LatentVariableModel
from sfumato.objectives.base import Terms

Loss = Callable[[Distribution, Tensor], Tensor]


def squared_error(p: Distribution, x: Tensor) -> Tensor:
    r""":math:`\|x - \hat x\|^2` with x-hat the mean of p, shape (n,), in squared model units."""
    return (x - p.mean).square().sum(-1)


def negative_log_likelihood(p: Distribution, x: Tensor) -> Tensor:
    r""":math:`-\log p(x)` in nats, shape (n,); for a Bernoulli p this is the cross-entropy."""
    return -p.log_prob(x)


def reconstruction(model: LatentVariableModel, x: Tensor, *, loss: Loss = squared_error) -> Terms:
    r"""Error of the reconstruction from a deterministic code.

    .. math:: L(x, g(f(x)))

    Parameters
    ----------
    model : LatentVariableModel
        Its encoder returns a point mass at f(x).
    x : Tensor, shape (n, d)
    loss : callable (p(x|z), x) -> (n,)

    Returns
    -------
    dict
        ``reconstruction``, shape (n,), in the unit of the loss.
    """
    z = model.encoder(x).rsample()
    return {"reconstruction": loss(model.decoder(z), x)}
