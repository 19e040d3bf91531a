"""What changing steps does to answers: the result and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mechcot.core.results import Interval, Pair, Result

DIRECT, BLIND = "direct attention", "attention, later steps blind too"
HELD, TOTAL = "swap, prefix held", "regeneration"
"""What is estimated: three ways in which a step can matter, and none of them is another one."""

OWN, RIGHT, UNANSWERED = "own answer", "right answer", "no option"
MOVED, FLIPPED, CHANGED, SURPRISAL = "moved", "flipped", "changed", "surprisal"
"""Of an answer: log-odds (held, attention) or share (regeneration) of the trace's own and of the right one;
the share of answers that name no option; the absolute change of the own one's probability; whether another
option comes first; whether the answer is another one, less how often it is behind the unchanged prefix. Of a
swap: the surprisal of the object put in, to the reader."""
NATS = ((DIRECT, OWN), (BLIND, OWN), (HELD, OWN), (HELD, RIGHT), (HELD, SURPRISAL))
"""Measures in nats; all others are shares."""

HIDDEN, ANY = "hidden", "any swap"
WRONGNESS, WRONGNESS_ALIKE = "wrongness", "wrongness, as likely as written"
WRONGNESS_RIGHT = "wrongness, from right steps"
UNCHANGED = "unchanged prefix"
CLAIMS, STEPS, REWRITTEN = "objects of claims", "steps of other traces", "steps written anew by a server"
"""What is swapped: for what else could stand there, for a step of the same kind of another trace, or for the
step itself with one claim swapped."""
RATIONALE, CORE, ALL = "rationale", "core", "all steps"


@dataclass(frozen=True)
class Effect(Result):
    """What one change of a step does to the answer, on average over steps.

    Attributes:
        estimand: DIRECT, BLIND, HELD or TOTAL.
        measure: of the answer.
        what: the change: HIDDEN; a swap (`design.SWAPS_OF`) or ANY; WITHOUT the step; WRONGNESS (repair
            less lateral within a step), against the lateral as likely as written, or from right steps
            (break less other right);
            UNCHANGED: two regenerations of one prefix.
        kind: role of the steps, or RATIONALE, CORE or ALL.
        before: of the arm before, by its own weights.
        after: of the arm after, by its own.
        difference: after less before.
        n_steps: in either.
    """

    estimand: str
    measure: str
    what: str
    kind: str
    before: Interval
    after: Interval
    difference: Interval
    n_steps: Pair[int]


@dataclass(frozen=True)
class Flips(Result):
    """How often another answer comes, among steps at which the forced answer was about as settled.

    Attributes:
        arm: whose steps.
        decile: from 1, of the margin of the forced answer before the step.
        low: smallest margin, nats.
        high: largest.
        swapped: another option comes first after a swap between right and wrong, prefix held.
        lateral: after a swap of one wrong value for another: the null of that.
        changed: the answer regenerated behind a swap between right and wrong differs from one behind the
            text as written.
        unchanged: two regenerated behind the text as written differ: the null of that.
        n_steps: swapped with the prefix held.
    """

    arm: str
    decile: int
    low: float
    high: float
    swapped: Interval
    lateral: Interval
    changed: Interval
    unchanged: Interval
    n_steps: int


@dataclass(frozen=True)
class AnswerFirst(Result):
    """Whether traces end in an answer that is put before their first step.

    Attributes:
        arm: who writes.
        stated: `wrong answer`, or the trace's `own answer`.
        without: share of continuations that end in it with nothing before the first step.
        with_it: with the answer before it.
        difference: with less without.
        unanswered_without: share that names no option.
        unanswered_with: likewise with the answer first.
        n_tokens: mean length written behind the answer.
        n_traces: gone on from.
    """

    arm: str
    stated: str
    without: Interval
    with_it: Interval
    difference: Interval
    unanswered_without: float
    unanswered_with: float
    n_tokens: float
    n_traces: int


@dataclass(frozen=True)
class PrefixControl(Result):
    """The answer forced behind something else than the trace's own steps.

    Attributes:
        arm: whose traces, by whose weights.
        control: what stands there.
        p: probability of the trace's own answer among the options.
        change: log-odds of the own answer less those behind the trace as written, nats.
        raw_mass: mean share of the whole distribution that the options hold.
        n_traces: with both.
    """

    arm: str
    control: str
    p: Interval
    change: Interval
    raw_mass: float
    n_traces: int


@dataclass(frozen=True)
class ForcedFree(Result):
    """Forced answers against those of free continuations from the same place.

    Attributes:
        arm: whose traces, by whose weights.
        place: of the trace.
        distance: unbiased squared distance of the two distributions over options; 0 in expectation where
            equal.
        hit: mean forced probability of the free answers less its value were they drawn from it.
        unanswered: share of free continuations that name no option; they are left out of both.
        n_traces: with two free answers or more.
    """

    arm: str
    place: str
    distance: Interval
    hit: Interval
    unanswered: float
    n_traces: int


@dataclass(frozen=True, repr=False)
class CausesResult(Result):
    """Which steps of a trace matter to its answer, and whether it matters that they are wrong.

    Attributes:
        before: arm before.
        after: arm after.
        scope: what of the knock-outs is stored: `none`, `answer` or `later`.
        draws: continuations behind a prefix; 0: none were written.
        swapped: what was swapped: CLAIMS, STEPS or REWRITTEN.
        no_swaps: why nothing was, "" where something was.
        traces: read with changes, of each arm.
        left_out: traces, claims and texts left out, by reason, of each arm.
        no_other_right: by role, right steps without another right value, and all right steps, of both arms.
        effects: of changes of steps.
        flips: by how settled the answer was.
        first: an answer before the reasoning.
        controls: something else in place of the steps.
        free: forced against free answers.
    """

    before: str
    after: str
    scope: str
    draws: int
    swapped: str
    no_swaps: str
    traces: Pair[int]
    left_out: Pair[Mapping[str, int]]
    no_other_right: Mapping[str, tuple[int, int]]
    effects: tuple[Effect, ...]
    flips: tuple[Flips, ...]
    first: tuple[AnswerFirst, ...]
    controls: tuple[PrefixControl, ...]
    free: tuple[ForcedFree, ...]

    table = "effects"

    def __repr__(self) -> str:
        n = " and ".join(
            f"{n:,} traces of {arm}" for n, arm in zip(self.traces, (self.before, self.after), strict=True)
        )
        return f"CausesResult({n}; {len(self.effects)} effects)"
