"""A whole reading into a folder: tables and activations, resumable after a kill at any instant.

Batches are grouped; a group is a shard of activations, written where it will stay, and a file of
numbers in `work`. A journal line makes a group finished. When all are, the numbers become tables.
Batches, groups and their order follow from the plan alone, so a reading that was killed and taken
up again leaves the same bytes as one that was not.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from mechcot import __version__, files
from mechcot.errors import ReadingError
from mechcot.internals.activations import SITE, Shard, finish_store, write_shard
from mechcot.internals.anatomy import Anatomy, anatomy_of
from mechcot.internals.inputs import QuestionInput
from mechcot.internals.plan import ReadingPlan
from mechcot.internals.reader import (
    RULES,
    ReadBatch,
    check_layers,
    plan_for,
    read_batch,
    steps_of,
    unreadable,
)
from mechcot.internals.selfcheck import SelfCheck, self_check
from mechcot.internals.tables import store_index, write_tables
from mechcot.journal import Journal

log = logging.getLogger(__name__)

SHARD_TOKENS = 2**15
SHARD_BYTES = 2**28
NUMBERS = ("prompt", "forced", "entropy", "surprisal", "truth")


@dataclass(frozen=True)
class ReadingSummary:
    """What a reading covered.

    Attributes:
        questions: questions with at least one trace.
        traces: traces read.
        steps: steps read.
        text_tokens: tokens of prompts (once a question) and traces.
        tree_tokens: nodes of all trees.
        padded_tokens: tokens computed, padding included.
        batches: forward passes.
        groups: shards.
        groups_kept: shards that an earlier, killed run had finished.
        skipped: traces left out, with the reason.
        check: the self-check; None if nothing was left to run.
    """

    questions: int
    traces: int
    steps: int
    text_tokens: int
    tree_tokens: int
    padded_tokens: int
    batches: int
    groups: int
    groups_kept: int
    skipped: tuple[str, ...]
    check: SelfCheck | None

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        check = self.check.to_json() if self.check else None
        return {**asdict(self), "skipped": list(self.skipped), "check": check}


@dataclass(frozen=True)
class _Job:
    """One reading: what, with which weights, where to."""

    model: Any
    anatomy: Anatomy
    plan: ReadingPlan
    layers: tuple[int, ...]
    rules: tuple[str, ...]
    reader: str
    model_digest: str
    out: Path
    work: Path

    @property
    def store(self) -> Path:
        return self.out / "activations"

    def numbers(self, group: int) -> Path:
        return self.work / f"numbers-{group:05d}.safetensors"


def read_to_folder(
    model: Any,
    questions: Sequence[QuestionInput],
    out: Path,
    work: Path,
    *,
    reader: str,
    model_digest: str,
    layers: Sequence[int] | None = None,
    rules: Sequence[str] = RULES,
    max_tokens: int | None = None,
    skip_unreadable: bool = False,
    check: bool = True,
    progress: bool = True,
) -> ReadingSummary:
    """Read traces with a model and write `forced`, `signals`, `truth` and `activations`.

    Args:
        model: the reader.
        questions: what to read, in the order that the tables shall have.
        out: where the results go.
        work: where work in flight is kept (in a folder `read` that goes at the end). Given the
            same questions, model and settings again, a killed reading goes on where it was.
        reader: the reader's name, for the tables.
        model_digest: digest of its weights.
        layers: layers to keep; None is all, empty keeps no activations.
        rules: position rules.
        max_tokens: budget of a forward pass, padding included; None chooses by device.
        skip_unreadable: leave out traces that are empty or too long, and name them in the
            result, rather than raise.
        check: compare a small sample with separate plain runs first.
        progress: whether to draw a bar.

    Raises:
        ReadingError: what cannot be read, named; a model that is not read truly; numbers that are
            not finite. Nothing is left in `out` that looks finished.
    """
    skipped = unreadable(model, questions) if skip_unreadable else {}
    kept = [_without(question, skipped) for question in questions]
    anatomy = anatomy_of(model)
    fixed = plan_for(model, kept, rules=rules, max_tokens=max_tokens)
    if not fixed.parts:
        raise ReadingError(
            f"there is no trace to read ({len(questions)} questions, {len(skipped)} traces skipped)"
        )
    wanted = check_layers(anatomy, layers)
    job = _Job(model, anatomy, fixed, wanted, tuple(rules), reader, model_digest, out, work / "read")
    groups = _groups(job)
    shards, groups_kept, report = _run(job, groups, check=check, progress=progress)
    write_tables(fixed, _batches(job, groups), reader, out)
    if shards := [shard for shard in shards if shard]:
        finish_store(job.store, store_index(fixed, groups), shards, _about(job))
    files.remove(job.work)
    traces = [trace for question in fixed.questions for trace in question.traces]
    return ReadingSummary(
        questions=sum(1 for question in fixed.questions if question.traces),
        traces=len(traces),
        steps=sum(len(trace.steps) for trace in traces),
        text_tokens=fixed.text_tokens,
        tree_tokens=fixed.tree_tokens,
        padded_tokens=fixed.padded_tokens,
        batches=len(fixed.batches),
        groups=len(groups),
        groups_kept=groups_kept,
        skipped=tuple(skipped.values()),
        check=report,
    )


def _without(question: QuestionInput, skipped: Mapping[tuple[str, str, int], str]) -> QuestionInput:
    traces = tuple(trace for trace in question.traces if (trace.qid, trace.arm, trace.cid) not in skipped)
    return replace(question, traces=traces)


def _groups(job: _Job) -> list[tuple[int, ...]]:
    """Consecutive batches that are journalled together, by their tokens and the bytes they keep."""
    row_bytes = len(job.layers) * len(job.rules) * job.anatomy.d_model * job.anatomy.dtype.itemsize
    groups: list[tuple[int, ...]] = []
    open_group: list[int] = []
    tokens = size = 0
    for number in range(len(job.plan.batches)):
        open_group.append(number)
        tokens += job.plan.nodes(number)
        size += row_bytes * len(steps_of(job.plan, job.plan.members(number)))
        if tokens >= SHARD_TOKENS or size >= SHARD_BYTES:
            groups.append(tuple(open_group))
            open_group, tokens, size = [], 0, 0
    return [*groups, tuple(open_group)] if open_group else groups


def _run(
    job: _Job, groups: Sequence[tuple[int, ...]], *, check: bool, progress: bool
) -> tuple[list[Shard | None], int, SelfCheck | None]:
    """Read the groups that are not finished; all shards, how many were there, and the self-check."""
    journal, finished = _open_journal(job)
    try:
        kept, report = len(finished), None
        if check and kept < len(groups):
            report = self_check(job.model, job.plan.questions, rules=job.rules)
        authors = "+".join(dict.fromkeys(t.arm for q in job.plan.questions for t in q.traces))
        done = sum(job.plan.nodes(batch) for group in finished for batch in groups[group])
        label = f"{authors} read by {job.reader}"
        with tqdm(
            total=job.plan.tree_tokens,
            initial=done,
            desc=label,
            unit="tok",
            unit_scale=True,
            disable=not progress,
        ) as bar:
            for number, group in enumerate(groups):
                if number not in finished:
                    finished[number] = _read_group(job, number, group, journal, bar)
    finally:
        journal.close()
    return [finished[number] for number in range(len(groups))], kept, report


def _open_journal(job: _Job) -> tuple[Journal, dict[int, Shard | None]]:
    """The journal of this very plan, and the groups that it proves finished."""
    digest = _plan_digest(job)
    path = job.work / "journal.jsonl"
    journal = Journal(path)
    if journal.entries and journal.entries[0].get("plan") != digest:
        log.warning("%s holds work of another reading; it is discarded", job.work)
        journal.close()
        files.remove(job.work)
        journal = Journal(path)
    if not journal.entries:
        for name in ("activations", "forced.parquet", "signals.parquet", "truth.parquet"):
            files.remove(job.out / name)
        journal.append({"plan": digest})
    finished = {}
    for entry in journal.entries[1:]:
        shard = Shard(**entry["shard"]) if entry["shard"] else None
        claimed = [(job.numbers(entry["group"]), entry["numbers"])]
        if shard:
            claimed.append((job.store / shard.file, shard.sha256))
        if all(file.exists() and files.digest(file) == sha256 for file, sha256 in claimed):
            finished[entry["group"]] = shard
    return journal, finished


def _read_group(job: _Job, number: int, group: Sequence[int], journal: Journal, bar: Any) -> Shard | None:
    from safetensors.numpy import save

    numbers: dict[str, npt.NDArray[Any]] = {}
    acts: dict[str, list[Tensor]] = {}
    for batch_number in group:
        batch = read_batch(job.model, job.anatomy, job.plan, batch_number, job.layers, job.rules)
        for name in NUMBERS:
            numbers[f"{batch_number}.{name}"] = np.ascontiguousarray(getattr(batch, name))
        for name, values in batch.acts.items():
            acts.setdefault(name, []).append(values)
        bar.update(job.plan.nodes(batch_number))
    shard = (
        write_shard(job.store, number, {name: torch.cat(rows) for name, rows in acts.items()})
        if acts
        else None
    )
    path = job.numbers(number)
    with files.whole(path) as sink:
        sink.write(save(numbers))
    entry = {"group": number, "numbers": files.digest(path), "shard": asdict(shard) if shard else None}
    journal.append(entry)
    return shard


def _plan_digest(job: _Job) -> str:
    """What must be equal for work to be taken up: everything that the bytes depend on."""
    total = hashlib.sha256()

    def add(value: Any) -> None:
        total.update(json.dumps(value, sort_keys=True, default=_plain).encode() + b"\n")

    add(_about(job))
    add({"shard_tokens": SHARD_TOKENS, "shard_bytes": SHARD_BYTES, "device": str(job.anatomy.device)})
    add([__version__, torch.__version__, version("transformers")])
    for question in job.plan.questions:
        add([question.qid, question.prompt_ids, [asdict(lead) for lead in question.forced]])
        for trace in question.traces:
            add([trace.arm, trace.cid, trace.token_ids, trace.steps, dict(trace.positions)])
            add([[t.sid, t.position, t.true_ids, t.said_id] for t in trace.targets])
    return total.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} in the inputs of a reading is no JSON value")


def _about(job: _Job) -> dict[str, Any]:
    return {
        "reader": job.reader,
        "model_digest": job.model_digest,
        "sites": [SITE],
        "layers": list(job.layers),
        "rules": list(job.rules),
        "dtype": str(job.anatomy.dtype).removeprefix("torch."),
        "d_model": job.anatomy.d_model,
        "packing": {
            "max_tokens": job.plan.max_tokens,
            "attention_scale": job.anatomy.attention_scale,
            "batches": len(job.plan.batches),
            "tree_tokens": job.plan.tree_tokens,
        },
    }


def _batches(job: _Job, groups: Sequence[Sequence[int]]) -> Iterator[ReadBatch]:
    """All batches again, from the files of finished groups; without activations."""
    from safetensors.numpy import load_file

    for number, group in enumerate(groups):
        numbers = load_file(job.numbers(number))
        for batch in group:
            values = {name: numbers[f"{batch}.{name}"] for name in NUMBERS}
            yield ReadBatch(number=batch, parts=job.plan.members(batch), acts={}, **values)
