"""One trace as a table of its steps, which shows itself as the viewer does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError, MechcotError
from mechcot.core.offers import offered


class TraceTable(pd.DataFrame):
    """One trace, a row a step. A table like any other; `show()` opens it in the viewer's page.

    Attributes:
        place: the study, question, sample and arm that it is of.
    """

    _metadata = ["place"]  # noqa: RUF012 -- pandas' own name for what its copies keep

    place: tuple[Any, str, int, str]

    @property
    def _constructor(self) -> Any:
        return TraceTable

    def show(self) -> None:
        """Show the trace: in a notebook below the cell, elsewhere in the browser."""
        offered("trace_shown")(*self.place).show()


def trace_table(study: Any, qid: str, cid: int, arm: str) -> TraceTable:
    """One trace out of a study (`Study`, which imports this file); see `Study.trace`."""
    steps = study.steps(arm)
    steps = steps[(steps.qid == qid) & (steps.cid == cid)]
    if steps.empty:
        raise DataError(f"arm {arm} has no trace {cid} of question '{qid}' with steps")
    verdicts = study.verdicts(arm)
    table = steps.merge(verdicts[[*records.STEP_KEY, "label", "reason"]], on=records.STEP_KEY, how="left")
    table = table.sort_values("sid").assign(**_inside(study, table, (qid, cid, arm)))
    kept = ["sid", "text", "role", "label", "reason", "states_answer", "p_own", "p_gold", "surprisal"]
    found = TraceTable(table[kept].set_index("sid"))
    found.place = (study, qid, cid, arm)
    return found


def _inside(study: Any, steps: pd.DataFrame, key: tuple[str, int, str]) -> dict[str, list[float]]:
    """What the arm's own reading says of each step; NaN where it was not read."""
    qid, cid, arm = key
    found = {name: [np.nan] * len(steps) for name in ("p_own", "p_gold", "surprisal")}
    try:
        there = (study.reading_path(arm) / "forced.parquet").exists()
    except MechcotError:  # given as traces: it has no weights
        there = False
    if not there:
        return found

    def own(table: pd.DataFrame) -> pd.DataFrame:
        return table[(table.qid == qid) & (table.cid == cid)]

    forced = records.plainly_forced(own(study.forced(arm)))
    p = {int(k): row for k, row in zip(forced.k, forced.p, strict=True)}
    answer = int(own(study.traces(arm)).answer.iloc[0])
    questions = study.questions()
    gold = int(questions.gold[questions.qid == qid].iloc[0])
    for name, option in (("p_own", answer), ("p_gold", gold)):
        found[name] = [
            float(p[sid + 1][option]) if option >= 0 and sid + 1 in p else np.nan for sid in steps.sid
        ]
    signals = own(study.signals(arm))
    if len(signals):
        values = np.asarray(signals.surprisal.iloc[0], np.float64)
        spans = zip(steps.tok_start, steps.tok_end, strict=True)
        found["surprisal"] = [float(values[a:b].mean()) if b > a else np.nan for a, b in spans]
    return found
