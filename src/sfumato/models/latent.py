"""The one model behind every estimator: a prior, a decoder and an encoder."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.distributions import Distribution


class LatentVariableModel(nn.Module):
    r"""A latent-variable model and its amortised posterior.

    .. math:: p(x, z) = p(z)\, p(x|z), \qquad q(z|x) \approx p(z|x)

    Each part is a module that *returns a distribution*: ``prior()`` is p(z), ``decoder(z)`` is
    p(x|z), ``encoder(x)`` is q(z|x). A deterministic autoencoder is the same model with a point
    mass for q.

    Parameters
    ----------
    encoder : Module, (n, d) -> q(z|x) with batch shape (n,) and event shape (latent_dim,)
    decoder : Module, (..., latent_dim) -> p(x|z) with batch shape (...,) and event shape (d,)
    prior : Module, () -> p(z) with batch shape () and event shape (latent_dim,)

    References
    ----------
    Kingma and Welling, Auto-Encoding Variational Bayes, 2014.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, prior: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return what of the rows is explained, and what is given: here everything and nothing."""
        return rows, rows[..., :0]

    def continuous(self) -> "LatentVariableModel":
        """Return the model as one of a single continuous latent vector: itself."""
        return self

    def prior_of(self, x: Tensor) -> Distribution:
        """Return p(z) for rows x, batch shape () or (n,)."""
        p_z: Distribution = self.prior()
        return p_z

    def prior_by_row(self) -> Callable[[Tensor], Distribution]:
        """Return ``prior_of`` for many calls: a prior may be as dear as an encoder."""
        p_z: Distribution = self.prior()
        return lambda x: p_z

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z) in nats, shape z.shape[:-1]; x of shape (n, d), z of shape (..., n, l)."""
        log_prob: Tensor = self.decoder(z).log_prob(x)
        return log_prob

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x, z) in nats, shape z.shape[:-1]; x of shape (n, d), z of shape (..., n, l)."""
        return self.log_likelihood(x, z) + self.prior_of(x).log_prob(z)
