"""What the fits compute with: torch where it is installed, on a GPU where there is one, else numpy.

The fits use the functions that both have under one name and with the same order of arguments; what they
call differently is here. A base install, which has no torch, fits a probe on arrays by this.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from mechcot.core.errors import MissingDependency

Array: TypeAlias = Any
"""A torch tensor, or where torch is not installed a numpy array."""


def placed(rows: NDArray[Any], device: str) -> Array:
    """Rows where the fits compute.

    Args:
        rows: any shape.
        device: `cpu`, `cuda`, ... or `auto`.

    Raises:
        MissingDependency: torch is not installed and the device is one of its own.
        ModelError: the device cannot be used.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        if device not in ("auto", "cpu"):
            raise MissingDependency("torch", "models") from error
        return rows
    from mechcot.models.devices import usable_device

    return torch.from_numpy(rows).to(usable_device(device))


def functions(values: Array) -> Any:
    """The module whose functions such an array goes through: numpy or torch."""
    if isinstance(values, np.ndarray | np.generic):
        return np
    import torch

    return torch


def like(values: NDArray[Any], other: Array) -> Array:
    """Values as an array of another's kind, on its device and of its dtype."""
    if isinstance(other, np.ndarray):
        return values.astype(other.dtype)
    import torch

    return torch.as_tensor(values, device=other.device).to(other.dtype)


def to_numpy(values: Array) -> NDArray[Any]:
    """An array as numpy's, without a copy where it lies in memory."""
    if isinstance(values, np.ndarray):
        return values
    out: NDArray[Any] = values.cpu().numpy()
    return out


def sigmoid(values: Array) -> Array:
    """The logistic function."""
    return expit(values) if isinstance(values, np.ndarray) else functions(values).sigmoid(values)


def normal_start(rows: int, columns: int, other: Array) -> Array:
    """Normal numbers, always the same ones, of another array's kind, [rows, columns]."""
    if isinstance(other, np.ndarray):
        return np.random.default_rng(0).standard_normal((rows, columns)).astype(other.dtype)
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, columns, generator=generator, dtype=other.dtype).to(other.device)
