"""What the search for where in the weights a change sits has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mechcot.core.results import Interval, Result, because

_NO_DRAWS = because("fewer than three random changes gave finite numbers")


@dataclass(frozen=True)
class Change(Result):
    """An outcome at an author's text under both parents.

    Attributes:
        outcome: see docs/weights.md.
        author: whose text the prefixes are.
        before: mean over questions under the weights before.
        after: the same under those after.
        change: after - before, question by question.
    """

    outcome: str
    author: str
    before: Interval
    after: Interval
    change: Interval


@dataclass(frozen=True)
class UnitEffect(Result):
    """What one unit's change does to an outcome in one background.

    Attributes:
        unit: which.
        outcome: of what.
        author: at whose text.
        background: `before`: what putting the unit's change in adds; `after`: what taking it out takes away.
        effect: in the direction after - before, question by question; effects of units need not add up.
        share: of the whole change; None where that is not apart from 0.
        null_low: from here ...
        null_high: ... to here a random change of the unit's size has its effect, in all but a share of
            .05 / units of draws (Student's t for one more draw).
        outside: whether the effect lies beyond, away from the null's middle.
        kl_before: mean KL(parent before, hybrid) behind the tokens of these texts, in nats.
        kl_after: the same from the parent after.
    """

    unit: str
    outcome: str
    author: str
    background: str
    effect: Interval
    share: float | None = field(metadata=because("the whole change is not apart from 0"))
    null_low: float | None = field(metadata=_NO_DRAWS)
    null_high: float | None = field(metadata=_NO_DRAWS)
    outside: bool
    kl_before: float | None = field(metadata=because("the model's final norm is not known"))
    kl_after: float | None = field(metadata=because("the model's final norm is not known"))


@dataclass(frozen=True)
class Place(Result):
    """Whether a change has a place in one background.

    Attributes:
        outcome: of what.
        author: at whose text.
        background: `before` (sufficient there) or `after` (necessary there).
        unit: the place, "" where there is none.
        leader: the unit with the largest effect in the change's direction; "" where there is no change.
        ahead: how far it is ahead of the next one in the change's direction, question by question.
        why: why there is no place; "" where there is one.
    """

    outcome: str
    author: str
    background: str
    unit: str
    leader: str
    ahead: Interval
    why: str


@dataclass(frozen=True)
class ShapleyValue(Result):
    """The share of a change that falls to a group of units, averaged over all orders of putting them in.

    Attributes:
        group: of units, or one unit where orders were sampled.
        outcome: of what.
        author: at whose text.
        value: the values of all groups add up to the whole change.
        order_error: standard error of the sampled orders; 0 where all orders count.
    """

    group: str
    outcome: str
    author: str
    value: Interval
    order_error: float | None = field(metadata=because("one order alone"))


@dataclass(frozen=True)
class LinePoint(Result):
    """An outcome on the straight line between the parents: `share` of the way, mean over questions."""

    outcome: str
    author: str
    share: float
    value: Interval


@dataclass(frozen=True)
class Drift(Result):
    """How far a part has moved, whatever that does.

    Attributes:
        what: `relative_change`, `effective_rank` (of a unit), `cka` or `lens` (after a layer, 0 is the
            embedding): total variation between the answers of both parents read off it.
        place: the unit or layer.
        value: the measure.
        low: lower end of its interval over questions; None for weights, which are known.
        high: upper end.
        null: relative_change: of the whole model; effective_rank: of noise of these shapes; cka: of
            unrelated steps; lens: of the parents' own answers.
        random: cka, lens: after a random change of every unit by its own size.
    """

    what: str
    place: str
    value: float | None = field(metadata=because("the activations have no spread"))
    low: float | None = field(metadata=because("weights are known"))
    high: float | None = field(metadata=because("weights are known"))
    null: float | None = field(metadata=because("the activations have no spread"))
    random: float | None = field(metadata=because("of activations alone"))


@dataclass(frozen=True, repr=False)
class WeightsResult(Result):
    """Where in the weights the changes between two checkpoints sit.

    Attributes:
        before: arm before.
        after: arm after.
        n_questions: whose traces are the prefixes, one of each author.
        units: those in which the parents differ, in the order of the model.
        unchanged: those in which they do not.
        draws: random changes of each unit.
        n_models: hybrids asked.
        excluded: questions left out, by reason.
        changes: whole changes.
        effects: of single units, in both backgrounds.
        places: of every outcome that changed.
        groups: group to its units, of `shapley`.
        shapley: exact, over groups.
        orders: by unit, over sampled orders; empty unless asked for.
        line: between the parents.
        drift: of weights by unit, of activations by layer.
    """

    before: str
    after: str
    n_questions: int
    units: tuple[str, ...]
    unchanged: tuple[str, ...]
    draws: int
    n_models: int
    excluded: Mapping[str, int]
    changes: tuple[Change, ...]
    effects: tuple[UnitEffect, ...]
    places: tuple[Place, ...]
    groups: Mapping[str, tuple[str, ...]]
    shapley: tuple[ShapleyValue, ...]
    orders: tuple[ShapleyValue, ...]
    line: tuple[LinePoint, ...]
    drift: tuple[Drift, ...]

    table = "effects"

    def __repr__(self) -> str:
        placed = [
            f"{place.outcome} at {place.author}'s text, weights {place.background}: {place.unit}"
            for place in self.places
            if place.unit
        ]
        return f"WeightsResult({self.n_questions} questions; {'; '.join(placed) or 'no place'})"
