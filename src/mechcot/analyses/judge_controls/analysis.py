"""The judge controls, counted: one resampling of the questions for all rates and differences.

Error rate = erroneous / (correct + erroneous), as in the audit; differences are after - before. What a
control changes is its difference minus the primary's *on the same steps*: a control that cannot treat
some steps (no hedge to put in, a rewriting that lost the claim) is compared on those that it treats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mechcot.analyses.judge_controls.counts import (
    KNOWN,
    PRIMARY,
    VARIANTS,
    VERDICTS,
    Arms,
    Estimates,
    Ratio,
    checked_items,
    is_one_of,
    same_steps,
)
from mechcot.analyses.judge_controls.manner import hedge_flip, preserved, tone_swap
from mechcot.analyses.judge_controls.parts import LABEL_SETS, ControlRow, FlipRow
from mechcot.analyses.judge_controls.planted import decoys, guess_arm
from mechcot.analyses.judge_controls.result import JudgeControlsResult
from mechcot.analyses.strata import SubsetDelta, right_share, stratum_weights
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Interval
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.frames import check_questions, one_arm, trace_votes
from mechcot.stats.inference import difference_contributions, sign_flips
from mechcot.stats.votes import plurality_right


@dataclass(frozen=True)
class _Treated:
    """The items of one control that count, and sums by question of them and of the same primary steps."""

    control: str
    variant: str
    rows: pd.DataFrame
    errors: tuple[Ratio, Ratio]
    primary: tuple[Ratio, Ratio]

    @property
    def has_difference(self) -> bool:
        """Whether both arms have judged items, under the control and in the primary."""
        return all(ratio.den.any() for ratio in (*self.errors, *self.primary))


def analyse(
    questions: pd.DataFrame,
    traces_before: pd.DataFrame,
    traces_after: pd.DataFrame,
    items: pd.DataFrame,
    *,
    before: str,
    after: str,
    draws: int = 10_000,
    seed: int = 0,
) -> JudgeControlsResult:
    """Estimate the difference of step error under an instrument and under every control of it.

    A control without judged steps in an arm has a reason in place of numbers, and no part in the family
    of tests.

    Args:
        questions: rows of `records.QUESTIONS` (used: qid, options, gold).
        traces_before: rows of `records.TRACES` before (used: qid, arm, cid, answer), at least one for
            every question; all of them vote, judged or not.
        traces_after: the same after.
        items: one row per item and control, the control `primary` among them (used: control, variant,
            the step key, label, fidelity, score).
        before: arm.
        after: arm.
        draws: bootstrap replicates, and sign vectors.
        seed: of both.

    Raises:
        AnalysisError: a missing column, a control, variant, arm, question or label that does not exist,
            an item twice, no item of the primary, traces of another arm, a question without traces.
        UsageError: draws below 1.
    """
    index, gold = check_questions(questions)
    checked = checked_items(items, index, before, after)
    arms, asked = Arms((before, after), len(index)), Estimates()
    treated = list(_treated(checked, arms))
    primary = treated[0]
    tests = _tests(treated, draws, seed)
    rows = [_row(own, arms, asked, tests) for own in treated]
    flips = [
        _flips(own, primary.rows, labels, arms, asked)
        for own in treated[1:]
        if same_steps(own.control)
        for labels in LABEL_SETS
    ]
    tone = tone_swap(checked, arms, asked)
    hedge = hedge_flip(checked, arms, asked)
    planted = decoys(checked, arms, asked)
    asked.resample(draws, seed)
    votes = [
        _votes(questions, traces, arm, when)
        for traces, arm, when in ((traces_before, before, "before"), (traces_after, after, "after"))
    ]
    strata, weighted = (
        _strata(primary, stratum_weights(*(right(table, gold) for table in votes)), draws, seed)
        for right in (plurality_right, right_share)
    )
    return JudgeControlsResult(
        arms=arms.names,
        controls=tuple(finish() for finish in rows),
        flips=tuple(finish() for finish in flips),
        tone_swap=tone and tone(),
        hedge_flip=hedge and hedge(),
        decoys=planted and planted(),
        guess=guess_arm(checked, arms, draws, seed),
        strata=strata,
        strata_weighted=weighted,
        n_questions=primary.rows["q"].nunique(),
        draws=draws,
        seed=seed,
    )


def _treated(checked: pd.DataFrame, arms: Arms) -> Iterator[_Treated]:
    """The primary, then the controls that estimate the difference, in one order whatever the rows'."""
    primary = checked[checked["control"] == PRIMARY]
    names = [name for name in checked["control"].unique() if name not in ("decoy", "guess-arm")]
    places = {name: next(i for i, one in enumerate(KNOWN) if is_one_of(name, (one,))) for name in names}
    for name in sorted(names, key=lambda name: (places[name], name)):
        for variant in VARIANTS.get(name, ("",)):
            rows = checked[(checked["control"] == name) & (checked["variant"] == variant)]
            rows = preserved(rows) if name == "tone-swap" else rows
            key = ["qid", "arm"] if name.startswith("segment:") else STEP_KEY
            judged = rows.loc[rows["label"].isin(VERDICTS), key].drop_duplicates()
            same = primary if name == PRIMARY else primary.merge(judged, on=key)
            yield _Treated(name, variant, rows, arms.errors(rows), arms.errors(same))


def _tests(
    treated: Sequence[_Treated], draws: int, seed: int
) -> Mapping[tuple[str, str], tuple[float, float]]:
    """By control and variant: p, and p in the family, of its difference minus the primary's being 0."""
    family = [own for own in treated[1:] if own.has_difference]
    columns = [_contributions(own.errors) - _contributions(own.primary) for own in family]
    if not columns:
        return {}
    counted = np.any([ratio.den > 0 for own in family for ratio in (*own.errors, *own.primary)], axis=0)
    if np.count_nonzero(counted) < 2:
        return {}
    found = sign_flips(np.stack(columns, axis=1)[counted], draws=draws, seed=seed)
    keys = [(own.control, own.variant) for own in family]
    return dict(zip(keys, zip(found.p_values, found.p_family, strict=True), strict=True))


def _contributions(errors: tuple[Ratio, Ratio]) -> Floats:
    before, after = errors
    return difference_contributions(before.num, before.den, after.num, after.den)


def _row(
    own: _Treated, arms: Arms, asked: Estimates, tests: Mapping[tuple[str, str], tuple[float, float]]
) -> Callable[[], ControlRow]:
    error = asked.ask_pair(*own.errors)
    primary = asked.ask((-1.0, own.primary[0]), (1.0, own.primary[1]))
    terms = zip((-1.0, 1.0, 1.0, -1.0), (*own.errors, *own.primary), strict=True)
    minus = None if own.control == PRIMARY else asked.ask(*terms)
    p, p_family = tests.get((own.control, own.variant), (None, None))
    n_questions = int(((own.errors[0].den > 0) | (own.errors[1].den > 0)).sum())
    itself = Interval(None, None, None, n_questions, "", "it is the primary itself")
    return lambda: ControlRow(
        control=own.control,
        variant=own.variant,
        error=asked.pair(error),
        counts=arms.labels(own.rows),
        n_questions=n_questions,
        primary=asked[primary],
        minus_primary=itself if minus is None else asked[minus],
        p=p,
        p_family=p_family,
    )


def _flips(
    own: _Treated, primary: pd.DataFrame, labels: str, arms: Arms, asked: Estimates
) -> Callable[[], FlipRow]:
    """Labels of a control beside the primary's, on the steps that both gave one of a set of labels."""
    pairs = own.rows.merge(primary[[*STEP_KEY, "label"]], on=STEP_KEY, suffixes=("", "_primary"))
    first, second = pairs["label"], pairs["label_primary"]
    both = first.isin(LABEL_SETS[labels]) & second.isin(LABEL_SETS[labels])
    share = asked.ask_pair(*arms.ratios(pairs, first != second, both))
    n_flipped, n_steps = arms.count(pairs, both & (first != second)), arms.count(pairs, both)
    return lambda: FlipRow(own.control, labels, asked.pair(share), n_flipped, n_steps)


def _votes(questions: pd.DataFrame, traces: pd.DataFrame, arm: str, when: str) -> Ints:
    table = trace_votes(questions, traces, f"traces {when}")
    found = one_arm(traces, f"traces {when}")
    if found != arm:
        raise AnalysisError(f"traces {when}: they are of the arm {found}, not of {arm}")
    return table


def _strata(
    primary: _Treated, weights: Mapping[str, Floats], draws: int, seed: int
) -> tuple[SubsetDelta, ...]:
    """The primary's difference in each stratum; questions that it was not asked about weigh nothing."""
    before, after = primary.errors
    sampled = np.bincount(primary.rows["q"], minlength=len(before.den)) > 0
    sums = (before.num, before.den, after.num, after.den)
    return tuple(SubsetDelta.of(name, sums, own * sampled, draws, seed) for name, own in weights.items())
