"""What one arm is measured by along a training, each a ratio of sums over questions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mechcot.analyses.arm_steps import arm_steps
from mechcot.core.errors import AnalysisError
from mechcot.core.records import TRACE_KEY, plainly_forced
from mechcot.stats.cluster import Floats
from mechcot.stats.frames import check_questions, cut_off, question_codes, text_codes, trace_votes
from mechcot.stats.jackknife import by_text
from mechcot.stats.votes import shared_tie_score

MEASURES = {
    "answers": "right answers, by vote",
    "step_error": "wrong steps",
    "at_prompt": "own answer at the prompt",
    "locked": "locked at three prefixes",
    "hedged": "hedged steps",
}
"""Measures in order, and their names on pages."""
SPREAD = 3
"""Prefixes, from the prompt to the last before the answer, at which a locked trace gives its own answer: as
many for long traces as for short ones."""


def counts(
    questions: pd.DataFrame,
    traces: pd.DataFrame,
    steps: pd.DataFrame,
    verdicts: pd.DataFrame,
    forced: pd.DataFrame,
) -> Floats:
    """Numerators and denominators of one arm, [texts, measures, 2].

    Args:
        questions: rows of `records.QUESTIONS`.
        traces: rows of `records.TRACES` of the arm on these questions, all of which vote.
        steps: rows of `records.STEPS`, with a column `hedged`: whether the step holds a hedge.
        verdicts: rows of `records.VERDICTS` of one instrument.
        forced: rows of `records.FORCED`, the arm reading itself. Used are the first lead-in, the question's
            own order and the model's own output.

    Raises:
        AnalysisError: as `arms.arm_steps`; a prefix without a forced answer, or with two.
    """
    index, gold = check_questions(questions)
    arm = str(traces["arm"].iloc[0])
    judged = arm_steps(questions, traces, steps.drop(columns="hedged"), verdicts, None, f"of {arm}")
    score = shared_tie_score(trace_votes(questions, traces, f"traces of {arm}"), gold)
    settled = settled_of(traces, steps, forced)
    whole = steps[steps["complete"]]

    def over(frame: pd.DataFrame, values: pd.Series | None = None) -> Floats:
        rows = question_codes(frame, index, f"steps of {arm}")
        weights = None if values is None else values.to_numpy(np.float64)
        return np.bincount(rows, weights, minlength=len(index)).astype(np.float64)

    long = settled[settled["locked"].notna()]
    columns = [
        (score, np.ones(len(index))),
        (judged.erroneous(), judged.judged()),
        (over(settled, settled["at_prompt"]), over(settled)),
        (over(long, long["locked"]), over(long)),
        (over(whole, whole["hedged"]), over(whole)),
    ]
    table = np.stack([np.stack(pair, axis=-1).astype(np.float64) for pair in columns], axis=1)
    return by_text(table, text_codes(questions))


def settled_of(traces: pd.DataFrame, steps: pd.DataFrame, forced: pd.DataFrame) -> pd.DataFrame:
    """Of each trace that was read, is whole and answers, whether its own answer is forced from it already.

    Args:
        traces: as `counts`.
        steps: as `counts`.
        forced: as `counts`.

    Returns:
        qid, cid, `at_prompt` (0 or 1) and `locked`: at `SPREAD` prefixes from the prompt to the last one
        before the answer is stated, 0 or 1; NaN with fewer prefixes. A tie of two options is no agreement.

    Raises:
        AnalysisError: as `counts`.
    """
    rows = plainly_forced(forced)
    read = rows[TRACE_KEY].drop_duplicates()
    kept = traces[~cut_off(traces) & (traces["answer"] >= 0)].merge(read, on=TRACE_KEY)
    ordered = steps.sort_values([*TRACE_KEY, "sid"])
    place = ordered.groupby(TRACE_KEY, sort=False).cumcount()
    ends = place.where(ordered["states_answer"].to_numpy(bool), place + 1)
    stated = ordered["states_answer"].to_numpy(bool)
    ordered = ordered.assign(first=ends.where(stated), n=place + 1)
    last = ordered.groupby(TRACE_KEY, sort=False)[["first", "n"]].agg({"first": "min", "n": "max"})
    kept = kept.merge(last.reset_index(), on=TRACE_KEY, how="left")
    end = kept["first"].fillna(kept["n"]).fillna(0).to_numpy(np.int64)
    at = np.round(end[:, None] * np.linspace(0, 1, SPREAD)).astype(np.int64)
    agrees = _agrees(rows, kept, at)
    locked = np.where(end >= SPREAD - 1, agrees.all(axis=1).astype(float), np.nan)
    return kept[["qid", "cid"]].assign(at_prompt=agrees[:, 0].astype(float), locked=locked)


def _agrees(rows: pd.DataFrame, traces: pd.DataFrame, at: np.ndarray) -> np.ndarray:
    """Whether the forced answer is the trace's own at some prefixes, [traces, prefixes]."""
    keys = pd.MultiIndex.from_frame(rows[["qid", "cid", "k"]])
    if keys.has_duplicates:
        qid, cid, k = keys[keys.duplicated()][0]
        raise AnalysisError(f"question {qid}, trace {cid}: prefix {k} has two forced answers; read it again")
    choice = np.array([_chosen(np.asarray(p, dtype=np.float64)) for p in rows["p"]])
    found = np.empty(at.shape, dtype=bool)
    for column in range(at.shape[1]):
        wanted = traces[["qid", "cid"]].assign(k=at[:, column])
        row = keys.get_indexer(pd.MultiIndex.from_frame(wanted))
        if (missing := np.flatnonzero(row < 0)).size:
            one = wanted.iloc[missing[0]]
            raise AnalysisError(
                f"question {one.qid}, trace {one.cid}: prefix {one.k} has no forced answer; read it again"
            )
        found[:, column] = choice[row] == traces["answer"].to_numpy()
    return found


def _chosen(p: np.ndarray) -> int:
    """The option with the highest probability; -1 where two share it."""
    best = np.flatnonzero(p == p.max())
    return int(best[0]) if len(best) == 1 else -1
