"""The tables of a reading, in the order of the questions given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot import records
from mechcot.internals.plan import ReadingPlan
from mechcot.internals.reader import ReadBatch, TraceReading, unpack, unpack_prompts


def write_tables(plan: ReadingPlan, batches: Iterable[ReadBatch], reader: str, out: Path) -> None:
    """Write `forced.parquet`, `signals.parquet` and `truth.parquet`.

    Args:
        plan: what was read.
        batches: all of it.
        reader: the reader's name.
        out: the folder.
    """
    found: dict[tuple[int, int], TraceReading] = {}
    prompts: dict[int, npt.NDArray[np.float32]] = {}
    for batch in batches:
        prompts.update(unpack_prompts(plan, batch))
        found.update({(reading.question, reading.trace): reading for reading in unpack(plan, batch)})
    readings = [found[key] for key in sorted(found)]
    forced = [_forced_columns(plan, reading, prompts[reading.question], reader) for reading in readings]
    columns = {name: [value for part in forced for value in part[name]] for name in records.FORCED.names}
    records.write_table(out / "forced.parquet", pd.DataFrame(columns, dtype=object), records.FORCED)
    signals = [
        {**_ids(reading, reader), "entropy": reading.entropy, "surprisal": reading.surprisal}
        for reading in readings
    ]
    records.write_table(out / "signals.parquet", signals, records.SIGNALS)
    truth = [
        {
            **_ids(reading, reader),
            "sid": target.sid,
            "p_truth": row[0],
            "rank_truth": int(row[1]),
            "p_said": row[2],
            "rank_said": int(row[3]),
            "entropy": row[4],
        }
        for reading in readings
        for target, row in zip(reading.source.targets, reading.truth, strict=True)
    ]
    records.write_table(out / "truth.parquet", truth, records.TRUTH)


def _ids(reading: TraceReading, reader: str) -> dict[str, Any]:
    trace = reading.source
    return {"qid": trace.qid, "arm": trace.arm, "cid": trace.cid, "reader": reader}


def _forced_columns(
    plan: ReadingPlan, reading: TraceReading, prompt: npt.NDArray[np.float32], reader: str
) -> dict[str, list[Any]]:
    """The forced answers of a trace, k by k, lead-in by lead-in; k = 0 is the bare prompt's."""
    leads, options = prompt.shape
    if not leads:
        return {name: [] for name in records.FORCED.names}
    steps = 1 + len(reading.forced)
    n = steps * leads
    logp = np.concatenate([prompt[None], reading.forced]).reshape(n, options).astype(np.float64)
    mass = np.exp(logp)
    relative = np.exp(logp - logp.max(-1, keepdims=True))
    p = relative / relative.sum(-1, keepdims=True)
    forced = plan.questions[reading.question].forced
    lengths = [np.array([len(option) for option in lead.options], np.int32) for lead in forced]
    return {
        **{name: [value] * n for name, value in _ids(reading, reader).items()},
        "k": np.repeat(np.arange(steps), leads).tolist(),
        "lead_in": list(range(leads)) * steps,
        "permutation": [0] * n,
        "layer": [-1] * n,
        "logp": list(logp.astype(np.float32)),
        "n_tokens": lengths * steps,
        "p": list(p.astype(np.float32)),
        "raw_mass": mass.sum(-1).tolist(),
    }


def store_index(plan: ReadingPlan, groups: Sequence[Sequence[int]]) -> pd.DataFrame:
    """Where each step lies in the shards, a row a step.

    Args:
        plan: what was read.
        groups: the batches of each shard.
    """
    first: dict[tuple[int, int], tuple[int, int]] = {}
    for number, group in enumerate(groups):
        row = 0
        for part in (part for batch in group for part in plan.members(batch)):
            for trace in part.traces:
                first[part.question, trace] = (number, row)
                row += len(plan.trace(part.question, trace).steps)
    rows = [
        (trace.qid, trace.arm, trace.cid, sid, shard, row + i)
        for (question, number), (shard, row) in sorted(first.items())
        for trace in [plan.trace(question, number)]
        for i, (sid, _) in enumerate(trace.steps)
    ]
    return pd.DataFrame(rows, columns=["qid", "arm", "cid", "sid", "shard", "row"])
