"""How many threads a step should use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import torch
from torch import nn

TRIALS = 4
# A calibration may cost at most about this share of the time.
SHARE = 1 / 30
# Turns a waiting thread spins before it sleeps: enough for the gaps between idle cores' threads
# (two are 1.6 times faster than one), few enough not to hold up busy cores.
BRIEF = 3000


class ThreadChooser:
    """Choose between one thread and all of them by timing real training steps.

    Two threads are up to 1.8 times faster than one on idle cores and up to 10 times slower on
    busy ones, where they spin at barriers. Which holds can change at any time, so a few steps of
    each kind are timed now and then.

    The choice must not change a result. For matrix products the number of threads does not change
    a bit; for convolutions it does, so these take all threads where threads that wait soon sleep
    (``GOMP_SPINCOUNT`` of at most 3000, as the command line sets it, or
    ``OMP_WAIT_POLICY=passive``), and one elsewhere.

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
