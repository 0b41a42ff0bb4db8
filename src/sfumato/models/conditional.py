"""The conditional variational autoencoder: all of it is conditioned on c."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from sfumato.models.latent import LatentVariableModel


class ConditionalModel(LatentVariableModel):
    r"""A latent-variable model of x given a condition c.

    .. math:: p(x, z | c) = p(z|c)\, p(x|z, c), \qquad q(z|x, c) \approx p(z|x, c)

    A row is [x, c], so that whatever takes rows takes conditions: wherever other models bound or
    estimate log p(x), the same code does so for log p(x|c).

    Parameters
    ----------
    encoder : Module, [x, c] of shape (n, d + n_conditions) -> q(z|x, c)
    decoder : Module, [z, c] of shape (..., latent_dim + n_conditions) -> p(x|z, c)
    prior : Module, c of shape (n, n_conditions) -> p(z|c), batch shape (n,) or ()
    n_conditions : int
        Length of c.

    References
    ----------
    Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative
    Models, 2015.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, prior: nn.Module, n_conditions: int
    ) -> None:
        super().__init__(encoder, decoder, prior)
        self.n_conditions = n_conditions

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return x and c of rows [x, c]."""
        x, c = rows.tensor_split([rows.shape[-1] - self.n_conditions], dim=-1)
        return x, c

    def prior_of(self, x: Tensor) -> Distribution:
        """Return p(z|c) for rows [x, c]."""
        p_z: Distribution = self.prior(self.split(x)[1])
        return p_z

    def prior_by_row(self) -> Callable[[Tensor], Distribution]:
        """Return ``prior_of``: rows differ in their priors."""
        return self.prior_of

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z, c) in nats, shape z.shape[:-1], for rows [x, c]."""
        x, c = self.split(x)
        conditioned = torch.cat([z, c.expand(*z.shape[:-1], -1)], dim=-1)
        log_prob: Tensor = self.decoder(conditioned).log_prob(x)
        return log_prob
