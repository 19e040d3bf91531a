"""Did the answers get better? Accuracy, plurality votes, calibration, before and after.

A trace without an answer counts as wrong for accuracy and votes for a class of its own, which
can win and is never right. The same measures on the parsed answers alone stand beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.answers.named import BothNamed, both_named
from mechcot.analyses.arms import contrast_of, traces_of
from mechcot.analyses.form import INTERVAL, pick
from mechcot.core.errors import AnalysisError
from mechcot.core.records import rows
from mechcot.core.results import OPTIONAL, SPREAD, Interval, Pair, Result, because
from mechcot.stats.calibration import (
    brier_terms,
    ece,
    recalibration_slope,
    recalibration_slope_difference,
    signed_gap,
    squared_calibration_difference,
    squared_calibration_error,
)
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.frames import (
    check_questions,
    cut_off,
    one_arm,
    require_columns,
    text_codes,
    trace_votes,
)
from mechcot.stats.jackknife import by_text, mean_interval, rate_interval
from mechcot.stats.mcnemar import ClusteredMcNemar, McNemar, mcnemar_clustered, mcnemar_exact
from mechcot.stats.self_consistency import sc_at_k
from mechcot.stats.votes import plurality_right, shared_tie_score, vote_confidence

if TYPE_CHECKING:
    from mechcot.study.folder import Study

_NO_ANSWER_AT_ALL = "no question has an answer that could be read"
_UNREAD_ARM = "no answer of an arm could be read, so no vote says how sure it is"
_UNREAD, _LAST = 5, 160  # traces, and characters of each
_LONGEST_CURVE = 128  # the work grows with the cube of k


@dataclass(frozen=True)
class VoteScores(Result):
    """What a vote over the traces of each question is worth.

    Attributes:
        sc: mean plurality score, winners of a tie sharing the point.
        ece: expected calibration error of the winner's vote share, 10 bins of equal width; like all that
            follow None where no trace gives an answer that could be read.
        ece_equal_mass: the same with bins of about equally many questions.
        ece_squared: squared gaps of the equal-width bins, without the bias that makes the other two
            positive for a calibrated vote; below 0 where noise alone would make more.
        gap: mean vote share of the winner minus share of right votes; above 0 the vote is too sure.
        slope: of being right on the vote share, 1 if calibrated; None where all shares are the same.
        brier: mean squared error of the winner's vote share.
        n_questions: questions with a vote.
    """

    sc: float
    ece: float | None = field(metadata=because(_UNREAD_ARM))
    ece_equal_mass: float | None = field(metadata=because(_UNREAD_ARM))
    ece_squared: float | None = field(metadata=because(_UNREAD_ARM))
    gap: float | None = field(metadata=because(_UNREAD_ARM))
    slope: float | None = field(metadata=because("all vote shares are the same"))
    brier: float | None = field(metadata=because(_UNREAD_ARM))
    n_questions: int


@dataclass(frozen=True)
class Unread(Result):
    """A trace whose answer no rule could read.

    Attributes:
        qid: its question.
        cid: which sample.
        why: there is none.
        end: its last words.
    """

    qid: str
    cid: int
    why: str
    end: str


@dataclass(frozen=True)
class ArmAnswers(Result):
    """The answers of one arm.

    Attributes:
        arm: its name.
        accuracy: share of traces with the right answer; a trace without an answer is wrong.
        k: traces of each question.
        n_questions: questions.
        n_traces: traces.
        share_no_answer: share of traces without an answer.
        share_truncated: share of traces that the token limit cut before they had answered.
        votes: scores with "no answer" as a class that can win.
        answered_only: scores with the parsed answers alone, on the questions that have one; None if
            there is none.
        rules: which rule read the answer off, or why there is none, to its share of the traces.
        unread: some traces without an answer, at most five: how they end.
        sc_at_k: expected plurality score of a vote over 1, 2, ... of the k traces, "no answer" a
            class that can win; entry i is SC@(i + 1), the last is `votes.sc` (up to k = 128).
        sc_interval: `votes.sc` with its own interval, questions left out one by one.
        sc_at_k_interval: each entry of `sc_at_k` with its own.
    """

    arm: str
    accuracy: float
    k: int
    n_questions: int
    n_traces: int
    share_no_answer: float
    share_truncated: float
    votes: VoteScores = field(metadata=SPREAD)
    rules: dict[str, float]
    unread: tuple[Unread, ...]
    sc_at_k: tuple[float, ...]
    answered_only: VoteScores | None = field(metadata=because(_NO_ANSWER_AT_ALL))
    sc_interval: Interval | None = field(default=None, metadata=OPTIONAL)
    sc_at_k_interval: tuple[Interval, ...] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class AnswersResult(Result):
    """Two arms' answers to the same questions, and the paired differences (after - before).

    The intervals leave out question by question. An ECE's difference has none: its noise is in both arms'
    values. Whether calibration changed is said by `delta_gap` and `delta_slope`, of the realised k-vote
    confidence, k being the same in both arms; `delta_ece_squared` is what noise does not add to.
    `mcnemar` sorts questions by whether gold is the one and
    only winner of the vote (a tie is not right), so gained - lost over the questions need not
    equal `delta_sc`, in which a tie keeps its share. `mcnemar_traces` tests single traces,
    questions as clusters. `named` is the vote where both arms name an option.
    """

    before: ArmAnswers
    after: ArmAnswers
    delta_accuracy: Interval
    delta_sc: Interval
    delta_ece: float | None = field(metadata=because(_UNREAD_ARM))
    delta_ece_equal_mass: float | None = field(metadata=because(_UNREAD_ARM))
    delta_ece_squared: Interval
    delta_gap: Interval
    delta_slope: Interval
    delta_brier: Interval
    mcnemar: McNemar
    mcnemar_traces: ClusteredMcNemar
    named: BothNamed

    table = "measures"

    @property
    def measures(self) -> list[dict[str, Any]]:
        """A row per measure: before, after, the difference with its interval."""
        sides = [{"accuracy": arm.accuracy, **vars(arm.votes)} for arm in (self.before, self.after)]
        deltas = {name: getattr(self, f"delta_{name}") for name in sides[0] if name != "n_questions"}
        return [
            {"measure": name, "before": sides[0][name], "after": sides[1][name], "difference": delta}
            for name, delta in deltas.items()
        ]

    def __repr__(self) -> str:
        return (
            f"AnswersResult({self.before.arm} -> {self.after.arm}, k={self.before.k}: SC"
            f" {self.before.votes.sc:.3f} -> {self.after.votes.sc:.3f}, difference {self.delta_sc};"
            f" ECE {self.before.votes.ece:.3f} -> {self.after.votes.ece:.3f})"
        )


def analyse(
    questions: pd.DataFrame,
    traces_before: pd.DataFrame,
    traces_after: pd.DataFrame,
) -> AnswersResult:
    """Compare the answers of two arms to the same questions.

    Args:
        questions: rows of `records.QUESTIONS` (used: qid, options, gold).
        traces_before: rows of `records.TRACES` of the arm before (used: qid, arm, cid, answer,
            finish_reason), the same number k for every question.
        traces_after: the same of the arm after, with the same k.

    Raises:
        AnalysisError: a missing column, a question without traces or with another k, a trace of
            an unknown question, a trace twice, an answer that is not an option.
    """
    _, gold = check_questions(questions)
    tables = [
        trace_votes(questions, traces, what)
        for traces, what in ((traces_before, "traces before"), (traces_after, "traces after"))
    ]
    _check_equal_k(questions, tables[0], tables[1])
    text = text_codes(questions)  # equal texts are one question in every interval
    before = _arm(tables[0], gold, text, traces_before, "traces before")
    after = _arm(tables[1], gold, text, traces_after, "traces after")
    scores = [shared_tie_score(table, gold) for table in tables]
    shares = [vote_confidence(table) for table in tables]
    accuracy = [_accuracy(table, gold) for table in tables]
    brier = [brier_terms(share, score) for share, score in zip(shares, scores, strict=True)]
    delta_sc = mean_interval(scores[1] - scores[0], text)
    paired = (shares[0], scores[0], shares[1], scores[1])
    read = all(table[:, :-1].any() for table in tables)
    none = Interval(None, None, None, len(gold), "none", _UNREAD_ARM)
    return AnswersResult(
        before=before,
        after=after,
        delta_accuracy=mean_interval(accuracy[1] - accuracy[0], text),
        delta_sc=delta_sc,
        delta_ece=_minus(after.votes.ece, before.votes.ece),
        delta_ece_equal_mass=_minus(after.votes.ece_equal_mass, before.votes.ece_equal_mass),
        delta_ece_squared=squared_calibration_difference(*paired, text) if read else none,
        delta_gap=mean_interval(signed_gap(*paired[2:]) - signed_gap(*paired[:2]), text) if read else none,
        delta_slope=recalibration_slope_difference(*paired, text) if read else none,
        delta_brier=mean_interval(brier[1] - brier[0], text) if read else none,
        mcnemar=mcnemar_exact(plurality_right(tables[0], gold), plurality_right(tables[1], gold), text),
        mcnemar_traces=_single_traces(text, tables, gold),
        named=both_named(Pair(*tables), gold, text, delta_sc),
    )


def _check_equal_k(questions: pd.DataFrame, before: Ints, after: Ints) -> None:
    k = np.stack([before.sum(axis=1), after.sum(axis=1)], axis=1)
    sizes, counts = np.unique(k, return_counts=True)
    usual = int(sizes[counts.argmax()])
    odd = np.argwhere(k != usual)
    if len(odd):
        row, arm = (int(i) for i in odd[0])
        qid, when = questions["qid"].iloc[row], ("before", "after")[arm]
        raise AnalysisError(
            f"question {qid} has {k[row, arm]} traces {when}, most have {usual}: every question"
            " needs the same number in both arms. Sample what is missing or drop the question"
        )


def _right_of(table: Ints, gold: Ints) -> tuple[Ints, Ints]:
    """Traces that answer gold, and all traces, [questions] each."""
    return table[np.arange(len(table)), gold], table.sum(axis=1)


def _single_traces(text: Ints, tables: list[Ints], gold: Ints) -> ClusteredMcNemar:
    return mcnemar_clustered(
        *(by_text(column, text) for table in tables for column in _right_of(table, gold))
    )


def _accuracy(table: Ints, gold: Ints) -> Floats:
    """Share of each question's traces that answer gold [questions]."""
    right, traces = _right_of(table, gold)
    return right / traces


def _arm(table: Ints, gold: Ints, text: Ints, traces: pd.DataFrame, what: str) -> ArmAnswers:
    require_columns(traces, ["finish_reason"], what)
    parsed = table.copy()
    parsed[:, -1] = 0
    some = parsed.sum(axis=1) > 0
    curve = sc_at_k(table, gold, min(int(table[0].sum()), _LONGEST_CURVE))
    return ArmAnswers(
        arm=one_arm(traces, what),
        accuracy=float(_accuracy(table, gold).mean()),
        k=int(table[0].sum()),
        n_questions=len(table),
        n_traces=len(traces),
        share_no_answer=float(table[:, -1].sum() / len(traces)),
        share_truncated=float(cut_off(traces).mean()),
        votes=_vote_scores(table, gold, text),
        answered_only=_vote_scores(parsed[some], gold[some], text[some]) if some.any() else None,
        rules=_rules(traces),
        unread=_unread(traces),
        sc_at_k=tuple(float(value) for value in curve.mean(axis=0)),
        sc_interval=_share(shared_tie_score(table, gold), text),
        sc_at_k_interval=tuple(_share(column, text) for column in curve.T),
    )


def _share(score: Floats, text: Ints) -> Interval:
    """Mean of a number between 0 and 1 a question, with its interval."""
    return rate_interval(by_text(score, text), by_text(np.ones(len(score)), text))


def _rules(traces: pd.DataFrame) -> dict[str, float]:
    """Share of each rule; empty for tables that do not name them."""
    if "answer_rule" not in traces.columns:
        return {}
    shares = traces["answer_rule"].value_counts(normalize=True)
    return {str(rule): float(shares[rule]) for rule in sorted(shares.index)}


def _unread(traces: pd.DataFrame) -> tuple[Unread, ...]:
    """The first traces without an answer that the token limit did not cut, in order."""
    if not {"answer_rule", "text"} <= set(traces.columns):
        return ()
    silent = (traces["answer"] < 0) & ~cut_off(traces)
    own = traces[silent].sort_values(["qid", "cid"])[:_UNREAD]
    return tuple(
        Unread(row.qid, int(row.cid), row.answer_rule, " ".join(row.text.split())[-_LAST:])
        for row in rows(own)
    )


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _vote_scores(table: Ints, gold: Ints, text: Ints) -> VoteScores:
    score, confidence = shared_tie_score(table, gold), vote_confidence(table)
    if not table[:, :-1].any():
        return VoteScores(float(score.mean()), None, None, None, None, None, None, len(table))
    return VoteScores(
        sc=float(score.mean()),
        ece=ece(confidence, score),
        ece_equal_mass=ece(confidence, score, scheme="mass"),
        ece_squared=squared_calibration_error(confidence, score, text=text),
        gap=float(signed_gap(confidence, score).mean()),
        slope=recalibration_slope(confidence, score).estimate,
        brier=float(brier_terms(confidence, score).mean()),
        n_questions=len(table),
    )


def answers_of(study: Study, control: str | None = None) -> AnswersResult:
    """What happened to the answers."""
    questions = study.questions(contrast_of(study, control).domain)
    return analyse(questions, *traces_of(study, control))


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Right answers and calibration of both arms, for summary.json."""
    names = ("accuracy", "sc", "ece", "k", "n_questions")
    return {arm: pick(result[role], names) for role, arm in arms.items()} | {
        "delta_sc": pick(result["delta_sc"], INTERVAL),
        "both_named": {
            "n_questions": result["named"]["n_questions"],
            **{arm: result["named"]["sc"][role] for role, arm in arms.items()},
            "delta_sc": pick(result["named"]["delta_sc"], INTERVAL),
            "naming": pick(result["named"]["naming"], INTERVAL),
        },
    }
