"""What the inference on a difference of step error returns: tests, clustering, bounds, tipping points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mechcot.core.results import SPREAD, Interval, Pair, Result
from mechcot.stats.inference import ALPHA, POWER, DesignEffect
from mechcot.stats.sensitivity import AbstentionBounds, TippingPoint

_ONE = "one question alone, or none, has no spread"


@dataclass(frozen=True)
class Estimand(Result):
    """One way to weigh the difference, and what tells it from chance.

    Attributes:
        difference: with its interval.
        se: its cluster standard error; None with fewer than two questions.
        statistic: difference over standard error, as the sign flips take it; None without a spread.
        p_value: two-sided, by flipping the signs of whole questions; None with fewer than two.
        detectable: smallest true difference that a study with this interval's standard error and degrees of
            freedom finds with a chance of `POWER` at level `ALPHA`; None without an interval.
    """

    difference: Interval = field(metadata=SPREAD)
    se: float | None
    statistic: float | None
    p_value: float | None
    detectable: float | None

    @property
    def reason(self) -> str:
        """Why a number is None."""
        return self.difference.reason or _ONE


@dataclass(frozen=True)
class Tipping(Result):
    """The judge that would make the whole difference, if the arms truly err equally often.

    Attributes:
        point: the false-positive rates that it would need.
        difference: needed difference of false-positive rates, with the interval of the observed one.
    """

    point: TippingPoint = field(metadata=SPREAD)
    difference: Interval


@dataclass(frozen=True)
class CertaintyResult(Result):
    """What stands behind a difference of step error (after - before).

    Attributes:
        arms: names before and after.
        instrument: whose verdicts these are.
        step_weighted: every judged step weighs the same (the headline's difference).
        question_weighted: every question with judged steps in both arms weighs the same.
        independent_se: standard error if steps were independent, for comparison; None without steps.
        deff: variance of the step-weighted difference over that of independent steps.
        clustering: intraclass correlation and design effect of the error rate, before and after.
        abstention: bounds over the steps on which the judge abstained.
        tipping: by true error rate, from 0 to the largest that a judge of this sensitivity can turn
            into the observed rates; empty without a difference.
        draws: sign vectors of each test.
        seed: of both.
    """

    arms: Pair[str]
    instrument: str
    step_weighted: Estimand
    question_weighted: Estimand
    independent_se: float | None
    deff: float | None
    clustering: Pair[DesignEffect]
    abstention: AbstentionBounds
    tipping: tuple[Tipping, ...]
    draws: int
    seed: int

    alpha: ClassVar[float] = ALPHA
    power: ClassVar[float] = POWER
    derived = ("alpha", "power")
    table = "weightings"

    @property
    def reason(self) -> str:
        """Why a number is None."""
        return self.step_weighted.difference.reason or "all steps were judged alike"

    @property
    def weightings(self) -> dict[str, Estimand]:
        """The difference under each way to weigh."""
        return {"steps": self.step_weighted, "questions": self.question_weighted}

    def text(self) -> str:
        """The result in lines for a terminal; rates and differences in points of 100."""
        before, after = self.arms
        lines = [
            _told("every step weighs the same", self.step_weighted),
            _told("every question weighs the same", self.question_weighted),
            f"clustering: variance {_number(self.deff)} times that of independent steps; ICC "
            + ", ".join(
                f"{name} {_number(effect.icc)} (design effect {_number(effect.deff)}, "
                f"{effect.n_steps:,} steps of {effect.n_questions:,} questions)"
                for name, effect in zip(self.arms, self.clustering, strict=True)
            ),
            self._abstained(),
        ]
        if self.tipping:
            ends = " to ".join(_points(one.point.difference) for one in (self.tipping[0], self.tipping[-1]))
            lines.append(
                f"tipping point: if {before} and {after} were wrong equally often, the judge's "
                f"false-positive rate would have to differ by {ends} points ({after} minus {before}) to make "
                "this difference"
            )
        return "\n".join(lines)

    def _abstained(self) -> str:
        bounds, shares = self.abstention.difference, self.abstention.share_abstained
        if shares == (0.0, 0.0):
            return "abstention: none"
        told = " and ".join(
            f"{'?' if share is None else f'{share:.1%}'} of {arm}'s steps"
            for arm, share in zip(self.arms, shares, strict=True)
        )
        if bounds.low is None or bounds.high is None:
            return f"abstention: not known ({bounds.reason})"
        ends = ""
        if bounds.interval_low is not None and bounds.interval_high is not None:
            ends = f" [{_points(bounds.interval_low)}, {_points(bounds.interval_high)}]"
        return (
            f"abstention ({told}): whatever those steps are, the difference lies between "
            f"{_points(bounds.low)} and {_points(bounds.high)}{ends}"
        )

    def __repr__(self) -> str:
        step = self.step_weighted
        return (
            f"CertaintyResult({' -> '.join(self.arms)}, {self.instrument}: difference {step.difference}, "
            f"sign-flip p {_number(step.p_value, 4)}, detectable {_number(step.detectable, 3)}, "
            f"design effect {_number(self.deff)})"
        )


def _told(what: str, one: Estimand) -> str:
    own = one.difference
    if own.estimate is None:
        return f"{what}: not known ({own.reason})"
    ends = "" if own.low is None or own.high is None else f" [{_points(own.low)}, {_points(own.high)}]"
    tests = (
        "no test: " + _ONE
        if one.se is None
        else f"SE {100 * one.se:.2f}, sign-flip p {_number(one.p_value, 4)}, detectable "
        f"{_points(one.detectable).lstrip('+')}"
    )
    return f"{what}: {_points(own.estimate)} points{ends} ({own.n} questions; {tests})"


def _points(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:+.1f}"


def _number(value: float | None, digits: int = 2) -> str:
    return "?" if value is None else f"{value:.{digits}f}"
