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
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mechcot.core import files
from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import anatomy_of
from mechcot.reading.budget import find_max_tokens, free_memory
from mechcot.reading.groups import SHARD_BYTES, SHARD_TOKENS, Job, read_groups
from mechcot.reading.inputs import QuestionInput
from mechcot.reading.reader import RULES, ReadBatch, plan_for, recipe_for, unreadable
from mechcot.reading.selfcheck import SelfCheck
from mechcot.reading.tables import TABLES, Key, store_index, write_tables
from mechcot.reading.unfinished import Unfinished, recorded_budget
from mechcot.study.activations import finish_store
from mechcot.study.manifest import EVERY_TOKEN

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadingSummary:
    """What a reading covered.

    Attributes:
        questions: questions with at least one trace; permuted orders of one are not counted again.
        traces: traces read.
        steps: steps read.
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
    bare_tokens: int
    tree_tokens: int
    max_tokens: int
    halvings: tuple[tuple[int, int], ...]
    batches: int
    groups: int
    groups_kept: int
    skipped: tuple[str, ...]
    check: SelfCheck | None

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        check = self.check.to_json() if self.check else None
        halvings = [list(halving) for halving in self.halvings]
        return {**asdict(self), "halvings": halvings, "skipped": list(self.skipped), "check": check}


def read_to_folder(
    model: Any,
    questions: Sequence[QuestionInput],
    out: Path,
    work: Path,
    *,
    reader: str,
    model_digest: str,
    layers: Sequence[int] | None = None,
    sites: Sequence[str] = ("resid_post",),
    rules: Sequence[str] = RULES,
    max_tokens: int | None = None,
    lens: bool = False,
    skip_unreadable: bool = False,
    check: bool = True,
    progress: bool = True,
    about: Mapping[str, str] | None = None,
) -> ReadingSummary:
    """Read traces with a model; write `forced`, `knockouts`, `signals`, `truth` and `activations`.

    A forward pass that finds too little memory is tried again in halves, down to one text at a time; what
    was finished before stays.

    Args:
        model: the reader.
        questions: what to read, in the order that the tables shall have.
        out: where the results go.
        work: where work in flight is kept (in a folder `read` that goes at the end). Given the
            same questions, model and settings again, a killed reading goes on where it was.
        reader: the reader's name, for the tables.
        model_digest: digest of its weights.
        layers: layers to keep; None is all, empty keeps no activations.
        sites: sites to keep; see `anatomy.SITES`.
        rules: position rules.
        max_tokens: budget of a forward pass; None finds one that fits the memory that is free when the
            reading begins.
        lens: whether to read the forced answers at every layer too.
        skip_unreadable: leave out traces that are empty or too long, or whose numbers are not finite, and
            name them in the result, rather than raise.
        check: compare a small sample with separate plain runs first.
        progress: whether to draw a bar.
        about: what else meta.json shall say: `tokenizer_digest`, `template_digest`, `steps_digest`.

    Raises:
        ReadingError: what cannot be read, named; a model that is not read truly; numbers that are
            not finite; too little memory for one text. Nothing is left in `out` that looks finished.
        OSError: a file cannot be written; what was finished stays.
    """
    anatomy = anatomy_of(model)
    recipe = recipe_for(anatomy, layers=layers, sites=sites, rules=rules, lens=lens)
    skipped = unreadable(model, questions, recipe.rules) if skip_unreadable else {}
    kept = [_without(question, skipped) for question in questions]
    if not any(question.traces for question in kept):
        raise ReadingError(
            f"there is no trace to read ({len(questions)} questions, {len(skipped)} traces skipped)"
        )
    job = Job(model, anatomy, recipe, reader, model_digest, out / "activations", skip_unreadable)
    told = {**(about or {}), **_about(job)}
    digest, folder = _digest(job, kept, told), work / "read"
    if max_tokens is None:
        max_tokens = recorded_budget(folder, digest) or _budget(job)
    plan = plan_for(model, kept, rules=recipe.rules, max_tokens=max_tokens)
    results = [job.store, *(out / f"{name}.parquet" for name in TABLES)]
    state = Unfinished.open(folder, digest, plan, job.store, results)
    try:
        groups_kept = len(state.groups)
        report = read_groups(job, state, check=check, progress=progress)
    finally:
        state.close()
    broken = state.broken()
    left_out = [*skipped.values(), *broken.values()]
    if len(broken) == sum(len(question.traces) for question in kept):
        raise ReadingError(f"no trace gave numbers that are finite; {left_out[-1]}")
    write_tables(state.plan, _batches(state), reader, out, broken)
    if recipe.places:
        _finish(job, state, told, broken)
    files.remove(folder)
    return _summary(state, broken, groups_kept, left_out, report)


def _without(question: QuestionInput, skipped: Mapping[tuple[str, str, int], str]) -> QuestionInput:
    traces = tuple(trace for trace in question.traces if (trace.qid, trace.arm, trace.cid) not in skipped)
    return replace(question, traces=traces)


def _budget(job: Job) -> int:
    free, host = free_memory(job.anatomy.device), free_memory(torch.device("cpu"))
    found = find_max_tokens(job.anatomy, job.recipe, free, host)
    log.info("%d tokens in a forward pass (%.1f GB of memory are free)", found, free / 1e9)
    return found


def _digest(job: Job, questions: Sequence[QuestionInput], told: Mapping[str, Any]) -> str:
    """What must be equal for work to be taken up: everything but the budget that the bytes depend on."""
    total = hashlib.sha256()

    def add(value: Any) -> None:
        total.update(json.dumps(value, sort_keys=True, default=_plain).encode() + b"\n")

    add([told, job.recipe.lens, SHARD_TOKENS, SHARD_BYTES, str(job.anatomy.device)])
    versions = [version("mechcot"), torch.__version__, version("transformers")]
    add([*versions, job.anatomy.config._attn_implementation])
    for question in questions:
        forced = [asdict(lead) for lead in question.forced]
        add([question.qid, question.permutation, question.prompt_ids, question.prior_ids, forced])
        for trace in question.traces:
            add([trace.arm, trace.cid, trace.token_ids, trace.steps, dict(trace.positions)])
            add([[asdict(target) for target in trace.targets], [asdict(k) for k in trace.knock_outs]])
    return total.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} in the inputs of a reading is no JSON value")


def _about(job: Job) -> dict[str, Any]:
    return {
        "reader": job.reader,
        "model_digest": job.model_digest,
        "sites": list(job.recipe.sites),
        "layers": list(job.recipe.layers),
        "places": [list(place) for place in job.recipe.places],
        "rules": list(job.recipe.rules),
        "dtype": str(job.anatomy.dtype).removeprefix("torch."),
        "d_model": job.anatomy.d_model,
    }


def _finish(job: Job, state: Unfinished, told: Mapping[str, Any], broken: Container[Key]) -> None:
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
    finish_store(job.store, index["end"], shards, {**told, "packing": packing}, index[EVERY_TOKEN])


def _batches(state: Unfinished) -> Iterator[ReadBatch]:
    """All batches again, from the files of finished groups; without activations."""
    from safetensors.numpy import load_file

    for group in state.in_order():
        numbers = load_file(state.numbers(group.number))
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
    steps = {
        (trace.qid, trace.arm, trace.cid): len(trace.steps)
        for number, question in enumerate(plan.questions)
        for i, trace in enumerate(question.traces)
        if (number, i) not in broken
    }
    return ReadingSummary(
        questions=len({qid for qid, _, _ in steps}),
        traces=len(steps),
        steps=sum(steps.values()),
        bare_tokens=plan.bare_tokens,
        tree_tokens=plan.tree_tokens,
        max_tokens=state.max_tokens,
        halvings=tuple(state.halvings),
        batches=len(plan.batches),
        groups=len(state.groups),
        groups_kept=groups_kept,
        skipped=tuple(skipped),
        check=check,
    )
