"""Where a model computes, and what memory is left there."""

from __future__ import annotations

import gc
from typing import Any

import torch
from torch import nn

from mechcot.core.errors import ModelError, said

_FULL = ("out of memory", "allocate memory", "alloc_failed", "not enough memory")


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes.

    Under a map of devices its weights may lie elsewhere until they are needed (on no device at all, "meta");
    then accelerate's hook says where they will be.
    """
    hook: Any = getattr(module, "_hf_hook", None)
    for part in (hook, *getattr(hook, "hooks", ())):
        place = getattr(part, "execution_device", None)
        if place is not None:
            return torch.device(place)
    return next(module.parameters()).device


def input_device(model: Any) -> torch.device:
    """Where a language model takes its token ids."""
    return device_of(model.get_input_embeddings())


def usable_device(name: str) -> torch.device:
    """The device that a setting names; `auto`: a GPU of CUDA's kind where there is one, else the processor.

    Raises:
        ModelError: it is not there, or is of a kind that is refused.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "mps":
            raise RuntimeError("Apple's GPUs have no float64, and nothing here was ever tested on one")
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.empty(1, device=device).fill_(1)
    # AssertionError: built without CUDA.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"device: '{name}' cannot be used: {said(error)}. Set device to cpu, or to one there is"
        ) from error
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory was short."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _FULL)


def free_memory(device: torch.device) -> int:
    """Bytes that a device can still give; its own cache of free blocks counts as free."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    import psutil  # type: ignore[import-untyped]

    return int(psutil.virtual_memory().available)


def release(device: torch.device) -> None:
    """Give back the memory that a device keeps for later."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
