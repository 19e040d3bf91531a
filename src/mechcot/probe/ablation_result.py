"""What changes when a direction is ablated, beside random directions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from mechcot.core.results import Result, because, cells
from mechcot.stats import Interval

MEASURES = {
    "own_answer": "probability of the trace's own answer, forced before it is stated",
    "forced_shift": "total variation of the forced answers after each step",
    "surprisal": "surprisal of the trace's tokens, nats",
    "entropy": "entropy before the trace's tokens, nats",
    "said_object": "probability of the object that a claim names",
    "true_object": "probability of the objects that make a claim true",
}


@dataclass(frozen=True)
class AblationMeasure(Result):
    """One thing that may change.

    Attributes:
        name: key of `MEASURES`.
        unedited: mean over items without an edit; None without items.
        change: mean change over items (edited minus unedited), questions resampled; for
            `forced_shift` the mean distance between the two.
        random: mean change for each random direction.
        beyond_random: `change` minus the mean over the random directions, paired by question.
        p: share of the random directions, the probe's own counted in, whose mean change is at least as
            large in absolute value; None without items.
        n_items: traces, prefixes, tokens or claims.
        n_questions: their questions.
    """

    derived: ClassVar[tuple[str, ...]] = ("label",)

    name: str
    unedited: float | None = field(metadata=because("nothing to measure"))
    change: Interval
    random: tuple[float, ...]
    beyond_random: Interval
    p: float | None = field(metadata=because("nothing to measure"))
    n_items: int
    n_questions: int

    @property
    def label(self) -> str:
        """In words."""
        return MEASURES[self.name]


@dataclass(frozen=True, repr=False)
class AblationResult(Result):
    """What changes when a direction is ablated, beside random directions.

    Attributes:
        layer: the direction is taken out of `resid_post` after this layer.
        measures: by name, in the order of `MEASURES`.
        energy: share of the stream's mean square along the direction, over the traces' tokens.
        random_energy: the same for each random direction; equal unless the stream has none so large or small.
        n_random: random directions.
        n_traces: traces read.
        n_no_answer: those of them without an answer of their own, not in `own_answer`.
        n_questions: questions read.
        draws: bootstrap replicates.
        seed: of random directions and bootstrap.
    """

    table: ClassVar[str] = "lines"

    layer: int
    measures: dict[str, AblationMeasure]
    energy: float
    random_energy: tuple[float, ...]
    n_random: int
    n_traces: int
    n_no_answer: int
    n_questions: int
    draws: int
    seed: int

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Each measure with the range of the random directions."""
        return [
            {"label": item.label, **cells(item)}
            | {"random_low": min(item.random, default=None), "random_high": max(item.random, default=None)}
            for item in self.measures.values()
        ]

    def __repr__(self) -> str:
        told = [
            f"{name} {item.change} p={item.p:.3f}"
            for name, item in self.measures.items()
            if item.p is not None
        ]
        return f"AblationResult(layer {self.layer}, {self.n_random} random directions; {'; '.join(told)})"
