"""The tables of a reading, in the order of the questions given, written as they come."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mechcot.core import records
from mechcot.reading.batch import ReadBatch, Singles, TraceReading, unpack, unpack_prompts
from mechcot.reading.inputs import QuestionInput
from mechcot.reading.plan import Part, ReadingPlan
from mechcot.study.manifest import EVERY_TOKEN

TABLES = {
    "forced": (records.FORCED, 2**16),
    "knockouts": (records.KNOCKOUTS, 2**16),
    "signals": (records.SIGNALS, 2**8),
    "truth": (records.TRUTH, 2**16),
}
"""Their schemas, and the rows of a row group; a row of `signals` holds a whole trace."""

Key = tuple[int, int]
"""Index of a question in the plan, and of a trace in the question."""

Columns = dict[str, Any]


def write_tables(
    plan: ReadingPlan, batches: Iterable[ReadBatch], reader: str, out: Path, left_out: Container[Key] = ()
) -> None:
    """Write `forced`, `knockouts`, `signals` and `truth`; of each a row group at most is in memory.

    Args:
        plan: what was read.
        batches: all of it, in order.
        reader: the reader's name.
        out: the folder.
        left_out: traces that shall have no rows.
    """
    prompts: dict[int, tuple[Singles, Singles | None]] = {}
    with ExitStack() as stack:
        write = {
            name: stack.enter_context(records.table_writer(out / f"{name}.parquet", schema, rows))
            for name, (schema, rows) in TABLES.items()
        }
        for batch in batches:
            for number, prompt, prior in unpack_prompts(plan, batch):
                prompts[number] = prompt, prior
            for reading in unpack(plan, batch):
                if (reading.question, reading.trace) not in left_out:
                    question = plan.questions[reading.question]
                    for name, columns in _rows(question, reading, *prompts[reading.question], reader):
                        write[name](columns)
            # The next batch may go on with the last question, with no other.
            last = batch.parts[-1].question
            prompts = {last: prompts[last]}


def _rows(
    question: QuestionInput, reading: TraceReading, prompt: Singles, prior: Singles | None, reader: str
) -> Iterator[tuple[str, Columns]]:
    if question.n_answers:
        yield "forced", _forced(question, reading, prompt, prior, reader)
        if reading.source.knock_outs:
            yield "knockouts", _knocked(question, reading, reader)
    if not question.permutation:
        signals = {"entropy": [reading.entropy], "surprisal": [reading.surprisal]}
        yield "signals", {**_ids(reading, reader, 1), **signals}
        if reading.source.targets:
            yield "truth", _truth(reading, reader)


def _ids(reading: TraceReading, reader: str, n: int) -> Columns:
    trace = reading.source
    ids = {"qid": trace.qid, "arm": trace.arm, "cid": trace.cid, "reader": reader}
    return {name: [value] * n for name, value in ids.items()}


def _forced(
    question: QuestionInput, reading: TraceReading, prompt: Singles, prior: Singles | None, reader: str
) -> Columns:
    """The forced answers of a trace, view by view, k by k, lead-in by lead-in; k = 0 is the bare prompt's."""
    values = np.concatenate([prompt[:, None], reading.forced], axis=1)
    logp = values.astype(np.float64)
    lengths = np.array([[len(option) for option in lead.options] for lead in question.forced], np.int32)
    p = _softmax(logp)
    # 0 log 0 is 0.
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)
    shape = logp.shape[:3]
    n = int(np.prod(shape))
    view, k, lead_in = (place.ravel() for place in np.indices(shape))
    return {
        **_ids(reading, reader, n),
        "k": k,
        "lead_in": lead_in,
        "permutation": [question.permutation] * n,
        "layer": view - 1,
        "logp": _lists(values),
        "n_tokens": _lists(np.broadcast_to(lengths, logp.shape)),
        "p": _lists(p),
        "p_norm": _lists(_softmax(logp / lengths)),
        "p_prior": pa.nulls(n) if prior is None else _lists(_softmax(logp - prior[:, None])),
        "raw_mass": np.exp(logp).sum(-1).ravel(),
        "entropy": entropy.ravel(),
    }


def _knocked(question: QuestionInput, reading: TraceReading, reader: str) -> Columns:
    """The answers forced with a step hidden, view by view, knock-out by knock-out, lead-in by lead-in."""
    knock_outs = reading.source.knock_outs
    shape = reading.knocked.shape[:3]
    n = int(np.prod(shape))
    view, which, lead_in = (place.ravel() for place in np.indices(shape))
    logp = reading.knocked.astype(np.float64)
    scope = np.array(["later" if knock_out.later else "answer" for knock_out in knock_outs], object)
    return {
        **_ids(reading, reader, n),
        "k": np.array([knock_out.k for knock_out in knock_outs])[which],
        "sid": np.array([knock_out.sid for knock_out in knock_outs])[which],
        "scope": scope[which],
        "lead_in": lead_in,
        "permutation": [question.permutation] * n,
        "layer": view - 1,
        "logp": _lists(reading.knocked),
        "p": _lists(_softmax(logp)),
        "raw_mass": np.exp(logp).sum(-1).ravel(),
    }


def _truth(reading: TraceReading, reader: str) -> Columns:
    targets = reading.source.targets
    p_truth, rank_truth, p_said, rank_said, entropy = reading.truth.T
    return {
        **_ids(reading, reader, len(targets)),
        "sid": [target.sid for target in targets],
        "p_truth": p_truth,
        "rank_truth": rank_truth.astype(np.int32),
        "p_said": p_said,
        "rank_said": rank_said.astype(np.int32),
        "entropy": entropy,
    }


def _softmax(logp: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Over the options, the last axis."""
    relative = np.exp(logp - logp.max(-1, keepdims=True))
    shares: npt.NDArray[np.float64] = relative / relative.sum(-1, keepdims=True)
    return shares


def _lists(values: npt.NDArray[Any]) -> Any:
    """A column of lists: the last axis of an array, single precision at most."""
    width, flat = values.shape[-1], values.ravel()
    kind = np.float32 if flat.dtype.kind == "f" else np.int32
    offsets = np.arange(0, len(flat) + 1, width, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat.astype(kind)))


def store_index(
    plan: ReadingPlan, groups: Sequence[tuple[int, int]], rule: str = "end", left_out: Container[Key] = ()
) -> Iterator[Columns]:
    """Where each step lies in the shards (each token for the rule `token`), trace by trace.

    Args:
        plan: what was read.
        groups: first batch, and one past the last, of each shard.
        rule: `token`, or any other rule.
        left_out: traces that shall have no rows.
    """
    unit = "token" if rule == EVERY_TOKEN else "sid"
    for shard, (first, stop) in enumerate(groups):
        row = 0
        for key in _kept(plan, [part for batch in range(first, stop) for part in plan.members(batch)]):
            trace = plan.trace(*key)
            names = range(len(trace.token_ids)) if unit == "token" else [sid for sid, _, _ in trace.steps]
            n = len(names)
            if key not in left_out:
                ids = {"qid": trace.qid, "arm": trace.arm, "cid": trace.cid, "shard": shard}
                columns = {name: [value] * n for name, value in ids.items()}
                yield {**columns, unit: list(names), "row": np.arange(row, row + n)}
            row += n


def _kept(plan: ReadingPlan, parts: Sequence[Part]) -> Iterator[Key]:
    """The traces whose activations are kept, in the order of their rows."""
    for part in parts:
        if not plan.questions[part.question].permutation:
            yield from ((part.question, trace) for trace in part.traces)
