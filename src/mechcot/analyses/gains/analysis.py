"""Which questions did a gain come from, and are they the ones whose reasoning got worse?

Every question's traces are halved (see `stats.margin`): one half says where the question stood or
which way it went, the other what happened. So

- the gain by base margin takes the margin from one half of the base's votes and the change from the
  other;
- the step errors of a transition (gained, lost, kept right, kept wrong) are those of the traces that
  did not vote on it, in both arms. A trace with a wrong step is likelier to answer wrongly: with the
  same traces "gained" questions would improve by selection alone.

A tie shares its point; a question counts to its transitions by the chance of each when ties are
broken at random. Differences are after - before, and intervals resample questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mechcot.analyses.arms import Arms
from mechcot.analyses.gains.result import TRANSITIONS, BoundaryShare, GainsResult, MarginBin, Transition
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.records import LABELS, STEP_KEY, TRACE_KEY
from mechcot.core.results import Interval, Pair
from mechcot.stats.cluster import Floats, Ints, safe_ratio
from mechcot.stats.frames import (
    check_questions,
    describe,
    one_arm,
    question_codes,
    require_columns,
    require_unique,
    text_codes,
    trace_votes,
)
from mechcot.stats.jackknife import by_text, interval_of_sums, mean_interval, rate_interval, ratio_interval
from mechcot.stats.margin import (
    EDGES,
    HalfVotes,
    boundary_flow,
    equal_share_null,
    flows_by_margin,
    half_votes,
    just_below,
)
from mechcot.stats.vote_split import split_votes
from mechcot.stats.votes import shared_tie_score, votes

if TYPE_CHECKING:
    from mechcot.study.folder import Study

DISTANCES = (0.05, 0.1, 0.2)
"""How far below a margin of 0 counts as just below."""


def analyse(
    questions: pd.DataFrame,
    traces: Pair[pd.DataFrame],
    verdicts: Pair[pd.DataFrame],
    *,
    seed: int = 0,
    null_draws: int = 500,
) -> GainsResult:
    """Where the change of the vote comes from, and what the steps did there.

    Args:
        questions: rows of `records.QUESTIONS` (used: qid, options, gold).
        traces: rows of `records.TRACES` (used: qid, arm, cid, answer), the same number of at least two
            for every question, before and after; an odd last one is in neither half.
        verdicts: rows of `records.VERDICTS` of one instrument. Not every trace need be judged: a judged
            step counts to the transition that the other half of its question's votes makes.
        seed: of the null.
        null_draws: how often traces are dealt out anew for the null of equal shares.

    Raises:
        AnalysisError: a missing column, a row twice, another number of traces, a verdict of an
            unknown trace, an unknown label, several instruments.
        UsageError: null_draws below 1.
    """
    if null_draws < 1:
        raise UsageError(f"null_draws must be at least 1, not {null_draws}")
    index, gold = check_questions(questions)
    n_options = int(questions["options"].map(len).max())
    arms = traces._asdict()
    tables = {when: trace_votes(questions, own, f"traces {when}") for when, own in arms.items()}
    k = _equal_k(index, tables)
    answers = {when: _answers(index, own, k) for when, own in arms.items()}
    text = text_codes(questions)  # equal texts are one question in every interval
    halves = half_votes(answers["before"], answers["after"], gold, n_options)
    null = equal_share_null(answers["before"], answers["after"], gold, n_options, null_draws, seed, DISTANCES)
    counts = {when: _counts(index, arms[when], own, when, k) for when, own in verdicts._asdict().items()}
    transitions, contrasts = _transitions(_shares(answers, gold, n_options, halves.size), counts, text)
    return GainsResult(
        arms=Pair(*(one_arm(own, f"traces {when}") for when, own in arms.items())),
        instrument=_instrument(verdicts._asdict()),
        n_questions=len(index),
        k=k,
        half=halves.size,
        delta_sc=mean_interval((halves.gained - halves.lost).mean(axis=0), text),
        bins=_bins(halves, null[0], text),
        boundary=_boundary(halves, null[1], text),
        flow=boundary_flow(halves),
        split=split_votes(tables["before"], tables["after"], gold, halves.size, text),
        transitions=transitions,
        contrasts=contrasts,
        null_draws=null_draws,
        seed=seed,
    )


def _equal_k(index: pd.Index, tables: Mapping[str, Ints]) -> int:
    sizes = np.stack([table.sum(axis=1) for table in tables.values()], axis=1)
    found, counts = np.unique(sizes, return_counts=True)
    k = int(found[counts.argmax()])
    odd = np.argwhere(sizes != k)
    if len(odd):
        row, arm = (int(i) for i in odd[0])
        raise AnalysisError(
            f"question {index[row]} has {sizes[row, arm]} traces {list(tables)[arm]}, most have {k}: "
            "every question needs the same number in both arms"
        )
    if k < 2:
        raise AnalysisError("one trace per question cannot be halved; sample at least two (sampling.samples)")
    return k


def _places(traces: pd.DataFrame) -> Ints:
    """The place of each trace among those of its question, by cid [traces]."""
    places: Ints = (traces.groupby("qid")["cid"].rank(method="first") - 1).to_numpy(dtype=np.int64)
    return places


def _answers(index: pd.Index, traces: pd.DataFrame, k: int) -> Ints:
    """Answers [questions, traces], a question's traces in the order of cid."""
    table = np.empty((len(index), k), dtype=np.int64)
    table[question_codes(traces, index, "traces"), _places(traces)] = traces["answer"]
    return table


def _counts(index: pd.Index, traces: pd.DataFrame, verdicts: pd.DataFrame, when: str, k: int) -> Floats:
    """Erroneous and judged steps by half of the traces [questions, halves, 2]."""
    what = f"verdicts {when}"
    require_columns(verdicts, [*STEP_KEY, "instrument", "label"], what)
    require_unique(verdicts, STEP_KEY, what, "; pass the verdicts of one instrument")
    odd = verdicts.loc[~verdicts["label"].isin(LABELS)]
    if len(odd):
        raise AnalysisError(
            f"{what}: {describe(odd, STEP_KEY)}: the label {odd['label'].iloc[0]!r} is none of {list(LABELS)}"
        )
    places = traces[TRACE_KEY].assign(
        q=question_codes(traces, index, f"traces {when}"), place=_places(traces)
    )
    rows = verdicts.merge(places, on=TRACE_KEY, how="left", validate="many_to_one")
    lost = rows.loc[rows["q"].isna()]
    if len(lost):
        raise AnalysisError(f"{what}: {describe(lost, STEP_KEY)} is of no trace {when}")
    judged = rows.loc[rows["label"].isin(("correct", "erroneous")) & (rows["place"] < 2 * (k // 2))]
    cell = 2 * judged["q"].to_numpy(dtype=np.int64) + judged["place"].to_numpy(dtype=np.int64) % 2
    wrong = np.asarray(judged["label"] == "erroneous", dtype=np.float64)
    sums = np.zeros((2 * len(index), 2))
    for column, weights in enumerate((wrong, np.ones_like(wrong))):
        sums[:, column] = np.bincount(cell, weights=weights, minlength=len(sums))
    return sums.reshape(len(index), 2, 2)


def _instrument(verdicts: Mapping[str, pd.DataFrame]) -> str:
    names = sorted({str(name) for own in verdicts.values() for name in own["instrument"].unique()})
    if len(names) != 1:
        raise AnalysisError(f"verdicts of one instrument are needed in both arms; found {names or 'none'}")
    return names[0]


def _bins(halves: HalfVotes, null: Floats, text: Ints) -> tuple[MarginBin, ...]:
    flows = by_text(flows_by_margin(halves), text)
    low, high = np.quantile(null, [0.025, 0.975], axis=0)
    ends = (-1.0, *EDGES, 1.0)
    return tuple(
        MarginBin(
            low=ends[i],
            high=ends[i + 1],
            n=float(flows[:, i, 0].sum()),
            gained=float(flows[:, i, 1].sum()),
            lost=float(flows[:, i, 2].sum()),
            change=ratio_interval(flows[:, i, 1] - flows[:, i, 2], flows[:, i, 0]),
            null_gained=float(null[:, i, 0].mean()),
            null_gained_range=(float(low[i, 0]), float(high[i, 0])),
            null_lost=float(null[:, i, 1].mean()),
            null_lost_range=(float(low[i, 1]), float(high[i, 1])),
        )
        for i in range(len(ends) - 1)
    )


def _boundary(halves: HalfVotes, null: Floats, text: Ints) -> tuple[BoundaryShare, ...]:
    found = []
    for i, distance in enumerate(DISTANCES):
        parts, dealt = by_text(just_below(halves, distance), text), null[:, i][~np.isnan(null[:, i])]
        ends = np.quantile(dealt, [0.025, 0.975]) if dealt.size else None
        found.append(
            BoundaryShare(
                distance=distance,
                share=rate_interval(parts[:, 0], parts[:, 1]),
                null=float(dealt.mean()) if dealt.size else None,
                null_range=None if ends is None else (float(ends[0]), float(ends[1])),
            )
        )
    return tuple(found)


def _shares(answers: Mapping[str, Ints], gold: Ints, n_options: int, size: int) -> Floats:
    """How far each half of the votes puts a question into each transition [questions, halves, 4]."""
    before, after = (
        np.stack(
            [shared_tie_score(votes(own[:, half : 2 * size : 2], n_options), gold) for half in (0, 1)], axis=1
        )
        for own in (answers["before"], answers["after"])
    )
    parts = {
        "gained": (1 - before) * after,
        "lost": before * (1 - after),
        "kept_right": before * after,
        "kept_wrong": (1 - before) * (1 - after),
    }
    return np.stack([parts[name] for name in TRANSITIONS], axis=-1)


def _transitions(
    shares: Floats, counts: Mapping[str, Floats], text: Ints
) -> tuple[tuple[Transition, ...], dict[str, Interval]]:
    """Step error in each transition, and gained against kept, by the halves that did not vote.

    The sums of all transitions stand in one table [questions, 5 x 4]: a question is left out of all of
    them together.
    """
    crossed = [counts[when][:, ::-1] for when in ("before", "after")]  # the other half's steps
    sums = np.concatenate([np.einsum("qht,qhc->qtc", shares, own) for own in crossed], axis=2)
    kept = sums[:, 2:].sum(axis=1, keepdims=True)
    table = by_text(np.concatenate([sums, kept], axis=1), text)  # [texts, transition, e0 m0 e1 m1]
    names = (*TRANSITIONS, "kept")
    totals = table.sum(axis=0)
    found = tuple(
        Transition(
            name=name,
            n=float(shares[:, :, i].mean(axis=1).sum()),
            change=_interval(table[:, [i]], np.ones(1)),
            error_before=float(totals[i, 0] / totals[i, 1]) if totals[i, 1] else None,
            error_after=float(totals[i, 2] / totals[i, 3]) if totals[i, 3] else None,
            error_before_interval=rate_interval(table[:, i, 0], table[:, i, 1]),
            error_after_interval=rate_interval(table[:, i, 2], table[:, i, 3]),
        )
        for i, name in enumerate(TRANSITIONS)
    )
    contrasts = {}
    for name in ("kept", "kept_right", "kept_wrong"):
        contrasts[f"gained_minus_{name}"] = _interval(table[:, [0, names.index(name)]], np.array([1, -1]))
    return found, contrasts


def _interval(table: Floats, factors: Floats) -> Interval:
    """A sum of changes of error rate, each with its factor, from [questions, transitions, e0 m0 e1 m1]."""
    counted = table[(table[:, :, [1, 3]] > 0).any(axis=(1, 2))]
    weight = counted[:, :, [1, 3]] / np.maximum(counted[:, :, [1, 3]].sum(axis=0), 1e-300)

    def changes(sums: Floats) -> Floats:
        e0, m0, e1, m1 = np.moveaxis(sums.reshape(len(sums), factors.size, 4), 2, 0)
        return np.asarray((safe_ratio(e1, m1) - safe_ratio(e0, m0)) @ factors)

    return interval_of_sums(
        counted.reshape(len(counted), factors.size * 4),
        changes,
        weight=weight.sum(axis=(1, 2)),
        reason="an arm has no judged steps there",
    )


__all__ = ["BoundaryShare", "GainsResult", "MarginBin", "Transition", "analyse"]


def gains_of(study: Study, control: str | None = None) -> GainsResult:
    """Which questions the change of the vote comes from, and what the steps did there."""
    arms = Arms.of(study, control)
    traces = Pair(arms.traces_before, arms.traces_after)
    verdicts = Pair(arms.verdicts_before, arms.verdicts_after)
    return analyse(arms.questions, traces, verdicts, seed=study.settings.seed)
