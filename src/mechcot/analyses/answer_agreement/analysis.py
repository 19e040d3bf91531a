"""Do the rules and a judge's server read the same answers off? Arm by arm, in both directions.

Rules that read one arm's manner of writing and miss the other's make a difference out of none. A server
that reads the answers too errs in other ways, so where both give the same difference it is not the rules'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.arms import on_questions, pair_of
from mechcot.core.errors import AnalysisError
from mechcot.core.records import TRACE_KEY, rows
from mechcot.core.results import Interval, Pair, Result
from mechcot.stats.frames import require_columns, require_unique
from mechcot.stats.jackknife import rate_interval, ratio_difference_interval

if TYPE_CHECKING:
    from mechcot.study.folder import Study

_FAILED = ("api_failure", "parse_failure")
_SHOWN, _LAST = 5, 160  # traces, and characters of each


@dataclass(frozen=True)
class Disagreement(Result):
    """A trace that the two read differently.

    Attributes:
        qid: its question.
        cid: which sample.
        rules: the option that the rules read, "" for none.
        rule: which rule, or why there is none.
        judge: the option that the server reads, else its outcome.
        end: the trace's last words.
    """

    qid: str
    cid: int
    rules: str
    rule: str
    judge: str
    end: str


@dataclass(frozen=True)
class ArmAgreement(Result):
    """How far the two readings of one arm's answers agree.

    Attributes:
        arm: its name.
        n_traces: traces.
        n_not_asked: empty, or cut by the token limit: without an answer for both.
        n_failed: without a reply that could be read; in no rate.
        n_same: both read the same option.
        n_differ: both read an option, another one each.
        n_rules_only: the rules alone read one.
        n_judge_only: the server alone reads one.
        n_neither: neither does.
        n_judge_ambiguous: of the traces that the server gives no option, those it calls ambiguous.
        agreement: share of same and neither among the traces with a reply.
        rules_confirmed: of the answers that the rules read, those that the server reads the same.
        judge_confirmed: of the answers that the server reads, those that the rules read the same.
        accuracy_rules: right answers by the rules, of all traces that did not fail.
        accuracy_judge: the same by the server.
        disagreements: some of them, at most five.
    """

    arm: str
    n_traces: int
    n_not_asked: int
    n_failed: int
    n_same: int
    n_differ: int
    n_rules_only: int
    n_judge_only: int
    n_neither: int
    n_judge_ambiguous: int
    agreement: Interval
    rules_confirmed: Interval
    judge_confirmed: Interval
    accuracy_rules: Interval
    accuracy_judge: Interval
    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True, repr=False)
class AnswerAgreementResult(Result):
    """The rules and a server on the answers of two arms.

    Attributes:
        arms: both arms of the contrast.
        instrument: the server's reading.
        delta_rules: right answers after - before, by the rules.
        delta_judge: the same by the server.
    """

    arms: Pair[ArmAgreement]
    instrument: str
    delta_rules: Interval
    delta_judge: Interval

    table = "arms"

    def __repr__(self) -> str:
        told = "; ".join(f"{one.arm} {one.agreement}" for one in self.arms)
        return f"AnswerAgreementResult({self.instrument}: agreement {told})"


def analyse(
    questions: pd.DataFrame, traces: Pair[pd.DataFrame], read: Pair[pd.DataFrame]
) -> AnswerAgreementResult:
    """Compare the answers that the rules read with those that a server reads.

    Args:
        questions: rows of `records.QUESTIONS` (used: qid, options, gold).
        traces: rows of `records.TRACES` of both arms, as the rules read them.
        read: rows of `records.ANSWERS` of the same traces.

    Raises:
        AnalysisError: a column is missing, a trace has no reading or two, or there is more than one
            instrument.
    """
    joined = Pair(*(_joined(one, own, questions) for one, own in zip(traces, read, strict=True)))
    names = sorted({name for table in joined for name in table.instrument})
    if len(names) != 1:
        raise AnalysisError(f"answers read by {len(names)} instruments: {names}; one for both arms is needed")
    counts = Pair(*(_by_question(table, questions) for table in joined))
    deltas = [
        ratio_difference_interval(
            counts.before[name], counts.before.counted, counts.after[name], counts.after.counted
        )
        for name in ("rules_right", "judge_right")
    ]
    arms = Pair(*(_arm(table, own, questions) for table, own in zip(joined, counts, strict=True)))
    return AnswerAgreementResult(arms, names[0], deltas[0], deltas[1])


def _joined(traces: pd.DataFrame, read: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    """A row a trace: what the rules and the server read, and what follows from them."""
    require_columns(traces, [*TRACE_KEY, "answer", "answer_rule", "text"], "traces")
    require_columns(read, [*TRACE_KEY, "instrument", "outcome", "answer"], "answers")
    require_unique(read, TRACE_KEY, "answers")
    both = traces.merge(
        read.rename(columns={"answer": "judged"})[[*TRACE_KEY, "instrument", "outcome", "judged"]],
        on=TRACE_KEY,
        how="left",
        validate="one_to_one",
    )
    if both.outcome.isna().any():
        lost = both[both.outcome.isna()].iloc[0]
        raise AnalysisError(f"question '{lost.qid}', trace {lost.cid}: its answer was not read by the judge")
    gold = both.qid.map(questions.set_index("qid").gold)
    rules, judged = both.answer >= 0, both.judged >= 0
    replied = ~both.outcome.isin(("not_asked", *_FAILED))
    same = rules & judged & (both.answer == both.judged)
    return both.assign(
        replied=replied,
        counted=~both.outcome.isin(_FAILED),
        same=replied & same,
        differ=replied & rules & judged & ~same,
        rules_only=replied & rules & ~judged,
        judge_only=replied & judged & ~rules,
        neither=replied & ~rules & ~judged,
        rules_read=replied & rules,
        judge_read=replied & judged,
        rules_right=~both.outcome.isin(_FAILED) & (both.answer == gold),
        judge_right=both.judged == gold,
    )


_SUMMED = (
    *("replied", "counted", "same", "differ", "rules_only", "judge_only", "neither"),
    *("rules_read", "judge_read", "rules_right", "judge_right"),
)


def _by_question(table: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    """Counts of each question [questions]."""
    return table.groupby("qid")[list(_SUMMED)].sum().reindex(questions.qid).fillna(0)


def _arm(table: pd.DataFrame, counts: pd.DataFrame, questions: pd.DataFrame) -> ArmAgreement:
    n = table[list(_SUMMED)].sum()
    return ArmAgreement(
        arm=str(table.arm.iloc[0]),
        n_traces=len(table),
        n_not_asked=int((table.outcome == "not_asked").sum()),
        n_failed=int((~table.counted).sum()),
        n_same=int(n.same),
        n_differ=int(n.differ),
        n_rules_only=int(n.rules_only),
        n_judge_only=int(n.judge_only),
        n_neither=int(n.neither),
        n_judge_ambiguous=int((table.outcome == "ambiguous").sum()),
        agreement=rate_interval(counts.same + counts.neither, counts.replied),
        rules_confirmed=rate_interval(counts.same, counts.rules_read),
        judge_confirmed=rate_interval(counts.same, counts.judge_read),
        accuracy_rules=rate_interval(counts.rules_right, counts.counted),
        accuracy_judge=rate_interval(counts.judge_right, counts.counted),
        disagreements=_disagreements(table, questions),
    )


def _disagreements(table: pd.DataFrame, questions: pd.DataFrame) -> tuple[Disagreement, ...]:
    """The first of each kind in turn, so that a frequent kind does not hide the others."""
    options = dict(zip(questions.qid, questions.options, strict=True))
    kinds = np.select([table.differ, table.rules_only, table.judge_only], [0, 1, 2], default=3)
    told = table.assign(kind=kinds)[kinds < 3].sort_values(["qid", "cid"])
    told = told.assign(turn=told.groupby("kind").cumcount()).sort_values(["turn", "kind"], kind="stable")

    def named(qid: str, option: int) -> str:
        return str(options[qid][option]) if option >= 0 else ""

    return tuple(
        Disagreement(
            row.qid,
            int(row.cid),
            named(row.qid, row.answer),
            row.answer_rule,
            named(row.qid, row.judged) or row.outcome,
            " ".join(row.text.split())[-_LAST:],
        )
        for row in rows(told[:_SHOWN])
    )


def answer_agreement_of(study: Study) -> AnswerAgreementResult:
    """Whether the rules and a judge read the same answers off.

    Raises:
        AnalysisError: the settings name no judge for answers.
    """
    if study.settings.answers.judge is None:
        raise AnalysisError(
            "no judge reads the answers beside the rules; write into the settings\n  answers: {judge: kimi}\n"
            f"or give it to the study: mechcot run {study.path} --set answers.judge=kimi"
        )
    questions = study.questions(study.settings.contrast.domain)
    pair = pair_of(study)
    traces = Pair(*(on_questions(questions, study.traces(arm)) for arm in pair))
    read = Pair(*(on_questions(questions, study.answers_read(arm)) for arm in pair))
    return analyse(questions, traces, read)


def asked(settings: Any) -> bool:
    """Whether a study's settings name a judge for answers."""
    return settings.answers.judge is not None
