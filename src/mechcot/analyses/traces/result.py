"""What the analysis of traces finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mechcot.core.results import OPTIONAL, Interval, Result, keyed


@dataclass(frozen=True)
class SubStepRates(Result):
    """One sub-step of an arm's traces, as shares of all that could be read.

    Attributes:
        name: of the sub-step.
        n: traces that have it in their form, the unreadable left out.
        correct: share that is right.
        wrong: share that says something else.
        missing: share that says nothing of it.
        right_if_correct: P(answer right | sub-step correct).
        right_if_wrong: P(answer right | sub-step wrong).
    """

    name: str
    n: int
    correct: Interval
    wrong: Interval
    missing: Interval
    right_if_correct: Interval
    right_if_wrong: Interval


@dataclass(frozen=True)
class ArmTraces(Result):
    """Traces and answers of one arm.

    A trace is right where every sub-step is. Intervals leave out one entity at a time: questions about the
    same one stand and fall together. A trace without an answer counts as wrong.

    Attributes:
        arm: its name.
        n_traces: all.
        n_questions: their questions.
        n_entities: those that the questions are about.
        n_unevaluable: traces in which no sub-step could be read; in no number below but the accuracy.
        n_no_answer: traces without an answer.
        n_elsewhere: traces that are wrong for their question and right for another.
        elsewhere_suspect: more of these than a writer's errors bring about: ids may be shuffled.
        elsewhere: the first of them.
        counts: traces by `CELLS`.
        accuracy: share of answers that are right, of all traces.
        trace_correct: share of traces that are right.
        joint: share of which both are right (a share of all, no measure of how they go together).
        right_if_correct: P(answer right | trace right).
        right_if_not: P(answer right | trace not right).
        phi: correlation of both.
        phi_limit: phi with an interval whose ends are one-sided 95 % limits.
        log_odds_ratio: of a right answer for a right trace against others.
        log_mantel_haenszel: the same, common to the categories of questions.
        categories: traces by category.
        sub_steps: each by itself.
        holds_answer: share of traces in which the whole right answer stands: a tie by construction.
        follows: share of traces whose final answer is the one that their trace leads to.
        n_leading: traces that lead to an answer and have one.
    """

    arm: str
    n_traces: int
    n_questions: int
    n_entities: int
    n_unevaluable: int
    n_no_answer: int
    n_elsewhere: int
    elsewhere_suspect: bool
    elsewhere: tuple[str, ...]
    counts: dict[str, int]
    accuracy: Interval
    trace_correct: Interval
    joint: Interval
    right_if_correct: Interval
    right_if_not: Interval
    phi: Interval
    phi_limit: Interval
    log_odds_ratio: Interval
    log_mantel_haenszel: Interval
    categories: dict[str, int]
    sub_steps: tuple[SubStepRates, ...] = field(metadata=keyed("name"))
    holds_answer: Interval
    follows: Interval
    n_leading: int


@dataclass(frozen=True)
class Against(Result):
    """An arm less the one it is compared with, on the same questions.

    Attributes:
        arm: the one.
        other: the one it is compared with.
        n_questions: that both were asked.
        accuracy: its accuracy less the other's.
        limit: the same with an interval whose ends are one-sided 95 % limits.
        trace_correct: its share of right traces less the other's, of traces that could be read.
    """

    arm: str
    other: str
    n_questions: int
    accuracy: Interval
    limit: Interval
    trace_correct: Interval


@dataclass(frozen=True)
class Forced(Result):
    """What an arm answers behind a trace that is put before it.

    Attributes:
        arm: whose weights.
        trace: which trace, one of `forcing.TRACES`; `shuffled` is another question's.
        n: answers.
        n_other_answer: traces that lead to another answer than the right one.
        right: share of answers that are right.
        follows: share of answers that are the one the trace leads to.
        other: share of answers that are neither right nor what the trace leads to.
        none: share without an answer.
    """

    arm: str
    trace: str
    n: int
    n_other_answer: int
    right: Interval
    follows: Interval
    other: Interval
    none: Interval


@dataclass(frozen=True)
class Domain(Result):
    """All arms on the questions of one domain."""

    domain: str
    arms: tuple[ArmTraces, ...] = field(metadata=keyed("arm"))
    against: tuple[Against, ...] = field(metadata=keyed("arm"))


@dataclass(frozen=True, repr=False)
class TracesResult(Result):
    """Traces that rules check.

    Attributes:
        margin: points of accuracy that an arm may lose without being said to hurt.
        loose: phi below which traces and answers are loosely tied.
        against: the arm that the others are compared with.
        domains: the contrast's first.
        forced: answers behind other traces; None: not asked for.
        n_unreadable: questions that cannot be taken apart, left out.
    """

    margin: float
    loose: float
    against: str
    domains: tuple[Domain, ...] = field(metadata=keyed("domain"))
    n_unreadable: int
    forced: tuple[Forced, ...] | None = field(default=None, metadata=OPTIONAL)

    table = "rows"
    derived = ("domain",)

    @property
    def domain(self) -> str:
        """The contrast's domain, by which it is found again in a file, whose names are sorted."""
        return self.domains[0].domain

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a domain and arm."""
        names = ("accuracy", "trace_correct", "right_if_correct", "right_if_not", "phi", "follows")
        return [
            {
                "domain": one.domain,
                "arm": arm.arm,
                "n_traces": arm.n_traces,
                "n_unevaluable": arm.n_unevaluable,
            }
            | {name: getattr(arm, name) for name in names}
            for one in self.domains
            for arm in one.arms
        ]

    def __repr__(self) -> str:
        told = "; ".join(f"{arm.arm} {arm.phi}" for arm in self.domains[0].arms)
        return f"TracesResult(phi of right traces and right answers: {told})"
