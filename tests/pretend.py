"""A pretended accelerator, to hold on a CPU that code keeps its tensors on one device.

Tensors of class `Away` say that they are on "pretend:0", hold their numbers on the CPU, and refuse to be
mixed with CPU tensors of one dimension or more, as a real device would:

    switch_on()          # once, in a process of its own: a backend cannot be taken away again
    with Pretended():    # while it is on, device="pretend" makes such tensors
        model.to("pretend").sample(...)

Results and gradients are those of the CPU up to rounding. Not held: autocast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Away", "MixedError", "Pretended", "switch_on"]

NAME = "pretend"
aten = torch.ops.aten
# An index may come from the CPU; a copy is how tensors travel.
INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
TRAVEL = {aten.copy_.default, aten._to_copy.default}
_tensor, _as_tensor = torch.tensor, torch.as_tensor
_state = {"on": False}


class MixedError(RuntimeError):
    """Tensors of two devices met."""


class Away(torch.Tensor):
    """A tensor on the pretended device; `inner` has its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Away:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(f"{NAME}:0"),
            requires_grad=inner.requires_grad,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"Away({self.inner!r})"

    def tolist(self) -> Any:
        return self.inner.detach().tolist()

    def numpy(self, *args: Any, **options: Any) -> Any:
        raise TypeError(f"can't convert a {NAME}:0 tensor to numpy; use Tensor.cpu() first")

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, **rest: Any) -> torch.Tensor:
        return tensor(data, dtype=dtype or self.dtype, device=device or self.device, **rest)

    def __getitem__(self, index: Any) -> torch.Tensor:
        return super().__getitem__(unlisted(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(unlisted(index), value)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def unlisted(index: Any) -> Any:
    """An index with tensors in the place of lists, which PyTorch would move without dispatching."""
    if isinstance(index, tuple):
        return tuple(unlisted(part) for part in index)
    return _tensor(index) if isinstance(index, list) else index


def away(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation: refuse a mixture, compute on the CPU, and say that the results are away."""
    leaves, spec = pytree.tree_flatten((args, kwargs))
    there = [v for v in leaves if isinstance(v, Away)]
    here = [v for v in leaves if isinstance(v, torch.Tensor) and not isinstance(v, Away)]
    if there:
        refuse(func, args, here)
    device = kwargs.get("device")
    if func is aten.copy_.default:
        result_away = isinstance(args[0], Away)
    else:
        result_away = bool(there) if device is None else away(device)

    def inner(value: Any) -> Any:
        if isinstance(value, Away):
            return value.inner
        return torch.device("cpu") if isinstance(value, torch.device) and value.type == NAME else value

    plain, options = pytree.tree_unflatten([inner(v) for v in leaves], spec)
    if options.get("device") is not None:
        options["device"] = torch.device("cpu")
    options.pop("pin_memory", None)
    out = func(*plain, **options)
    if not result_away:
        return out
    own = {id(v.inner): v for v in there}  # operations in place give back their own argument

    def outer(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or id(value) in own:
            return own.get(id(value), value)
        # A wrapper has no bit for a conjugate or negative view, and operations here ignore that of the inner.
        return Away(value.resolve_conj().resolve_neg())

    return pytree.tree_map(outer, out)


def refuse(func: Any, args: Any, here: list[torch.Tensor]) -> None:
    """Raise `MixedError` where a real device would refuse."""
    shapes = [list(v.shape) for v in here if v.dim() > 0]
    if func in INDEXED:
        if not isinstance(args[0], Away):
            raise MixedError(f"{func}: an index on {NAME}:0 into a tensor on the CPU")
        values = args[2] if len(args) > 2 else args[0]
        if not isinstance(values, Away) and values.dim() > 0:
            raise MixedError(f"{func}: values on the CPU put into a tensor on {NAME}:0")
    elif shapes and func not in TRAVEL:
        raise MixedError(f"{func}: expected all tensors on one device, found {NAME}:0 and cpu {shapes}")


class Pretended(TorchDispatchMode):
    """While it is on, the device is there."""

    def __enter__(self) -> Pretended:
        _state["on"] = True
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        _state["on"] = False
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = pytree.arg_tree_leaves(*args, **kwargs)
        if any(isinstance(v, Away) for v in leaves) or away(kwargs.get("device")):
            return run(func, args, kwargs)
        return func(*args, **kwargs)


def tensor(data: Any, *, device: Any = None, **rest: Any) -> torch.Tensor:
    """`torch.tensor`, which does not dispatch by its device."""
    data = pytree.tree_map(lambda v: v.item() if isinstance(v, Away) and v.numel() == 1 else v, data)
    made = _tensor(data, device=None if away(device) else device, **rest)
    return made.to(device) if away(device) else made


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> torch.Tensor:
    """`torch.as_tensor`, likewise."""
    if isinstance(data, Away):
        return data.to(device=device or data.device, dtype=dtype or data.dtype)
    made = _as_tensor(data, dtype=dtype, device=None if away(device) else device)
    return made.to(device) if away(device) else made


def switch_on() -> None:
    """Register the backend with PyTorch, for the rest of the process."""
    from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

    class Backend(_DummyBackendModule):
        def get_rng_state(self, device: Any = None) -> torch.Tensor:
            return torch.get_rng_state()

        def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
            torch.set_rng_state(state)

        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16]

        def is_available(self) -> bool:
            return _state["on"]

        def device_count(self) -> int:
            return int(_state["on"])

    _setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    replaced: dict[str, Callable[..., torch.Tensor]] = {"tensor": tensor, "as_tensor": as_tensor}
    for name, function in replaced.items():
        setattr(torch, name, function)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
