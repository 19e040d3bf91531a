"""What the analysis of sub-steps inside finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mechcot.core.results import OPTIONAL, Interval, Result, keyed


@dataclass(frozen=True)
class Over(Result):
    """An arm less another one, the same probe on the same questions.

    Attributes:
        other: the one it is compared with.
        beats: difference of `Decoded.beats`.
        beyond: difference of `Decoded.beyond`.
    """

    other: str
    beats: Interval
    beyond: Interval | None = field(metadata=OPTIONAL)


@dataclass(frozen=True)
class Decoded(Result):
    """How far the right value of a sub-step is read from an arm at one place.

    Shares are of pairs of the right value and a wrong one that stands in no text: 0.5 is chance. Maps were
    fitted on other entities; intervals are of entities and of draws of the folds.

    Attributes:
        arm: whose states.
        sub_step: which.
        place: one of `design.PLACES`.
        n: questions.
        beats: share of pairs in which the right value scores above.
        words: the same share read from the counts of the text's words.
        untrained: the same read from the states of fresh weights.
        over_words: `beats` less `words`.
        over_untrained: `beats` less `untrained`.
        over: less the arm before, and less arms that were taught answers alone.
        beyond: `beats` with what the code of the answer that a value leads to tells of its own taken out: is
            the sub-step read, or only its answer? None for the sub-step that bears the answer.
        beyond_over_words: `beyond` less the same read from the text's words; None likewise.
        by_answer: the same read from the right answer's code: what a state would give that held the answer
            alone; None likewise.
        beats_said: share of questions in which the right value scores above the one that the wrong trace
            says; None where there is no such trace.
        layers: that folds chose, the most often chosen first.
    """

    arm: str
    sub_step: str
    place: str
    n: int
    beats: Interval
    words: Interval
    untrained: Interval
    over_words: Interval
    over_untrained: Interval
    over: tuple[Over, ...] = field(metadata=keyed("other"))
    beyond: Interval | None = field(metadata=OPTIONAL)
    beyond_over_words: Interval | None = field(metadata=OPTIONAL)
    by_answer: Interval | None = field(metadata=OPTIONAL)
    beats_said: Interval | None = field(metadata=OPTIONAL)
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Swapped(Result):
    """What an arm's answer does when the trace before it ends with another value of a sub-step.

    Attributes:
        arm: whose answers.
        sub_step: which; those before it are right, those behind it are not written.
        n: questions.
        right: log-odds of the other value's answer against the right one behind the right value, nats.
        moved: their change behind the other value.
        control: their change behind a third value, one of another question.
        gained: `moved` less `control`.
        follows: share of answers that are the other value's behind it.
        follows_third: the same behind the third value.
    """

    arm: str
    sub_step: str
    n: int
    right: Interval
    moved: Interval
    control: Interval
    gained: Interval
    follows: Interval
    follows_third: Interval


@dataclass(frozen=True, repr=False)
class SubStepsResult(Result):
    """Whether the right sub-steps stand inside.

    Attributes:
        before: the arm before.
        answers_alone: arms that were taught answers alone.
        n_questions: asked.
        n_entities: that they are about.
        n_left_out: questions without enough wrong values that lead to other answers.
        decoded: by arm, sub-step and place.
        swapped: by arm and sub-step.
    """

    before: str
    answers_alone: tuple[str, ...]
    n_questions: int
    n_entities: int
    n_left_out: int
    decoded: tuple[Decoded, ...]
    swapped: tuple[Swapped, ...]

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row an arm, sub-step and place."""
        keys, shares = ("arm", "sub_step", "place", "n"), ("beats", "words", "untrained", "over_words")
        return [{name: getattr(one, name) for name in (*keys, *shares)} for one in self.decoded]

    def __repr__(self) -> str:
        return f"SubStepsResult({self.n_questions} questions, {len(self.decoded)} probes)"
