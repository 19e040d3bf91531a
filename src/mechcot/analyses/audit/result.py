"""What the step audit returns: two arms, their paired differences, the kinds behind them."""

from __future__ import annotations

from dataclasses import dataclass, field

from mechcot.analyses.audit.claims import Claims
from mechcot.analyses.audit.resolution import Resolution
from mechcot.analyses.strata import SubsetDelta
from mechcot.core.results import SPREAD, Interval, Result, because, keyed
from mechcot.stats.both_right import BothRightBounds
from mechcot.stats.decomposition import Split


@dataclass(frozen=True)
class ArmAudit(Result):
    """The steps of one arm and what the instrument said of them.

    Rates are None where their denominator is empty. A trace is *audited* when at least one of
    its steps has a verdict; steps per trace and the words count audited traces alone.

    Attributes:
        arm: its name.
        error_rate: n_erroneous / n_judged, with an interval that resamples questions.
        abstain_rate: n_abstain / (n_judged + n_abstain).
        not_checkable_rate: n_not_checkable / (n_judged + n_abstain + n_not_checkable).
        n_steps: all steps.
        n_judged: correct and erroneous steps.
        n_correct: verdicts "correct".
        n_erroneous: verdicts "erroneous".
        n_abstain: verdicts "abstain".
        n_not_checkable: verdicts "not_checkable".
        n_api_failure: steps for which the instrument gave no verdict: the call failed.
        n_parse_failure: steps for which it gave none: its reply could not be read.
        n_without_verdict: steps without a verdict row.
        n_traces: all traces.
        n_traces_audited: traces with a verdict.
        n_traces_without_steps: traces in which no step was found.
        n_behind_answer: steps that follow the first statement of the trace's answer.
        steps_per_trace: steps of audited traces over audited traces.
    """

    arm: str
    error_rate: Interval
    abstain_rate: float | None = field(metadata=because("no claim was judged or abstained on"))
    not_checkable_rate: float | None = field(metadata=because("no step has a verdict"))
    n_steps: int
    n_judged: int
    n_correct: int
    n_erroneous: int
    n_abstain: int
    n_not_checkable: int
    n_api_failure: int
    n_parse_failure: int
    n_without_verdict: int
    n_traces: int
    n_traces_audited: int
    n_traces_without_steps: int
    n_behind_answer: int
    steps_per_trace: float | None = field(metadata=because("no trace was audited"))


@dataclass(frozen=True)
class RoleAudit(Result):
    """The steps of one role.

    Attributes:
        role: its name.
        errors: the difference of its step error and both rates.
        claims_per_trace_before: correct, erroneous and abstained steps over audited traces.
        claims_per_trace_after: the same after.
    """

    role: str
    errors: SubsetDelta = field(metadata=SPREAD)
    claims_per_trace_before: float | None = field(metadata=because("no trace was audited"))
    claims_per_trace_after: float | None = field(metadata=because("no trace was audited"))


@dataclass(frozen=True)
class AuditResult(Result):
    """Two arms' step error on the same questions, and the paired differences (after - before).

    Attributes:
        before: the arm before.
        after: the arm after.
        instrument: whose verdicts these are.
        claims: right and wrong claims a trace, counted.
        delta: step-weighted difference (the primary one).
        delta_se: its linearised cluster standard error; None with fewer than two questions.
        delta_question_weighted: every question with judged steps in both arms weighs the same.
        before_answer: the difference without the steps that follow the stated answer. All steps count in
            the primary one; an arm that answers first and one that reasons first differ here.
        both_correct: on the questions that both arms' plurality gets right (ties are not right).
            This sorts questions by something that happened after training: read it beside
            `strata`.
        both_correct_named: the same by the vote of the traces that name an option.
        both_right_bounds: what the change can be among traces that would be right in both arms, whichever
            those are (see `stats.both_right`); a trace's share of wrong steps, every trace the same.
        both_correct_traces: only traces whose own answer is right, in questions where both arms
            have such a trace.
        strata: all four parts by plurality: "both", "only_before", "only_after", "neither" right.
        strata_weighted: the same four with every question in all of them, by the shares of its votes
            that are right (see `arms.stratum_weights`).
        roles: one row per role of step.
        split: the difference in three terms, by role.
        split_by_stratum: the same by role and stratum; None where no strata were given.
        resolutions: the same with cells of several sizes, and whose shares weigh them.
        cells: the headline's resolution: that of the settings, or by kind where steps carry no strata.
        within_reads: what the within term reads there, see `resolution.headline_of`.
    """

    before: ArmAudit
    after: ArmAudit
    instrument: str
    claims: Claims
    delta: Interval
    delta_se: float | None = field(metadata=because("fewer than two questions"))
    delta_question_weighted: Interval
    before_answer: SubsetDelta
    both_correct: SubsetDelta
    both_correct_named: SubsetDelta
    both_right_bounds: BothRightBounds
    both_correct_traces: SubsetDelta
    strata: tuple[SubsetDelta, ...] = field(metadata=keyed("name"))
    strata_weighted: tuple[SubsetDelta, ...] = field(metadata=keyed("name"))
    roles: tuple[RoleAudit, ...]
    split: Split
    split_by_stratum: Split | None = field(metadata=because("the steps carry no strata"))
    resolutions: tuple[Resolution, ...] = field(metadata=keyed("name"))
    cells: str
    within_reads: str

    table = "roles"

    def __repr__(self) -> str:
        before, after = self.before, self.after
        return (
            f"AuditResult({before.arm} -> {after.arm}, {self.instrument}: step error"
            f" {before.n_erroneous}/{before.n_judged} -> {after.n_erroneous}/{after.n_judged},"
            f" difference {self.delta}; on questions both get right {self.both_correct.delta})"
        )
