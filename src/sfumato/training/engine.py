"""Where a step runs: the protocol the loop talks to, and the local machine's version of it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sfumato.artifacts import write_checkpoint


class Engine(Protocol):
    """Devices, processes and precision, kept out of the loop."""

    device: torch.device
    rank: int
    world_size: int

    def setup(self, module: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Place (and wrap) the module whose ``forward`` computes the loss, and its optimiser."""
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """Precision of the networks inside the block."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Accumulate gradients, averaged over processes."""
        ...

    def all_reduce(self, value: Tensor) -> Tensor:
        """Mean of ``value`` over processes."""
        ...

    def save(
        self, path: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> None:
        """Write a checkpoint, once for all processes."""
        ...


def records_steps(engine: Engine) -> bool:
    """Whether steps on this engine may be recorded and repeated by the device alone."""
    return bool(getattr(engine, "records", False))


class LocalEngine:
    """One process on one device.

    Parameters
    ----------
    device : str
        "auto" takes the first GPU, else the CPU.
    precision : "auto", "32" or "bf16"
        "auto" runs wide networks in bfloat16 where the processor computes it natively.
    """

    rank = 0
    world_size = 1

    def __init__(self, device: str = "auto", precision: str = "auto") -> None:
        self.device = _device(device)
        self.precision = precision
        self.bf16 = precision == "bf16"

    @property
    def records(self) -> bool:
        """Whether a step is recorded as a CUDA graph."""
        return self.device.type == "cuda"

    def setup(self, module: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Decide the precision for this module."""
        self.bf16 = PRECISIONS[self.precision](module, self.device)
        return module, optimizer

    def autocast(self) -> AbstractContextManager[Any]:
        """Bfloat16 for matrices and convolutions, or nothing."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Accumulate gradients."""
        loss.backward()

    def all_reduce(self, value: Tensor) -> Tensor:
        """Return the value: there is one process."""
        return value

    def save(
        self, path: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> None:
        """Write a checkpoint."""
        write_checkpoint(path, description, tensors)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda', ...; got {name!r}.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name!r} is not here; device='auto' takes what there is.")
    return device


def computes_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices natively."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # Older releases of torch do not tell what the processor can do: float32 then.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


# Below this many weights in the widest layer the conversions cost more than they save; a kernel's
# weights are used at every pixel.
WIDE, WIDE_KERNEL = 60_000, 30_000


def is_wide(module: nn.Module) -> bool:
    """Whether the widest layer is large enough for bfloat16 to pay."""
    return any(p.numel() >= (WIDE_KERNEL if p.ndim == 4 else WIDE) for p in module.parameters())


PRECISIONS = {
    "auto": lambda module, device: computes_bf16(device) and is_wide(module),
    "32": lambda module, device: False,
    "bf16": lambda module, device: True,
}
