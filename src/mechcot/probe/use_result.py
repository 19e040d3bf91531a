"""What comes out of using a probe: abstaining on traces, and choosing among a question's traces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mechcot.core.results import Result, because
from mechcot.stats import Interval

COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the traces kept at which the curve is given."""

OUTCOMES = {"wrong_answer": "the answer is wrong or missing", "erroneous_step": "a judged step is erroneous"}


@dataclass(frozen=True)
class Rule(Result):
    """One way to order or to choose.

    Attributes:
        name: key.
        label: in words.
        value: area under the risk-coverage curve (lower is better), or accuracy (higher is better).
        curve: error rate among the kept at each of `COVERAGES`; empty for choosing.
    """

    name: str
    label: str
    value: Interval
    curve: tuple[Interval, ...]


@dataclass(frozen=True)
class Difference(Result):
    """A probe's rule minus another, paired by question."""

    probe: str
    against: str
    difference: Interval


@dataclass(frozen=True)
class Abstention(Result):
    """Leaving out the riskiest traces, for one outcome.

    Attributes:
        rules: every score's area and curve.
        differences: the probe's areas minus the others'; below 0 the probe is better.
        n_traces: traces ordered.
        n_bad: those in error.
        n_questions: their questions.
    """

    rules: tuple[Rule, ...]
    differences: tuple[Difference, ...]
    n_traces: int
    n_bad: int
    n_questions: int


@dataclass(frozen=True)
class Choice(Result):
    """Choosing one answer among a question's traces.

    Attributes:
        rules: every rule's accuracy.
        differences: the probe's accuracies minus the others'; above 0 the probe is better.
        n_questions: questions with at least two scored traces.
        n_single: questions left out because they have one.
        mean_traces: traces to choose from, mean over questions; None without questions.
    """

    rules: tuple[Rule, ...]
    differences: tuple[Difference, ...]
    n_questions: int
    n_single: int
    mean_traces: float | None = field(metadata=because("no question has two scored traces"))


@dataclass(frozen=True)
class Measured:
    """A rule's value, or the difference of two."""

    task: str
    measure: str
    rule: str
    value: Interval


@dataclass(frozen=True, repr=False)
class UseResult(Result):
    """Whether a probe's scores help to abstain and to choose.

    Attributes:
        abstain: for each of `OUTCOMES`.
        choose: among each question's traces.
        n_traces: traces with a scored step.
        n_unscored: traces without one, left out.
        n_no_answer: scored traces without an answer; they count as wrong and vote as a class of their own.
        n_questions: questions of the scored traces.
    """

    derived: ClassVar[tuple[str, ...]] = ("verdict", "coverages")
    table: ClassVar[str] = "lines"
    coverages: ClassVar[tuple[float, ...]] = COVERAGES

    abstain: dict[str, Abstention]
    choose: Choice
    n_traces: int
    n_unscored: int
    n_no_answer: int
    n_questions: int

    @property
    def verdict(self) -> str:
        """In words, what each use of the probe is better and worse than."""
        told = [
            _in_words(f"Abstaining where {OUTCOMES[name]}", part.differences, lower=True)
            for name, part in self.abstain.items()
        ]
        return " ".join([*told, _in_words("Choosing among traces", self.choose.differences, lower=False)])

    @property
    def lines(self) -> list[Measured]:
        """Every rule and difference."""
        parts: list[tuple[str, str, Abstention | Choice]] = [
            (f"abstain: {name}", "aurc", part) for name, part in self.abstain.items()
        ]
        rows = []
        for task, measure, part in [*parts, ("choose", "accuracy", self.choose)]:
            rows += [Measured(task, measure, rule.label, rule.value) for rule in part.rules]
            rows += [
                Measured(task, measure, f"{item.probe} minus {item.against}", item.difference)
                for item in part.differences
            ]
        return rows

    def __repr__(self) -> str:
        return f"UseResult({self.verdict} {self.n_traces} traces of {self.n_questions} questions)"


def _in_words(task: str, differences: tuple[Difference, ...], *, lower: bool) -> str:
    """Sort the comparators by what the intervals say of the probe."""
    sign, phrases = (-1.0 if lower else 1.0), []
    for probe in dict.fromkeys(item.probe for item in differences):
        sorted_by: dict[str, list[str]] = {"better than": [], "worse than": [], "not clearly other than": []}
        for item in differences:
            low, high = item.difference.low, item.difference.high
            if item.probe != probe:
                continue
            relation = "not clearly other than"
            if low is not None and high is not None and (low > 0 or high < 0):
                relation = "better than" if sign * low > 0 or sign * high > 0 else "worse than"
            sorted_by[relation].append(item.against)
        said = "; ".join(f"{how} {', '.join(names)}" for how, names in sorted_by.items() if names)
        phrases.append(f"{probe} is {said}".replace("_", " "))
    return f"{task}: {'. '.join(phrases) or 'nothing to compare'}."
