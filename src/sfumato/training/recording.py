"""A training step as one launch of a GPU."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.noise import Noise

# Steps that run as usual before one is recorded: libraries set themselves up in them.
WARM_UP = 3

Step = Callable[[Tensor], Tensor]


class RecordedStep:
    """A step on a batch, recorded as a CUDA graph and replayed from then on.

    A step of a small network is some two hundred kernels of microseconds each, which a processor
    launches more slowly than a GPU runs them. The first steps run as usual, the next is recorded,
    and every later one is a single launch of the same kernels.

    A batch of another shape than the first runs as usual. So does every step where the last one
    before the recording shows that a GPU alone could not repeat it: where it waits for the GPU,
    draws from the processor's generator, or moves a tensor of the model to another place.

    Parameters
    ----------
    module : Module
        What the step changes; nothing else than its tensors, and what an optimiser keeps of them,
        may change from step to step.
    noise : Noise
        What the step draws from; its GPU generator is recorded with it.
    """

    def __init__(self, module: nn.Module, noise: Noise) -> None:
        self.module = module
        self.noise = noise
        self.n_steps = 0
        self.repeatable = True
        self._shape: torch.Size | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._x = self._values = torch.empty(0)

    @property
    def recorded(self) -> bool:
        """Whether steps are replayed."""
        return self._graph is not None

    def __call__(self, step: Step, x: Any) -> Tensor:
        """Run one step, the same function every time; the next overwrites the values returned."""
        if not self.repeatable or not isinstance(x, Tensor):
            return step(x)
        self._shape = self._shape or x.shape
        if x.shape != self._shape:
            return step(x)
        with torch.cuda.device(x.device):
            return self._run(step, x)

    def _run(self, step: Step, x: Tensor) -> Tensor:
        if self._graph is None and self.n_steps < WARM_UP:
            self.n_steps += 1
            return self._warm_up(step, x)
        if self._graph is None:
            self._record(step, x)
        if self._graph is None:
            return step(x)
        self._x.copy_(x)
        self._graph.replay()
        return self._values

    def _warm_up(self, step: Step, x: Tensor) -> Tensor:
        """Run a step as usual, beside the default stream as a recording asks for."""
        stream, default = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(default)
        with torch.cuda.stream(stream):
            values = self._watched(step, x) if self.n_steps == WARM_UP else step(x)
        default.wait_stream(stream)
        return values

    def _watched(self, step: Step, x: Tensor) -> Tensor:
        """Run a step and tell whether the GPU alone could repeat it."""
        before, places = _Before(self.module, self.noise), _places(self.module)
        try:
            with _waiting_forbidden():
                values = step(x)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            self.repeatable = False
            before.restore()
            return step(x)
        self.repeatable = not before.has_drawn() and places == _places(self.module)
        return values

    def _record(self, step: Step, x: Tensor) -> None:
        self._x = x.clone()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.noise.generator(x.device))
        # A recording that fails leaves its own stream in force.
        with torch.cuda.stream(torch.cuda.current_stream()):
            try:
                with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
                    self._values = step(self._x)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:
                self.repeatable = False
                return
        self._graph = graph


class _Before:
    """Generators and buffers as they are before a step, so that one that breaks off leaves none."""

    def __init__(self, module: nn.Module, noise: Noise) -> None:
        self.noise = noise
        self.buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
        self.states = noise.state()
        # A function of one's own may draw from torch's generator all the same.
        self.processor = torch.get_rng_state()

    def has_drawn(self) -> bool:
        """Whether a generator of the processor has moved."""
        moved = not torch.equal(self.states["cpu"], self.noise.state()["cpu"])
        return moved or not torch.equal(self.processor, torch.get_rng_state())

    def restore(self) -> None:
        """Put everything back."""
        for buffer, value in self.buffers:
            buffer.copy_(value)
        self.noise.set_state(self.states)
        torch.set_rng_state(self.processor)


@contextmanager
def _waiting_forbidden() -> Iterator[None]:
    """Raise a RuntimeError where the processor waits for the GPU."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # That this mode is new to torch is nothing a user can act on.
        warnings.simplefilter("ignore", UserWarning)
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _places(module: nn.Module) -> list[int]:
    return [tensor.data_ptr() for tensor in chain(module.parameters(), module.buffers())]


def is_same(objective: Any, other: Any) -> bool:
    """Whether two objectives are the same function with the same settings, as far as can be told.

    Examples
    --------
    >>> is_same(partial(round, ndigits=2), partial(round, ndigits=2))
    True
    >>> is_same(partial(round, ndigits=2), partial(round, ndigits=3))
    False
    """
    if objective is other:
        return True
    if isinstance(objective, partial) and isinstance(other, partial):
        given, others = ((*p.args, *p.keywords.values()) for p in (objective, other))
        return (
            is_same(objective.func, other.func)
            and len(objective.args) == len(other.args)
            and list(objective.keywords) == list(other.keywords)
            and all(map(is_same, given, others))
        )
    return isinstance(objective, int | float | str) and bool(objective == other)
