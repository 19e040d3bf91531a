"""What the step audit returns: two arms, their paired differences, the kinds behind them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from mechcot.analyses.arms import SubsetDelta
from mechcot.core.results import Interval, Result, leaf
from mechcot.stats.decomposition import Split


@dataclass(frozen=True)
class ArmAudit:
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
        steps_per_trace: steps of audited traces over audited traces.
        n_words: words in steps that got a verdict (failures excluded).
        errors_per_100_words: 100 n_erroneous / n_words.
    """

    arm: str
    error_rate: Interval
    abstain_rate: float | None
    not_checkable_rate: float | None
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
    steps_per_trace: float | None
    n_words: int
    errors_per_100_words: float | None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; `error_rate` is a number, its interval stands beside it."""
        values = asdict(self)
        values["error_rate"] = leaf(self.error_rate.estimate, self.error_rate.reason)
        values["error_rate_interval"] = self.error_rate.to_json()
        values["abstain_rate"] = leaf(self.abstain_rate, "no claim was judged or abstained on")
        values["not_checkable_rate"] = leaf(self.not_checkable_rate, "no step has a verdict")
        values["steps_per_trace"] = leaf(self.steps_per_trace, "no trace was audited")
        values["errors_per_100_words"] = leaf(self.errors_per_100_words, "no words in judged steps")
        return values


@dataclass(frozen=True)
class RoleAudit:
    """The steps of one role.

    Attributes:
        role: its name.
        errors: the difference of its step error and both rates.
        claims_per_trace_before: correct, erroneous and abstained steps over audited traces.
        claims_per_trace_after: the same after.
    """

    role: str
    errors: SubsetDelta
    claims_per_trace_before: float | None
    claims_per_trace_after: float | None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "role": self.role,
            **self.errors.to_json(),
            "claims_per_trace_before": leaf(self.claims_per_trace_before, "no trace was audited"),
            "claims_per_trace_after": leaf(self.claims_per_trace_after, "no trace was audited"),
        }


@dataclass(frozen=True)
class AuditResult(Result):
    """Two arms' step error on the same questions, and the paired differences (after - before).

    Attributes:
        before: the arm before.
        after: the arm after.
        instrument: whose verdicts these are.
        delta: step-weighted difference (the primary one).
        delta_se: its linearised cluster standard error; None with fewer than two questions.
        delta_question_weighted: every question with judged steps in both arms weighs the same.
        delta_per_100_words: difference of errors per 100 words.
        both_correct: on the questions that both arms' plurality gets right (ties are not right).
            This sorts questions by something that happened after training: read it beside
            `strata`.
        both_correct_traces: only traces whose own answer is right, in questions where both arms
            have such a trace.
        strata: all four parts by plurality: "both", "only_before", "only_after", "neither" right.
        strata_weighted: the same four with every question in all of them, by the shares of its votes
            that are right (see `arms.stratum_weights`).
        roles: one row per role of step.
        split: the difference in three terms, by role.
        split_by_stratum: the same by role and stratum; None where no strata were given.
        draws: bootstrap replicates.
        seed: of the resampling.
    """

    before: ArmAudit
    after: ArmAudit
    instrument: str
    delta: Interval
    delta_se: float | None
    delta_question_weighted: Interval
    delta_per_100_words: Interval
    both_correct: SubsetDelta
    both_correct_traces: SubsetDelta
    strata: tuple[SubsetDelta, ...]
    strata_weighted: tuple[SubsetDelta, ...]
    roles: tuple[RoleAudit, ...]
    split: Split
    split_by_stratum: Split | None
    draws: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """The whole result as JSON values."""
        no_strata = "the steps carry no strata"
        return {
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "instrument": self.instrument,
            "delta": {**self.delta.to_json(), "se": leaf(self.delta_se, "fewer than two questions")},
            "delta_question_weighted": self.delta_question_weighted.to_json(),
            "delta_per_100_words": self.delta_per_100_words.to_json(),
            "both_correct": self.both_correct.to_json(),
            "both_correct_traces": self.both_correct_traces.to_json(),
            "strata": {part.name: part.to_json() for part in self.strata},
            "strata_weighted": {part.name: part.to_json() for part in self.strata_weighted},
            "roles": [role.to_json() for role in self.roles],
            "split": self.split.to_json(),
            "split_by_stratum": self.split_by_stratum.to_json()
            if self.split_by_stratum
            else leaf(None, no_strata),
            "draws": self.draws,
            "seed": self.seed,
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per role: both rates, counts, claims per trace, difference, low, high."""
        rows = [
            {
                "role": role.role,
                "error_before": role.errors.rate_before,
                "error_after": role.errors.rate_after,
                "n_before": role.errors.n_judged_before,
                "n_after": role.errors.n_judged_after,
                "claims_per_trace_before": role.claims_per_trace_before,
                "claims_per_trace_after": role.claims_per_trace_after,
                "difference": role.errors.delta.estimate,
                "low": role.errors.delta.low,
                "high": role.errors.delta.high,
            }
            for role in self.roles
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        before, after = self.before, self.after
        return (
            f"AuditResult({before.arm} -> {after.arm}, {self.instrument}: step error"
            f" {before.n_erroneous}/{before.n_judged} -> {after.n_erroneous}/{after.n_judged},"
            f" difference {self.delta}; on questions both get right {self.both_correct.delta})"
        )
