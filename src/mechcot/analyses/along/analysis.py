"""What changes first along a training: measures at its checkpoints, and when half of each change is behind.

A measure is a ratio of sums over questions, r(s) at share s of the training's steps. Of its total change,
(r(s) - r(0)) / (r(1) - r(0)) is behind at s; the time to half is the first s at which that is a half, between
checkpoints by linear interpolation. A measure that has not clearly changed has no such time. Questions are
left out one at a time, in all arms at once, so that the difference of two measures' times has its interval
(jackknife, Student's t); over training seeds it is `stats.seeds`. One training is one draw of what comes
first: no order is stated of fewer than three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mechcot.analyses.along.counts import MEASURES, counts
from mechcot.analyses.along.result import AlongResult, Apart, Half, Point, Run, SeedApart, SeedHalf
from mechcot.analyses.arms import on_questions
from mechcot.analyses.form import INTERVAL, pick
from mechcot.core.errors import UsageError
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Interval
from mechcot.core.settings import Settings
from mechcot.stats.cluster import LEVEL, Floats, Ints, safe_ratio
from mechcot.stats.jackknife import jackknife_interval, rate_interval, ratio_difference_interval
from mechcot.stats.seeds import SEEDS, over_seeds
from mechcot.steps.hedge_words import found_in

if TYPE_CHECKING:
    from mechcot.study.folder import Study

PAIRS = tuple(combinations(MEASURES, 2))
_UNCLEAR = "its total change is not told from none"
_NO_VALUE = "an arm along the training has nothing to count it on"


def along_of(study: Study) -> AlongResult:
    """What changes first along the student's training: answers, steps, commitment, hedging.

    Raises:
        UsageError: nothing was kept along the training.
    """
    settings = study.settings
    trainings = settings.trainings()
    if not trainings:
        raise UsageError(
            f"{study.path}: nothing was kept along the training of {settings.contrast.after}. Name shares of "
            f"its steps: mechcot run {study.path} --set 'along=[0.1, 0.25, 0.5]'"
        )
    arms = dict.fromkeys(arm for shares in trainings.values() for arm in shares)
    own = any(not study.claims(arm).empty for arm in arms)
    tables = {arm: _counts(study, arm, own) for arm in arms}
    return analyse(trainings, tables, {name: _seed(settings, name) for name in trainings})


def _seed(settings: Settings, student: str) -> int:
    made = settings.arms[student].distill
    return settings.seed if made is None or made.seed is None else made.seed


def _counts(study: Study, arm: str, own: bool) -> Floats:
    """Counts of one arm; `own`: the task says itself what hedges."""
    questions = study.questions(study.settings.contrast.domain)
    traces, steps, verdicts, forced = (
        on_questions(questions, table(arm))
        for table in (study.traces, study.steps, study.verdicts, study.forced)
    )
    if own:
        said = study.claims(arm)[[*STEP_KEY, "hedged"]]
        steps = steps.merge(said, on=STEP_KEY, how="left")
        hedged = steps["hedged"].eq(True)
    else:
        hedged = steps["text"].map(lambda text: bool(found_in(text)))
    return counts(questions, traces, steps.assign(hedged=hedged.astype(bool)), verdicts, forced)


def analyse(
    trainings: Mapping[str, Mapping[str, float]],
    tables: Mapping[str, Floats],
    seeds: Mapping[str, int],
) -> AlongResult:
    """Compare arms along trainings.

    Args:
        trainings: student to its arms and the share of its steps at each, from the base (0) to itself (1).
        tables: of each arm the counts of `counts.counts`, [texts, measures, 2], the same texts in all.
        seeds: of each training.
    """
    runs, times, weights = [], [], []
    for student, shares in trainings.items():
        table = np.stack([tables[arm] for arm in shares], axis=1)  # [texts, points, measures, 2]
        at = np.array(list(shares.values()))
        run, left = _run_of(student, seeds[student], tuple(shares), at, table)
        runs.append(run)
        times.append(left)
        weights.append(_weights(table))
    halves: tuple[SeedHalf, ...] = ()
    apart: tuple[SeedApart, ...] = ()
    if len(runs) >= SEEDS:
        halves, apart = _over(runs, np.stack(times, axis=-1), np.mean(weights, axis=0))
    before = runs[0].points[0].arm
    return AlongResult(before, len(tables[before]), tuple(runs), halves, apart)


def half_times(shares: Floats, rates: Floats) -> Floats:
    """The share of a training at which half of a change is behind, [...].

    Args:
        shares: of the training's steps, rising from 0 to 1, [points].
        rates: a measure there, [points, ...]; NaN comes out where one is NaN or the ends are equal.
    """
    done = progress(rates)
    at = _passed(done)
    high, low = (np.take_along_axis(done, place[None], axis=0)[0] for place in (at, at - 1))
    part = np.divide(0.5 - low, high - low, out=np.full(high.shape, np.nan), where=np.isfinite(high - low))
    return np.asarray(shares[at - 1] + part * (shares[at] - shares[at - 1]))


def _passed(done: Floats) -> Ints:
    """The first point at which half of a change is behind, [...]: never the start, at the latest the end."""
    return np.maximum((done >= 0.5).argmax(axis=0), 1)


def progress(rates: Floats) -> Floats:
    """The share of the total change that is behind at each point, [points, ...]; NaN without a change."""
    total = rates[-1] - rates[0]
    known = np.broadcast_to(np.isfinite(rates).all(axis=0) & (total != 0), rates.shape)
    return np.divide(rates - rates[0], np.broadcast_to(total, rates.shape), out=np.full(rates.shape, np.nan),
                     where=known)  # fmt: skip


def _rates(sums: Floats) -> Floats:
    return safe_ratio(sums[..., 0], sums[..., 1])


def _weights(table: Floats) -> Floats:
    """What each question weighs in each measure, all points together, [texts, measures]."""
    counted = table[..., 1]
    return np.asarray((counted / np.maximum(counted.sum(axis=0), 1e-300)).sum(axis=1))


def _run_of(student: str, seed: int, arms: Sequence[str], at: Floats, table: Floats) -> tuple[Run, Floats]:
    """One training, and its times to half without each question, [texts, measures]."""
    sums = table.sum(axis=0)
    whole, left = _rates(sums), np.moveaxis(_rates(sums - table), 0, -1)  # [points, measures], [..., texts]
    times, without = half_times(at, whole), half_times(at, left).T
    gone, gone_without = progress(whole), progress(left)
    weight = _weights(table)
    ends = [table[:, 0], table[:, -1]]
    totals = {
        name: ratio_difference_interval(*(one[:, m, part] for one in ends for part in (0, 1)))
        for m, name in enumerate(MEASURES)
    }
    clear = [_excludes_zero(one) for one in totals.values()]

    def interval(estimate: float, each: Floats, places: Sequence[int]) -> Interval:
        known = np.isfinite(whole[:, list(places)]).all()
        found = float(estimate) if known and all(clear[m] for m in places) else None
        own, why = weight[:, list(places)].sum(axis=1), _UNCLEAR if known else _NO_VALUE
        return jackknife_interval(found, each, logit=False, unit="questions", weight=own, reason=why)

    number = {name: m for m, name in enumerate(MEASURES)}
    points = tuple(
        Point(
            arm,
            float(at[i]),
            {name: rate_interval(table[:, i, m, 0], table[:, i, m, 1]) for name, m in number.items()},
            {name: interval(gone[i, m], gone_without[i, m], [m]) for name, m in number.items()},
        )
        for i, arm in enumerate(arms)
    )
    passed = _passed(gone)
    halves = tuple(
        Half(name, totals[name], interval(times[m], without[:, m], [m]), (at[passed[m] - 1], at[passed[m]]))
        for name, m in number.items()
    )
    apart = tuple(
        Apart(a, b, interval(times[j] - times[i], without[:, j] - without[:, i], [i, j]))
        for a, b in PAIRS
        for i, j in [(number[a], number[b])]
    )
    return Run(student, seed, points, halves, apart), without


def _over(
    runs: Sequence[Run], without: Floats, weight: Floats
) -> tuple[tuple[SeedHalf, ...], tuple[SeedApart, ...]]:
    """The same over training seeds.

    Args:
        runs: one a seed.
        without: times to half without each question, [texts, measures, seeds].
        weight: of each question in each measure, [texts, measures].
    """
    number = {name: m for m, name in enumerate(MEASURES)}
    halves = []
    for m, name in enumerate(MEASURES):
        times = [run.halves[m].time.estimate for run in runs]
        low, high = zip(*(run.halves[m].between for run in runs), strict=True)
        over = over_seeds(times, without[:, m], weight[:, m]).mean
        halves.append(SeedHalf(name, over, (min(low), max(high))))
    apart = []
    for p, (a, b) in enumerate(PAIRS):
        i, j = number[a], number[b]
        estimates = [run.apart[p].difference.estimate for run in runs]
        own, each = weight[:, i] + weight[:, j], without[:, j] - without[:, i]
        shared = over_seeds(estimates, each, own, level=1 - (1 - LEVEL) / len(PAIRS)).mean
        holds = _excludes_zero(shared) and all(_between_others(run.halves[i], run.halves[j]) for run in runs)
        apart.append(SeedApart(a, b, over_seeds(estimates, each, own).mean, holds))
    return tuple(halves), tuple(apart)


def _between_others(one: Half, other: Half) -> bool:
    """Whether two times lie between other checkpoints: else their order rests on the straight line drawn."""
    return one.between[1] <= other.between[0] or other.between[1] <= one.between[0]


def _excludes_zero(interval: Interval) -> bool:
    low, high = interval.low, interval.high
    return low is not None and high is not None and (low > 0 or high < 0)


def asked(settings: Settings) -> bool:
    """Whether checkpoints were kept along the training of the student."""
    return bool(settings.trainings())


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """When half of each change is behind, for summary.json: over seeds, or of the one training there is."""
    halves = result["halves"] or result["runs"][0]["halves"]
    return {"trainings": len(result["runs"])} | {
        one["measure"]: pick(one["time"], INTERVAL) for one in halves
    }
