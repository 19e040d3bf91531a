"""Open questions: which answers are given, and which of them each trace gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.tasks import PromptFormat, Question, question_of, read_answer
from mechcot.tasks.answers import in_one_line, same_items, same_value


def vote(
    questions: pd.DataFrame, traces: Sequence[pd.DataFrame], form: PromptFormat
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Make the answers that traces give the options of open questions.

    An answer is known by its value: "18", "18.0" and "18 dollars" are one, and so is every text that is
    accepted as right. The gold comes first, then the others in the order in which they are met, each as
    the trace wrote it.

    Args:
        questions: columns as in `records.OPEN_QUESTIONS`, the gold their only option.
        traces: of each arm (`records.TRACES`).
        form: how answers are asked for.

    Returns:
        The questions with their options, and the traces of each arm with the option that they give, -1
        where they give none.
    """
    asked = {row.qid: question_of(row) for row in records.rows(questions)}
    known = {row.qid: [list(row.accepted)] for row in records.rows(questions)}
    voted = [
        table.assign(
            answer=[_option(row, asked[row.qid], form, known[row.qid]) for row in records.rows(table)]
        ).astype({"answer": "int32"})
        for table in traces
    ]
    options = pd.Series([[texts[0] for texts in known[qid]] for qid in questions.qid], index=questions.index)
    return questions.assign(options=options), voted


def among(questions: pd.DataFrame, traces: pd.DataFrame, form: PromptFormat) -> list[int]:
    """The option of its voted question that each of some further traces gives; -1: none of them.

    Args:
        questions: as `vote` returns them.
        traces: of `records.TRACES`.
        form: how answers are asked for.
    """
    asked = {row.qid: question_of(row) for row in records.rows(questions)}
    told = {
        row.qid: [list(row.accepted), *([text] for text in list(row.options)[1:])]
        for row in records.rows(questions)
    }
    found = [_option(row, asked[row.qid], form, [*told[row.qid]]) for row in records.rows(traces)]
    return [option if option < len(told[qid]) else -1 for option, qid in zip(found, traces.qid, strict=True)]


def _option(trace: Any, question: Question, form: PromptFormat, known: list[list[str]]) -> int:
    """The option that a trace gives, by the texts that each has; one that is not known yet is added."""
    read = read_answer(trace.text, question, form, trace.finish_reason)
    if not read.text:
        return -1
    said = in_one_line(str(trace.text)[read.start : read.end])
    equal = same_items if form.items else same_value
    same = next((i for i, texts in enumerate(known) if any(equal(said, text) for text in texts)), -1)
    if same < 0:
        known.append([said])
    return same if same >= 0 else len(known) - 1
