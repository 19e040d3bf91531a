"""Flips by how settled the answer was, answers put first, prefix controls, forced against free answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mechcot.analyses.causes import design
from mechcot.analyses.causes.result import (
    UNCHANGED,
    AnswerFirst,
    Flips,
    ForcedFree,
    PrefixControl,
)
from mechcot.core import records
from mechcot.core.results import Interval
from mechcot.stats import rate_interval, ratio_difference_interval, ratio_interval

DECILES = 10
TRUTH = (design.REPAIR, design.BREAK)
"""Swaps between right and wrong."""


def _over_questions(rows: pd.DataFrame, value: str, *, rate: bool = False) -> Interval:
    """Mean of a column, questions left out in turn."""
    known = rows.dropna(subset=[value])
    sums = known.groupby("qid")[value].agg(["sum", "count"])
    if sums.empty:
        return Interval(None, None, None, 0, "", "there is nothing to count")
    interval = rate_interval if rate else ratio_interval
    return interval(sums["sum"].to_numpy(float), sums["count"].to_numpy(float))


def flips_of(swaps: pd.DataFrame, turns: pd.DataFrame, arm: str) -> tuple[Flips, ...]:
    """How often another answer comes, by decile of the margin before the step; none of fewer than 20 steps.

    Args:
        swaps: rows of `design.SWAPPED` of one arm.
        turns: rows of `effects.regenerated` of it.
        arm: its name.
    """
    steps = swaps.drop_duplicates(records.STEP_KEY)
    if len(steps) < 2 * DECILES:
        return ()
    edges = np.quantile(steps.margin, np.arange(1, DECILES) / DECILES)
    of_swaps, of_turns = (np.searchsorted(edges, rows.margin.astype(float)) for rows in (swaps, turns))
    found = []
    for decile in range(DECILES):
        near, again = swaps[of_swaps == decile], turns[of_turns == decile]
        if near.empty:
            continue
        found.append(
            Flips(
                arm,
                decile + 1,
                float(near.margin.min()),
                float(near.margin.max()),
                _over_questions(near[near.variant.isin(TRUTH)], "flipped", rate=True),
                _over_questions(near[near.variant == design.LATERAL], "flipped", rate=True),
                _over_questions(again[again.variant.isin(TRUTH)], "differ", rate=True),
                _over_questions(again[again.variant == UNCHANGED], "differ", rate=True),
                len(near.drop_duplicates(records.STEP_KEY)),
            )
        )
    return tuple(found)


def first_of(continued: pd.DataFrame, arm: str) -> Iterator[AnswerFirst]:
    """Whether traces end in the answer put first; what the token limit cut is left out.

    Args:
        continued: rows of `design.CONTINUED` of one arm.
        arm: its name.
    """
    rows = continued[(continued.job == design.FIRST) & ~continued.cut.astype(bool)]
    for stated in (design.WRONG, design.OWN):
        both = rows[rows.variant.isin((design.NONE, stated))]
        said = both.aim if stated == design.WRONG else both.own
        both = both.assign(hit=(both.answer == said).astype(float))
        without, with_it = both[both.variant == design.NONE], both[both.variant == stated]
        if without.empty or with_it.empty:
            continue
        sums = [part.groupby("qid").hit.agg(["sum", "count"]) for part in (without, with_it)]
        questions = sums[0].index.union(sums[1].index)
        columns = [
            one[name].reindex(questions, fill_value=0).to_numpy(float)
            for one in sums
            for name in ("sum", "count")
        ]
        yield AnswerFirst(
            arm,
            stated,
            _over_questions(without, "hit", rate=True),
            _over_questions(with_it, "hit", rate=True),
            ratio_difference_interval(*columns),
            float((without.answer < 0).mean()),
            float((with_it.answer < 0).mean()),
            float(with_it.n_tokens.mean()),
            len(with_it.drop_duplicates(records.TRACE_KEY)),
        )


def controls_of(controlled: pd.DataFrame, arm: str) -> Iterator[PrefixControl]:
    """Answers forced behind something else than the trace's own steps.

    Args:
        controlled: rows of `design.CONTROLLED` of one arm.
        arm: its name.
    """
    written = controlled[controlled.control == design.WRITTEN]
    paired = controlled.merge(
        written[[*records.TRACE_KEY, "log_odds"]], on=records.TRACE_KEY, suffixes=("", "_written")
    )
    paired = paired.assign(change=paired.log_odds - paired.log_odds_written)
    for control in design.CONTROLS:
        rows = paired[paired.control == control]
        if len(rows):
            yield PrefixControl(
                arm,
                control,
                _over_questions(rows, "p"),
                _over_questions(rows, "change"),
                float(rows.raw_mass.mean()),
                len(rows),
            )


def free_of(forced: pd.DataFrame, continued: pd.DataFrame, arm: str) -> Iterator[ForcedFree]:
    """Forced answers against free ones, place by place.

    Args:
        forced: rows of `design.FORCED_FREE` of one arm.
        continued: rows of `design.CONTINUED` of it.
        arm: its name.
    """
    drawn = continued[(continued.job == design.FREE) & ~continued.cut.astype(bool)]
    free = drawn.rename(columns={"variant": "place"})
    for place in design.PLACES:
        drawn = free[free.place == place]
        if drawn.empty:
            continue
        by_trace = dict(iter(drawn[drawn.answer >= 0].groupby(["qid", "cid"]).answer))
        rows = [
            {"qid": one.qid, **_apart(np.asarray(one.p, float), by_trace[one.qid, one.cid].to_numpy())}
            for one in records.rows(forced[forced.place == place])
            if len(by_trace.get((one.qid, one.cid), ())) >= 2
        ]
        table = pd.DataFrame(rows, columns=["qid", "distance", "hit"])
        yield ForcedFree(
            arm,
            place,
            _over_questions(table, "distance"),
            _over_questions(table, "hit"),
            float((drawn.answer < 0).mean()),
            len(table),
        )


def _apart(p: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """How far free answers are from forced ones, both 0 in expectation where they are drawn from p.

    The squared distance of p and the shares q: sum p^2 - 2 sum p q + sum q^2, of which the last is
    estimated from pairs of two different answers, so that it is unbiased.
    """
    n, counts = len(answers), np.bincount(answers, minlength=len(p))
    hit, square = float((p * counts).sum() / n), float((p**2).sum())
    return {
        "distance": square - 2 * hit + float((counts * (counts - 1)).sum() / (n * (n - 1))),
        "hit": hit - square,
    }
