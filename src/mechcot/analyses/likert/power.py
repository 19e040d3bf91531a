"""What a study of ratings can see, by simulating it before a form is written.

Ratings are drawn as `stats.rating_draws` does, with what raters, questions and texts share as assumed below,
and analysed as they will be. Effects are population-averaged log odds ratios between two trace types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mechcot.analyses.likert.design import plan_of
from mechcot.analyses.likert.scales import INTERPRETABILITY
from mechcot.core.results import Result
from mechcot.core.words import aligned
from mechcot.stats.inference import ALPHA, POWER
from mechcot.stats.ordinal import FEW, fit_ordinal
from mechcot.stats.rating_draws import Shares, draw_ratings

EFFECTS = (0.4, 0.8, 1.2)
"""Log odds ratios whose power is shown."""
SHARES = Shares()
"""Assumed: of a rating's variance a quarter is the rater's, a twentieth the question's, a twentieth the
text's, a fifth is common to one rater's ratings of one text."""
MARGINAL = np.array([0.05, 0.1, 0.2, 0.4, 0.25])
"""Assumed: shares of the five answers where the effect is 0."""
RUNS = 100


@dataclass(frozen=True)
class Case(Result):
    """What one size of a study sees.

    Attributes:
        participants: all of them.
        questions: different questions.
        power: share of simulated studies that find each of `EFFECTS` at the 5 % level.
        detectable: the smallest log odds ratio found with a chance of 80 %.
        points: the same as a difference of mean ratings, points of the scale.
    """

    participants: int
    questions: int
    power: tuple[float, ...]
    detectable: float
    points: float


@dataclass(frozen=True)
class Power(Result):
    """Half, all and double of the participants, and twice the questions.

    Attributes:
        types: trace types.
        each: questions that a participant rates.
        cases: the study's own is the second.
        runs: simulated studies of each case.
        reason: why there are no cases.
    """

    types: int
    each: int
    cases: tuple[Case, ...]
    runs: int = RUNS
    reason: str = ""

    table = "cases"

    def text(self) -> str:
        """As a table for a terminal."""
        if self.reason:
            return f"No power: {self.reason}."
        head = ("participants", "questions", *(f"finds {e:g}" for e in EFFECTS), "sees from", "in points")
        rows: list[tuple[str, ...]] = [head]
        for case in self.cases:
            found = (f"{power:.0%}" for power in case.power)
            rows.append(
                (
                    str(case.participants),
                    str(case.questions),
                    *found,
                    f"{case.detectable:.2f}",
                    f"{case.points:.2f}",
                )
            )
        error = 100 * np.sqrt(0.25 / self.runs)
        return "\n".join(
            [
                f"Chance to find a difference of interpretability between two of {self.types} trace types at "
                f"the {ALPHA:.0%} level,",
                f"as a log odds ratio of a higher rating; {self.each} questions each, {self.runs} simulated "
                f"studies (± {error:.0f} points at most).",
                f"Seen from: with a chance of {POWER:.0%}. Assumed shares of the variance: rater "
                f"{SHARES.rater:g}, question {SHARES.item:g}, text {SHARES.text:g}, rater and text "
                f"{SHARES.pair:g}.",
                *aligned(rows),
            ]
        )


def power_of(
    participants: int, types: int, questions: int, each: int, *, seed: int, runs: int = RUNS
) -> Power:
    """Simulate studies of several sizes.

    Args:
        participants: of the study.
        types: trace types.
        questions: different questions.
        each: questions that a participant rates.
        seed: of the simulation.
        runs: simulated studies of each size.
    """
    if participants // types < FEW or questions < FEW:
        why = f"an interval needs {FEW} participants a trace type and {FEW} questions"
        return Power(types, each, (), runs, why)
    sizes = [(participants // 2, questions), (participants, questions), (2 * participants, questions)]
    sizes.append((participants, 2 * questions))
    kept = [size for size in sizes if size[0] // types >= FEW]
    cases = tuple(_case(*size, types, each, np.random.default_rng([seed, *size]), runs) for size in kept)
    return Power(types, each, cases, runs)


def _case(
    participants: int, questions: int, types: int, each: int, rng: np.random.Generator, runs: int
) -> Case:
    """All effects at once: a reference and a type for each effect, with as many raters as a type has."""
    from scipy.special import ndtri, stdtrit

    groups = len(EFFECTS) + 1
    plan = plan_of(participants // types * groups, groups, questions, each)
    effects = np.array([0.0, *EFFECTS])
    found, errors, freedoms = [], [], []
    for _ in range(runs):
        ratings = draw_ratings(plan, effects, SHARES, MARGINAL, rng, scales=len(INTERPRETABILITY))
        fit = fit_ordinal(ratings)
        contrasts = [fit.contrast(group, 0) for group in range(1, groups)]
        found.append([p is not None and p < ALPHA for _, p in contrasts])
        known = [one.log_odds for one in contrasts if one.log_odds.se is not None]
        errors += [one.se or 0.0 for one in known]
        freedoms += [one.freedom or 1.0 for one in known]
    reach = stdtrit(float(np.median(freedoms)), 1 - ALPHA / 2) + ndtri(POWER)
    seen = float(reach * np.sqrt(np.mean(np.square(errors))))
    power = tuple(float(share) for share in np.mean(found, axis=0))
    return Case(participants, questions, power, seen, in_points(seen))


def in_points(log_odds: float) -> float:
    """A log odds ratio as a difference of mean ratings, from `MARGINAL`."""
    cuts = np.cumsum(MARGINAL)[:-1]
    moved: Any = 1 / (1 + np.exp(log_odds - np.log(cuts / (1 - cuts))))
    return float((cuts - moved).sum())
