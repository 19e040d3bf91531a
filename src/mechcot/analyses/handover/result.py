"""What a hand-over found, as a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mechcot.core.results import Interval, Result

SLOT = "slot"
"""The form whose error is 1 - p(truth) at the forced slot."""
SAMPLED, GREEDY = "sampled", "greedy"


@dataclass(frozen=True)
class Cell(Result):
    """How often the next step is wrong: one author's prefixes, one writer."""

    prefix: str  # the arm whose trace is handed over
    source: str  # own: its steps; neutral: statements of the task in their place
    writer: str  # the arm that goes on
    form: str  # free; forced: the author's next claim is given up to its object; slot: 1 - p(truth) there
    decoding: str  # sampled: at the study's temperature; greedy
    error: Interval  # erroneous over correct and erroneous steps; of a slot the mean
    n_judged: int  # steps, or slots


@dataclass(frozen=True)
class Effects(Result):
    """The change of step error from the arm before to the arm after, taken apart in both orders."""

    form: str
    decoding: str
    change: Interval  # after's own text and weights less before's
    effect_text: Interval  # after's text less before's, mean over writers
    effect_weights: Interval  # after's weights less before's, mean over prefixes
    text_first: Interval  # after's text less before's, written by before
    weights_then: Interval  # after's weights less before's, on after's text
    weights_first: Interval  # after's weights less before's, on before's text
    text_then: Interval  # after's text less before's, written by after
    interaction: Interval  # text_then less text_first


@dataclass(frozen=True)
class Terms(Result):
    """What after's weights change on some prefixes: three terms that add up to it.

    Errors of free steps, sampled, are those of greedy steps at forced slots, and what sampling adds there,
    and what the free choice of the slot adds to that.
    """

    prefix: str  # the arm whose trace is handed over; mean: of both
    weights: Interval  # free, sampled: after's weights less before's
    knowledge: Interval  # the same of greedy steps at forced slots
    decoding: Interval  # of sampled less greedy at forced slots
    choice: Interval  # of free less forced, sampled


@dataclass(frozen=True)
class Measure(Result):
    """One number of one author's prefixes and one writer."""

    measure: str  # choice: free less forced; decoding: sampled less greedy; drift: own less neutral prefix at
    #               the same slots; selectivity: p(truth) at slots written less slots offered, within kinds
    prefix: str
    writer: str
    form: str
    decoding: str
    value: Interval


@dataclass(frozen=True)
class Outcomes(Result):
    """What became of the next steps of a cell."""

    prefix: str
    source: str
    writer: str
    form: str
    decoding: str
    n: int
    step: int  # a whole step, which is judged
    empty: int  # nothing was written
    answer: int  # the answer, or another question, came next
    cut: int  # the step was not at its end when the room was
    runs_on: int  # what was written goes on with the text before it: no step begins where it was handed over
    correct: int
    erroneous: int
    abstain: int
    not_checkable: int
    api_failure: int
    parse_failure: int


@dataclass(frozen=True)
class LeftOut(Result):
    """Prefixes, or slots, of which nothing is written."""

    what: str  # prefix or slot
    prefix: str
    source: str
    writer: str
    reason: str
    n: int


@dataclass(frozen=True, repr=False)
class HandoverResult(Result):
    """Whose text and whose weights the next step's errors go with.

    Attributes:
        before: arm before.
        after: arm after.
        instrument: that judges.
        temperature: at which next steps are sampled.
        samples: of each prefix.
        n_prefixes: handed over, by arm.
        n_questions: that they come from.
        cells: error of every prefix and writer.
        effects: of text and weights, by form and decoding.
        terms: what weights change, taken apart.
        measures: choice, decoding, drift, selectivity.
        outcomes: counts.
        left_out: counts.
    """

    before: str
    after: str
    instrument: str
    temperature: float
    samples: int
    n_prefixes: dict[str, int]
    n_questions: int
    cells: tuple[Cell, ...]
    effects: tuple[Effects, ...]
    terms: tuple[Terms, ...]
    measures: tuple[Measure, ...]
    outcomes: tuple[Outcomes, ...]
    left_out: tuple[LeftOut, ...]

    table = "cells"

    def __repr__(self) -> str:
        free = next(one for one in self.effects if (one.form, one.decoding) == ("free", SAMPLED))
        told = f"text {free.effect_text}, weights {free.effect_weights}"
        return f"HandoverResult({self.before} to {self.after}: {told})"


def row_of(rows: list[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    """The row of a result's JSON that has these values."""
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))
