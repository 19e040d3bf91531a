"""How many parameters a checkpoint has, and how wide and deep it is."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import DataError
from mechcot.core.training_settings import OrganismSettings

_SIZE = re.compile(r"(?<![\w.])(?:\d+x)?(\d+(?:\.\d+)?)([BM])(?![a-z])", re.IGNORECASE)
_ACTIVE = re.compile(r"-A(\d+(?:\.\d+)?)B\b", re.IGNORECASE)
_VOCABULARY = 150_000  # of recent families: 128,000 to 262,000


@dataclass(frozen=True)
class Weights:
    """The size of a checkpoint.

    Attributes:
        parameters: all of them.
        active: those that a token meets.
        width: of the residual stream.
        layers: transformer layers.
        kv_width: numbers of a token's keys in a layer.
        vocabulary: tokens that there are.
        source: how that is known.
    """

    parameters: float
    active: float
    width: int
    layers: int
    kv_width: int
    vocabulary: int
    source: str


def weights_of(folder: Path | None, name: str) -> Weights | None:
    """The size of a checkpoint: counted in its files or, where they are not here, read off its name.

    Args:
        folder: of the checkpoint; None, or one that is not there: it is not fetched.
        name: of the checkpoint.
    """
    counted = 0 if folder is None or not folder.is_dir() else _counted(folder)
    if folder is not None and counted:
        return _shaped(counted, counted, "counted in its files", _config(folder))
    found = _SIZE.findall(name)
    if not found:
        return None
    number, unit = found[-1]
    parameters = float(number) * (1e9 if unit.upper() == "B" else 1e6)
    active = _ACTIVE.findall(name)
    return _shaped(parameters, float(active[-1]) * 1e9 if active else parameters, "read off its name", {})


def _shaped(parameters: float, active: float, source: str, config: dict[str, Any]) -> Weights:
    """A dense transformer of 12 width^2 parameters a layer, 128 times as wide as deep, unless told."""
    width = config.get("hidden_size") or round((parameters * 128 / 12) ** (1 / 3))
    layers = config.get("num_hidden_layers") or max(1, round(width / 128))
    heads = config.get("num_attention_heads") or 4
    head = config.get("head_dim") or width // heads
    keys = head * (config.get("num_key_value_heads") or (heads if config else 1))
    return Weights(parameters, active, width, layers, keys, config.get("vocab_size") or _VOCABULARY, source)


def organism_weights(asked: OrganismSettings, vocabulary: int) -> Weights:
    """Those of an organism that is not trained yet (`distill.pretrain`).

    Args:
        asked: its settings.
        vocabulary: words of its world.
    """
    width = asked.hidden_size
    heads = width // 32
    keys = 32 * (heads // 2 if heads % 2 == 0 else heads)
    block = 2 * width * width + 2 * width * keys + 3 * width * 2 * width + 2 * width + 64
    parameters = vocabulary * width + asked.layers * block + width
    return Weights(
        parameters, parameters, width, asked.layers, keys, vocabulary, "by the organism's settings"
    )


def _counted(folder: Path) -> int:
    """Parameters by the headers of the weights' files (safetensors)."""
    from safetensors import safe_open

    n = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "np") as opened:
            names = opened.keys()
            n += sum(math.prod(opened.get_slice(name).get_shape()) for name in names)
    return n


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = files.read_json(folder / "config.json")
    except DataError:
        return {}
    own: dict[str, Any] = config.get("text_config", config)
    return own
