"""The groups of a reading, one after the other: read, and written while the next one is read."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mechcot.core import files
from mechcot.core.errors import ReadingError
from mechcot.core.progress import Progress
from mechcot.models.anatomy import Anatomy
from mechcot.reading.budget import out_of_memory, release
from mechcot.reading.plan import ReadingPlan
from mechcot.reading.reader import ReadBatch, Recipe, alone, as_numbers, read_batch
from mechcot.reading.selfcheck import SelfCheck, usable
from mechcot.reading.unfinished import Group, Unfinished
from mechcot.study.activations import write_shard
from mechcot.study.manifest import EVERY_TOKEN

log = logging.getLogger(__name__)

SHARD_TOKENS = 2**15
SHARD_BYTES = 2**28


@dataclass(frozen=True)
class Job:
    """One reading.

    Attributes:
        model: the reader.
        anatomy: where its parts are.
        recipe: what is kept.
        reader: its name.
        model_digest: digest of its weights.
        store: where the shards go.
        lenient: note traces whose numbers are not finite rather than raise.
    """

    model: Any
    anatomy: Anatomy
    recipe: Recipe
    reader: str
    model_digest: str
    store: Path
    lenient: bool


@dataclass
class _Found:
    """What a group gave, not yet written."""

    number: int
    first: int
    stop: int
    numbers: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    acts: dict[str, list[Tensor]] = field(default_factory=dict)
    broken: list[tuple[int, int, str]] = field(default_factory=list)


def read_groups(job: Job, state: Unfinished, *, check: bool, progress: bool) -> SelfCheck | None:
    """Read the groups that are not finished.

    Args:
        job: what is read, and how.
        state: what is there of it; finished groups and what memory allows are noted in it.
        check: compare a small sample with separate plain runs first.
        progress: whether to draw a bar.

    Returns:
        The self-check; None if nothing was left to read, or none was asked for.

    Raises:
        ReadingError: see `folder.read_to_folder`.
        OSError: a file cannot be written.
    """
    if state.complete():
        return None
    job, report = _way(job, state, check=check)
    first = number = 0
    writing: Future[Group] | None = None
    with ThreadPoolExecutor(1) as pool, _bar(job, state, progress) as bar:
        try:
            while first < len(state.plan.batches):
                group: Group | _Found | None = state.groups.get(number)
                if group is None:
                    group = _read_group(job, state, number, first, bar)
                    if group is None:
                        continue
                    if writing:
                        state.finish(writing.result())
                    writing = pool.submit(_write_group, job, state.numbers(number), group)
                first, number = group.stop, number + 1
        finally:
            # Whatever came between: a group that was read is not lost.
            if writing:
                state.finish(writing.result())
    return report


def _way(job: Job, state: Unfinished, *, check: bool) -> tuple[Job, SelfCheck | None]:
    """Whether the model reads trees, or every text by itself."""
    recipe, report = replace(job.recipe, alone=not state.trees), None
    if check:
        recipe, report = usable(job.model, state.plan.questions, recipe)
    elif job.anatomy.strange and state.trees:
        recipe = alone(recipe, job.anatomy.strange)
    if recipe.alone and state.trees:
        state.read_without_trees()
    return replace(job, recipe=recipe), report


def _bar(job: Job, state: Unfinished, progress: bool) -> Progress:
    plan = state.plan
    authors = "+".join(dict.fromkeys(t.arm for q in plan.questions for t in q.traces))
    done = sum(plan.nodes(b) for group in state.groups.values() for b in range(group.first, group.stop))
    return Progress(f"{authors} read by {job.reader}", plan.tree_tokens, "token", shown=progress, done=done)


def _stop(job: Job, plan: ReadingPlan, first: int) -> int:
    """One past the last batch of the group that begins with a batch, by its tokens and the bytes it keeps."""
    rules = job.recipe.rules
    every_token = EVERY_TOKEN in rules
    row = len(job.recipe.places) * job.anatomy.d_model * job.anatomy.dtype.itemsize
    tokens = size = 0
    for number in range(first, len(plan.batches)):
        tokens += plan.nodes(number)
        for part in plan.members(number):
            if not plan.questions[part.question].permutation:
                for trace in plan.traces([part]):
                    size += row * len(trace.steps) * (len(rules) - every_token)
                    size += row * len(trace.token_ids) * every_token
        if tokens >= SHARD_TOKENS or size >= SHARD_BYTES:
            return number + 1
    return len(plan.batches)


def _read_group(job: Job, state: Unfinished, number: int, first: int, bar: Any) -> _Found | None:
    """Read the group that begins with a batch; None: memory was short, and the plan is another one."""
    found, before = _Found(number, first, _stop(job, state.plan, first)), bar.n
    for batch_number in range(first, found.stop):
        batch = _read_batch(job, state, first, batch_number)
        if batch is None:
            bar.back_to(before, state.plan.tree_tokens)
            return None
        for (question, trace), why in batch.broken.items():
            if not job.lenient:
                raise ReadingError(why)
            found.broken.append((question, trace, why))
        for name, values in as_numbers(batch).items():
            found.numbers[f"{batch_number}.{name}"] = np.ascontiguousarray(values)
        for name, rows in batch.acts.items():
            if rows.dtype != job.anatomy.dtype:
                raise ReadingError(
                    f"{name} comes in {rows.dtype}, the embedding is {job.anatomy.dtype}; a store has one "
                    f"dtype: load the model in one"
                )
            found.acts.setdefault(name, []).append(rows)
        bar.update(state.plan.nodes(batch_number))
    return found


def _read_batch(job: Job, state: Unfinished, first: int, number: int) -> ReadBatch | None:
    """Read a batch; None: memory was short, and from the group's first batch on the plan is another one."""
    recipe, plan = replace(job.recipe, alone=job.recipe.alone or number in state.alone), state.plan
    try:
        return read_batch(job.model, job.anatomy, plan, number, recipe)
    except Exception as error:
        if not out_of_memory(error):
            raise
        why = str(error).partition("\n")[0]
    # Outside the handler: the error's frames hold the tensors that were too many.
    release(job.anatomy.device)
    traces, nodes = plan.traces(plan.members(number)), plan.nodes(number)
    if len(traces) > 1:
        budget = max(min(nodes, plan.max_tokens) // 2, 1)
        log.warning("memory is short for %d tokens (%s); going on with %d at a time", nodes, why, budget)
        state.halve(first, budget)
        return None
    trace = traces[0]
    if recipe.alone or trace.knock_outs:
        raise ReadingError(
            f"{trace.name}: memory is short even for this trace by itself ({why}). Free memory, load the "
            f"reader in a smaller dtype or on another device, or leave the trace out; what was read stays"
        )
    log.warning(
        "%s: memory is short for its %d tokens (%s); its texts are run one by one", trace.name, nodes, why
    )
    state.read_alone(number)
    return _read_batch(job, state, first, number)


def _write_group(job: Job, path: Path, found: _Found) -> Group:
    from safetensors.numpy import save

    shard = write_shard(job.store, found.number, found.acts, job.model_digest) if found.acts else None
    numbers = save(found.numbers)
    with files.whole(path) as sink:
        sink.write(numbers)
    digest = hashlib.sha256(numbers).hexdigest()
    return Group(found.number, found.first, found.stop, digest, shard, tuple(found.broken))
