"""What a segmenter made of each arm's traces: arms that write differently are cut differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.steps.segment import RULES, WINDOW
from mechcot.steps.table import pieces_of
from mechcot.tasks import Question, Task, parts
from mechcot.tasks.answers import REASONED


def segment_report(
    traces: pd.DataFrame,
    steps: pd.DataFrame,
    questions: Mapping[str, Question],
    task: Task,
    window: int = WINDOW,
) -> pd.DataFrame:
    """How the traces of each arm were cut.

    The texts are cut once more, to tell which rule made each step.

    Args:
        traces: rows of `records.TRACES` of one or several arms.
        steps: rows of `records.STEPS` of the same traces.
        questions: by id.
        task: with the segmenter that made the steps.
        window: its words, for the segmenter `words`.

    Returns:
        One row per arm: traces, steps, traces without a step, steps per trace, words per step,
        characters per step, `coverage` (characters in steps over characters of reasoning; the rest
        is blanks and marks), `share_cut` (of the traces: the token limit cut its last step), and for each of
        `RULES` the share of the steps that it made. A mean of nothing is NaN.

    Raises:
        DataError: a trace has other steps than this segmenter makes of it.
        UsageError: there is no such segmenter.
    """
    spans = {
        key: list(zip(table.char_start, table.char_end, strict=True))
        for key, table in records.by_key(steps.sort_values("sid", kind="stable"), records.TRACE_KEY).items()
    }
    rows = []
    for arm, own in records.by_key(traces, ["arm"]).items():
        made, reasoning = dict.fromkeys(RULES, 0), 0
        for trace in records.rows(own):
            question = questions[trace.qid]
            cut = pieces_of(trace.text, question, task, window)
            _check(trace, [(start, end) for start, end, _ in cut], spans, task.segmenter)
            for _, _, rule in cut:
                made[rule] += 1
            found = parts(trace.text, question, task.format)
            reasoning += sum(part.end - part.start for part in found if part.role in REASONED)
        rows.append(_row(str(arm), own, steps[steps.arm == arm], made, reasoning))
    return pd.DataFrame(rows)


def _row(
    arm: str, traces: pd.DataFrame, steps: pd.DataFrame, made: dict[str, int], reasoning: int
) -> dict[str, Any]:
    n = len(steps)
    characters = int((steps.char_end - steps.char_start).sum())
    return {
        "arm": arm,
        "n_traces": len(traces),
        "n_steps": n,
        "n_traces_without_steps": len(traces) - len(steps.drop_duplicates(records.TRACE_KEY)),
        "steps_per_trace": n / len(traces),
        "words_per_step": _share(int(steps.n_words.sum()), n),
        "characters_per_step": _share(characters, n),
        "coverage": _share(characters, reasoning),
        "share_cut": int((~steps.complete.astype(bool)).sum()) / len(traces),
        **{f"share_{rule}": _share(count, n) for rule, count in made.items()},
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _check(trace: Any, cut: list[Any], spans: dict[Any, list[Any]], segmenter: str) -> None:
    own = spans.get((trace.qid, trace.arm, trace.cid), [])
    if own != cut:
        raise DataError(
            f"steps: question {trace.qid}, arm {trace.arm}, trace {trace.cid} has {len(own)} steps, and the "
            f"segmenter '{segmenter}' cuts it into {len(cut)} or elsewhere; name the segmenter (and window) "
            "that made the steps"
        )
