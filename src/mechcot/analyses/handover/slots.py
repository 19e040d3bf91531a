"""How probable the truth is at a slot, at the temperature of the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mechcot.core.journal import Journal
from mechcot.core.progress import Progress
from mechcot.core.settings import SamplingSettings
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.rows import Rows, Way
from mechcot.models.ways import way_of

ROWS = 64
"""Slots that are read together at most."""

At = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens up to a slot, and the first tokens of what would make the claim true."""


def probabilities(
    checkpoint: Checkpoint,
    sampling: SamplingSettings,
    slots: Sequence[At],
    work: Path,
    *,
    name: str,
    progress: bool,
) -> dict[At, tuple[float, float]]:
    """Of each slot the probability of a true first token, and 1.0 if the likeliest next token is one.

    Top-p and top-k are not applied. At temperature 0 the first is the second.

    Args:
        checkpoint: whose weights.
        sampling: the temperature, and how many rows are read together at most.
        slots: repeated ones are read once.
        work: keeps the batches that are done.
        name: of the progress bar.
        progress: whether to draw a bar.

    Raises:
        SamplingError: as `models.ways.way_of`.
    """
    unique = sorted(set(slots), key=lambda at: (len(at[0]), at))
    size = min(ROWS, sampling.batch_rows)
    batches = [unique[first : first + size] for first in range(0, len(unique), size)]
    tasks = [WorkUnit(content_key(batch), (batch,), len(batch)) for batch in batches]
    model, temperature = checkpoint.model, sampling.temperature

    def read(way: Way, task: WorkUnit) -> list[tuple[float, float]]:
        return _read(model, way, task.arguments[0], temperature)

    journal = Journal(work / "journal.jsonl")
    done = done_of(tasks, journal)
    try:
        if done < len(unique):
            way = way_of(model, [ids for ids, _ in unique], 1).way
            with Progress(name, len(unique), "slot", shown=progress, done=done) as bar:
                map_tasks(read, tasks, way, journal=journal, bar=bar)
    finally:
        journal.close()
    return {
        at: (float(p), float(first))
        for task, batch in zip(tasks, batches, strict=True)
        for at, (p, first) in zip(batch, journal.results[task.key], strict=True)
    }


@torch.inference_mode()
def _read(
    model: torch.nn.Module, way: Way, batch: Sequence[At], temperature: float
) -> list[tuple[float, float]]:
    logits = Rows(model, way, [ids for ids, _ in batch], [1] * len(batch), 1).logits
    first = logits.argmax(-1).tolist()
    p = torch.softmax(logits / (temperature or 1.0), -1, dtype=torch.float64).cpu()
    found = []
    for row, (_, truth) in enumerate(batch):
        known = float(first[row] in truth)
        found.append((float(p[row, list(truth)].sum()) if temperature else known, known))
    return found
