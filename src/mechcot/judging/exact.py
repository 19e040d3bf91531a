"""The exact instrument: the task's own checker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import JudgeError
from mechcot.core.judging_settings import HOW_TO_JUDGE
from mechcot.tasks import Question, Task


def judge_exactly(steps: pd.DataFrame, questions: Mapping[str, Question], task: Task) -> list[dict[str, Any]]:
    """Verdict rows (`records.VERDICTS`) of all steps by the task's checker.

    A step that the token limit cut is no whole claim: it is `not_checkable`.

    Raises:
        JudgeError: the task has no checker.
    """
    if task.check is None:
        raise JudgeError(f"task {task.name} has no exact checker. {HOW_TO_JUDGE}")
    rows = []
    for step in records.rows(steps):
        if step.complete:
            judged = task.check(questions[step.qid], step.text)
            label, reason = judged.label, judged.reason
        else:
            label, reason = "not_checkable", "cut by the token limit"
        rows.append(
            {
                "qid": step.qid,
                "arm": step.arm,
                "cid": step.cid,
                "sid": step.sid,
                "instrument": "exact",
                "label": label,
                "reason": reason,
            }
        )
    return rows
