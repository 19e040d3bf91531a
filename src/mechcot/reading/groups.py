"""The groups of a reading, one after the other: read, and written while the next one is read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mechcot.core import files
from mechcot.core.errors import ReadingError
from mechcot.core.progress import Progress
from mechcot.core.work import WorkUnit, content_key, map_tasks
from mechcot.models.anatomy import Anatomy
from mechcot.models.devices import out_of_memory, release
from mechcot.reading.batch import ReadBatch, as_numbers
from mechcot.reading.reader import alone, read_batch, tell_apart
from mechcot.reading.selfcheck import SelfCheck, usable
from mechcot.reading.spec import Reader, Recipe
from mechcot.reading.unfinished import Group, Unfinished
from mechcot.study.activations import write_shard
from mechcot.study.manifest import EVERY_TOKEN

log = logging.getLogger(__name__)

SHARD_TOKENS = 2**15
SHARD_BYTES = 2**28


@dataclass(frozen=True)
class Reading:
    """One reading under way: who reads, what is kept, what is done of it.

    Attributes:
        reader: who reads.
        anatomy: where the reader's parts are.
        recipe: what is kept.
        state: what is done; groups and what memory allows are noted in it.
        bar: counts tokens.
        lenient: note traces whose numbers are not finite rather than raise.
    """

    reader: Reader
    anatomy: Anatomy
    recipe: Recipe
    state: Unfinished
    bar: Progress
    lenient: bool


@dataclass
class _Found:
    """What a group gave, not yet written."""

    numbers: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    acts: dict[str, list[Tensor]] = field(default_factory=dict)
    broken: list[tuple[int, int, str]] = field(default_factory=list)


def read_groups(reading: Reading, *, check: bool, progress: bool) -> SelfCheck | None:
    """Read the groups that are not finished.

    Args:
        reading: what is read, and how.
        check: compare a small sample with separate plain runs first.
        progress: whether to say how far that is.

    Returns:
        The self-check; None if nothing was left to read, or none was asked for.

    Raises:
        ReadingError: see `folder.read_to_folder`.
        OSError: a file cannot be written.
    """
    state = reading.state
    if state.complete():
        return None
    recipe, report = replace(reading.recipe, alone=not state.trees), None
    if check:
        recipe, report = usable(reading.reader.model, state.plan.questions, recipe, progress=progress)
    elif state.trees and reading.anatomy.strange:
        recipe = alone(recipe, reading.anatomy.strange)
    if recipe.alone and state.trees:
        state.read_without_trees()
    reading = replace(reading, recipe=recipe)
    tell_apart(reading.anatomy, state.plan, recipe)
    map_tasks(_read_group, _tasks(reading), reading, journal=state.journal, save=_write_group)
    return report


def token_bar(state: Unfinished, reader: str, *, shown: bool) -> Progress:
    """A bar that counts the tokens of a reading."""
    plan = state.plan
    authors = "+".join(dict.fromkeys(t.arm for q in plan.questions for t in q.traces))
    done = sum(plan.nodes(b) for group in state.groups().values() for b in range(group.first, group.stop))
    return Progress(f"{authors} read by {reader}", plan.tree_tokens, "token", shown=shown, done=done)


def _tasks(reading: Reading) -> Iterator[WorkUnit]:
    """The groups in order; one whose plan memory changes on the way comes again in its new shape."""
    state, first, number = reading.state, 0, 0
    while first < len(state.plan.batches):
        plan, stop = state.plan, _stop(reading, first)
        parts = [asdict(part) for batch in range(first, stop) for part in plan.members(batch)]
        yield WorkUnit(content_key(number, parts), (number, first, stop))
        if state.plan is plan:
            first, number = stop, number + 1


def _stop(reading: Reading, first: int) -> int:
    """One past the last batch of the group that begins with a batch, by its tokens and the bytes it keeps."""
    rules, plan = reading.recipe.rules, reading.state.plan
    every_token = EVERY_TOKEN in rules
    row = len(reading.recipe.places) * reading.anatomy.d_model * reading.anatomy.dtype.itemsize
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


def _read_group(reading: Reading, task: WorkUnit) -> _Found | None:
    """Read a group; None: memory was short, and the plan is another one."""
    found, before, dtype = _Found(), reading.bar.n, reading.anatomy.dtype
    _, first, stop = task.arguments
    for number in range(first, stop):
        batch = _read_batch(reading, first, number)
        if batch is None:
            reading.bar.back_to(before, reading.state.plan.tree_tokens)
            return None
        for (question, trace), why in batch.broken.items():
            if not reading.lenient:
                raise ReadingError(why)
            found.broken.append((question, trace, why))
        for name, values in as_numbers(batch).items():
            found.numbers[f"{number}.{name}"] = np.ascontiguousarray(values)
        for name, rows in batch.acts.items():
            if rows.dtype != dtype:
                raise ReadingError(
                    f"{name} comes in {rows.dtype}, the embedding is {dtype}; a store has one dtype: load "
                    "the model in one"
                )
            found.acts.setdefault(name, []).append(rows)
        reading.bar.update(reading.state.plan.nodes(number))
    return found


def _read_batch(reading: Reading, first: int, number: int) -> ReadBatch | None:
    """Read a batch; None: memory was short, and from the group's first batch on the plan is another one."""
    state, model = reading.state, reading.reader.model
    recipe = replace(reading.recipe, alone=reading.recipe.alone or number in state.alone)
    try:
        return read_batch(model, reading.anatomy, state.plan, number, recipe)
    except Exception as error:
        if not out_of_memory(error):
            raise
        why = str(error).partition("\n")[0]
    # Outside the handler: the error's frames hold the tensors that were too many.
    release(reading.anatomy.device)
    if _make_room(state, first, number, recipe, why):
        return _read_batch(reading, first, number)
    return None


def _make_room(state: Unfinished, first: int, number: int, recipe: Recipe, why: str) -> bool:
    """What a batch that is too large for the memory becomes; whether it keeps its traces."""
    plan = state.plan
    traces, nodes = plan.traces(plan.members(number)), plan.nodes(number)
    if len(traces) > 1:
        budget = max(min(nodes, plan.max_tokens) // 2, 1)
        log.warning("memory is short for %d tokens (%s); going on with %d at a time", nodes, why, budget)
        state.halve(first, budget)
        return False
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
    return True


def _write_group(reading: Reading, task: WorkUnit, found: _Found) -> dict[str, Any]:
    """Write a group's files; what the journal keeps of it."""
    from safetensors.numpy import save

    number, first, stop = task.arguments
    folder, acts = reading.state.folder, found.acts
    shard = write_shard(folder.store, number, acts, reading.reader.digest) if acts else None
    numbers = save(found.numbers)
    with files.whole(folder.numbers(number)) as sink:
        sink.write(numbers)
    digest = hashlib.sha256(numbers).hexdigest()
    return asdict(Group(number, first, stop, digest, shard, tuple(found.broken)))
