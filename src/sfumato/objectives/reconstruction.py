"""Reconstruction errors: what a deterministic autoencoder minimises."""

from collections.abc import Callable, Sequence
from functools import partial
from math import pi, sqrt

import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from sfumato.models import LatentVariableModel
from sfumato.objectives.base import AnnealedObjective, Objective, Terms
from sfumato.objectives.corruption import Corruption
from sfumato.objectives.penalties import Penalty

Loss = Callable[[Distribution, Tensor], Tensor]


def squared_error(p: Distribution, x: Tensor) -> Tensor:
    r""":math:`\|x - \hat x\|^2` with x-hat the mean of p, shape (n,), in squared model units."""
    return (x - p.mean).square().sum(-1)


def negative_log_likelihood(p: Distribution, x: Tensor) -> Tensor:
    r""":math:`-\log p(x)` in nats, shape (n,); for a Bernoulli p this is the cross-entropy."""
    return -p.log_prob(x)


def saturated_log_prob(p: Distribution, x: Tensor) -> Tensor:
    r"""Log-likelihood of x if the mean of p were x itself, the most that any mean attains.

    .. math:: \max_\mu \log p(x; \mu) = \sum_i x_i \log x_i + (1 - x_i) \log(1 - x_i)

    for Bernoulli's, which is 0 for rows of zeros and ones and minus the entropy of grey ones;
    :math:`-\sum_i \log(\sqrt{2\pi} \sigma_i)` for Gaussians; 0 for masses of levels and for losses.

    Parameters
    ----------
    p : Distribution
        Batch shape (n,), event shape (d,).
    x : Tensor, shape (n, d)

    Returns
    -------
    Tensor, shape (n,)
        In nats.

    References
    ----------
    McCullagh and Nelder, Generalized Linear Models, 1989, section 2.3.

    Examples
    --------
    >>> import torch
    >>> from torch.distributions import Bernoulli, Independent
    >>> p = Independent(Bernoulli(torch.rand(2, 3)), 1)
    >>> saturated_log_prob(p, torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 1.0]]))
    tensor([ 0.0000, -1.3863])
    """
    base = p.base_dist if isinstance(p, Independent) else p
    if isinstance(base, Bernoulli):
        return (torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).sum(-1)
    if isinstance(base, Normal):
        return base.log_prob(base.loc).sum(-1)
    return x.new_zeros(len(x))


class Correntropy(BaseEstimator):
    r"""Minus the correntropy of data and reconstruction: a loss that outliers cannot drive.

    .. math:: L(x, \hat x) = -\sum_k K_\sigma(x_k - \hat x_k), \qquad
              K_\sigma(a) = \frac{1}{\sqrt{2\pi}\,\sigma} \exp\Big(-\frac{a^2}{2\sigma^2}\Big)

    Errors far beyond sigma have no gradient; errors far below it count as squares.

    Parameters
    ----------
    sigma : float
        Width of the kernel, in model units.

    References
    ----------
    Qi, Wang, Zheng and Wu, Robust Feature Learning by Stacked Autoencoder with Maximum Correntropy
    Criterion, ICASSP 2014.
    """

    def __init__(self, sigma: float = 0.5) -> None:
        self.sigma = sigma

    def __call__(self, p: Distribution, x: Tensor) -> Tensor:
        """Return the loss of the mean of p, shape (n,)."""
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}.")
        kernel = (-((x - p.mean) / self.sigma).square() / 2).exp() / (sqrt(2 * pi) * self.sigma)
        return -kernel.sum(-1)


def reconstruction(
    model: LatentVariableModel,
    x: Tensor,
    *,
    loss: Loss = squared_error,
    corruptions: Sequence[Corruption] = (),
    penalties: Sequence[Penalty] = (),
    view: Callable[[Tensor], Tensor] | None = None,
) -> Terms:
    r"""Error of the reconstruction from a deterministic code, and penalties on that code.

    .. math:: L(x, g(f(\tilde x))) + \Omega(f), \qquad \tilde x \sim C(\tilde x | x)

    Parameters
    ----------
    model : LatentVariableModel
        Its encoder returns a point mass at f(x).
    x : Tensor, shape (n, d)
    loss : callable (p(x|z), x) -> (n,)
    corruptions : sequence of callables (n, d) -> (n, d)
        Applied to the input one after the other; without them the input is x.
    penalties : sequence of Penalty
    view : callable (n, d) -> (n, d), optional
        What is done to the rows before all else.

    Returns
    -------
    dict
        ``reconstruction``, shape (n,), in the unit of the loss, and the penalties' terms.
    """
    x = x if view is None else view(x)
    corrupted = x
    for corruption in corruptions:
        corrupted = corruption(corrupted)
    z = model.encoder(corrupted).rsample()
    terms = {"reconstruction": loss(model.decoder(z), x)}
    for penalty in penalties:
        terms |= penalty(model, x, z)
    return terms


class Reconstruction(AnnealedObjective):
    """:func:`reconstruction`, trained as it stands and reported for uncorrupted rows.

    Parameters
    ----------
    loss : callable (p(x|z), x) -> (n,)
    corruptions : sequence of Corruption
    penalties : sequence of Penalty
    view : callable (n, d) -> (n, d), optional
        Deforms the rows in training.
    """

    def __init__(
        self,
        loss: Loss = squared_error,
        corruptions: Sequence[Corruption] = (),
        penalties: Sequence[Penalty] = (),
        view: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.loss = loss
        self.corruptions = corruptions
        self.penalties = penalties
        self.view = view

    def at(self, epoch: int) -> Objective:
        """Return the objective, the same in every epoch."""
        return partial(
            reconstruction,
            loss=self.loss,
            corruptions=self.corruptions,
            penalties=self.penalties,
            view=self.view,
        )

    def __call__(self, model: LatentVariableModel, x: Tensor) -> Terms:
        """Return the terms that belong to a row, without corruption."""
        of_rows = [penalty for penalty in self.penalties if not penalty.of_a_batch]
        return reconstruction(model, x, loss=self.loss, penalties=of_rows)
