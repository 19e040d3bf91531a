"""What the hedge analysis finds: the direction by layer, and what it says of another arm's claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.results import Result
from mechcot.stats import Interval, leaf

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NullBand:
    """Where chance directions fall: 2.5 and 97.5 % points of their AUROC, and a two-sided p."""

    low: float
    high: float
    p: float
    draws: int

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return {"low": self.low, "high": self.high, "p": self.p, "draws": self.draws}


@dataclass(frozen=True)
class LayerScore:
    """One layer's AUROC beside its two nulls.

    `shuffled`: directions fitted the same way on labels shuffled within relation. `random`: random
    directions with the covariance of the scored claims (an AUROC does not see a direction's norm).
    """

    layer: int
    auroc: Interval
    shuffled: NullBand | None
    random: NullBand | None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "layer": self.layer,
            "auroc": self.auroc.to_json(),
            "shuffled": None if self.shuffled is None else self.shuffled.to_json(),
            "random": None if self.random is None else self.random.to_json(),
        }


@dataclass(frozen=True, eq=False)
class HedgeResult(Result):
    """The direction by layer and how well it foretells a hedge on questions it has not seen.

    Attributes:
        arm: whose claims they are.
        rate: share of claims that are hedged, questions resampled.
        counts: relation to its numbers of hedged and asserted claims and whether it was used.
        by_layer: held-out AUROC for "this claim will be hedged", within relation and half.
        directions: layer to hedged minus asserted, [d_model], fitted on all used claims.
        null_directions: layer to the same fitted on shuffled labels, [draws, d_model].
        reason: why there is no direction, else "".
        seed: of the split, the nulls and the bootstrap.
    """

    arm: str
    rate: Interval
    n_questions: int
    n_hedged: int
    n_asserted: int
    counts: dict[str, dict[str, int | bool]]
    by_layer: tuple[LayerScore, ...]
    directions: dict[int, FloatArray]
    null_directions: dict[int, FloatArray]
    reason: str
    seed: int

    def __repr__(self) -> str:
        return (
            f"HedgeResult({self.arm}: hedges {self.rate} of its claims, {self.n_hedged} hedged and "
            f"{self.n_asserted} asserted; {_best(self.by_layer)})"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a layer."""
        return _frame(self.by_layer)

    def to_json(self) -> dict[str, Any]:
        """Everything but the directions themselves."""
        return {
            "arm": self.arm,
            "rate": self.rate.to_json(),
            "n_questions": self.n_questions,
            "n_hedged": self.n_hedged,
            "n_asserted": self.n_asserted,
            "relations": self.counts,
            "auroc_by_layer": _aurocs(self.by_layer),
            "by_layer": [score.to_json() for score in self.by_layer],
            "reason": self.reason,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class HedgeProjection(Result):
    """The direction of one arm on another arm's asserted claims: does it mark errors?

    Attributes:
        fitted_on: arm that the direction comes from.
        arm: arm whose claims are scored.
        rate: share of that arm's claims that are hedged.
        by_layer: AUROC erroneous against correct among asserted claims, within relation; above one half
            when errors lie on the hedged side.
        n_errors: erroneous asserted claims.
        n_correct: correct asserted claims.
        reason: why there is no value, else "".
    """

    fitted_on: str
    arm: str
    rate: Interval
    n_questions: int
    n_errors: int
    n_correct: int
    by_layer: tuple[LayerScore, ...]
    reason: str
    seed: int

    def __repr__(self) -> str:
        return (
            f"HedgeProjection({self.fitted_on}'s direction on {self.arm}'s asserted claims, {self.n_errors} "
            f"erroneous and {self.n_correct} correct; {_best(self.by_layer)})"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a layer."""
        return _frame(self.by_layer)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "fitted_on": self.fitted_on,
            "arm": self.arm,
            "rate": self.rate.to_json(),
            "n_questions": self.n_questions,
            "n_errors": self.n_errors,
            "n_correct": self.n_correct,
            "error_auroc_by_layer": _aurocs(self.by_layer),
            "by_layer": [score.to_json() for score in self.by_layer],
            "reason": self.reason,
            "seed": self.seed,
        }


def _aurocs(scores: tuple[LayerScore, ...]) -> dict[str, Any]:
    return {str(score.layer): leaf(score.auroc.estimate, score.auroc.reason) for score in scores}


def _best(scores: tuple[LayerScore, ...]) -> str:
    """The layer whose AUROC is highest, in words that say it was picked."""
    known = [score for score in scores if score.auroc.estimate is not None]
    if not known:
        return "no layer has an AUROC"
    best = max(known, key=lambda score: score.auroc.estimate or 0.0)
    return f"best of {len(scores)} layers: {best.layer}, AUROC {best.auroc}"


def _frame(scores: tuple[LayerScore, ...]) -> pd.DataFrame:
    rows = [
        {
            "layer": s.layer,
            "auroc": s.auroc.estimate,
            "low": s.auroc.low,
            "high": s.auroc.high,
            **{
                f"{name}_{part}": None if null is None else getattr(null, part)
                for name, null in (("shuffled", s.shuffled), ("random", s.random))
                for part in ("low", "high", "p")
            },
        }
        for s in scores
    ]
    return pd.DataFrame(rows)
