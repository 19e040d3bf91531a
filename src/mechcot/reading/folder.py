"""A whole reading into a folder: tables and activations, resumable after a kill at any instant.

Batches are grouped; a group is a shard of activations, written where it will stay, and a file of
numbers in `work`. A journal line makes a group finished. When all are, the numbers become tables.
Batches, groups and their order follow from the plan and the journalled halvings alone, so a reading that
was killed and taken up again leaves the same bytes as one that was not. A group is written while the
next one is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from mechcot.core import files
from mechcot.core.errors import ReadingError
from mechcot.core.results import Result
from mechcot.models.anatomy import Anatomy, anatomy_of
from mechcot.models.devices import free_memory
from mechcot.reading.batch import ReadBatch
from mechcot.reading.budget import find_max_tokens
from mechcot.reading.groups import SHARD_BYTES, SHARD_TOKENS, read_groups, token_bar
from mechcot.reading.inputs import QuestionInput
from mechcot.reading.reader import plan_for, unreadable
from mechcot.reading.selfcheck import SelfCheck
from mechcot.reading.spec import Reader, ReadingFolder, ReadingSpec, Recipe, recipe_for
from mechcot.reading.tables import Key, store_index, write_tables
from mechcot.reading.unfinished import Unfinished, recorded_budget
from mechcot.study.activations import finish_store
from mechcot.study.manifest import EVERY_TOKEN

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadingSummary(Result):
    """What a reading covered.

    Attributes:
        questions: questions with at least one trace; permuted orders of one are not counted again.
        traces: traces read.
        steps: steps read.
        straddles: steps read that end inside a token, so that their forced answer has a seam of its own.
        bare_tokens: tokens of a plain forward pass over prompts and traces.
        tree_tokens: tokens computed.
        max_tokens: the budget of a forward pass at first.
        halvings: (batch, budget): from which batch on memory made it smaller.
        batches: forward passes.
        groups: shards.
        groups_kept: shards that an earlier, killed run had finished.
        skipped: traces left out, with the reason.
        check: the self-check; None if nothing was left to run, or none was asked for.
    """

    questions: int
    traces: int
    steps: int
    straddles: int
    bare_tokens: int
    tree_tokens: int
    max_tokens: int
    halvings: tuple[tuple[int, int], ...]
    batches: int
    groups: int
    groups_kept: int
    skipped: tuple[str, ...]
    check: SelfCheck | None


def read_to_folder(
    reader: Reader,
    questions: Sequence[QuestionInput],
    spec: ReadingSpec,
    folder: ReadingFolder,
    *,
    about: Mapping[str, str] | None = None,
    check: bool = True,
    progress: bool = True,
) -> ReadingSummary:
    """Read traces with a model; write `forced`, `knockouts`, `signals`, `truth` and `activations`.

    A forward pass that finds too little memory is tried again in halves, down to one text at a time; what
    was finished before stays.

    Args:
        reader: who reads.
        questions: what to read, in the order that the tables shall have.
        spec: what to keep of it.
        folder: where the results go, and work in flight. Given the same questions, reader and spec again, a
            killed reading goes on where it was.
        about: what else meta.json shall say: `tokenizer_digest`, `template_digest`, `steps_digest`.
        check: compare a small sample with separate plain runs first.
        progress: whether to draw a bar.

    Raises:
        ReadingError: what cannot be read, named; a model that is not read truly; numbers that are
            not finite; too little memory for one text. Nothing is left in the folder that looks finished.
        OSError: a file cannot be written; what was finished stays.
    """
    anatomy = anatomy_of(reader.model)
    recipe = recipe_for(anatomy, spec)
    skipped = unreadable(reader.model, questions, recipe.rules) if spec.skip_unreadable else {}
    kept = [_without(question, skipped) for question in questions]
    if not any(question.traces for question in kept):
        raise ReadingError(
            f"there is no trace to read ({len(questions)} questions, {len(skipped)} traces skipped)"
        )
    told = {**(about or {}), **_about(reader, anatomy, recipe)}
    digest = _digest(anatomy, recipe, kept, told)
    budget = spec.max_tokens or recorded_budget(folder, digest) or _budget(anatomy, recipe)
    plan = plan_for(reader.model, kept, replace(spec, rules=recipe.rules, max_tokens=budget))
    state = Unfinished.open(folder, digest, plan)
    groups_kept = len(state.groups())
    try:
        with token_bar(state, reader.name, shown=progress) as bar:
            lenient = spec.skip_unreadable
            report = read_groups(
                reader, anatomy, recipe, state, bar, lenient=lenient, check=check, progress=progress
            )
    finally:
        state.journal.close()
    broken = state.broken()
    left_out = [*skipped.values(), *broken.values()]
    if len(broken) == sum(len(question.traces) for question in kept):
        raise ReadingError(f"no trace gave numbers that are finite; {left_out[-1]}")
    write_tables(state.plan, _batches(state), reader.name, folder.out, broken)
    if recipe.places:
        _finish(state, told, broken)
    files.remove(folder.unfinished)
    return _summary(state, broken, groups_kept, left_out, report)


def _without(question: QuestionInput, skipped: Mapping[tuple[str, str, int], str]) -> QuestionInput:
    traces = tuple(trace for trace in question.traces if (trace.qid, trace.arm, trace.cid) not in skipped)
    return replace(question, traces=traces)


def _budget(anatomy: Anatomy, recipe: Recipe) -> int:
    free, host = min(map(free_memory, anatomy.devices)), free_memory(torch.device("cpu"))
    found = find_max_tokens(anatomy, recipe, free, host)
    log.info("%d tokens in a forward pass (%.1f GB of memory are free)", found, free / 1e9)
    return found


def _digest(
    anatomy: Anatomy, recipe: Recipe, questions: Sequence[QuestionInput], told: Mapping[str, Any]
) -> str:
    """What must be equal for work to be taken up: everything but the budget that the bytes depend on."""
    versions = [version("mechcot"), torch.__version__, version("transformers")]
    fixed = [told, recipe.lens, SHARD_TOKENS, SHARD_BYTES, str(anatomy.device), versions]
    total = hashlib.sha256()
    for part in (fixed, anatomy.config._attn_implementation, *map(asdict, questions)):
        total.update(json.dumps(part, sort_keys=True, default=_plain).encode() + b"\n")
    return total.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} in the inputs of a reading is no JSON value")


def _about(reader: Reader, anatomy: Anatomy, recipe: Recipe) -> dict[str, Any]:
    return {
        "reader": reader.name,
        "model_digest": reader.digest,
        "sites": list(recipe.sites),
        "layers": list(recipe.layers),
        "places": [list(place) for place in recipe.places],
        "rules": list(recipe.rules),
        "dtype": str(anatomy.dtype).removeprefix("torch."),
        "d_model": anatomy.d_model,
    }


def _finish(state: Unfinished, told: Mapping[str, Any], broken: Container[Key]) -> None:
    groups, plan = state.in_order(), state.plan
    packing = {
        "max_tokens": state.max_tokens,
        "batches": len(plan.batches),
        "tree_tokens": plan.tree_tokens,
        "trees": state.trees,
        "halvings": [list(halving) for halving in state.halvings],
        "alone": sorted(state.alone),
    }
    index = {
        rule: store_index(plan, [(group.first, group.stop) for group in groups], rule, broken)
        for rule in ("end", EVERY_TOKEN)
    }
    shards = [group.shard for group in groups if group.shard]
    finish_store(state.folder.store, index["end"], shards, {**told, "packing": packing}, index[EVERY_TOKEN])


def _batches(state: Unfinished) -> Iterator[ReadBatch]:
    """All batches again, from the files of finished groups; without activations."""
    from safetensors.numpy import load_file

    for group in state.in_order():
        numbers = load_file(state.folder.numbers(group.number))
        for batch in range(group.first, group.stop):
            prefix = f"{batch}."
            values = {name.removeprefix(prefix): v for name, v in numbers.items() if name.startswith(prefix)}
            yield ReadBatch(number=batch, parts=state.plan.members(batch), acts={}, broken={}, **values)


def _summary(
    state: Unfinished,
    broken: Container[Key],
    groups_kept: int,
    skipped: Sequence[str],
    check: SelfCheck | None,
) -> ReadingSummary:
    plan = state.plan
    traces = {
        (trace.qid, trace.arm, trace.cid): trace
        for number, question in enumerate(plan.questions)
        for i, trace in enumerate(question.traces)
        if (number, i) not in broken
    }
    return ReadingSummary(
        questions=len({qid for qid, _, _ in traces}),
        traces=len(traces),
        steps=sum(len(trace.steps) for trace in traces.values()),
        straddles=sum(len(trace.seams) for trace in traces.values()),
        bare_tokens=plan.bare_tokens,
        tree_tokens=plan.tree_tokens,
        max_tokens=state.max_tokens,
        halvings=tuple(state.halvings),
        batches=len(plan.batches),
        groups=len(state.groups()),
        groups_kept=groups_kept,
        skipped=tuple(skipped),
        check=check,
    )
