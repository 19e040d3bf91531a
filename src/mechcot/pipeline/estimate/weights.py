"""How many parameters a checkpoint has, how wide and deep it is, and how fast a machine multiplies."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path

from mechcot.core import files
from mechcot.core.errors import DataError

_SIZE = re.compile(r"(?<![\w.])(?:\d+x)?(\d+(?:\.\d+)?)([BM])(?![a-z])", re.IGNORECASE)
_ACTIVE = re.compile(r"-A(\d+(?:\.\d+)?)B\b", re.IGNORECASE)


@dataclass(frozen=True)
class Weights:
    """The size of a checkpoint.

    Attributes:
        parameters: all of them.
        active: those that a token meets.
        width: of the residual stream.
        layers: transformer layers.
        source: how that is known.
    """

    parameters: float
    active: float
    width: int
    layers: int
    source: str


def weights_of(folder: Path | None, name: str) -> Weights | None:
    """The size of a checkpoint: counted in its files or, where they are not here, read off its name.

    Args:
        folder: of the checkpoint; None, or one that is not there: it is not fetched.
        name: of the checkpoint.
    """
    counted = 0 if folder is None or not folder.is_dir() else _counted(folder)
    if folder is not None and counted:
        width, layers = _shape(folder)
        shape = _guessed(counted)
        return Weights(counted, counted, width or shape[0], layers or shape[1], "counted in its files")
    found = _SIZE.findall(name)
    if not found:
        return None
    number, unit = found[-1]
    parameters = float(number) * (1e9 if unit.upper() == "B" else 1e6)
    active = _ACTIVE.findall(name)
    width, layers = _guessed(parameters)
    return Weights(
        parameters, float(active[-1]) * 1e9 if active else parameters, width, layers, "read off its name"
    )


def _guessed(parameters: float) -> tuple[int, int]:
    """Width and depth of a dense transformer of 12 width^2 parameters a layer, 128 times as wide as deep."""
    width = (parameters * 128 / 12) ** (1 / 3)
    return round(width), max(1, round(width / 128))


def _counted(folder: Path) -> int:
    """Parameters by the headers of the weights' files (safetensors)."""
    from safetensors import safe_open

    n = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "np") as opened:
            names = opened.keys()
            n += sum(math.prod(opened.get_slice(name).get_shape()) for name in names)
    return n


def _shape(folder: Path) -> tuple[int | None, int | None]:
    try:
        config = files.read_json(folder / "config.json")
    except DataError:
        return None, None
    own = config.get("text_config", config)
    return own.get("hidden_size"), own.get("num_hidden_layers")


def measured_rate() -> tuple[float, str]:
    """Floating-point operations a second of a matrix product here, and of what; takes half a second."""
    import torch

    on_gpu = torch.cuda.is_available()
    n, dtype = (8192, torch.bfloat16) if on_gpu else (768, torch.float32)
    where = "cuda" if on_gpu else "cpu"
    one, other = (torch.ones((n, n), dtype=dtype, device=where) for _ in range(2))
    one @ other  # the first is slower
    times: list[float] = []
    until = time.perf_counter() + 0.3
    while time.perf_counter() < until or len(times) < 3:
        if on_gpu:
            torch.cuda.synchronize()
        started = time.perf_counter()
        one @ other
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    name = torch.cuda.get_device_name(0) if on_gpu else f"processor, {torch.get_num_threads()} threads"
    return 2 * n**3 / min(times), f"{name}, {str(dtype).removeprefix('torch.')}"
