"""Devices that are not there: tensors that lie on `emu:0` or `emu:1` and hold their numbers on the CPU.

Torch lets a privately used device be registered. Its tensors here carry real values, so whole readings,
samplings, hooks, losses and fits run, their host loops too, and their numbers can be compared with the
CPU's. Every operator is watched: tensors of two devices in one operator raise as they do on a GPU, by
FakeTensorMode's rule (a CPU tensor without dimensions may stand beside any, and an index may lie on the
CPU). A `Watch` also counts where the host waits for the device, can refuse float64 and be short of memory.

FakeTensorMode itself was tried first: it holds no values, so nothing behind an `.item()` runs in it.
Importing this changes what torch takes for the accelerator: for processes of its own (`test_devices.py`).
"""

from collections import Counter
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

TYPE = "emu"
aten = torch.ops.aten
COPIES = {aten.copy_.default, aten._to_copy.default}
INDEXED = {
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default}


class _Backend(backend_registration._DummyBackendModule):
    def device_count(self):
        return 2


backend_registration._setup_privateuseone_for_python_backend(TYPE, backend_module=_Backend())


class DeviceMismatchError(RuntimeError):
    """An operator was given tensors of two devices."""


class On(torch.Tensor):
    """A tensor on an emulated device; `held` are its numbers, on the CPU."""

    @staticmethod
    def __new__(cls, held, device=None, requires_grad=False):
        if device is None:  # accelerate makes a parameter of the old one's class
            return torch.nn.Parameter(held, requires_grad=requires_grad)
        form = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        with torch.inference_mode(False):  # so that it may be seen in parts inside of inference mode and out
            made = torch.Tensor._make_wrapper_subclass(cls, held.shape, device=device, **form)
        made.held = held
        return made

    def __repr__(self):
        return f"On({self.held!r}, {self.device})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _done(func, args, kwargs or {}, None)  # in a thread of autograd's, which has no modes


class _Python(TorchFunctionMode):
    """What torch makes or reads without asking its dispatcher."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is torch.Tensor.tolist and isinstance(args[0], On):
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


class Watch(TorchDispatchMode):
    """The emulated devices at work.

    Attributes:
        float64: whether they have it.
        most: bytes above which a tensor is too large for them.
        waits: how often the host waited for a device, by operator.
    """

    def __init__(self, *, float64=True, most=None):
        super().__init__()
        self.float64, self.most, self.waits = float64, most, Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket is aten.to:  # in inference mode it comes whole, a copy or none
            with self, torch._C.DisableTorchFunction():
                return func.decompose(*args, **(kwargs or {}))
        return _done(func, args, kwargs or {}, self)


@contextmanager
def emulated(**how):
    """Two emulated devices while the block runs; `how` as of `Watch`, which is handed out."""
    with Watch(**how) as watch, _Python():
        yield watch


def _done(func, args, kwargs, watch):
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    here = [tensor for tensor in tensors if isinstance(tensor, On)]
    device = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    if not here and (device is None or device.type != TYPE):
        return func(*args, **kwargs)
    _same_device(func, args, tensors)
    if func is aten._fused_sdp_choice.default:
        return 0  # the plain way: the fused ones are for devices that torch knows
    if device is None:
        device = args[0].device if func is aten.copy_.default else here[0].device
    device = torch.device(TYPE, device.index or 0) if device.type == TYPE else device
    if watch is not None and (func in WAITS or (here and device.type == "cpu")):
        watch.waits[str(func)] += 1

    def held(value):
        return value.held if isinstance(value, On) else value

    given = {name: value for name, value in kwargs.items() if name not in ("device", "pin_memory")}
    if "device" in kwargs:
        given["device"] = torch.device("cpu") if device.type == TYPE else device
    out = func(*tree_map(held, args), **tree_map(held, given))
    known = {id(tensor.held): tensor for tensor in here}

    def placed(value):
        if not isinstance(value, torch.Tensor) or device.type != TYPE:
            return value
        if id(value) in known:  # done in place
            return known[id(value)]
        if watch is not None and not watch.float64 and value.dtype == torch.float64:
            raise TypeError(f"{func}: {TYPE} has no float64")
        if watch is not None and watch.most is not None and value.nbytes > watch.most:
            raise torch.OutOfMemoryError(f"{TYPE}: out of memory. Tried to allocate {value.nbytes} bytes")
        return On(value, device)

    return tree_map(placed, out)


def _same_device(func, args, tensors):
    if func in COPIES:
        return
    free = set(map(id, args[1])) if func in INDEXED else set()
    on = {t.device for t in tensors if isinstance(t, On) or (t.dim() and id(t) not in free)}
    if len(on) > 1:
        raise DeviceMismatchError(f"{func} was given tensors on {sorted(map(str, on))}")
