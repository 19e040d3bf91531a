"""What the analysis of margins returns: flows by margin, the split of the vote, transitions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from mechcot.core.results import Interval, Result, leaf
from mechcot.stats.margin import Flow
from mechcot.stats.vote_split import VoteSplit

TRANSITIONS = ("gained", "lost", "kept_right", "kept_wrong")
_NEAR = "no question has a margin near 0"


@dataclass(frozen=True)
class MarginBin:
    """Questions by the base margin of one half of their votes; they count by half for each half.

    Attributes:
        low: lower end of the margins.
        high: upper end; a margin on an inner edge is in the bin nearer to 0.
        n: questions.
        gained: expected number that was wrong before (by the other half) and is right after.
        lost: expected number that was right before and is wrong after.
        change: (gained - lost) / n, the change of SC in the bin.
        null_gained: mean of `gained` if both arms answered with equal shares.
        null_gained_range: 2.5 and 97.5 % quantiles of it.
        null_lost: the same for `lost`.
        null_lost_range: the same for `lost`.
    """

    low: float
    high: float
    n: float
    gained: float
    lost: float
    change: Interval
    null_gained: float
    null_gained_range: tuple[float, float]
    null_lost: float
    null_lost_range: tuple[float, float]


@dataclass(frozen=True)
class BoundaryShare:
    """How much of the gain comes from questions that were nearly right.

    Attributes:
        distance: base margins in [-distance, 0] count.
        share: of what is gained.
        null: its mean with equal shares in both arms; None where nothing was gained in any draw.
        null_range: 2.5 and 97.5 % quantiles of that.
    """

    distance: float
    share: Interval
    null: float | None
    null_range: tuple[float, float] | None


@dataclass(frozen=True)
class Transition:
    """The step error of questions that a vote puts into a transition, in traces that did not vote.

    Attributes:
        name: one of `TRANSITIONS`.
        n: expected number of questions.
        change: step error after minus before.
        rate_before: step error before; None without judged steps.
        rate_after: step error after; None without judged steps.
    """

    name: str
    n: float
    change: Interval
    rate_before: float | None
    rate_after: float | None


@dataclass(frozen=True)
class MarginsResult(Result):
    """Where a change of the vote comes from, and what the steps did there (after - before).

    Attributes:
        arms: names before and after.
        instrument: whose verdicts the transitions use.
        n_questions: questions.
        k: traces of each question and arm.
        half: votes of a half, in which all of this is (SC@half, but for the transitions' steps).
        delta_sc: change of SC@half, the sum of gained less lost over the questions.
        bins: from the lowest to the highest base margin.
        boundary: share of the gain from just below 0.
        flow: density x mean change of margin at 0, an approximation of `delta_sc`.
        split: the change of the exact SC@half in gold's share and the wrong votes' concentration.
        transitions: step error of each.
        contrasts: change of step error of the gained minus that of the kept (both, right, wrong).
        draws: bootstrap replicates.
        null_draws: draws of the null of equal shares.
        seed: of both.
    """

    arms: tuple[str, str]
    instrument: str
    n_questions: int
    k: int
    half: int
    delta_sc: Interval
    bins: tuple[MarginBin, ...]
    boundary: tuple[BoundaryShare, ...]
    flow: Flow
    split: VoteSplit
    transitions: tuple[Transition, ...]
    contrasts: dict[str, Interval]
    draws: int
    null_draws: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """The whole result as JSON values."""
        return {
            "arms": {"before": self.arms[0], "after": self.arms[1]},
            "instrument": self.instrument,
            "n_questions": self.n_questions,
            "k": self.k,
            "half": self.half,
            "delta_sc": self.delta_sc.to_json(),
            "bins": [{**asdict(one), "change": one.change.to_json()} for one in self.bins],
            "boundary": [_boundary_json(one) for one in self.boundary],
            "flow": {
                **asdict(self.flow),
                "mean_change": leaf(self.flow.mean_change, _NEAR),
                "product": leaf(self.flow.product, _NEAR),
            },
            "split": {
                "k": self.split.k,
                "total": self.split.total.to_json(),
                "gold_share": self.split.gold_share.to_json(),
                "concentration": self.split.concentration.to_json(),
                "share_plugged_in": self.split.share_plugged_in,
            },
            "transitions": {one.name: _transition_json(one) for one in self.transitions},
            **{name: contrast.to_json() for name, contrast in self.contrasts.items()},
            "draws": self.draws,
            "null_draws": self.null_draws,
            "seed": self.seed,
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per bin of base margins: n, gained, lost, their nulls, change of SC, low, high."""
        return pd.DataFrame(
            [
                {
                    "margin": f"{one.low:g} to {one.high:g}",
                    "n": one.n,
                    "gained": one.gained,
                    "null_gained": one.null_gained,
                    "lost": one.lost,
                    "null_lost": one.null_lost,
                    "change": one.change.estimate,
                    "low": one.change.low,
                    "high": one.change.high,
                }
                for one in self.bins
            ]
        )

    def transitions_frame(self) -> pd.DataFrame:
        """One row per transition: n, step error before and after, change, low, high."""
        return pd.DataFrame(
            [
                {
                    "transition": one.name,
                    "n": one.n,
                    "error_before": one.rate_before,
                    "error_after": one.rate_after,
                    "change": one.change.estimate,
                    "low": one.change.low,
                    "high": one.change.high,
                }
                for one in self.transitions
            ]
        )

    def __repr__(self) -> str:
        return (
            f"MarginsResult({' -> '.join(self.arms)}, halves of {self.half} votes: SC@{self.half} difference"
            f" {self.delta_sc}, of it gold share {self.split.gold_share}, concentration"
            f" {self.split.concentration}; step error of the gained minus the kept questions"
            f" {self.contrasts['gained_minus_kept']})"
        )


def _boundary_json(one: BoundaryShare) -> dict[str, Any]:
    nothing = "nothing was gained in any draw of the null"
    return {
        "distance": one.distance,
        "share": one.share.to_json(),
        "null": leaf(one.null, nothing),
        "null_range": list(one.null_range) if one.null_range else leaf(None, nothing),
    }


def _transition_json(one: Transition) -> dict[str, Any]:
    return {
        "n": one.n,
        **{
            f"error_{when}": leaf(rate, f"no judged steps {when}")
            for when, rate in (("before", one.rate_before), ("after", one.rate_after))
        },
        "change": one.change.to_json(),
    }
