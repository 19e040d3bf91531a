"""What the hedge analysis finds: the direction by layer, and what it says of another arm's claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.analyses.claimed import CLAIMS
from mechcot.analyses.hedge.origin import Answer, HedgeOrigin
from mechcot.core.errors import AnalysisError
from mechcot.core.results import OPTIONAL, UNSTORED, Interval, Result, cells, leaf
from mechcot.core.words import number
from mechcot.models.directions import Direction, save_directions

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NullBand(Result):
    """Where chance directions fall: 2.5 and 97.5 % points of their AUROC, and a two-sided p."""

    low: float
    high: float
    p: float
    draws: int


@dataclass(frozen=True)
class BesideFrequency(Result):
    """A direction beside how seldom the claim's subject was met, on the same pairs.

    The second three count pairs of claims of one third of frequency alone. Whether the direction holds more
    than frequency is read off `minus_inside`: there little is left for frequency to tell.

    Attributes:
        alone: AUROC of rarity alone, pairs within kind.
        minus: the direction minus that, paired by question.
        inside: AUROC of the direction, pairs within kind and third.
        alone_inside: AUROC of rarity alone on those pairs.
        minus_inside: the direction minus that, paired by question.
        n_pairs: those pairs.
    """

    alone: Interval
    minus: Interval
    inside: Interval
    alone_inside: Interval
    minus_inside: Interval
    n_pairs: int


def beyond_frequency(beside: Mapping[str, Any]) -> bool | None:
    """Whether a direction is shown to hold more than how seldom a subject was met.

    On pairs of one third of frequency it has to beat chance and frequency both. None: not known.

    Args:
        beside: `BesideFrequency.to_json()`, or its part in summary.json.
    """
    if not beside or number(beside.get("minus_inside")) is None:
        return None
    ends = (number(beside["inside"]["low"]), number(beside["minus_inside"]["low"]))
    return None if None in ends else (ends[0] or 0.0) > 0.5 and (ends[1] or 0.0) > 0


@dataclass(frozen=True)
class LayerScore(Result):
    """One layer's AUROC beside its two nulls.

    `shuffled`: both halves' directions fitted the same way on labels shuffled within relation and half, and
    scored against those; on another arm's claims, directions fitted on shuffled labels. `random`: random
    directions with the covariance of the scored claims (an AUROC does not see a direction's norm).
    """

    layer: int
    auroc: Interval
    shuffled: NullBand | None
    random: NullBand | None
    frequency: BesideFrequency | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, eq=False)
class HedgeResult(Result):
    """The direction by layer and how well it foretells a hedge on questions it has not seen.

    Attributes:
        arm: whose claims they are.
        rate: share of claims that are hedged, questions resampled.
        relations: relation to its numbers of hedged and asserted claims and whether it was used.
        by_layer: held-out AUROC for "this claim will be hedged", within relation and half.
        directions: layer to hedged minus asserted, [d_model], fitted on all used claims.
        null_directions: layer to the same fitted on shuffled labels, [draws, d_model].
        reason: why there is no direction, else "".
        seed: of the split and the nulls.
        frequency_is: what says how often a subject was met, or why that is not known.
        unit: `steps` where they stand for claims, which the task does not read.
    """

    arm: str
    rate: Interval
    n_questions: int
    n_hedged: int
    n_asserted: int
    relations: dict[str, dict[str, int | bool]]
    by_layer: tuple[LayerScore, ...]
    directions: dict[int, FloatArray] = field(metadata=UNSTORED)
    null_directions: dict[int, FloatArray] = field(metadata=UNSTORED)
    reason: str
    seed: int
    frequency_is: str = ""
    unit: str | None = field(default=None, metadata=OPTIONAL)

    derived = ("auroc_by_layer",)
    table = "by_layer"

    @property
    def auroc_by_layer(self) -> dict[str, Any]:
        """Layer to its AUROC alone, or why there is none."""
        return _aurocs(self.by_layer)

    def __repr__(self) -> str:
        return (
            f"HedgeResult({self.arm}: hedges {self.rate} of its {self.unit or CLAIMS}, "
            f"{self.n_hedged} hedged and {self.n_asserted} asserted; {_best(self.by_layer)})"
        )


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
        frequency_is: see `HedgeResult`.
        unit: see `HedgeResult`.
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
    frequency_is: str = ""
    unit: str | None = field(default=None, metadata=OPTIONAL)

    derived = ("error_auroc_by_layer",)
    table = "by_layer"

    @property
    def error_auroc_by_layer(self) -> dict[str, Any]:
        """Layer to its AUROC alone, or why there is none."""
        return _aurocs(self.by_layer)

    def __repr__(self) -> str:
        return (
            f"HedgeProjection({self.fitted_on}'s direction on {self.arm}'s asserted {self.unit or CLAIMS}, "
            f"{self.n_errors} erroneous and {self.n_correct} correct; {_best(self.by_layer)})"
        )


@dataclass(frozen=True, eq=False)
class HedgeFindings(Result):
    """The direction of the arm before, and what it says of the arm after's claims.

    Attributes:
        before: the direction and how well it foretells a hedge.
        after: the direction on the arm after's asserted claims.
        about: whose direction it is and how it was fitted, for its card.
        origin: what the arm before's hedges follow; None where the task does not tell how often facts were
            met apart from their subjects.
    """

    before: HedgeResult
    after: HedgeProjection
    about: Mapping[str, Any] = field(default_factory=dict, metadata=UNSTORED)
    origin: HedgeOrigin | None = field(default=None, metadata=OPTIONAL)

    table = "rows"

    @property
    def answer(self) -> Answer:
        """What the arm before's hedges follow: doubt, frequency, memorised, or cannot tell."""
        return self.origin.answer if self.origin is not None else "cannot tell"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per layer: of hedges foretold, and of errors told."""
        told = (
            ("hedged or asserted", self.before.arm, self.before),
            ("wrong or right", self.after.arm, self.after),
        )
        return [
            {"tells": what, "claims of": arm, "layer": one.layer, **cells(one.auroc)}
            for what, arm, part in told
            for one in part.by_layer
        ]

    @property
    def card(self) -> dict[str, Any]:
        """What the directions are, of whom, and how they were fitted."""
        used = {name: counts for name, counts in self.before.relations.items() if counts["used"]}
        return {
            **self.about,
            "kinds": used,
            "layers": sorted(self.before.directions),
            "seed": self.before.seed,
        }

    def direction(self, *, layer: int | None = None) -> Direction:
        """The direction before the place of a hedge, [d_model], as `mechcot.steer` takes it.

        Fitted on all claims of kinds that are used; its length is the distance between the two means.

        Args:
            layer: 0 is the embedding; None: the layer that foretells hedges best on held-out questions,
                picked after looking.

        Raises:
            AnalysisError: there is no direction, or none at this layer.
        """
        found = self.before.directions
        if not found:
            raise AnalysisError(f"{self.before.arm} has no hedge direction: {self.before.reason}")
        if layer is None:
            known = [one for one in self.before.by_layer if one.auroc.estimate is not None]
            layer = max(known, key=lambda one: one.auroc.estimate or 0.0).layer
        if layer not in found:
            raise AnalysisError(f"layer {layer} has no direction; there is one for {sorted(found)}")
        return Direction(found[layer], layer, card=self.card)

    def save(self, folder: str | Path) -> None:
        """Write the directions of all layers and their card into a folder (`models.directions`)."""
        save_directions(Path(folder), self.before.directions, self.card)


def _aurocs(scores: tuple[LayerScore, ...]) -> dict[str, Any]:
    return {str(score.layer): leaf(score.auroc.estimate, score.auroc.reason) for score in scores}


def _best(scores: tuple[LayerScore, ...]) -> str:
    """The layer whose AUROC is highest, in words that say it was picked."""
    known = [score for score in scores if score.auroc.estimate is not None]
    if not known:
        return "no layer has an AUROC"
    best = max(known, key=lambda score: score.auroc.estimate or 0.0)
    return f"best of {len(scores)} layers: {best.layer}, AUROC {best.auroc}"
