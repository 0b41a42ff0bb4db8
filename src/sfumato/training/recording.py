"""A training step as one launch of a GPU."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

# Steps that run as usual before one is recorded: libraries set themselves up in them.
WARM_UP = 3

Step = Callable[[Any], Tensor]


class RecordedStep:
    """A step on a batch, recorded as a CUDA graph and replayed from then on.

    A step of a small network is some two hundred kernels of microseconds each, which a processor
    launches more slowly than a GPU runs them. The first steps run as usual, the next is recorded,
    and every later one is a single launch of the same kernels.

    A batch of another shape runs as usual. So does every step of a function that cannot be
    repeated by the GPU alone: one that waits for it, or draws from the processor's generator.

    Parameters
    ----------
    step : callable, batch -> Tensor
        Changes nothing but tensors that stay where they are.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.n_steps = 0
        self.repeatable = True
        self._graph: torch.cuda.CUDAGraph | None = None
        self._x = self._values = torch.empty(0)

    def __call__(self, x: Any) -> Tensor:
        """Run one step and return its values, which the next step overwrites."""
        if not self.repeatable or not isinstance(x, Tensor):
            return self.step(x)
        with torch.cuda.device(x.device):
            return self._run(x)

    def _run(self, x: Tensor) -> Tensor:
        if self._graph is None and self.n_steps < WARM_UP:
            self.n_steps += 1
            return self._warm_up(x)
        if self._graph is None:
            self._record(x)
        if self._graph is None or x.shape != self._x.shape:
            return self.step(x)
        self._x.copy_(x)
        self._graph.replay()
        return self._values

    def _warm_up(self, x: Tensor) -> Tensor:
        """Run a step as usual, beside the default stream as a recording asks for."""
        stream, default = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(default)
        with torch.cuda.stream(stream):
            values = self._watched(x) if self.n_steps == WARM_UP else self.step(x)
        default.wait_stream(stream)
        return values

    def _watched(self, x: Tensor) -> Tensor:
        """Run a step and tell whether the GPU alone could repeat it."""
        before = torch.get_rng_state()
        try:
            with _waiting_forbidden():
                values = self.step(x)
        except RuntimeError:
            self.repeatable = False
            return self.step(x)
        self.repeatable = torch.equal(before, torch.get_rng_state())
        return values

    def _record(self, x: Tensor) -> None:
        self._x = x.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._values = self.step(self._x)
        except RuntimeError:
            self.repeatable = False
            return
        self._graph = graph


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


def is_same(objective: Any, other: Any) -> bool:
    """Whether two objectives are the same function with the same settings.

    Examples
    --------
    >>> is_same(partial(round, ndigits=2), partial(round, ndigits=2))
    True
    >>> is_same(partial(round, ndigits=2), partial(round, ndigits=3))
    False
    """
    if isinstance(objective, partial) and isinstance(other, partial):
        return (
            is_same(objective.func, other.func)
            and len(objective.args) == len(other.args)
            and all(map(is_same, objective.args, other.args))
            and objective.keywords == other.keywords
        )
    return bool(objective == other)
