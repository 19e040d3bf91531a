"""What the analysis of margins returns: flows by margin, the split of the vote, transitions."""

from __future__ import annotations

from dataclasses import dataclass, field

from mechcot.core.results import OPTIONAL, SPREAD, Interval, Pair, Result, because, keyed
from mechcot.stats.margin import Flow
from mechcot.stats.vote_split import VoteSplit

TRANSITIONS = ("gained", "lost", "kept_right", "kept_wrong")
_NEAR = "no question has a margin near 0"


_NOTHING = "nothing was gained in any draw of the null"


@dataclass(frozen=True)
class MarginBin(Result):
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
class BoundaryShare(Result):
    """How much of the gain comes from questions that were nearly right.

    Attributes:
        distance: base margins in [-distance, 0] count.
        share: of what is gained.
        null: its mean with equal shares in both arms; None where nothing was gained in any draw.
        null_range: 2.5 and 97.5 % quantiles of that.
    """

    distance: float
    share: Interval
    null: float | None = field(metadata=because(_NOTHING))
    null_range: tuple[float, float] | None = field(metadata=because(_NOTHING))


@dataclass(frozen=True)
class Transition(Result):
    """The step error of questions that a vote puts into a transition, in traces that did not vote.

    Attributes:
        name: one of `TRANSITIONS`.
        n: expected number of questions.
        change: step error after minus before.
        error_before: step error before; None without judged steps.
        error_after: step error after; None without judged steps.
        error_before_interval: `error_before` with its own interval.
        error_after_interval: the same after.
    """

    name: str
    n: float
    change: Interval
    error_before: float | None = field(metadata=because("no judged steps before"))
    error_after: float | None = field(metadata=because("no judged steps after"))
    error_before_interval: Interval | None = field(default=None, metadata=OPTIONAL)
    error_after_interval: Interval | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class GainsResult(Result):
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
        null_draws: draws of the null of equal shares.
        seed: of both.
    """

    arms: Pair[str]
    instrument: str
    n_questions: int
    k: int
    half: int
    delta_sc: Interval
    bins: tuple[MarginBin, ...]
    boundary: tuple[BoundaryShare, ...]
    flow: Flow
    split: VoteSplit
    transitions: tuple[Transition, ...] = field(metadata=keyed("name"))
    contrasts: dict[str, Interval] = field(metadata=SPREAD)
    null_draws: int
    seed: int

    table = "bins"

    def __repr__(self) -> str:
        return (
            f"GainsResult({' -> '.join(self.arms)}, halves of {self.half} votes: SC@{self.half} difference"
            f" {self.delta_sc}, of it gold share {self.split.gold_share}, concentration"
            f" {self.split.concentration}; step error of the gained minus the kept questions"
            f" {self.contrasts['gained_minus_kept']})"
        )
