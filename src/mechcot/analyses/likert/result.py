"""What people made of the traces: ratings by trace type, effects, and accuracy beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mechcot.core.results import OPTIONAL, Interval, Result, because


@dataclass(frozen=True)
class Effect(Result):
    """How much higher one trace type is rated than another.

    Attributes:
        outcome: "interpretability" (the three scales together), one scale, or "load".
        arm: the trace type.
        other: the one that it is compared with.
        log_odds: population-averaged log odds ratio of a higher rating; raters and questions are clusters.
        p: of no difference.
        p_holm: the same for all pairs of this outcome (Holm).
        delta: Cliff's delta of participants' means, for these traces; participants are resampled.
    """

    outcome: str
    arm: str
    other: str
    log_odds: Interval
    p: float | None = field(metadata=because("no interval"))
    p_holm: float | None = field(metadata=because("no interval"))
    delta: Interval


@dataclass(frozen=True)
class Conditional(Result):
    """The effects of one scale for one and the same participant and question, by a mixed model.

    Attributes:
        scale: which.
        effects: log odds ratio of each arm over the first, by arm.
        sd: standard deviation between participants, questions and texts.
        reason: why there is no fit, else "".
    """

    scale: str
    effects: dict[str, Interval]
    sd: dict[str, float]
    reason: str = ""


@dataclass(frozen=True, repr=False)
class LikertResult(Result):
    """Ratings of several trace types.

    Attributes:
        form: name of the study of ratings.
        arms: the trace types, the first of which the others are compared with.
        domain: of the questions; None: all of them.
        people: by arm, participants `asked`, `returned`, `kept`, and `ratings` of those kept.
        excluded: participants left out, with the attention checks that they `missed`.
        missing: ratings of kept participants that are empty or whose row is absent.
        questions: different questions that were rated.
        counts: by arm and scale, how often each point was chosen (`1` to `5`) by those kept.
        means: by arm and outcome, the mean rating and its interval over participants.
        agree: by arm and scale, the estimated probability of 4 or 5 and its interval.
        effects: of every pair of arms on every outcome.
        everyone: effects on interpretability and load with nobody left out; empty where nobody was.
        conditional: by scale, effects for one and the same participant and question.
        alpha: Cronbach's, of the three scales.
        omega: McDonald's, of the same.
        accuracy: by arm, right answers among all the study's traces, `rate`, and among the rated ones,
            `right` of `rated`.
        ignored_columns: columns of the files that were ignored.
        sources: file of the study to its digest.
    """

    form: str
    arms: tuple[str, ...]
    domain: str | None
    people: pd.DataFrame
    excluded: pd.DataFrame
    missing: int
    questions: int
    counts: pd.DataFrame
    means: tuple[dict[str, Any], ...]
    agree: tuple[dict[str, Any], ...]
    effects: tuple[Effect, ...]
    everyone: tuple[Effect, ...]
    conditional: tuple[Conditional, ...]
    alpha: Interval
    omega: Interval
    accuracy: tuple[dict[str, Any], ...]
    ignored_columns: tuple[str, ...]
    sources: dict[str, str]
    reason: str = field(default="", metadata=OPTIONAL)

    table = "effects"

    def effect(self, outcome: str, arm: str) -> Effect:
        """The effect of an arm over the first one."""
        return next(
            one for one in self.effects if (one.outcome, one.arm, one.other) == (outcome, arm, self.arms[0])
        )

    def __repr__(self) -> str:
        kept, all_ = int(self.people["kept"].sum()), int(self.people["asked"].sum())
        first = [self.effect("interpretability", arm) for arm in self.arms[1:]]
        told = "; ".join(f"{one.arm} over {one.other} {one.log_odds}" for one in first)
        return f"LikertResult({self.form}: {kept}/{all_} participants; interpretability, log odds: {told})"
