"""Whose traces are changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mechcot.analyses.arms import on_questions
from mechcot.analyses.causes import design
from mechcot.analyses.causes.items import Before, Item, ItemsOf, Rewritten, items_of
from mechcot.core import records
from mechcot.reading.inputs import QuestionInput, Seam, TraceInput
from mechcot.stats.frames import cut_off, text_codes
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task, question_of

TWICE, CUT, UNANSWERED = "text stands twice", "cut by the token limit", "no answer among the options"
UNREAD, AT_ONCE = "no step, or not read", "its first step states the answer"
NO_OTHER = "fewer than two options"


@dataclass(frozen=True)
class Case:
    """A trace whose own answer is asked for under changes.

    Attributes:
        qid: question.
        cid: which trace of it.
        own: the option that the trace answers.
        gold: the right option.
        text: the trace.
        prompt: the question's tokens, and the lead-in with its options.
        trace: its tokens and all of its steps.
        steps: rows of `records.STEPS`, in order.
        k: how many of its steps stand before the first that states the answer.
        items: those of them that may matter.
        starts: first character of each token.
    """

    qid: str
    cid: int
    own: int
    gold: int
    text: str
    prompt: QuestionInput
    trace: TraceInput
    steps: tuple[Any, ...]
    k: int
    items: tuple[Item, ...]
    starts: tuple[int, ...]

    @property
    def name(self) -> str:
        """Unique among the cases of an arm."""
        return f"{self.qid}\0{self.cid}"


def cases_of(
    study: Study, arm: str, task: Task, tokenizer: Any, most: int, items: ItemsOf | None = None
) -> tuple[list[Case], dict[str, int]]:
    """Finished traces of an arm that answer, have steps before they state it, and are read.

    Questions of equal text are one. First traces of all questions come first, questions in an order drawn
    from the study's seed that is the same for every arm.

    Args:
        study: its tables must be there.
        arm: whose traces.
        task: of the study.
        tokenizer: the arm's.
        most: traces at most.
        items: which steps may matter; None: by what there is to swap them for (`items.items_of`).

    Returns:
        The cases; how many traces are left out, and steps of the others that cannot be swapped, by reason.

    Raises:
        ReadingError: as `reading.of_study.question_inputs`.
    """
    from mechcot.reading.of_study import question_inputs

    questions = study.questions(study.settings.contrast.domain)
    rank = _rank(questions, study.settings.seed)
    inputs = {q.qid: q for q in question_inputs(study, arm, task, tokenizer) if not q.permutation}
    traces = on_questions(questions, study.traces(arm))
    traces = traces[traces.cid < study.settings.reading.traces_per_question]
    order = traces.assign(cut=cut_off(traces), rank=traces.qid.map(rank))
    order = order.sort_values(["cid", "rank"])
    steps = records.rows_by_key(study.steps(arm), ["qid", "cid"])
    by_id = {row.qid: question_of(row) for row in records.rows(questions)}
    lost: Counter[str] = Counter()
    if items is None:
        items = items_of(study, arm, task, tokenizer, lost, rewritten_steps(study, arm))
    found: list[Case] = []
    for row in records.rows(order):
        read, own = inputs.get(row.qid), steps.get((row.qid, row.cid), [])
        trace = next((t for t in read.traces if t.cid == row.cid), None) if read else None
        if why := _unfit(row, by_id[row.qid], trace, own):
            lost[why] += 1
        elif len(found) < most and read is not None and trace is not None:
            found.append(_case(row, by_id[row.qid], replace(read, traces=(trace,)), own, items))
    return found, dict(lost)


def rewritten_steps(study: Study, arm: str) -> Rewritten | None:
    """What the study's rewriter wrote in place of an arm's steps, and is used; None: it has none."""
    if study.settings.causes is None or study.settings.causes.rewriter is None:
        return None
    path = study.path / "rewritten" / f"{arm}.parquet"
    rows = records.read_table(study.checked(path), design.REWRITTEN)
    found: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in records.rows(rows):
        own = found.setdefault((row.qid, row.cid, row.sid), {})
        if not row.refused:
            own[row.text] = row.wanted
    return found


def _rank(questions: pd.DataFrame, seed: int) -> dict[str, int]:
    """Each question's place in a random order; of equal texts the first alone has one."""
    alone = questions[~pd.Series(text_codes(questions), index=questions.index).duplicated()]
    order = np.random.default_rng([seed, 17]).permutation(len(alone))
    return {qid: int(place) for qid, place in zip(alone.qid, order, strict=True)}


def _unfit(row: Any, question: Question, trace: TraceInput | None, steps: Sequence[Any]) -> str:
    """Why a trace is no case, "" if it is one."""
    if np.isnan(row.rank):
        return TWICE
    if row.cut:
        return CUT
    if row.answer < 0:
        return UNANSWERED
    if len(question.options) < 2:
        return NO_OTHER
    if trace is None or not steps:
        return UNREAD
    return AT_ONCE if steps[0].states_answer else ""


def _case(row: Any, question: Question, read: QuestionInput, steps: Sequence[Any], items: ItemsOf) -> Case:
    k = next((number for number, step in enumerate(steps) if step.states_answer), len(steps))
    (trace,) = read.traces
    seams = {number: Seam(seam.cut, seam.leads[:1]) for number, seam in trace.seams.items()}
    bare = replace(trace, positions={}, targets=(), knock_outs=(), seams=seams)
    return Case(
        qid=row.qid,
        cid=int(row.cid),
        own=int(row.answer),
        gold=question.gold,
        text=row.text,
        prompt=replace(read, traces=(), forced=read.forced[:1], prior_ids=()),
        trace=bare,
        steps=tuple(steps),
        k=k,
        items=tuple(items(Before(question, steps[:k], bare, bare.cut(k - 1)))),
        starts=tuple(int(at) for at in row.token_start),
    )
