"""The LLM instrument: every step put to a judge behind a server, every reply kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.asking.forms import Failed
from mechcot.asking.session import Session, ask, price, refuse_failures, step_place
from mechcot.asking.spending import Plan
from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.judging.instrument import Judgement, instrument_name
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import Item, verdict_form
from mechcot.tasks import Judged, Question


def judge_by_llm(
    steps: pd.DataFrame,
    questions: Mapping[str, Question],
    session: Session[Judge],
    *,
    name: str,
) -> Judgement:
    """Verdicts of steps by an LLM.

    Steps that read the same to the judge (same question, text and fields shown) are one call,
    whichever arm they come from; calls are sent in an order that says nothing of arms. A step without
    text, or cut by the token limit, is `not_checkable` without a call. A reply that does not fit the
    schema is asked for once more, then the step is a `parse_failure`; a call that fails after all
    retries, or that another model answers than the one at the start, makes its steps an `api_failure`.
    Neither is a verdict.

    Args:
        steps: of one or several arms (qid, arm, cid, sid, text, complete of `records.STEPS`); whole
            traces where the judge is shown previous steps, or a column `previous` that holds their texts.
        questions: by their id.
        session: whom to ask; what earlier runs paid for these verdicts counts in its ledger.
        name: of the judge file: the instrument's name begins with it.

    Raises:
        ConfigError: the environment variable that the judge file names cannot be used, or there is a
            budget and the file lacks prices or a limit.
        DataError: a step belongs to no question.
        JudgeError: too many steps got no verdict, the server refuses every call, or the budget is
            reached. Replies got are kept.
        MissingDependency: httpx2 is not installed.
    """
    judge = session.server
    form, items = verdict_form(judge, session.seed), _items(steps, questions, judge)
    asked = ask(form, items, session)
    refuse_failures(asked.answers, lambda i: step_place(steps.iloc[i]), judge, form.name)
    instrument = instrument_name(name, judge, asked.check)
    rows = [
        _row(step, answer, instrument)
        for step, answer in zip(records.rows(steps), asked.answers, strict=True)
    ]
    return Judgement(instrument, rows, asked.about | {"instrument": instrument, "labels": list(judge.labels)})


def plan(
    steps: pd.DataFrame,
    questions: Mapping[str, Question],
    judge: Judge,
    work: Path | None,
    *,
    seed: int,
    sample: int = 0,
) -> Plan:
    """What `judge_by_llm` would send. Sends and writes nothing, and needs no key.

    Replies in `work` count if they come from the model that answered last; None: as if none were kept.

    Raises:
        DataError: a step belongs to no question.
    """
    return price(verdict_form(judge, seed), _items(steps, questions, judge), judge, work, sample=sample)


def _items(steps: pd.DataFrame, questions: Mapping[str, Question], judge: Judge) -> list[Item | None]:
    """What each step's call is about; None: it needs none."""
    given = judge.fields.previous and "previous" in steps
    before = _previous(steps) if judge.fields.previous and not given else {}
    items: list[Item | None] = []
    for step in records.rows(steps):
        if step.qid not in questions:
            raise DataError(
                f"arm {step.arm}, trace {step.cid}, step {step.sid}: there is no question '{step.qid}'"
            )
        if not step.complete or not step.text.strip():
            items.append(None)
            continue
        shown = step.previous if given else before.get((step.qid, step.arm, step.cid, step.sid), ())
        items.append(Item(questions[step.qid], step.text, tuple(shown)))
    return items


def _previous(steps: pd.DataFrame) -> dict[tuple[Any, ...], tuple[str, ...]]:
    found: dict[tuple[Any, ...], tuple[str, ...]] = {}
    for trace, rows in steps.sort_values("sid").groupby(["qid", "arm", "cid"], sort=False):
        texts = tuple(rows.text)
        found.update({(*trace, sid): texts[:i] for i, sid in enumerate(rows.sid)})
    return found


def _row(step: Any, answer: Judged | Failed | None, instrument: str) -> dict[str, Any]:
    if answer is None:
        reason = "cut by the token limit" if not step.complete else "the step has no text"
        answer = Judged("not_checkable", reason)
    return {
        "qid": step.qid,
        "arm": step.arm,
        "cid": int(step.cid),
        "sid": int(step.sid),
        "instrument": instrument,
        "label": answer.label,
        "reason": answer.reason,
    }
