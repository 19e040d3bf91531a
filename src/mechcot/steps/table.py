"""Traces as rows of steps, with their tokens, roles and, where the task can tell, their claims."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.steps.segment import WINDOW, Piece, pieces
from mechcot.tasks import Question, Task, parts
from mechcot.tasks.answers import REASONED, stated

_CONCLUDES = re.compile(
    r"\b(answer|choose|select|pick|conclude|therefore|thus|hence|so the)\b", re.IGNORECASE
)


def step_rows(
    traces: pd.DataFrame, questions: Mapping[str, Question], task: Task, window: int = WINDOW
) -> list[dict[str, Any]]:
    """Rows of the steps table (`records.STEPS`) of one arm's traces.

    Steps lie in the reasoning, before the answer and behind it (`after_answer` tells which); sentences
    that state the answer are none. The last step of a trace that the token limit cut is kept, with
    `complete` false.

    Args:
        traces: rows of `records.TRACES`.
        questions: by id.
        task: it names the segmenter and tells roles.
        window: words of a step, for the segmenter `words`.
    """
    rows = []
    for trace in records.rows(traces):
        question = questions[trace.qid]
        spans = [(start, end) for start, end, _ in pieces_of(trace.text, question, task, window)]
        whole = len(trace.text.rstrip())
        for sid, (start, end) in enumerate(spans):
            text = trace.text[start:end]
            first, last, straddles = token_span(trace.text, trace.token_start, trace.token_end, start, end)
            rows.append(
                {
                    "qid": trace.qid,
                    "arm": trace.arm,
                    "cid": trace.cid,
                    "sid": sid,
                    "text": text,
                    "char_start": start,
                    "char_end": end,
                    "tok_start": first,
                    "tok_end": last,
                    "straddles": straddles,
                    "complete": trace.finish_reason != "length" or end < whole,
                    "role": task.role(question, text),
                    "states_answer": states_answer(question, text, trace.answer, task),
                    "n_words": len(text.split()),
                }
            )
    return rows


def pieces_of(text: str, question: Question, task: Task, window: int = WINDOW) -> list[Piece]:
    """A trace's steps as spans of its text, each with the rule that made it (`segment.RULES`)."""
    return [
        (part.start + start, part.start + end, rule)
        for part in parts(text, question, task.format)
        if part.role in REASONED
        for start, end, rule in pieces(text[part.start : part.end], task.segmenter, window)
    ]


def after_answer(steps: pd.DataFrame, traces: pd.DataFrame) -> pd.Series:
    """Whether each step stands behind the first statement of its trace's answer.

    Args:
        steps: rows of `records.STEPS`.
        traces: rows of `records.TRACES`, those of the steps among them.
    """
    ends = traces.set_index(records.TRACE_KEY).reasoning_end
    own = pd.MultiIndex.from_frame(steps[records.TRACE_KEY])
    return pd.Series(steps.char_start.to_numpy() >= ends.reindex(own).to_numpy(), index=steps.index)


def claim_rows(
    steps: pd.DataFrame, traces: pd.DataFrame, questions: Mapping[str, Question], task: Task
) -> list[dict[str, Any]]:
    """Rows of the claims table (`records.CLAIMS`); none for a task without an exact checker."""
    if task.claim is None:
        return []
    tokens = {(t.qid, t.cid): (t.token_start, t.token_end) for t in records.rows(traces)}
    rows = []
    for step in records.rows(steps):
        claim = task.claim(questions[step.qid], step.text)
        if claim is None:
            continue
        starts, ends = tokens[step.qid, step.cid]
        decision = token_at(starts, ends, step.char_start + claim.decision_char - 1)
        rows.append(
            {
                "qid": step.qid,
                "arm": step.arm,
                "cid": step.cid,
                "sid": step.sid,
                "relation": claim.relation,
                "subject": claim.subject,
                "object": claim.object,
                "hedged": claim.hedged,
                "truth": list(claim.truth),
                "stratum": claim.stratum,
                "tok_decision": decision,
                "tok_object": token_at(starts, ends, step.char_start + claim.object_char),
            }
        )
    return rows


def token_span(text: str, starts: Any, ends: Any, char_start: int, char_end: int) -> tuple[int, int, bool]:
    """Tokens of a character span: first, one past the last, and whether they hold other text.

    A blank before the span counts for nothing, as most tokens begin with one; a blank behind it does:
    what follows the span is not asked after the same token.

    Args:
        text: the whole text.
        starts: first character of each token, ascending.
        ends: one past each token's last character, ascending.
        char_start: of the span.
        char_end: of the span, exclusive.
    """
    first = bisect_right(list(ends), char_start)
    last = bisect_left(list(starts), char_end)
    before = text[starts[first] : char_start]
    after = text[char_end : ends[last - 1]]
    return first, last, bool(before.strip() or after)


def token_at(starts: Any, ends: Any, char: int) -> int:
    """Index of the token that holds a character."""
    return bisect_right(list(ends), char)


def states_answer(question: Question, text: str, answer: int, task: Task) -> bool:
    """Whether a step states the trace's own answer, by the rules that read answers off."""
    if answer < 0:
        return False
    if not task.format.exact:
        return any(options == (answer,) for *_, options in stated(text, question, task.format))
    option = re.escape(question.options[answer])
    return bool(_CONCLUDES.search(text) and re.search(rf"(?<!\w){option}(?!\w)", text, re.IGNORECASE))
