"""Did the reasoning get worse? Step error before and after, and where its change comes from.

Error rate = erroneous / (correct + erroneous). `abstain` and `not_checkable` stand outside it,
each with a rate of its own; failures of the instrument are counted and are no verdicts.
Differences are after - before; every interval resamples questions, both arms together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mechcot.analyses.arms import (
    ArmSteps,
    SubsetDelta,
    arm_steps,
    contrast_of,
    draws_of,
    of_both,
    on_questions,
    right_share,
    stratum_weights,
)
from mechcot.analyses.audit.result import ArmAudit, AuditResult, RoleAudit
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.stats.cluster import (
    Floats,
    bootstrap_ratio,
    bootstrap_ratio_difference,
    question_weighted_difference,
    ratio_difference,
)
from mechcot.stats.decomposition import Split, split_by_kind
from mechcot.stats.frames import check_questions, trace_votes
from mechcot.stats.votes import plurality_right

if TYPE_CHECKING:
    from mechcot.study.folder import Study


def analyse(
    questions: pd.DataFrame,
    traces_before: pd.DataFrame,
    steps_before: pd.DataFrame,
    verdicts_before: pd.DataFrame,
    traces_after: pd.DataFrame,
    steps_after: pd.DataFrame,
    verdicts_after: pd.DataFrame,
    *,
    draws: int = 10_000,
    seed: int = 0,
    strata: pd.DataFrame | None = None,
    min_steps: int = 1,
) -> AuditResult:
    """Compare the step error of two arms on the same questions under one instrument.

    Args:
        questions: rows of `records.QUESTIONS` (used: qid, options, gold).
        traces_before: rows of `records.TRACES` before (used: qid, arm, cid, answer), at least
            one for every question; all of them vote.
        steps_before: rows of `records.STEPS` before (used: the step key, role, n_words).
        verdicts_before: rows of `records.VERDICTS` of one instrument. Steps without a row are
            counted and used for nothing else.
        traces_after: the same after.
        steps_after: the same after.
        verdicts_after: the same after.
        draws: bootstrap replicates of the questions.
        seed: of the resampling.
        strata: a stratum for steps: the step key and `stratum` (the claims table serves), rows
            of both arms; other arms' rows are ignored. Several different strata of one step make
            "mixed". Without it a `stratum` column of both verdict or both step tables is used.
        min_steps: judged steps that a kind needs in both arms to count as shared in the splits.

    Raises:
        AnalysisError: a missing column, a row twice, a verdict or stratum of an unknown step, an
            unknown label, several instruments, a question without traces.
        UsageError: draws or min_steps below 1.
    """
    index, gold = check_questions(questions)
    arms = [
        arm_steps(index, gold, traces, steps, verdicts, strata, when)
        for traces, steps, verdicts, when in (
            (traces_before, steps_before, verdicts_before, "before"),
            (traces_after, steps_after, verdicts_after, "after"),
        )
    ]
    before, after = arms
    ballots = [
        trace_votes(questions, traces, f"traces {when}")
        for traces, when in ((traces_before, "before"), (traces_after, "after"))
    ]
    sums = (before.erroneous(), before.judged(), after.erroneous(), after.judged())
    words = (before.erroneous(), before.words() / 100, after.erroneous(), after.words() / 100)
    parts, weighted = (
        _strata(before, after, stratum_weights(*(right(table, gold) for table in ballots)), draws, seed)
        for right in (plurality_right, right_share)
    )
    return AuditResult(
        before=_arm_audit(before, draws, seed),
        after=_arm_audit(after, draws, seed),
        instrument=_instrument(before, after),
        delta=bootstrap_ratio_difference(*sums, draws, seed),
        delta_se=ratio_difference(*sums).se,
        delta_question_weighted=question_weighted_difference(*sums, draws, seed),
        delta_per_100_words=bootstrap_ratio_difference(*words, draws, seed),
        both_correct=parts[0],
        both_correct_traces=_right_traces(before, after, draws, seed),
        strata=parts,
        strata_weighted=weighted,
        roles=_roles(before, after, draws, seed),
        split=_split(before, after, False, draws, seed, min_steps),
        split_by_stratum=_split(before, after, True, draws, seed, min_steps)
        if before.has_strata and after.has_strata
        else None,
        draws=draws,
        seed=seed,
    )


def _instrument(before: ArmSteps, after: ArmSteps) -> str:
    names = sorted({name for name in (before.instrument, after.instrument) if name})
    if not names:
        raise AnalysisError("verdicts before and after: both tables are empty; judge the steps first")
    if len(names) > 1:
        raise AnalysisError(f"the two arms were judged by different instruments: {names}; use one for both")
    return names[0]


def _arm_audit(arm: ArmSteps, draws: int, seed: int) -> ArmAudit:
    labels = arm.steps["label"].value_counts()
    n = {label: int(labels.get(label, 0)) for label in ("correct", "erroneous", "abstain", "not_checkable")}
    judged = n["correct"] + n["erroneous"]
    claims = judged + n["abstain"]
    verdicts = claims + n["not_checkable"]
    n_words = int(arm.words().sum())
    return ArmAudit(
        arm=arm.name,
        error_rate=bootstrap_ratio(arm.erroneous(), arm.judged(), draws, seed),
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
        steps_per_trace=arm.n_audited_steps / arm.n_audited if arm.n_audited else None,
        n_words=n_words,
        errors_per_100_words=100 * n["erroneous"] / n_words if n_words else None,
    )


def _strata(
    before: ArmSteps, after: ArmSteps, weights: dict[str, Floats], draws: int, seed: int
) -> tuple[SubsetDelta, ...]:
    sums = (before.erroneous(), before.judged(), after.erroneous(), after.judged())
    return tuple(SubsetDelta.of(name, sums, own, draws, seed) for name, own in weights.items())


def _right_traces(before: ArmSteps, after: ArmSteps, draws: int, seed: int) -> SubsetDelta:
    own0, own1 = before.steps["trace_right"].to_numpy(), after.steps["trace_right"].to_numpy()
    part = before.has_right_trace & after.has_right_trace
    sums = (before.erroneous(own0), before.judged(own0), after.erroneous(own1), after.judged(own1))
    return SubsetDelta.of("right_traces", sums, part.astype(np.float64), draws, seed)


def _roles(before: ArmSteps, after: ArmSteps, draws: int, seed: int) -> tuple[RoleAudit, ...]:
    rows = []
    for role in sorted({*before.steps["role"], *after.steps["role"]}):
        in0, in1 = ((arm.steps["role"] == role).to_numpy() for arm in (before, after))
        sums = (before.erroneous(in0), before.judged(in0), after.erroneous(in1), after.judged(in1))
        present = ((sums[1] > 0) | (sums[3] > 0)).astype(np.float64)
        rows.append(
            RoleAudit(
                role=role,
                errors=SubsetDelta.of(role, sums, present, draws, seed),
                claims_per_trace_before=before.claims_per_trace(in0),
                claims_per_trace_after=after.claims_per_trace(in1),
            )
        )
    return tuple(rows)


def _split(
    before: ArmSteps, after: ArmSteps, by_stratum: bool, draws: int, seed: int, min_steps: int
) -> Split:
    arms = (before, after)
    names = [arm.kinds(by_stratum) for arm in arms]
    kinds = sorted({kind for arm, own in zip(arms, names, strict=True) for kind in own[arm.is_judged]})
    tables = []
    for arm, own in zip(arms, names, strict=True):
        column = pd.Index(kinds, dtype=object).get_indexer(pd.Index(own, dtype=object))
        errors, judged = np.zeros((2, arm.n_questions, len(kinds)), dtype=np.int64)
        for i in range(len(kinds)):
            errors[:, i], judged[:, i] = arm.erroneous(column == i), arm.judged(column == i)
        tables += [errors, judged]
    return split_by_kind(tables[0], tables[1], tables[2], tables[3], kinds, draws, seed, min_steps=min_steps)


__all__ = ["ArmAudit", "AuditResult", "RoleAudit", "SubsetDelta", "analyse"]


def audit_of(study: Study, control: str | None = None) -> AuditResult:
    """What happened to the steps."""
    contrast = contrast_of(study, control)
    questions = study.questions(contrast.domain)
    tables = of_both(study, contrast, questions, study.traces, study.steps, study.verdicts)
    claims = pd.concat([study.claims(arm) for arm in {contrast.before, contrast.after}])
    strata = on_questions(questions, claims)[[*STEP_KEY, "stratum"]] if (claims.stratum != "").any() else None
    return analyse(questions, *tables, draws=draws_of(study), seed=study.settings.seed, strata=strata)
