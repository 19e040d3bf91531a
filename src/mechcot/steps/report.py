"""What a segmenter made of each arm's traces: arms that write differently are cut differently."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.steps.segment import RULES, WINDOW, pieces


def segment_report(
    traces: pd.DataFrame, steps: pd.DataFrame, segmenter: str, window: int = WINDOW
) -> pd.DataFrame:
    """How the traces of each arm were cut.

    The texts are cut once more, to tell which rule made each step.

    Args:
        traces: rows of `records.TRACES` of one or several arms.
        steps: rows of `records.STEPS` of the same traces.
        segmenter: the name of the segmenter that made the steps.
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
        made = dict.fromkeys(RULES, 0)
        for trace in records.rows(own):
            cut = pieces(trace.text[: trace.reasoning_end], segmenter, window)
            _check(trace, [(start, end) for start, end, _ in cut], spans, segmenter)
            for _, _, rule in cut:
                made[rule] += 1
        rows.append(_row(str(arm), own, steps[steps.arm == arm], made))
    return pd.DataFrame(rows)


def _row(arm: str, traces: pd.DataFrame, steps: pd.DataFrame, made: dict[str, int]) -> dict[str, Any]:
    n = len(steps)
    characters, reasoning = int((steps.char_end - steps.char_start).sum()), int(traces.reasoning_end.sum())
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
