"""The cost model: what work of a model asks of a machine, and how long that takes there.

    seconds = max(operations / flops, bytes / bandwidth) / reached + calls * call

The larger of the two is what the machine waits for. `machines.json` has the constants.
"""

from __future__ import annotations

from dataclasses import dataclass

from mechcot.core.training_settings import TrainSettings
from mechcot.pipeline.estimate.machines import Machine
from mechcot.pipeline.estimate.weights import Weights

PRODUCTS, MEMORY, CALLS = "products", "memory bandwidth", "a layer's least time"
"""What a machine may wait for."""


@dataclass(frozen=True)
class Load:
    """What some work asks of a machine.

    Attributes:
        kind: `sampling`, `reading` or `training`.
        operations: of its products.
        moved: bytes read from memory and written to it.
        calls: of a layer.
        held: bytes at once.
    """

    kind: str
    operations: float
    moved: float
    calls: float
    held: float

    def seconds(self, machine: Machine) -> float:
        """On one machine."""
        return sum(self.parts(machine).values())

    def bound(self, machine: Machine) -> str:
        """What most of the time goes to."""
        parts = self.parts(machine)
        return max(parts, key=lambda name: parts[name])

    def parts(self, machine: Machine) -> dict[str, float]:
        """Seconds of the slower of products and memory, and of calls."""
        products, memory = self.operations / machine.flops, self.moved / machine.bandwidth
        slower = (PRODUCTS, products) if products >= memory else (MEMORY, memory)
        reached = machine.reached[self.kind]
        return {slower[0]: slower[1] / reached, CALLS: self.calls * machine.call}


def item_bytes(machine: Machine) -> int:
    """Bytes of a weight: 16 bits on a GPU, 32 on a processor."""
    return 2 if machine.kind == "gpu" else 4


def forward(weights: Weights, tokens: float, context: float) -> float:
    """Operations of reading tokens, each of which sees half of a context: 2 a weight, 4 a width seen."""
    return tokens * (2 * weights.active + 4 * weights.layers * weights.width * context / 2)


def sampling(
    weights: Weights, item: int, *, rows: float, together: int, prompts: float, prompt: float, trace: float,
    longest: float,
) -> Load:  # fmt: skip
    """Writing traces.

    Args:
        weights: by whom.
        item: bytes of a number.
        rows: traces.
        together: that are written at a time.
        prompts: that are read.
        prompt: tokens of one.
        trace: tokens of a trace.
        longest: of the longest of those that are written together.
    """
    passes = max(rows / together, 1.0) * longest
    cached = 2 * weights.layers * weights.kv_width * item  # keys and values of a token
    written = rows * trace
    here = min(rows, together)
    return Load(
        "sampling",
        forward(weights, prompts * prompt, prompt) + forward(weights, written, 2 * (prompt + trace / 2)),
        passes * weights.active * item + written * (prompt + trace / 2) * cached,
        passes * weights.layers,
        weights.parameters * item + here * ((prompt + longest) * cached + 3 * 4 * weights.vocabulary),
    )


def reading(weights: Weights, item: int, *, tokens: float, context: float, together: float) -> Load:
    """One pass over so many tokens of texts, `together` at a time."""
    passes = max(tokens / together, 1.0)
    return Load(
        "reading",
        forward(weights, tokens, context),
        passes * weights.active * item + tokens * weights.layers * weights.width * 8 * item,
        passes * weights.layers,
        weights.parameters * item + together * (weights.width * 12 * item + 16 * weights.vocabulary / 8),
    )


def training(weights: Weights, asked: TrainSettings, *, tokens: float, rows: float, context: float) -> Load:
    """Training on so many rows, all epochs together; an adapter spares a third of it."""
    item = 2 if asked.dtype == "bfloat16" else 4
    steps = max(rows / (asked.batch_size * asked.accumulation), 1.0)
    batches = steps * asked.accumulation
    through = 3.0 if asked.lora is None else 2.0
    trained = weights.parameters if asked.lora is None else adapter(weights, asked.lora.rank)
    seen = tokens / batches  # of a batch
    return Load(
        "training",
        through * forward(weights, tokens, context),
        batches * through * weights.active * item + steps * 7 * trained * item,
        batches * through * weights.layers,
        weights.parameters * item
        + trained * 3 * item
        + seen * (weights.layers * weights.width * 16 * item + 3 * 4 * weights.vocabulary),
    )


def adapter(weights: Weights, rank: int) -> float:
    """Weights of an adapter on all linear layers: seven a layer, about 2.3 widths on each side."""
    return weights.layers * 7 * 2 * 2.3 * weights.width * rank
