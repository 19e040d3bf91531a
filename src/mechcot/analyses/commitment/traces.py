"""One trace as a table: its steps, their verdicts, and what a reader answers after each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mechcot.analyses.commitment.locks import lock
from mechcot.analyses.commitment.paths import Paths
from mechcot.core.errors import DataError
from mechcot.core.results import Result


@dataclass(frozen=True, eq=False)
class TraceCommitment(Result):
    """What a reader answers after each prefix of one trace.

    Attributes:
        qid: its question.
        cid: its number.
        author: who wrote it.
        reader: who answers.
        answer: the trace's own answer, an index into options.
        gold: the right one; -1: not known.
        options: their texts, or their numbers.
        lock: prefix of the lock; None: never.
        prefixes: a row a prefix that counts: k, text and label of the step that ends it ("" at the prompt and
            where they are not known), and p of each option, `p_0`, `p_1`, ...
    """

    qid: str
    cid: int
    author: str
    reader: str
    answer: int
    gold: int
    options: tuple[str, ...]
    lock: int | None
    prefixes: pd.DataFrame

    table = "prefixes"

    def __repr__(self) -> str:
        where = "never locks" if self.lock is None else f"locks after {self.lock} steps"
        return (
            f"TraceCommitment(question {self.qid!r}, trace {self.cid} of {self.author} read by "
            f"{self.reader}: {where}; {len(self.prefixes)} prefixes)"
        )


def trace_of(
    paths: Paths, steps: pd.DataFrame, options: Mapping[str, Sequence[str]], qid: str, cid: int
) -> TraceCommitment:
    """One trace out of many.

    Raises:
        DataError: there is no such trace among those that count.
    """
    rows = np.flatnonzero((paths.traces["qid"] == qid) & (paths.traces["cid"] == cid))
    if not rows.size:
        raise DataError(
            f"question {qid!r}, trace {cid}: no such trace of {paths.author} counts here; it is cut, gives "
            f"no option, was not read by {paths.reader}, or is not there. result.locks lists those that count"
        )
    row = int(rows[0])
    about, last = paths.traces.iloc[row], int(paths.last[row])
    p = paths.p[row, : last + 1]
    p = p[:, ~np.isnan(p).all(axis=0)]
    own = steps[(steps["qid"] == qid) & (steps["cid"] == cid)].sort_values("sid").head(last)
    known = [
        own[name].fillna("").astype(str).tolist() if name in own else [""] * last
        for name in ("text", "label")
    ]
    table = pd.DataFrame({"k": range(last + 1), "text": ["", *known[0]], "label": ["", *known[1]]})
    for option in range(p.shape[1]):
        table[f"p_{option}"] = p[:, option]
    agrees = paths.chosen(int(about["answer"]))[row : row + 1]
    where = lock(agrees, paths.last[row : row + 1])[0]
    named = tuple(str(text) for text in options.get(qid, [f"option {i}" for i in range(p.shape[1])]))
    return TraceCommitment(
        str(qid), int(cid), paths.author, paths.reader, int(about["answer"]), int(about["gold"]), named,
        None if np.isnan(where) else int(where), table,
    )  # fmt: skip
