"""How sure is the difference of step error? Its tests, what clustering costs, and what could undo it.

Beside `audit`: the same verdicts, and everything that says how far the difference can be trusted.
Chance (cluster standard error, sign flips, the smallest difference that this study can see), the
steps on which the judge abstained (bounds), and a judge that errs differently in the two arms (the
tipping point). Differences are after - before; the question is the unit that was sampled throughout.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mechcot.analyses.arm_steps import ArmSteps
from mechcot.analyses.arms import Arms, draws_of
from mechcot.analyses.audit.certainty_result import CertaintyResult, Estimand, Tipping
from mechcot.core.results import Interval, Pair
from mechcot.stats.cluster import Floats, Ints, ratio_difference
from mechcot.stats.inference import (
    design_effect,
    detectable_difference,
    difference_contributions,
    difference_design_effect,
    sign_flips,
)
from mechcot.stats.jackknife import question_weighted_difference, ratio_difference_interval
from mechcot.stats.sensitivity import abstention_bounds, tipping_interval, tipping_point

if TYPE_CHECKING:
    from mechcot.study.folder import Study

SENSITIVITY = 0.9
"""Share of true errors that the judge of a tipping point finds, the same in both arms."""
PREVALENCES = (0.0, 0.1, 0.2, 0.3, 0.4)
"""True error rates for which a tipping point is given, as far as a judge can make the observed rates."""


def analyse(
    arms: Arms,
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> CertaintyResult:
    """Test the difference of step error, and say what chance, abstention or the judge could make of it.

    Args:
        arms: before and after.
        draws: sign vectors of each test.
        seed: of the signs.

    Raises:
        AnalysisError: as `audit.analyse`; also verdicts of two instruments or of none.
        UsageError: draws below 1.
    """
    before, after = arms.steps
    sums = arms.sums
    step_weighted = _by_steps(sums, draws, seed)
    return CertaintyResult(
        arms=Pair(before.name, after.name),
        instrument=arms.instrument,
        step_weighted=step_weighted,
        question_weighted=_by_questions(sums, draws, seed),
        independent_se=_independent_se(sums),
        deff=difference_design_effect(*sums),
        clustering=Pair(design_effect(sums[0], sums[1]), design_effect(sums[2], sums[3])),
        abstention=abstention_bounds(
            sums[0],
            sums[1] - sums[0],
            _abstained(before),
            sums[2],
            sums[3] - sums[2],
            _abstained(after),
        ),
        tipping=_tipping(sums, step_weighted.difference),
        draws=draws,
        seed=seed,
    )


_Sums = tuple[Ints, Ints, Ints, Ints]


def _abstained(arm: ArmSteps) -> Ints:
    """Steps of each text on which the instrument abstained [texts]."""
    rows = (arm.steps["label"] == "abstain").to_numpy(dtype=bool)
    of = arm.text[arm.steps["q"].to_numpy()[rows]]
    return np.bincount(of, minlength=int(arm.text.max()) + 1)


def _by_steps(sums: _Sums, draws: int, seed: int) -> Estimand:
    difference = ratio_difference_interval(*sums)
    se = ratio_difference(*sums).se
    if se is None:
        return Estimand(difference, None, None, None, None)
    present = (sums[1] > 0) | (sums[3] > 0)
    table = difference_contributions(*(column[present] for column in sums))
    return _tested(difference, se, table, draws, seed)


def _by_questions(sums: _Sums, draws: int, seed: int) -> Estimand:
    difference = question_weighted_difference(*sums)
    both = (sums[1] > 0) & (sums[3] > 0)
    if both.sum() < 2:
        return Estimand(difference, None, None, None, None)
    e0, m0, e1, m1 = (column[both] for column in sums)
    own: Floats = np.asarray(e1 / m1 - e0 / m0, dtype=np.float64)
    return _tested(difference, float(own.std(ddof=1) / math.sqrt(len(own))), own, draws, seed)


def _tested(
    difference: Interval, se: float, contributions: npt.NDArray[np.float64], draws: int, seed: int
) -> Estimand:
    flips = sign_flips(contributions, draws=draws, seed=seed)
    # Where questions are too few or all alike for an interval, nothing tells what would be found.
    seen = None if difference.se is None else detectable_difference(difference.se, freedom=difference.freedom)
    return Estimand(difference, se, flips.statistics[0], flips.p_values[0], seen)


def _independent_se(sums: _Sums) -> float | None:
    """What two independent proportions of steps would have for a standard error."""
    arms = [(float(sums[i].sum()), float(sums[i + 1].sum())) for i in (0, 2)]
    if any(judged == 0 for _, judged in arms):
        return None
    return math.sqrt(sum(wrong / judged * (1 - wrong / judged) / judged for wrong, judged in arms))


def _tipping(sums: _Sums, difference: Interval) -> tuple[Tipping, ...]:
    point = ratio_difference(*sums)
    if point.rate_before is None or point.rate_after is None:
        return ()
    rates = (point.rate_before, point.rate_after)
    # beyond it the judge would need fewer than no false positives, or more than all
    largest = min(min(rates) / SENSITIVITY, (1 - max(rates)) / (1 - SENSITIVITY))
    given = [prevalence for prevalence in PREVALENCES if prevalence < largest]
    if largest < 1:
        given.append(largest)
    return tuple(
        Tipping(
            tipping_point(*rates, prevalence=prevalence, sensitivity=SENSITIVITY),
            tipping_interval(difference, prevalence=prevalence),
        )
        for prevalence in given
    )


__all__ = ["CertaintyResult", "Estimand", "Tipping", "analyse"]


def certainty_of(study: Study, control: str | None = None) -> CertaintyResult:
    """How sure the change of step error is: tests, design effects, bounds, tipping point."""
    return analyse(Arms.of(study, control), draws=draws_of(study), seed=study.settings.seed)
