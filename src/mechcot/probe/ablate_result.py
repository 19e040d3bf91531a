"""What changes when a direction is ablated, beside random directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from mechcot.core.results import Result
from mechcot.stats import Interval, leaf

MEASURES = {
    "own_answer": "probability of the trace's own answer, forced before it is stated",
    "forced_shift": "total variation of the forced answers after each step",
    "surprisal": "surprisal of the trace's tokens, nats",
    "entropy": "entropy before the trace's tokens, nats",
    "said_object": "probability of the object that a claim names",
    "true_object": "probability of the objects that make a claim true",
}


@dataclass(frozen=True)
class AblationMeasure:
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

    name: str
    unedited: float | None
    change: Interval
    random: tuple[float, ...]
    beyond_random: Interval
    p: float | None
    n_items: int
    n_questions: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "name": self.name,
            "label": MEASURES[self.name],
            "unedited": leaf(self.unedited, "nothing to measure"),
            "change": self.change.to_json(),
            "random": list(self.random),
            "beyond_random": self.beyond_random.to_json(),
            "p": leaf(self.p, "nothing to measure"),
            "n_items": self.n_items,
            "n_questions": self.n_questions,
        }


@dataclass(frozen=True)
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

    def to_frame(self) -> pd.DataFrame:
        """One row a measure."""
        rows = []
        for name, item in self.measures.items():
            low, high = (min(item.random), max(item.random)) if item.random else (None, None)
            rows.append(
                {
                    "measure": MEASURES[name],
                    "unedited": item.unedited,
                    "change": item.change.estimate,
                    "low": item.change.low,
                    "high": item.change.high,
                    "random_low": low,
                    "random_high": high,
                    "p": item.p,
                    "n_items": item.n_items,
                    "n_questions": item.n_questions,
                }
            )
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "layer": self.layer,
            "measures": {name: item.to_json() for name, item in self.measures.items()},
            "energy": self.energy,
            "random_energy": list(self.random_energy),
            "n_random": self.n_random,
            "n_traces": self.n_traces,
            "n_no_answer": self.n_no_answer,
            "n_questions": self.n_questions,
            "draws": self.draws,
            "seed": self.seed,
        }

    def __repr__(self) -> str:
        told = [
            f"{name} {item.change} p={item.p:.3f}"
            for name, item in self.measures.items()
            if item.p is not None
        ]
        return f"AblationResult(layer {self.layer}, {self.n_random} random directions; {'; '.join(told)})"
