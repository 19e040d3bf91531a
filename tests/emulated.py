"""Devices that are not there: tensors that say they lie on `emu:0` or `emu:1` and hold their numbers on the CPU.

A build of torch without CUDA lets a privately used device be registered. Its tensors here carry real values,
so whole readings, samplings, hooks, losses and fits run, host loops too, and their numbers can be compared
with the CPU's to the bit. Every operator is watched: tensors of two devices in one operator raise, as they do
on a GPU, by FakeTensorMode's rule (a CPU tensor without dimensions may stand beside any, and an index may
lie on the CPU). `Watch` also counts where the host waits for the device, refuses float64 (as Apple's
devices do) and runs out of memory on request.

Fake tensors (`torch._subclasses`) were tried and hold no values: what an `.item()` decides cannot run on them.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

TYPE = "emu"
COUNT = 2
aten = torch.ops.aten


class _Backend(backend_registration._DummyBackendModule):
    def device_count(self) -> int:
        return COUNT


backend_registration._setup_privateuseone_for_python_backend(TYPE, backend_module=_Backend())


class DeviceMismatch(RuntimeError):
    """An operator was given tensors of two devices."""


class On(torch.Tensor):
    """A tensor that lies on an emulated device; `held` are its numbers, on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, device: torch.device) -> On:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=device,
            requires_grad=False,
        )
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"On({self.held!r}, {self.device})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs or {}, None)


class _Made(TorchFunctionMode):
    """What torch makes or reads without its dispatcher."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is torch.Tensor.tolist and isinstance(args[0], On):
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


class Watch(TorchDispatchMode):
    def __init__(self, *, float64: bool = True, most: int | None = None) -> None:
        super().__init__()
        self.float64, self.most = float64, most
        self.syncs: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket is aten.to:  # in inference mode it arrives whole; it may be a copy or none
            with self:
                return func.decompose(*args, **(kwargs or {}))
        return dispatch(func, args, kwargs or {}, self)


COPIES = {aten.copy_.default, aten._to_copy.default}
INDEXED = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
}
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default, aten.is_nonzero.default}


def dispatch(func: Any, args: Any, kwargs: dict[str, Any], watch: Watch | None) -> Any:
    flat = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    here = {t.device for t in flat if isinstance(t, On)}
    wanted = kwargs.get("device")
    wanted = torch.device(wanted) if wanted is not None else None
    if not here and (wanted is None or wanted.type != TYPE):
        return func(*args, **kwargs)
    if func not in COPIES:
        indices = set(map(id, args[1])) if func in INDEXED else set()
        there = here | {t.device for t in flat if not isinstance(t, On) and t.dim() and id(t) not in indices}
        if len(there) > 1:
            raise DeviceMismatch(f"{func}: {sorted(map(str, there))}")
    if func is aten._fused_sdp_choice.default:
        return 0
    if func is aten._has_compatible_shallow_copy_type.default:
        return True
    device = wanted or next(iter(here))
    if func is aten.copy_.default:
        device = args[0].device
    if device.type == TYPE and device.index is None:
        device = torch.device(TYPE, 0)
    if watch is not None:
        if func in WAITS or (here and device.type == "cpu"):
            watch.syncs[str(func)] += 1
    inner = {k: v for k, v in kwargs.items() if k not in ("device", "pin_memory")}
    if wanted is not None:
        inner["device"] = torch.device("cpu")
    hold = lambda x: x.held if isinstance(x, On) else x
    out = func(*tree_map(hold, args), **tree_map(hold, inner))
    back = {id(t.held): t for t in flat if isinstance(t, On)}

    def wrap(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        if id(x) in back:
            return back[id(x)]
        if device.type != TYPE:
            return x
        if watch is not None and not watch.float64 and x.dtype == torch.float64:
            raise TypeError(f"{func}: {TYPE} has no float64")
        if watch is not None and watch.most is not None and x.numel() * x.element_size() > watch.most:
            raise torch.OutOfMemoryError(f"{TYPE} out of memory")
        return On(x, device)

    return tree_map(wrap, out)
