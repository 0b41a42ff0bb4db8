"""Where a step runs: device, precision and threads.

:class:`Engine` is the protocol that the loop talks to, :class:`LocalEngine` this machine.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sfumato.artifacts import write_checkpoint

TRIALS = 4
# A calibration may cost at most about this share of the time.
SHARE = 1 / 30
# Turns a waiting thread spins before it sleeps: enough for the gaps between idle cores' threads
# (two are 1.6 times faster than one), few enough not to hold up busy cores.
BRIEF = 3000


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


class ThreadChooser:
    """Choose between one thread and all of them by timing real training steps.

    Two threads are up to 1.8 times faster than one on idle cores and up to 10 times slower on
    busy ones, where they spin at barriers. Which holds can change at any time, so a few steps of
    each kind are timed now and then.

    The choice must not change a result. For convolutions the number of threads changes bits, so
    these take all threads where threads that wait soon sleep (``GOMP_SPINCOUNT`` of at most 3000,
    as the command line sets it, or ``OMP_WAIT_POLICY=passive``), and one elsewhere. For matrix
    products it depends on the shapes: :meth:`compare` finds out, and leaves one thread where they
    change.

    Parameters
    ----------
    setting : int or "auto"
        A fixed number; "auto" obeys ``OMP_NUM_THREADS`` where it is set and chooses elsewhere.
    module : Module
        What is trained.
    """

    def __init__(self, setting: int | str, module: nn.Module) -> None:
        self.candidates = _candidates(setting, torch.get_num_threads(), module)
        self.times: dict[int, list[float]] = {}
        self.chosen = self.candidates[0]
        self.resume_at = 0.0
        self._restart()

    def _restart(self) -> None:
        self.times = {n: [] for n in self.candidates}
        self.started = perf_counter()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run one training step with the number of threads to be used or tried."""
        if len(self.candidates) == 1 or perf_counter() < self.resume_at:
            yield
            return
        n = min(self.candidates, key=lambda n: len(self.times[n]))
        torch.set_num_threads(n)
        start = perf_counter()
        yield
        self.times[n].append(perf_counter() - start)
        if min(map(len, self.times.values())) == TRIALS:
            self._decide()

    def compare(self, run: Callable[[], Sequence[Tensor]]) -> None:
        """Choose no more where the numbers of a run depend on how many threads there are."""
        found = []
        for n in self.candidates:
            torch.set_num_threads(n)
            found.append(run())
        torch.set_num_threads(self.chosen)
        if not all(map(torch.equal, *found)):
            self.settle()

    def settle(self) -> None:
        """Use one thread from now on."""
        self.candidates, self.chosen = [1], 1
        torch.set_num_threads(1)

    def _decide(self) -> None:
        self.chosen = min(self.candidates, key=lambda n: median(self.times[n]))
        torch.set_num_threads(self.chosen)
        self.resume_at = perf_counter() + (perf_counter() - self.started) / SHARE
        self._restart()
        self.started = self.resume_at


def _candidates(setting: int | str, available: int, module: nn.Module) -> list[int]:
    if isinstance(setting, int):
        return [setting]
    if "OMP_NUM_THREADS" in os.environ or available == 1:
        return [available]
    if all(parameter.ndim <= 2 for parameter in module.parameters()):
        return [available, 1]
    return [available if _waits_briefly() else 1]


def _waits_briefly() -> bool:
    passive = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
    spins = os.environ.get("GOMP_SPINCOUNT", "")
    return passive or (spins.isdigit() and int(spins) <= BRIEF)


@contextmanager
def threads(setting: int | str, module: nn.Module) -> Iterator[ThreadChooser]:
    """Put a number of threads in force inside the block, and the former one back after it."""
    before = torch.get_num_threads()
    chooser = ThreadChooser(setting, module)
    torch.set_num_threads(chooser.chosen)
    try:
        yield chooser
    finally:
        torch.set_num_threads(before)
