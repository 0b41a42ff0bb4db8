"""Normalising flows: densities of any shape, as posteriors and as priors."""

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from math import log, pi
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from sfumato.distributions import SampleShape
from sfumato.nn.families import Family

# Pieces of each spline, and its least slope. Slopes multiply along the flow: much flatter splines
# would lose float32's digits between a draw and its density.
BINS, MIN_SLOPE = 8, 0.1
# Half as many points as moments are averaged over; the other half mirrors them.
HALF = 16


def require_zuko() -> ModuleType:
    """Import zuko, of which only the transforms are used.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    validates = Distribution._validate_args
    try:
        return import_module("zuko")
    except ModuleNotFoundError as error:
        raise ImportError("A flow needs zuko: pip install 'sfumato[flows]'.") from error
    finally:
        # zuko turns torch's checks of arguments off for everyone in the process.
        Distribution.set_default_validate_args(validates)


class Flow(Distribution):
    r"""A normal variable seen through a bijection.

    .. math:: z = \mu + \sigma\, T^{-1}(\epsilon), \quad \epsilon \sim N(0, I), \qquad
              \log q(z) = \log N(T(u); 0, I) + \log |\det \partial T / \partial u|
              - \sum_j \log \sigma_j, \quad u = (z - \mu) / \sigma

    Parameters
    ----------
    loc, scale : Tensor, shape (..., d)
    transform : Transform
        T, as zuko makes it: with ``call_and_ladj`` and ``inv``.
    points : Tensor, shape (P, d)
        Standard normal points that stand for epsilon in the moments, which have no closed form.
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own declaration)
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, transform: Any, points: Tensor) -> None:
        self.loc, self.scale, self.transform, self.points = loc, scale, transform, points
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def expand(self, batch_shape: SampleShape, _instance: Any = None) -> "Flow":
        """Return the same distribution for a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        return Flow(self.loc.expand(shape), self.scale.expand(shape), self.transform, self.points)

    def _from(self, noise: Tensor) -> Tensor:
        """Return u = T^-1(epsilon)."""
        # Under autocast the networks inside T would lose 16 of their 24 bits.
        with torch.autocast(noise.device.type, enabled=False):
            return self.transform.inv(noise)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """Draw points, shape (*sample_shape, ..., d)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        # Adding zeros gives the noise the rows' own axis where vmap has hidden it.
        return self.loc + self.scale * self._from(noise + torch.zeros_like(self.loc))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, shape (...)."""
        u = (value - self.loc) / self.scale
        with torch.autocast(u.device.type, enabled=False):
            noise, log_det = self.transform.call_and_ladj(u)
        log_normal = -0.5 * (noise.square() + log(2 * pi)).sum(-1)
        log_density: Tensor = log_normal + log_det - self.scale.log().sum(-1)
        return log_density

    def _standard(self) -> Tensor:
        axes = (len(self.points),) + (1,) * len(self.batch_shape) + self.event_shape
        return self._from(self.points.reshape(axes) + torch.zeros_like(self.loc))

    @property
    def mean(self) -> Tensor:
        """Mean over the images of the points, shape (..., d): the same whenever it is asked for."""
        return self.loc + self.scale * self._standard().mean(0)

    @property
    def variance(self) -> Tensor:
        """Variance of the images of the points, shape (..., d)."""
        return self.scale.square() * self._standard().var(0, correction=0)


class CouplingFlow(nn.Module):
    r"""The bijections of a flow: splines of half of u whose shape the other half decides.

    .. math:: T = T_n \circ \dots \circ T_1, \qquad T_i(u)_a = u_a, \quad
              T_i(u)_b = \mathrm{spline}(u_b; \mathrm{network}_i(u_a, h))

    Both directions cost one pass, so that draws and densities anywhere are equally cheap. The
    splines cover [-5, 5] and begin as the identity.

    Parameters
    ----------
    dim : int
        Length of u.
    n_context : int
        Length of h; 0 for none.
    n_transforms : int
        Halves are exchanged between one and the next.
    hidden : sequence of int
        Widths of every network.

    Raises
    ------
    ImportError
        If zuko is not installed.

    References
    ----------
    Durkan, Bekasov, Murray and Papamakarios, Neural Spline Flows, 2019; Dinh, Sohl-Dickstein and
    Bengio, Density Estimation Using Real NVP, 2017.
    """

    points: Tensor

    def __init__(self, dim: int, n_context: int, n_transforms: int, hidden: Sequence[int]) -> None:
        super().__init__()
        zuko = require_zuko()
        spline = partial(zuko.transforms.MonotonicRQSTransform, slope=MIN_SLOPE)
        couplings = [
            zuko.flows.GeneralCouplingTransform(
                dim,
                n_context,
                mask=torch.arange(dim) % 2 == i % 2,
                univariate=spline,
                shapes=[(BINS,), (BINS,), (BINS - 1,)],
                hidden_features=tuple(hidden),
                activation=nn.SiLU,
            )
            for i in range(n_transforms)
        ]
        for coupling in couplings:
            _become_identity(coupling)
        self.transform = zuko.lazy.LazyComposedTransform(*couplings)
        self.register_buffer("points", normal_points(dim), persistent=False)

    def forward(self, loc: Tensor, scale: Tensor, context: Tensor | None = None) -> Flow:
        """Return the flow; loc and scale of shape (..., dim), context of shape (..., n_context)."""
        return Flow(loc, scale, self.transform(context), self.points)


def _become_identity(coupling: nn.Module) -> None:
    # The network's last layer; or, for one dimension without a context, the spline's parameters.
    *_, last = coupling.modules()
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


def normal_points(dim: int) -> Tensor:
    """Return points that fill N(0, I) evenly, shape (32, dim), of mean 0 and variance 1.

    Examples
    --------
    >>> normal_points(2).shape
    torch.Size([32, 2])
    """
    uniform = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0).draw(HALF)
    points = torch.special.ndtri(uniform.double().clamp(1e-6, 1 - 1e-6)).float()
    points = points / points.square().mean(0).sqrt()
    return torch.cat([points, -points])


class FlowFamily(Family):
    r"""A :class:`Flow` with :math:`[\mu, \log\sigma, h]` = raw.

    Unlike other families it owns layers, those of T, which all rows share: a row's own are the
    numbers in raw.

    Parameters
    ----------
    dim : int
    n_context : int
        Length of h.
    n_transforms : int
    hidden : sequence of int
        See :class:`CouplingFlow`.

    References
    ----------
    Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015; the encoder's h is that
    of Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, 2016.
    """

    def __init__(
        self, dim: int, n_context: int = 32, n_transforms: int = 3, hidden: Sequence[int] = (64, 64)
    ) -> None:
        super().__init__(dim, 2 * dim + n_context)
        self.flow = CouplingFlow(dim, n_context, n_transforms, hidden)

    def forward(self, raw: Tensor) -> Flow:
        """Return the flow, batch shape raw.shape[:-1]."""
        loc, log_scale, context = raw.tensor_split([self.dim, 2 * self.dim], dim=-1)
        flow: Flow = self.flow(loc, log_scale.clamp(-20.0, 20.0).exp(), context)
        return flow


class FlowDensity(nn.Module):
    """p(z): a :class:`Flow` without a context.

    Parameters
    ----------
    dim : int
    n_transforms : int
    hidden : sequence of int
        See :class:`CouplingFlow`.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, dim: int, n_transforms: int = 3, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        self.flow = CouplingFlow(dim, 0, n_transforms, hidden)
        self.register_buffer("loc", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self) -> Distribution:
        """Return the flow, batch shape ()."""
        density: Flow = self.flow(self.loc, self.scale)
        return density
