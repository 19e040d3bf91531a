"""Sampling completions in process: one prefill a question, shared by its samples, finished rows dropped.

Before the first token it is found out in which way the model's texts go on truly (`models.ways`).

The draws of a completion come from a stream of its own, keyed by (seed, arm, question, sample), so
neither the order of the questions nor the size of the batches decides them. (Logits of another
batch shape may still differ in the last bit, and so, very rarely, may a token.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mechcot.core.errors import SamplingError
from mechcot.core.journal import Journal
from mechcot.core.progress import Progress
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.devices import input_device
from mechcot.models.rows import Rows, Way
from mechcot.models.ways import refuse_unknown, way_of
from mechcot.sampling.choice import chosen_tokens
from mechcot.sampling.empty import refuse_empty
from mechcot.sampling.room import Batch, Prompt, Room
from mechcot.sampling.stops import Stop


@dataclass(frozen=True)
class Completion:
    """One sampled completion.

    Attributes:
        qid: whose.
        cid: which sample.
        token_ids: what was written, the end-of-text token included.
        finish_reason: `stop`, or `length` when the token limit cut it.
        sum_logprob: log-probability of the tokens at temperature 1, nats, without an end of text that was
            put where it was stopped.
    """

    qid: str
    cid: int
    token_ids: list[int]
    finish_reason: str
    sum_logprob: float


@dataclass
class _Row:
    qid: str
    cid: int
    tokens: list[int]
    logprobs: list[float]


@dataclass(frozen=True)
class Stream:
    """Who writes, and when a completion has ended.

    Attributes:
        arm: its name; it keys the draws.
        seed: of the draws.
        stop: see `stops.stop_of`; None: the end of text and the token limit alone.
        may_be_empty: whether a completion that says nothing is one like any other.
        greedy: how many of a prompt's samples, the last ones, take the likeliest token each time.
    """

    arm: str
    seed: int
    stop: Stop | None = None
    may_be_empty: bool = False
    greedy: int = 0


def sample(
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    settings: SamplingSettings,
    *,
    arm: str,
    seed: int,
    work: Path,
    stop: Stop | None = None,
    progress: bool = True,
) -> list[Completion]:
    """Sample `settings.samples` completions of every prompt.

    Finished batches are kept in `work`, so that a killed run goes on with the next. `stop` says after each
    token whether a completion has ended (`stops.stop_of`); the end of text is put where it did.

    Returns:
        Completions in the order of the prompts, samples in order.

    Raises:
        SamplingError: the model's forward is not called in a way known here, or its texts go on truly in no
            way; a prompt leaves no room in the context, logits are not finite, or many completions are empty.
    """
    return complete(checkpoint, prompts, settings, Stream(arm, seed, stop), work, progress=progress)


def complete(
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    settings: SamplingSettings,
    stream: Stream,
    work: Path,
    *,
    progress: bool = True,
) -> list[Completion]:
    """`sample`, for a stream whose completions may say nothing."""
    arm = stream.arm
    refuse_unknown(checkpoint.model)
    _check_room(checkpoint, prompts, settings)
    tasks = [
        WorkUnit(
            content_key([[asdict(prompt), cids] for prompt, cids in batch]),
            (batch,),
            sum(len(cids) for _, cids in batch),
        )
        for batch in _batches(prompts, settings)
    ]

    total = sum(task.size for task in tasks)

    room = Room(settings.batch_rows)

    def written(way: Way, task: WorkUnit) -> list[dict[str, Any]]:
        def decoded(batch: Batch) -> list[Completion]:
            return _decode(checkpoint, way, batch, settings, stream)

        found = room.within(decoded, task.arguments[0], input_device(checkpoint.model))
        empty = [(c.qid, c.cid) for c in found if len(c.token_ids) == (c.finish_reason == "stop")]
        if not stream.may_be_empty:
            refuse_empty(empty, total, arm)  # before hours of more
        return [asdict(completion) for completion in found]

    journal = Journal(work / "journal.jsonl")
    done = done_of(tasks, journal)
    try:
        if done < total:
            way = way_of(checkpoint.model, [prompt.ids for prompt in prompts], settings.max_new_tokens).way
            with Progress(f"sampling {arm}", total, "trace", shown=progress, done=done) as bar:
                map_tasks(written, tasks, way, journal=journal, bar=bar)
    finally:
        journal.close()
    found = {(c["qid"], c["cid"]): Completion(**c) for task in tasks for c in journal.results[task.key]}
    return [found[prompt.qid, cid] for prompt in prompts for cid in range(settings.samples)]


def uniforms(seed: int, arm: str, qid: str, cid: int, count: int) -> np.ndarray:
    """The draws of one completion, `[count]` in [0, 1)."""
    key = hashlib.sha256(f"{seed}\0{arm}\0{qid}\0{cid}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little"))).random(count)


def _check_room(checkpoint: Checkpoint, prompts: Sequence[Prompt], settings: SamplingSettings) -> None:
    if checkpoint.context is None:
        return
    for prompt in prompts:
        if len(prompt.ids) + settings.max_new_tokens > checkpoint.context:
            raise SamplingError(
                f"question '{prompt.qid}': its prompt has {len(prompt.ids)} tokens, with "
                f"sampling.max_new_tokens={settings.max_new_tokens} more than the model's context of "
                f"{checkpoint.context}. Lower max_new_tokens or shorten the question"
            )


def _batches(
    prompts: Sequence[Prompt], settings: SamplingSettings
) -> list[list[tuple[Prompt, tuple[int, ...]]]]:
    """Questions of like length together; each with the samples that fit. Pure in its arguments."""
    rows = settings.batch_rows
    ordered = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].ids), i))
    pieces = [
        (prompts[i], tuple(range(first, min(first + rows, settings.samples))))
        for i in ordered
        for first in range(0, settings.samples, rows)
    ]
    batches: list[list[tuple[Prompt, tuple[int, ...]]]] = []
    filled = 0
    for piece in pieces:
        if not batches or filled + len(piece[1]) > rows:
            batches.append([])
            filled = 0
        batches[-1].append(piece)
        filled += len(piece[1])
    return batches


@torch.inference_mode()
def _decode(
    checkpoint: Checkpoint,
    way: Way,
    batch: Batch,
    settings: SamplingSettings,
    stream: Stream,
) -> list[Completion]:
    arm, seed, stop = stream.arm, stream.seed, stream.stop
    rows = [_Row(prompt.qid, cid, [], []) for prompt, cids in batch for cid in cids]
    draws = np.stack([uniforms(seed, arm, r.qid, r.cid, settings.max_new_tokens) for r in rows])
    prompts, counts = [prompt.ids for prompt, _ in batch], [len(cids) for _, cids in batch]
    texts = Rows(checkpoint.model, way, prompts, counts, settings.max_new_tokens)
    greedy = settings.model_copy(update={"temperature": 0.0})
    alive = list(range(len(rows)))  # the row of each entry of the batch
    for position in range(settings.max_new_tokens):
        tokens, found = chosen_tokens(texts.logits, draws[alive, position], settings)
        sure = [i for i, row in enumerate(alive) if rows[row].cid >= settings.samples - stream.greedy]
        if sure:
            tokens[sure], likeliest = chosen_tokens(texts.logits[sure], draws[alive, position][sure], greedy)
            for i, one in zip(sure, likeliest, strict=True):
                found[i] = one
        for row, (token, logprob, finite) in zip(alive, found, strict=True):
            if not finite:
                raise SamplingError(f"arm {arm}: the logits are not finite at question '{rows[row].qid}'")
            if not _finished(rows[row], checkpoint.eos_ids):
                _append(rows[row], token, logprob, checkpoint.eos_ids, stop)
        going = [i for i, row in enumerate(alive) if not _finished(rows[row], checkpoint.eos_ids)]
        if not going or position + 1 == settings.max_new_tokens:
            break
        # Dropping rows copies the cache: worth it once a quarter of them is done.
        if len(going) <= 0.75 * len(alive):
            keep = torch.tensor(going)
            texts.keep(keep)
            alive, tokens = [alive[i] for i in going], tokens[keep]
        texts.add(tokens)
    return [_completion(row, checkpoint) for row in rows]


def _append(row: _Row, token: int, logprob: float, eos_ids: tuple[int, ...], stop: Stop | None) -> None:
    """Add a token; where the completion has ended by it, cut it there and put an end of text."""
    row.tokens.append(token)
    row.logprobs.append(logprob)
    kept = stop(row.qid, row.tokens) if stop and eos_ids and token not in eos_ids else None
    if kept:  # a completion that would be empty goes on
        row.tokens[kept:] = [eos_ids[0]]
        del row.logprobs[kept:]


def _finished(row: _Row, eos_ids: tuple[int, ...]) -> bool:
    return bool(row.tokens) and row.tokens[-1] in eos_ids


def _completion(row: _Row, checkpoint: Checkpoint) -> Completion:
    ended = _finished(row, checkpoint.eos_ids)
    return Completion(row.qid, row.cid, row.tokens, "stop" if ended else "length", sum(row.logprobs))
