"""What putting hedging back does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mechcot.analyses.steering.strength import Candidate, Strength
from mechcot.core.results import OPTIONAL, Interval, Result, cells

MEASURES = {
    "hedged": "claims that are hedged",
    "wrong": "wrong steps",
    "asserted_wrong": "wrong steps without a hedge",
    "right": "right answers",
    "silent": "traces without an answer",
}
"""Shares that are counted in what was written, and how each reads on an axis. Denominators: claims, judged
steps (hedged or not), judged steps, traces, traces."""


@dataclass(frozen=True)
class Share(Result):
    """One share under an edit, and less the same unedited (paired by question)."""

    value: Interval
    change: Interval


@dataclass(frozen=True)
class Dose(Result):
    """What an arm writes under one edit by the hedge direction, on the questions that report.

    Attributes:
        form: add or ablate.
        scale: in distances between the means; 0 is unedited, or ablated.
        n_traces: written.
        n_claims: in them.
        n_judged: steps that the checker calls correct or erroneous.
        shares: `MEASURES` to value and change.
        divergence: nats a token that is no hedge's place, KL(unedited, edited), over texts of the arm itself.
        surprise: nats a token of what was written, under the arm before, unedited.
        landing: AUROC of the probability of a hedge for a wrong claim, among claims that the arm asserted
            unedited, pairs within kind: where an edit would put hedges.
    """

    form: str
    scale: float
    n_traces: int
    n_claims: int
    n_judged: int
    shares: dict[str, Share]
    divergence: Interval
    surprise: Interval
    landing: Interval


@dataclass(frozen=True)
class Chance(Result):
    """What random directions of the same length and covariance do at the same strength.

    Attributes:
        low: 2.5 % point of their changes.
        high: 97.5 % point.
        p: share of them, the direction itself counted, whose change is at least as far from 0.
        draws: random directions.
    """

    low: float
    high: float
    p: float
    draws: int


@dataclass(frozen=True, eq=False)
class ArmSteering(Result):
    """One arm under all edits.

    Attributes:
        layer: where the direction was added.
        direction: which form of it (`stats.direction_forms.FORMS`).
        without_cut: what would be added if the last layers were not left out.
        undamaged: whether one distance, added there, stays below the divergence that is called damage.
        candidates: of each layer and form what decided that.
        strengths: of each strength what decides whether it damages; on the questions that choose.
        safe: the greatest strength without damage there; None: every one damages.
        doses: edits on the questions that report.
    """

    layer: int
    direction: str
    without_cut: Candidate
    undamaged: bool
    candidates: tuple[Candidate, ...]
    strengths: tuple[Strength, ...]
    safe: float | None = field(metadata={"reason": "every strength damages"})
    doses: tuple[Dose, ...]


@dataclass(frozen=True, eq=False)
class SteeringResult(Result):
    """Whether restoring hedging changes what is claimed.

    Attributes:
        before: whose direction it is.
        after: whom it is put back into.
        n_questions: that report.
        n_choosing: that chose layers and strengths.
        wanted: share of claims that the arm before hedges, on the questions that choose.
        scale: strength in the arm after that this is asked of: the least that brings its hedges to `wanted`,
            else the one that hedges most.
        verdict: restored; damage: hedges come back to `wanted` only beside other damage; not reached: at no
            strength.
        arms: arm to what it wrote.
        chance: `MEASURES` to what random directions do in the arm after at `scale`.
        random_divergence: nats a token that is no hedge's place under random directions, mean.
    """

    before: str
    after: str
    n_questions: int
    n_choosing: int
    wanted: float
    scale: float
    verdict: str
    arms: dict[str, ArmSteering]
    chance: dict[str, Chance]
    random_divergence: float | None = field(default=None, metadata=OPTIONAL)

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per arm, edit and measure."""
        return [
            {"arm": arm, "form": dose.form, "scale": dose.scale, "measure": name}
            | cells(share.value)
            | {f"change_{key}": value for key, value in cells(share.change).items()}
            for arm, own in self.arms.items()
            for dose in own.doses
            for name, share in dose.shares.items()
        ]

    def __repr__(self) -> str:
        return (
            f"SteeringResult({self.before}'s hedge direction in {self.after}: {self.verdict}, {self.scale:g})"
        )
