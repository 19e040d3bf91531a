"""The groups of a reading, one after the other: read, and written while the next one is read."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mechcot.core import files
from mechcot.core.errors import ReadingError
from mechcot.core.progress import Progress
from mechcot.core.work import PutOff, WorkUnit, content_key, map_tasks
from mechcot.models.anatomy import Anatomy
from mechcot.models.devices import out_of_memory, release
from mechcot.reading.batch import ReadBatch, as_numbers
from mechcot.reading.plan import ReadingPlan
from mechcot.reading.reader import alone, read_batch, tell_apart
from mechcot.reading.selfcheck import SelfCheck, usable
from mechcot.reading.spec import Reader, ReadingFolder, Recipe
from mechcot.reading.unfinished import Group, Unfinished
from mechcot.study.activations import write_shard
from mechcot.study.manifest import EVERY_TOKEN

log = logging.getLogger(__name__)

SHARD_TOKENS = 2**15
SHARD_BYTES = 2**28


@dataclass(frozen=True)
class Reading:
    """What the groups of a reading are read with.

    Attributes:
        reader: who reads.
        anatomy: where the reader's parts are.
        recipe: what is kept.
        lenient: note traces whose numbers are not finite rather than raise.
        folder: where groups are written.
        plan: their batches.
        by_text: batches that are read text by text.
    """

    reader: Reader
    anatomy: Anatomy
    recipe: Recipe
    lenient: bool
    folder: ReadingFolder
    plan: ReadingPlan
    by_text: frozenset[int]


@dataclass(frozen=True)
class Short:
    """Memory that is short for a batch.

    Attributes:
        first: the first batch of its group.
        number: the batch.
        why: what the machine said.
    """

    first: int
    number: int
    why: str


@dataclass
class _Found:
    """What a group gave, not yet written."""

    numbers: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    acts: dict[str, list[Tensor]] = field(default_factory=dict)
    broken: list[tuple[int, int, str]] = field(default_factory=list)


def read_groups(
    reader: Reader,
    anatomy: Anatomy,
    recipe: Recipe,
    state: Unfinished,
    bar: Progress,
    *,
    lenient: bool,
    check: bool,
    progress: bool,
) -> SelfCheck | None:
    """Read the groups that are not finished.

    Args:
        reader: who reads.
        anatomy: where the reader's parts are.
        recipe: what is kept.
        state: what is done; groups and what memory allows are noted in it.
        bar: counts tokens.
        lenient: note traces whose numbers are not finite rather than raise.
        check: compare a small sample with separate plain runs first.
        progress: whether to say how far that is.

    Returns:
        The self-check; None if nothing was left to read, or none was asked for.

    Raises:
        ReadingError: see `folder.read_to_folder`.
        OSError: a file cannot be written.
    """
    if state.complete():
        return None
    recipe, report = replace(recipe, alone=not state.trees), None
    if check:
        recipe, report = usable(reader.model, state.plan.questions, recipe, progress=progress)
    elif state.trees and anatomy.strange:
        recipe = alone(recipe, anatomy.strange)
    if recipe.alone and state.trees:
        state.read_without_trees()
    tell_apart(anatomy, state.plan, recipe)
    while True:
        reading = Reading(reader, anatomy, recipe, lenient, state.folder, state.plan, frozenset(state.alone))
        short = map_tasks(
            _read_group, _tasks(reading), reading, journal=state.journal, save=_write_group, bar=bar
        )
        if short is None:
            return report
        _make_room(state, recipe, short.why)
        bar.back_to(_tokens_read(state), state.plan.tree_tokens)


def token_bar(state: Unfinished, reader: str, *, shown: bool) -> Progress:
    """A bar that counts the tokens of a reading."""
    plan = state.plan
    authors = "+".join(dict.fromkeys(t.arm for q in plan.questions for t in q.traces))
    done = _tokens_read(state)
    return Progress(f"{authors} read by {reader}", plan.tree_tokens, "token", shown=shown, done=done)


def _tokens_read(state: Unfinished) -> int:
    """Tokens of the finished groups."""
    return sum(_tokens(state.plan, group.first, group.stop) for group in state.groups().values())


def _tokens(plan: ReadingPlan, first: int, stop: int) -> int:
    return sum(plan.nodes(number) for number in range(first, stop))


def _tasks(reading: Reading) -> list[WorkUnit]:
    """The groups in order."""
    plan, first = reading.plan, 0
    tasks: list[WorkUnit] = []
    while first < len(plan.batches):
        stop = _stop(reading, first)
        parts = [asdict(part) for batch in range(first, stop) for part in plan.members(batch)]
        arguments = (len(tasks), first, stop)
        tasks.append(WorkUnit(content_key(arguments[0], parts), arguments, _tokens(plan, first, stop)))
        first = stop
    return tasks


def _stop(reading: Reading, first: int) -> int:
    """One past the last batch of the group that begins with a batch, by its tokens and the bytes it keeps."""
    rules, plan = reading.recipe.rules, reading.plan
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


def _read_group(reading: Reading, task: WorkUnit) -> _Found | PutOff:
    """Read a group; memory that is short for a batch puts it off."""
    found, dtype = _Found(), reading.anatomy.dtype
    _, first, stop = task.arguments
    for number in range(first, stop):
        batch = _read_batch(reading, number)
        if isinstance(batch, str):
            return PutOff(Short(first, number, batch))
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
    return found


def _read_batch(reading: Reading, number: int) -> ReadBatch | str:
    """Read a batch; what the machine said where memory was short."""
    by_text = reading.recipe.alone or number in reading.by_text
    recipe = replace(reading.recipe, alone=by_text)
    try:
        return read_batch(reading.reader.model, reading.anatomy, reading.plan, number, recipe)
    except Exception as error:
        if not out_of_memory(error):
            raise
        why = str(error).partition("\n")[0]
    # Outside the handler: the error's frames hold the tensors that were too many.
    release(reading.anatomy.device)
    return why


def _make_room(state: Unfinished, recipe: Recipe, short: Short) -> None:
    """What becomes of a batch that is too large for the memory: a smaller budget, or text by text."""
    plan = state.plan
    traces, nodes = plan.traces(plan.members(short.number)), plan.nodes(short.number)
    if len(traces) > 1:
        budget = max(min(nodes, plan.max_tokens) // 2, 1)
        log.warning(
            "memory is short for %d tokens (%s); going on with %d at a time", nodes, short.why, budget
        )
        state.halve(short.first, budget)
        return
    trace = traces[0]
    if recipe.alone or short.number in state.alone or trace.knock_outs:
        raise ReadingError(
            f"{trace.name}: memory is short even for this trace by itself ({short.why}). Free memory, load "
            "the reader in a smaller dtype or on another device, or leave the trace out; what was read stays"
        )
    log.warning(
        "%s: memory is short for its %d tokens (%s); its texts are run one by one",
        trace.name,
        nodes,
        short.why,
    )
    state.read_alone(short.number)


def _write_group(reading: Reading, task: WorkUnit, found: _Found) -> dict[str, Any]:
    """Write a group's files; what the journal keeps of it."""
    from safetensors.numpy import save

    number, first, stop = task.arguments
    folder, acts = reading.folder, found.acts
    shard = write_shard(folder.store, number, acts, reading.reader.digest) if acts else None
    numbers = save(found.numbers)
    with files.whole(folder.numbers(number)) as sink:
        sink.write(numbers)
    digest = hashlib.sha256(numbers).hexdigest()
    return asdict(Group(number, first, stop, digest, shard, tuple(found.broken)))
