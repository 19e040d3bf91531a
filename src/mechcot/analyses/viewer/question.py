"""One question with all its traces as JSON values: what a page needs to show one or two of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.viewer.index import NEVER, PAIR, UNREAD, judged_steps
from mechcot.analyses.viewer.tables import ArmFiles, ArmTables
from mechcot.core import records
from mechcot.steps.hedge_words import found_in
from mechcot.steps.of_study import kind_names
from mechcot.study.trace_table import unread
from mechcot.tasks.base import LETTERS

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Json = dict[str, Any]


def questions_of(
    study: Study, files: Mapping[str, ArmFiles], index: pd.DataFrame, qids: Sequence[str]
) -> Iterator[Json]:
    """Some questions in the study's order, each with its traces in the list's order.

    Places in a text are counted as JavaScript counts, in UTF-16 units.

    Args:
        study: the study.
        files: the tables of each arm that the list has.
        index: its list of traces.
        qids: which of its questions.

    Raises:
        DataError: a table is damaged.
    """
    listed = index[index.qid.isin(qids)]
    arms = {arm: ArmTables.of(files[arm], qids) for arm in dict.fromkeys(listed.arm)}
    kinds = kind_names(study)
    traces = {
        arm: {
            (one["qid"], one["cid"]): one for one in _traces(study, tables, listed[listed.arm == arm], kinds)
        }
        for arm, tables in arms.items()
    }
    rows = study.questions().set_index("qid", drop=False)
    for qid, own in listed.groupby("qid", sort=False):
        question: Any = rows.loc[qid]
        named = getattr(question, "open", False)
        yield {
            "qid": qid,
            "stem": str(question.stem),
            "options": [
                text if named else f"{LETTERS[i]}: {text}" for i, text in enumerate(question.options)
            ],
            "gold": int(question.gold),
            "traces": [traces[row.arm][row.qid, row.cid] for row in records.rows(own)],
        }


def _traces(
    study: Study, tables: ArmTables, listed: pd.DataFrame, kinds: Mapping[str, str]
) -> Iterator[Json]:
    """An arm's traces, the kinds of their steps by readable names."""
    told = _told(tables)
    steps = records.rows_by_key(told.assign(role=told["role"].replace(dict(kinds))), PAIR)
    forced = records.rows_by_key(tables.forced.sort_values([*PAIR, "k"]), PAIR)
    signals = records.rows_by_key(tables.signals, PAIR)
    about = records.rows_by_key(listed, PAIR)
    for trace in records.rows(tables.traces):
        key = (trace.qid, trace.cid)
        if key not in about:
            continue
        place = _places(trace.text)
        own = about[key][0]
        yield {
            "arm": tables.arm,
            "qid": trace.qid,
            "cid": int(trace.cid),
            "reader": tables.reader,
            "text": trace.text,
            "answer": int(trace.answer),
            "answer_at": [place(int(trace.answer_start)), place(int(trace.answer_end))],
            "state": own.state,
            "rule": trace.answer_rule,
            "lock": None if own.lock == UNREAD else "never" if own.lock == NEVER else int(own.lock),
            "last": int(own.last),
            "unread": "" if key in forced else unread(study, tables.arm, int(trace.cid), "STUDY"),
            "forced": [[int(row.k), [_rounded(p, 3) for p in row.p]] for row in forced.get(key, ())],
            "tokens": _tokens(trace, signals.get(key), place),
            "steps": [_step(step, trace.text, place, list(tables.verdicts)) for step in steps.get(key, ())],
        }


def _told(tables: ArmTables) -> pd.DataFrame:
    """The steps with verdicts of every instrument, claims and the probe's scores."""
    steps = judged_steps(tables)
    for number, (_, verdicts) in enumerate(list(tables.verdicts.items())[1:], start=1):
        own = verdicts.rename(columns={"label": f"label_{number}", "reason": f"reason_{number}"})
        steps = steps.merge(own, on=records.STEP_KEY, how="left")
    claims = tables.claims.drop_duplicates(records.STEP_KEY)[
        [*records.STEP_KEY, "relation", "subject", "object", "truth"]
    ]
    steps = steps.merge(claims, on=records.STEP_KEY, how="left")
    return steps.merge(tables.scores, on=records.STEP_KEY, how="left")


def _step(step: Any, text: str, place: Any, instruments: Sequence[str]) -> Json:
    found: Json = {
        "sid": int(step.sid),
        "at": [place(int(step.char_start)), place(int(step.char_end))],
        "kind": step.role,
        "label": step.label,
        "reason": step.reason,
        "complete": bool(step.complete),
        "states": bool(step.states_answer),
        "hedged": bool(step.hedged),
    }
    if step.hedged:
        own = text[step.char_start : step.char_end]
        spans = [(a + step.char_start, b + step.char_start) for a, b in found_in(own)]
        found["hedges"] = [[place(a), place(b)] for a, b in spans]
    others = {
        name: [_text(getattr(step, f"label_{number}")), _text(getattr(step, f"reason_{number}"))]
        for number, name in enumerate(instruments[1:], start=1)
    }
    if others:
        found["others"] = others
    if not records.absent(step.subject):
        found["claim"] = [step.relation, step.subject, step.object]
        found["truth"] = [str(one) for one in step.truth]
    if not records.absent(step.score):
        found["probe"] = [_rounded(step.score, 2), bool(step.wrong)]
    return found


def _tokens(trace: Any, signals: Any, place: Any) -> list[list[float | None]]:
    """Start, end, surprisal and entropy of each token that was read, nats."""
    if not signals:
        return []
    row = signals[0]
    columns = zip(trace.token_start, trace.token_end, row.surprisal, row.entropy, strict=False)
    return [
        [place(int(a)), place(int(b)), _rounded(surprisal, 2), _rounded(entropy, 2)]
        for a, b, surprisal, entropy in columns
        if b > a
    ]


def _places(text: str) -> Any:
    """From characters to UTF-16 units of a text."""
    if text.isascii() or max(map(ord, text), default=0) < 0x10000:
        return lambda at: at
    ends = np.concatenate([[0], np.cumsum([1 + (ord(one) > 0xFFFF) for one in text])])
    return lambda at: int(ends[at]) if 0 <= at < len(ends) else at


def _rounded(value: Any, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _text(value: Any) -> str:
    return "" if records.absent(value) else str(value)
