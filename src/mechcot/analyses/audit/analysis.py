"""Did the reasoning get worse? Step error before and after, and where its change comes from.

Error rate = erroneous / (correct + erroneous). `abstain` and `not_checkable` stand outside it,
each with a rate of its own; failures of the instrument are counted and are no verdicts.
Differences are after - before; every interval resamples questions, both arms together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.arm_steps import ArmSteps, counts_of
from mechcot.analyses.arms import Arms
from mechcot.analyses.audit.both_right import bounds_of
from mechcot.analyses.audit.claims import claims_of
from mechcot.analyses.audit.resolution import headline_of, resolutions
from mechcot.analyses.audit.result import ArmAudit, AuditResult, RoleAudit
from mechcot.analyses.form import INTERVAL, pick
from mechcot.analyses.strata import SubsetDelta, right_share, stratum_weights
from mechcot.core.confirmatory_settings import ConfirmatorySettings
from mechcot.core.results import Pair
from mechcot.stats.cluster import Floats, ratio_difference
from mechcot.stats.decomposition import MIN_QUESTIONS, Split, split_by_kind
from mechcot.stats.jackknife import (
    by_text,
    question_weighted_difference,
    rate_interval,
    ratio_difference_interval,
)
from mechcot.stats.votes import plurality_right

CELLS = ConfirmatorySettings().cells

if TYPE_CHECKING:
    from mechcot.study.folder import Study


def analyse(arms: Arms, *, min_questions: int = MIN_QUESTIONS, cells: str = CELLS) -> AuditResult:
    """Compare the step error of two arms on the same questions under one instrument.

    Args:
        arms: before and after.
        min_questions: questions with steps of a kind that it needs in both arms to be shared in the splits.
        cells: the resolution whose within term is the headline's; by kind where the steps do not carry it.

    Raises:
        AnalysisError: a missing column, a row twice, a verdict or stratum of an unknown step, an
            unknown label, several instruments, a question without traces.
        UsageError: min_questions below 1.
    """
    before, after = arms.steps
    parts, weighted = (
        _strata(before, after, stratum_weights(*(right(votes, arms.gold) for votes in arms.ballots)))
        for right in (plurality_right, right_share)
    )
    sizes = resolutions(arms.steps)
    own, reads = headline_of(sizes, cells)
    return AuditResult(
        before=_arm_audit(before),
        after=_arm_audit(after),
        instrument=arms.instrument,
        claims=claims_of(arms.steps),
        delta=ratio_difference_interval(*arms.sums),
        delta_se=ratio_difference(*arms.sums).se,
        delta_question_weighted=question_weighted_difference(*arms.sums),
        before_answer=_before_answer(before, after),
        both_correct=parts[0],
        both_correct_named=_both_named_right(arms),
        both_right_bounds=bounds_of(arms),
        both_correct_traces=_right_traces(before, after),
        strata=parts,
        strata_weighted=weighted,
        roles=_roles(before, after),
        split=_split(before, after, False, min_questions),
        split_by_stratum=_split(before, after, True, min_questions)
        if before.has_strata and after.has_strata
        else None,
        resolutions=sizes,
        cells=own.name,
        within_reads=reads,
    )


def _arm_audit(arm: ArmSteps) -> ArmAudit:
    labels = arm.steps["label"].value_counts()
    n = {label: int(labels.get(label, 0)) for label in ("correct", "erroneous", "abstain", "not_checkable")}
    judged = n["correct"] + n["erroneous"]
    claims = judged + n["abstain"]
    verdicts = claims + n["not_checkable"]
    return ArmAudit(
        arm=arm.name,
        error_rate=rate_interval(*(by_text(column, arm.text) for column in (arm.erroneous(), arm.judged()))),
        abstain_rate=n["abstain"] / claims if claims else None,
        not_checkable_rate=n["not_checkable"] / verdicts if verdicts else None,
        n_steps=len(arm.steps),
        n_judged=judged,
        n_correct=n["correct"],
        n_erroneous=n["erroneous"],
        n_abstain=n["abstain"],
        n_not_checkable=n["not_checkable"],
        n_api_failure=int(labels.get("api_failure", 0)),
        n_parse_failure=int(labels.get("parse_failure", 0)),
        n_without_verdict=int((arm.steps["label"] == "").sum()),
        n_traces=arm.n_traces,
        n_traces_audited=arm.n_audited,
        n_traces_without_steps=arm.n_without_steps,
        n_behind_answer=int(arm.steps["behind_answer"].sum()),
        steps_per_trace=arm.n_audited_steps / arm.n_audited if arm.n_audited else None,
    )


def _strata(before: ArmSteps, after: ArmSteps, weights: dict[str, Floats]) -> tuple[SubsetDelta, ...]:
    sums = counts_of(Pair(before, after))
    return tuple(SubsetDelta.of(name, sums, own, before.text) for name, own in weights.items())


def _both_named_right(arms: Arms) -> SubsetDelta:
    """Where the vote of the traces that name an option is right in both arms."""
    named = [votes.copy() for votes in arms.ballots]
    for votes in named:
        votes[votes[:, :-1].sum(axis=1) > 0, -1] = 0
    right = [plurality_right(votes, arms.gold) for votes in named]
    weights = (right[0] & right[1]).astype(np.float64)
    return SubsetDelta.of("both_named", counts_of(arms.steps), weights, arms.text)


def _before_answer(before: ArmSteps, after: ArmSteps) -> SubsetDelta:
    arms = Pair(before, after)
    among = Pair(*(~arm.steps["behind_answer"].to_numpy(dtype=bool) for arm in arms))
    return SubsetDelta.of("before_answer", counts_of(arms, among), np.ones(before.n_questions), before.text)


def _right_traces(before: ArmSteps, after: ArmSteps) -> SubsetDelta:
    arms = Pair(before, after)
    among = Pair(*(arm.steps["trace_right"].to_numpy() for arm in arms))
    part = before.has_right_trace & after.has_right_trace
    return SubsetDelta.of("right_traces", counts_of(arms, among), part.astype(np.float64), before.text)


def _roles(before: ArmSteps, after: ArmSteps) -> tuple[RoleAudit, ...]:
    rows = []
    for role in sorted({*before.steps["role"], *after.steps["role"]}):
        in0, in1 = ((arm.steps["role"] == role).to_numpy() for arm in (before, after))
        sums = counts_of(Pair(before, after), Pair(in0, in1))
        present = ((sums[1] > 0) | (sums[3] > 0)).astype(np.float64)
        rows.append(
            RoleAudit(
                role=role,
                errors=SubsetDelta.of(role, sums, present, before.text),
                claims_per_trace_before=before.claims_per_trace(in0),
                claims_per_trace_after=after.claims_per_trace(in1),
            )
        )
    return tuple(rows)


def _split(before: ArmSteps, after: ArmSteps, by_stratum: bool, min_questions: int) -> Split:
    arms = (before, after)
    names = [arm.kinds(by_stratum) for arm in arms]
    kinds = sorted({kind for arm, own in zip(arms, names, strict=True) for kind in own[arm.is_judged]})
    tables = []
    for arm, own in zip(arms, names, strict=True):
        column = pd.Index(kinds, dtype=object).get_indexer(pd.Index(own, dtype=object))
        errors, judged = np.zeros((2, arm.n_questions, len(kinds)), dtype=np.int64)
        for i in range(len(kinds)):
            errors[:, i], judged[:, i] = arm.erroneous(column == i), arm.judged(column == i)
        tables += [by_text(errors, arm.text), by_text(judged, arm.text)]
    return split_by_kind(tables[0], tables[1], tables[2], tables[3], kinds, min_questions=min_questions)


__all__ = ["ArmAudit", "AuditResult", "RoleAudit", "SubsetDelta", "analyse"]


def audit_of(study: Study, control: str | None = None) -> AuditResult:
    """What happened to the steps."""
    return analyse(Arms.of(study, control), cells=study.settings.confirmatory.cells)


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Step error of both arms, where its change comes from, for summary.json."""
    names = ("error_rate", "abstain_rate", "not_checkable_rate", "n_steps", "n_judged")
    return {arm: pick(result[role], names) for role, arm in arms.items()} | {
        "delta": pick(result["delta"], INTERVAL),
        "claims": {
            name: {arm: result["claims"][name][role]["estimate"] for role, arm in arms.items()}
            | {"difference": pick(result["claims"][name]["difference"], INTERVAL)}
            for name in ("right", "wrong", "any_wrong")
        },
        "both_correct": pick(result["both_correct"], (*INTERVAL, "n_questions")),
        "both_correct_named": pick(result["both_correct_named"], (*INTERVAL, "n_questions")),
        "within_reads": result["within_reads"],
        "split": pick(result["split"], ("common_composition", "common_within", "unshared")),
    }
