"""Randomness as a value: generators that a block of code draws from, in its own thread.

torch's layers, distributions and initialisers draw from one generator of the whole process. Within
``with noise:`` they draw from the generators of ``noise`` instead, in this thread alone, so that
the same seed gives the same bits whatever other threads do, and the caller's generator stays as it
is.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# Of torch's global generator, borrowed for what takes no generator of its own.
_GLOBAL = RLock()


class Noise(TorchFunctionMode):
    """Seeded generators, one for each device; draws within ``with noise:`` come from them.

    Parameters
    ----------
    seed : int

    Examples
    --------
    >>> noise = Noise(0)
    >>> with noise:
    ...     a = torch.randn(2)
    >>> bool((a == torch.randn(2, generator=torch.Generator().manual_seed(0))).all())
    True
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._generators: dict[str, torch.Generator] = {}

    def generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        """Return the generator of a device."""
        place = torch.device(device)
        # "cuda" and "cuda:0" are one place.
        name = place.type if place.type == "cpu" else f"{place.type}:{place.index or 0}"
        if name not in self._generators:
            self._generators[name] = torch.Generator(name).manual_seed(self._seed)
        return self._generators[name]

    def reseed(self, seed: int) -> None:
        """Start anew from another seed."""
        self._seed = seed
        for generator in self._generators.values():
            generator.manual_seed(seed)

    def seed(self) -> int:
        """Draw a seed for something that draws by itself."""
        return int(torch.randint(2**31 - 1, (), generator=self.generator()))

    def state(self) -> dict[str, Tensor]:
        """Return the state of every generator by its device's name."""
        self.generator()
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        for name, value in state.items():
            self.generator(name).set_state(value)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        draw = _DRAWS.get(func)
        if draw is None or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        kwargs.pop("generator", None)
        return draw(self, func, args, kwargs)


def drawing_from(noise: Noise | None) -> AbstractContextManager[Any]:
    """Draw from ``noise`` within the block; without one, from torch's global generator."""
    return nullcontext() if noise is None else noise


def draws_by_itself(module: nn.Module) -> bool:
    """Return whether calling a module may draw: dropout does, and code that is not known may."""
    return any(
        isinstance(layer, _DRAWING) or not type(layer).__module__.startswith(_KNOWN)
        for layer in module.modules()
    )


_DRAWING = (nn.modules.dropout._DropoutNd, nn.RReLU, nn.MultiheadAttention, nn.RNNBase)
_KNOWN = ("torch.nn.modules.", "torch.ao.nn.", "sfumato.")


def _named_or_default(kwargs: dict[str, Any]) -> torch.device:
    device = kwargs.get("device")
    return torch.get_default_device() if device is None else torch.device(device)


def _made(noise: Noise, func: Any, args: Any, kwargs: Any) -> Tensor:
    """Draw a new tensor on the device that is named."""
    generator = noise.generator(_named_or_default(kwargs))
    made: Tensor = func(*args, **kwargs, generator=generator)
    return made


def _of_operand(noise: Noise, func: Any, args: Any, kwargs: Any) -> Tensor:
    """Draw on the device of the first tensor among the arguments."""
    operands = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    operand = next(operands, None)
    device = _named_or_default(kwargs) if operand is None else operand.device
    drawn: Tensor = func(*args, **kwargs, generator=noise.generator(device))
    return drawn


def _like(fill: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def draw(noise: Noise, func: Any, args: Any, kwargs: Any) -> Tensor:
        like, *rest = args
        bounds = [*rest, *(kwargs.pop(name) for name in ("low", "high") if name in kwargs)]
        empty = torch.empty_like(like, **kwargs)
        bounds = [0, *bounds] if len(bounds) == 1 else bounds
        return fill(empty, *bounds, generator=noise.generator(empty.device))

    return draw


def _dropout(
    noise: Noise,
    func: Any,
    args: Any,
    kwargs: Any,
) -> Tensor:
    return _dropped(noise, *args, **kwargs)


def _dropped(
    noise: Noise, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    if not training or p == 0 or p == 1:
        return F.dropout(x, p, training, inplace)
    kept = torch.empty_like(x).bernoulli_(1 - p, generator=noise.generator(x.device)).div_(1 - p)
    return x.mul_(kept) if inplace else x * kept


def _borrowing(noise: Noise, func: Any, args: Any, kwargs: Any) -> Any:
    """Call what takes no generator with torch's global one, seeded by ours, and put that back."""
    seed = noise.seed()
    with _GLOBAL, torch.random.fork_rng():
        torch.manual_seed(seed)
        return func(*args, **kwargs)


_FACTORIES = (torch.rand, torch.randn, torch.randint, torch.randperm)
_OF_OPERANDS = (
    *(torch.normal, torch.bernoulli, torch.multinomial, torch.poisson, torch.binomial),
    *(torch._standard_gamma, torch._sample_dirichlet, torch.rrelu),
    *(Tensor.normal_, Tensor.uniform_, Tensor.random_, Tensor.exponential_, Tensor.cauchy_),
    *(Tensor.bernoulli, Tensor.bernoulli_, Tensor.geometric_, Tensor.log_normal_),
    *(Tensor.multinomial, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_),
    *(nn.init.kaiming_normal_, nn.init.trunc_normal_),
)
_WITHOUT_GENERATOR = (
    *(F.alpha_dropout, F.feature_alpha_dropout, F.dropout1d, F.dropout2d, F.dropout3d),
    *(torch.dropout, torch.dropout_, torch.feature_dropout, torch.feature_dropout_),
    *(torch.alpha_dropout, torch.alpha_dropout_, F.rrelu, F.gumbel_softmax),
    *(F.multi_head_attention_forward, F.scaled_dot_product_attention),
    *(F.fractional_max_pool2d_with_indices, F.fractional_max_pool3d_with_indices),
)
_DRAWS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(_FACTORIES, _made),
    **dict.fromkeys(_OF_OPERANDS, _of_operand),
    **dict.fromkeys(_WITHOUT_GENERATOR, _borrowing),
    torch.rand_like: _like(Tensor.uniform_),
    torch.randn_like: _like(Tensor.normal_),
    torch.randint_like: _like(Tensor.random_),
    F.dropout: _dropout,
}
