"""A GPU that is not there: tensors remember that they are on it, and do not mix with others.

Kernels run on the processor. What is tested is where tensors lie: an operation on tensors of two
places fails as it would on a machine with a GPU, and so does NumPy's look at one that is there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

GPU = torch.device("cuda", 0)
GETTERS = {getattr(Tensor, name).__get__: name for name in ("device", "is_cuda", "grad", "data")}
SET_DATA = Tensor.data.__set__
# What may look at tensors of two places.
MOVING = {
    Tensor.copy_,
    Tensor.type_as,
    Tensor.__setitem__,
    Tensor.__deepcopy__,
    torch._has_compatible_shallow_copy_type,
}
TO_NUMPY = {Tensor.numpy, Tensor.__array__}


def is_there(value: Any) -> bool:
    """Tell whether a tensor, or a generator, is on the imagined GPU."""
    return getattr(value, "is_there", False)


def _mark(value: Any, there: bool) -> Any:
    def one(part: Any) -> Any:
        if isinstance(part, Tensor):
            part.is_there = there
        return part

    return tree_map(one, value)


def _place(value: Any) -> bool | None:
    """Return whether a device, or what names one, is the GPU; None for anything else."""
    if isinstance(value, Tensor):
        return is_there(value)
    if isinstance(value, torch.device) or (isinstance(value, str) and value[:4] in ("cpu", "cuda")):
        return torch.device(value).type == "cuda"
    return None


class ImaginedGPU(TorchFunctionMode):
    """While it is on, ``device="cuda"`` is a place of its own."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = dict(kwargs or {})
        if func in GETTERS:
            return self._read(GETTERS[func], args[0], func)
        if func == SET_DATA:
            args[0].is_there = is_there(args[1])
            return func(*args)
        if func in TO_NUMPY and is_there(args[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu()")
        if func in (Tensor.to, Tensor.cpu):
            return self._moved(func, args, kwargs)
        there = self._where(func, args, kwargs)
        if kwargs.get("device") is not None:
            there = bool(_place(kwargs["device"]))
            kwargs["device"] = "cpu"
        if isinstance(kwargs.get("generator"), torch.Generator):
            kwargs["generator"] = self._numbers(kwargs["generator"], there)
        return _mark(func(*args, **kwargs), there)

    def _numbers(self, generator: torch.Generator, there: bool) -> torch.Generator:
        """Return the processor's generator that fills a tensor here or there.

        Raises
        ------
        RuntimeError
            If the generator lies in the other place.
        """
        places = ["cuda" if place else "cpu" for place in (there, is_there(generator))]
        if places[0] != places[1]:
            raise RuntimeError(
                f"Expected a {places[0]!r} device type for generator but found {places[1]!r}"
            )
        return getattr(generator, "numbers", generator)

    def _read(self, name: str, tensor: Tensor, func: Any) -> Any:
        if name == "device":
            return GPU if is_there(tensor) else torch.device("cpu")
        if name == "is_cuda":
            return is_there(tensor)
        return _mark(func(tensor), is_there(tensor))

    def _moved(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        tensor, *rest = args
        places = [_place(value) for value in (*rest, kwargs.pop("device", None))]
        named = [place for place in places if place is not None]
        there = func is not Tensor.cpu and (named[0] if named else is_there(tensor))
        dtypes = [value.dtype if isinstance(value, Tensor) else value for value in rest]
        dtype = kwargs.get("dtype") or next((d for d in dtypes if isinstance(d, torch.dtype)), None)
        moved = tensor.to(dtype or tensor.dtype)
        if moved is tensor and there != is_there(tensor):
            moved = tensor.clone()
        return _mark(moved, there)

    def _where(self, func: Any, args: Any, kwargs: Any) -> bool:
        """Return where the result lies.

        Raises
        ------
        RuntimeError
            If the operands lie in two places; single numbers, and places within a tensor on the
            GPU, may lie with the processor.
        """
        operands = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        if func == Tensor.__getitem__ and is_there(args[0]):
            operands = [args[0]]
        there = any(is_there(value) for value in operands)
        if there and func not in MOVING:
            strays = [value for value in operands if not is_there(value) and value.ndim]
            if strays:
                raise RuntimeError(
                    f"Expected all tensors to be on the same device in {func.__name__}, found "
                    f"shapes {[tuple(v.shape) for v in operands]}, {len(strays)} not on cuda:0."
                )
        if func in MOVING or (getattr(func, "__name__", "").endswith("_") and operands):
            return is_there(operands[0])
        return there


def copied_parameter(self: nn.Parameter, memo: dict[int, Any]) -> nn.Parameter:
    """Copy a parameter together with its place, which its own way of copying forgets."""
    if id(self) in memo:
        return memo[id(self)]
    copy = nn.Parameter(self.data.clone(), self.requires_grad)
    copy.is_there = is_there(self)
    memo[id(self)] = copy
    return copy


class ImaginedGenerator(torch.Generator):
    """A generator on the imagined GPU, whose numbers are those of one of the processor."""

    is_there = True
    numbers: torch.Generator


def imagined_generator(generator: Callable[..., torch.Generator]) -> Callable[..., torch.Generator]:
    """Return ``Noise.generator`` with a generator on the imagined GPU as well."""

    def found(noise: Any, device: torch.device | str = "cpu") -> torch.Generator:
        numbers = generator(noise)
        if not _place(device):
            return numbers
        there = ImaginedGenerator()
        there.numbers = numbers
        return there

    return found
