"""How probable the truth is at a slot, at the temperature of the study.

A slot whose tokens begin those of another one is read in that one's pass: later tokens change nothing before
them, and neither does what a shorter text of a batch is filled up with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mechcot.core.journal import Journal
from mechcot.core.progress import Progress
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.calling import calling_of
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.devices import input_device
from mechcot.models.rotary import turn_of
from mechcot.models.ways import way_of

ROWS, LOGITS = 64, 2**26
"""Texts, and logits, of one pass at most."""

At = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens up to a slot, and the first tokens of what would make its claim true."""
Text = tuple[tuple[int, ...], tuple[At, ...]]
"""A text's tokens, and the slots in it."""


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
        sampling: the temperature.
        slots: repeated ones are read once.
        work: keeps the batches that are done.
        name: of the progress bar.
        progress: whether to draw a bar.

    Raises:
        SamplingError: as `models.ways.way_of`.
    """
    model: Any = checkpoint.model
    steady = turn_of(model.config) is None  # else the length of a pass decides how its tokens are turned
    texts, total = _texts(set(slots), shared=steady), len(set(slots))
    journal = Journal(work / "journal.jsonl")
    try:
        level = not steady
        if texts and not journal.results:
            level = level or not way_of(model, [ids for ids, _ in texts], 1).way.padded
            journal.keep("level", level)
        level = bool(journal.results.get("level"))
        tasks = [
            WorkUnit(content_key(batch), (batch,), sum(len(own) for _, own in batch))
            for batch in _batches(texts, model.get_output_embeddings().weight.shape[0], level)
        ]
        with Progress(name, total, "slot", shown=progress, done=done_of(tasks, journal)) as bar:
            map_tasks(
                lambda temperature, task: _read(model, task.arguments[0], temperature),
                tasks,
                sampling.temperature,
                journal=journal,
                bar=bar,
            )
    finally:
        journal.close()
    return {
        at: (float(p), float(first))
        for task in tasks
        for at, (p, first) in zip(
            (at for _, own in task.arguments[0] for at in own), journal.results[task.key], strict=True
        )
    }


def _texts(slots: set[At], *, shared: bool) -> list[Text]:
    """The texts to read, each with the slots in it, by length."""
    found: list[tuple[tuple[int, ...], list[At]]] = []
    for at in sorted(slots, reverse=True):  # what begins another text comes right behind it
        ids = at[0]
        inside = found and (found[-1][0][: len(ids)] == ids if shared else found[-1][0] == ids)
        if inside:
            found[-1][1].append(at)
        else:
            found.append((ids, [at]))
    return sorted(((ids, tuple(own)) for ids, own in found), key=lambda text: (len(text[0]), text[0]))


def _batches(texts: Sequence[Text], vocabulary: int, level: bool) -> list[tuple[Text, ...]]:
    """Texts that share a pass; all of one length where they have to be `level`."""
    batches: list[list[Text]] = []
    places: set[int] = set()
    for ids, own in texts:
        more = places | {len(at[0]) for at in own}
        n = len(batches[-1]) + 1 if batches else 0
        fits = n and n <= ROWS and n * len(more) * vocabulary <= LOGITS
        if not fits or (level and len(batches[-1][-1][0]) != len(ids)):
            batches.append([])
            more = {len(at[0]) for at in own}
        batches[-1].append((ids, own))
        places = more
    return [tuple(batch) for batch in batches]


@torch.inference_mode()
def _read(model: torch.nn.Module, batch: Sequence[Text], temperature: float) -> list[tuple[float, float]]:
    longest = max(len(ids) for ids, _ in batch)
    rows = [[*ids, *[ids[-1]] * (longest - len(ids))] for ids, _ in batch]
    places = sorted({len(at[0]) - 1 for _, own in batch for at in own})
    calling = calling_of(model)
    takes = calling.known(logits_to_keep=torch.tensor(places))
    logits = model(
        input_ids=torch.tensor(rows, device=input_device(model)), **takes, **calling.known(use_cache=False)
    ).logits
    column = {place: i if takes else place for i, place in enumerate(places)}
    found = []
    for row, (_, own) in enumerate(batch):
        for ids, truth in own:
            one = logits[row, column[len(ids) - 1]].float()
            first = float(int(one.argmax()) in truth)
            p = torch.softmax(one.double().cpu() / (temperature or 1.0), -1)
            found.append((float(p[list(truth)].sum()) if temperature else first, first))
    return found
