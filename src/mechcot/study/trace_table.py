"""One trace as a table of its steps, which shows itself as the viewer does."""

from __future__ import annotations

import textwrap
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError, MechcotError
from mechcot.core.offers import offered

_INSIDE = ("p_own", "p_gold", "surprisal")
_WIDTH = 100


class TraceTable(pd.DataFrame):
    """One trace, a row a step. A table like any other; `show()` opens it in the viewer's page.

    Attributes:
        place: the study, question, sample and arm that it is of.
        note: why numbers of the inside are missing, and what makes them; "" where none are.
    """

    _metadata = ["place", "note"]  # noqa: RUF012 -- pandas' own name for what its copies keep

    place: tuple[Any, str, int, str]
    note: str

    @property
    def _constructor(self) -> Any:
        return TraceTable

    def __repr__(self) -> str:
        """Every column, in blocks below each other where they are too many for a line; then the note."""
        with pd.option_context("display.max_columns", None, "display.width", _WIDTH):
            told = super().__repr__()
        note = textwrap.wrap(self._told(), _WIDTH)
        return "\n".join([told, *note])

    def _repr_html_(self) -> str:
        """Every column with its whole text, which is escaped; then the note."""
        with pd.option_context("display.max_columns", None, "display.max_colwidth", None):
            table = super()._repr_html_()  # type: ignore[misc]
        return f"{table}<p>{escape(self._told())}</p>" if self._told() else str(table)

    def _told(self) -> str:
        return getattr(self, "note", "") if set(_INSIDE) & set(self.columns) else ""

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
    inside, note = _inside(study, table.sort_values("sid"), (qid, cid, arm))
    table = table.sort_values("sid").assign(**inside)
    kept = ["sid", "text", "role", "label", "reason", "states_answer", *_INSIDE]
    found = TraceTable(table[kept].set_index("sid"))
    found.place, found.note = (study, qid, cid, arm), note
    return found


def unread(study: Any, arm: str, cid: int, where: str) -> str:
    """Why nothing of the inside is known of a trace that its arm's own reading lacks, and what reads it.

    Args:
        study: a `Study`.
        arm: who wrote it.
        cid: which sample it is.
        where: what the study is called in the command.
    """
    try:
        there = (study.reading_path(arm) / "forced.parquet").exists()
    except MechcotError:
        return f"Not read: {arm} is given as traces and has no weights."
    if not there:
        return (
            f"Not read: {arm} has not read its own traces. To do that: mechcot read {where} --author {arm} "
            f"--reader {arm}"
        )
    kept = study.settings.reading.traces_per_question
    if cid >= kept:
        return (
            f"Not read: {kept} traces of a question are, samples 0 to {kept - 1}. To read more: mechcot read "
            f"{where} --set reading.traces_per_question={cid + 1}"
        )
    return f"Not read: the reading leaves this trace out, see readings/{arm}/{arm}/reading.json in the study"


def _inside(study: Any, steps: pd.DataFrame, key: tuple[str, int, str]) -> tuple[dict[str, list[float]], str]:
    """What the arm's own reading says of each step, and why something is missing, else ""."""
    qid, cid, arm = key
    found = {name: [np.nan] * len(steps) for name in _INSIDE}
    missing = f"{', '.join(_INSIDE)} are NaN. {unread(study, arm, cid, str(study.path))}"

    def own(table: pd.DataFrame) -> pd.DataFrame:
        return table[(table.qid == qid) & (table.cid == cid)]

    try:
        if not (study.reading_path(arm) / "forced.parquet").exists():
            return found, missing
    except MechcotError:  # given as traces: it has no weights
        return found, missing
    signals, forced = own(study.signals(arm)), records.plainly_forced(own(study.forced(arm)))
    if not len(signals) and not len(forced):
        return found, missing
    p = {int(k): row for k, row in zip(forced.k, forced.p, strict=True)}
    answer = int(own(study.traces(arm)).answer.iloc[0])
    questions = study.questions()
    gold = int(questions.gold[questions.qid == qid].iloc[0])
    for name, option in (("p_own", answer), ("p_gold", gold)):
        found[name] = [
            float(p[sid + 1][option]) if option >= 0 and sid + 1 in p else np.nan for sid in steps.sid
        ]
    if len(signals):
        values = np.asarray(signals.surprisal.iloc[0], np.float64)
        spans = zip(steps.tok_start, steps.tok_end, strict=True)
        found["surprisal"] = [float(values[a:b].mean()) if b > a else np.nan for a, b in spans]
    return found, "" if answer >= 0 else "p_own is NaN: the trace gives none of the options."
