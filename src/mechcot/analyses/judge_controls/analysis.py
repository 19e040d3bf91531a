"""The judge controls, counted: one resampling of the questions for all rates and differences.

Error rate = erroneous / (correct + erroneous), as in the audit; differences are after - before. What a
control changes is its difference minus the primary's *on the same steps*: a control that cannot treat
some steps (no hedge to put in, a rewriting that lost the claim) is compared on those that it treats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from mechcot.analyses.judge_controls import registry
from mechcot.analyses.judge_controls.control import Control
from mechcot.analyses.judge_controls.controls.again import PRIMARY
from mechcot.analyses.judge_controls.controls.tone_swap import FIDELITIES
from mechcot.analyses.judge_controls.counts import LABEL_SETS, VERDICTS, Arms, Estimates, Ratio
from mechcot.analyses.judge_controls.result import ControlRow, FlipRow, JudgeControlsResult, Missing
from mechcot.analyses.strata import SubsetDelta, right_share, stratum_weights
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.records import LABELS, STEP_KEY
from mechcot.core.results import Interval, Pair, Result
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.frames import (
    check_questions,
    describe,
    one_arm,
    question_codes,
    require_columns,
    require_unique,
    trace_votes,
)
from mechcot.stats.inference import difference_contributions, sign_flips
from mechcot.stats.votes import plurality_right

_WHAT = "judged items"


@dataclass(frozen=True)
class _Treated:
    """The items of one control that count, and sums by question of them and of the same primary steps."""

    control: Control
    variant: str
    rows: pd.DataFrame
    errors: Pair[Ratio]
    primary: Pair[Ratio]

    @property
    def has_difference(self) -> bool:
        """Whether both arms have judged items, under the control and in the primary."""
        return all(ratio.den.any() for ratio in (*self.errors, *self.primary))


def analyse(
    questions: pd.DataFrame,
    traces: Pair[pd.DataFrame],
    items: pd.DataFrame,
    names: Pair[str],
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> JudgeControlsResult:
    """Estimate the difference of step error under an instrument and under every control of it.

    A control without judged steps in an arm has a reason in place of numbers, and no part in the family
    of tests.

    Args:
        questions: rows of `records.QUESTIONS` (used: qid, options, gold).
        traces: rows of `records.TRACES` (used: qid, arm, cid, answer), at least one for every question,
            before and after; all of them vote, judged or not.
        items: one row per item and control, the control `primary` among them (used: control, variant,
            the step key, label, fidelity, score).
        names: of the arms.
        draws: sign vectors of the tests.
        seed: of the signs.

    Raises:
        AnalysisError: a missing column, a control, variant, arm, question or label that does not exist,
            an item twice, no item of the primary, traces of another arm, a question without traces.
        UsageError: draws below 1.
    """
    if draws < 1:
        raise UsageError(f"draws must be at least 1, not {draws}")
    index, gold = check_questions(questions)
    checked = checked_items(items, index, names)
    arms, asked = Arms(names, len(index)), Estimates()
    treated = list(_treated(checked, arms))
    primary = treated[0]
    tests = _tests(treated, draws, seed)
    rows = [_row(own, arms, asked, tests) for own in treated]
    flips = [
        _flips(own, primary.rows, labels, arms, asked)
        for own in treated[1:]
        if own.control.repeats_steps
        for labels in LABEL_SETS
    ]
    finding = dict(_findings(checked, arms, asked))
    votes = [
        _votes(questions, own, arm, when) for own, arm, when in zip(traces, names, Pair._fields, strict=True)
    ]
    strata, weighted = (
        _strata(primary, stratum_weights(*(right(table, gold) for table in votes)))
        for right in (plurality_right, right_share)
    )
    return JudgeControlsResult(
        arms=arms.names,
        controls=tuple(finish() for finish in rows),
        flips=tuple(finish() for finish in flips),
        findings={name: finish() for name, finish in finding.items()},
        strata=strata,
        strata_weighted=weighted,
        n_questions=primary.rows["q"].nunique(),
        draws=draws,
        seed=seed,
    )


def checked_items(items: pd.DataFrame, index: pd.Index, arms: Pair[str]) -> pd.DataFrame:
    """The items with `q`, the row of the question, and `late`, whether the arm is the one after.

    Args:
        items: one row per item and control (used: control, variant, the step key, label, fidelity, score).
        index: question ids.
        arms: before and after.

    Raises:
        AnalysisError: a missing column, a control, variant, arm, question, label or fidelity that does
            not exist, an item twice (statements that stand in no trace may share a step), or no item of
            the primary instrument.
    """
    require_columns(items, ["control", "variant", *STEP_KEY, "label", "fidelity", "score"], _WHAT)
    if arms.before == arms.after:
        raise AnalysisError(f"{_WHAT}: the arms before and after are both {arms.before}; name two")
    known = {control.name: control for control in registry.CONTROLS}
    pairs = {(name, variant) for name, control in known.items() for variant in control.variants or ("",)}
    faults = {
        "control": ~items["control"].isin(known).to_numpy(),
        "variant": np.array([p not in pairs for p in zip(items["control"], items["variant"], strict=True)]),
        "arm": ~items["arm"].isin(arms).to_numpy(),
        "label": ~items["label"].isin([*LABELS, ""]).to_numpy(),
        "fidelity": ~items["fidelity"].isin([*FIDELITIES, ""]).to_numpy(),
    }
    for column, bad in faults.items():
        if bad.any():
            row = items.loc[bad]
            raise AnalysisError(
                f"{_WHAT}: control {row['control'].iloc[0]!r}, {describe(row, STEP_KEY)}: the {column} "
                f"{row[column].iloc[0]!r} is not known; make the items with mechcot judge-controls"
            )
    own = items.assign(q=question_codes(items, index, _WHAT), late=items["arm"] == arms.after)
    steps = own[own["control"].map(lambda name: bool(known[name].matched)).astype(bool)]
    require_unique(steps, ["control", "variant", *STEP_KEY], _WHAT)
    if not (own["control"] == PRIMARY.name).any():
        raise AnalysisError(
            f"{_WHAT}: none is of the control '{PRIMARY.name}', beside which the others stand; judge it too"
        )
    return own


def _treated(checked: pd.DataFrame, arms: Arms) -> Iterator[_Treated]:
    """The primary, then the controls that estimate the difference, in one order whatever the rows'."""
    primary = checked[checked["control"] == PRIMARY.name]
    for control in registry.shown():
        own = checked[checked["control"] == control.name]
        if own.empty or not control.has_difference:
            continue
        key = list(control.matched)
        for variant in control.variants or ("",):
            rows = control.counted(own[own["variant"] == variant])
            judged = rows.loc[rows["label"].isin(VERDICTS), key].drop_duplicates()
            same = primary if control is PRIMARY else primary.merge(judged, on=key)
            yield _Treated(control, variant, rows, arms.errors(rows), arms.errors(same))


def _findings(
    checked: pd.DataFrame, arms: Arms, asked: Estimates
) -> Iterator[tuple[str, Callable[[], Result]]]:
    """What makes each control's own finding once the quantities are estimated."""
    primary = checked[checked["control"] == PRIMARY.name]
    for control, finding in registry.findings():
        rows = checked[checked["control"] == control.name]
        if rows.empty:
            yield finding.name, partial(Missing, finding.absent)
        else:
            yield finding.name, finding.of(rows, primary, arms, asked)


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
    keys = [(own.control.name, own.variant) for own in family]
    return dict(zip(keys, zip(found.p_values, found.p_family, strict=True), strict=True))


def _contributions(errors: Pair[Ratio]) -> Floats:
    before, after = errors
    return difference_contributions(before.num, before.den, after.num, after.den)


def _row(
    own: _Treated, arms: Arms, asked: Estimates, tests: Mapping[tuple[str, str], tuple[float, float]]
) -> Callable[[], ControlRow]:
    error = asked.ask_rates(*own.errors)
    primary = asked.ask((-1.0, own.primary.before), (1.0, own.primary.after))
    n_questions = int(((own.errors.before.den > 0) | (own.errors.after.den > 0)).sum())
    itself = Interval(None, None, None, n_questions, "", "it is the primary itself")
    terms = zip((-1.0, 1.0, 1.0, -1.0), (*own.errors, *own.primary), strict=True)
    minus = asked.ask(*terms) if own.control is not PRIMARY else lambda: itself
    p, p_family = tests.get((own.control.name, own.variant), (None, None))
    counts = arms.labels(own.rows)
    return lambda: ControlRow(
        control=own.control.name,
        variant=own.variant,
        name=own.control.title_of(own.variant),
        error=error(),
        counts=counts,
        n_judged=Pair(*map(_judged, counts)),
        abstain_rate=Pair(*map(_abstained, counts)),
        n_questions=n_questions,
        primary=primary(),
        minus_primary=minus(),
        p=p,
        p_family=p_family,
    )


def _judged(counts: Mapping[str, int]) -> int:
    return counts["correct"] + counts["erroneous"]


def _abstained(counts: Mapping[str, int]) -> float | None:
    claims = _judged(counts) + counts["abstain"]
    return counts["abstain"] / claims if claims else None


def _flips(
    own: _Treated, primary: pd.DataFrame, labels: str, arms: Arms, asked: Estimates
) -> Callable[[], FlipRow]:
    """Labels of a control beside the primary's, on the steps that both gave one of a set of labels."""
    pairs = own.rows.merge(primary[[*STEP_KEY, "label"]], on=STEP_KEY, suffixes=("", "_primary"))
    first, second = pairs["label"], pairs["label_primary"]
    both = first.isin(LABEL_SETS[labels]) & second.isin(LABEL_SETS[labels])
    share = asked.ask_rates(*arms.ratios(pairs, first != second, both))
    n_flipped, n_steps = arms.count(pairs, both & (first != second)), arms.count(pairs, both)
    return lambda: FlipRow(own.control.name, own.control.title, labels, share(), n_flipped, n_steps)


def _votes(questions: pd.DataFrame, traces: pd.DataFrame, arm: str, when: str) -> Ints:
    table = trace_votes(questions, traces, f"traces {when}")
    found = one_arm(traces, f"traces {when}")
    if found != arm:
        raise AnalysisError(f"traces {when}: they are of the arm {found}, not of {arm}")
    return table


def _strata(primary: _Treated, weights: Mapping[str, Floats]) -> tuple[SubsetDelta, ...]:
    """The primary's difference in each stratum; questions that it was not asked about weigh nothing."""
    before, after = primary.errors
    sampled = np.bincount(primary.rows["q"], minlength=len(before.den)) > 0
    sums = (before.num, before.den, after.num, after.den)
    return tuple(SubsetDelta.of(name, sums, own * sampled) for name, own in weights.items())
