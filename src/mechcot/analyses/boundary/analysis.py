"""Where answers rise while steps get worse, and where they do not: contrasts of several studies side by side.

"No split" is two statements at once, so it is an intersection-union test (Berger 1982): right answers rise
*and* wrong steps rise by less than a margin that was fixed before, each at its own level. That the rise of
wrong steps is not significant says neither. Two contrasts differ where the interval of the difference of
their changes excludes 0, not where one is significant and the other is not; questions of equal text stand in
both and are left out of both together. That a split appears where wrong claims and wrong answers have little
to do with each other is a prediction to test: the coupling of the arm before stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mechcot.analyses.arms import Arms, contrast_of
from mechcot.analyses.form import missing
from mechcot.core.errors import UsageError
from mechcot.core.results import Interval, Result, keyed
from mechcot.stats import interval_of_sums
from mechcot.stats.cluster import Floats, safe_ratio
from mechcot.stats.frames import one_of_each
from mechcot.stats.votes import shared_tie_score

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Reading = Literal["split", "no split", "answers do not rise", "open"]
_SUMS = 6
"""Columns of a contrast's sums: change of the vote, questions; wrong and judged steps before and after."""


@dataclass(frozen=True)
class Point(Result):
    """One contrast of one study.

    Attributes:
        name: the study, and the control's name if it is one.
        before: the arm before.
        after: the arm after.
        domain: of its questions; "" for all.
        n_questions: questions of equal text count once.
        answers: change of right answers by vote.
        steps: change of the share of wrong steps.
        covariance: of the two changes, by leaving out one question: of answers, of steps, and covariance.
        coupling: phi of right and clean traces in the arm before, as JSON values.
        reads: `split` (both rise), `no split` (answers rise, steps by less than the margin),
            `answers do not rise` (the whole interval is not above 0), or `open`.
    """

    name: str
    before: str
    after: str
    domain: str
    n_questions: int
    answers: Interval
    steps: Interval
    covariance: tuple[float, float, float]
    coupling: Mapping[str, Any]
    reads: Reading


@dataclass(frozen=True)
class Interaction(Result):
    """How far a contrast's changes are from those of the first.

    Attributes:
        name: of the contrast.
        n_shared: questions of equal text that both asked.
        answers: its change of right answers minus the first's.
        steps: its change of wrong steps minus the first's.
    """

    name: str
    n_shared: int
    answers: Interval
    steps: Interval


@dataclass(frozen=True, repr=False)
class BoundaryResult(Result):
    """Contrasts of several studies side by side.

    Attributes:
        margin: the smallest rise of wrong steps that matters, a fraction.
        points: a contrast each; the first is what the others are compared with.
        interactions: of all others.
    """

    margin: float
    points: tuple[Point, ...] = field(metadata=keyed("name"))
    interactions: tuple[Interaction, ...] = field(metadata=keyed("name"))

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a contrast."""
        apart = {one.name: one.steps for one in self.interactions}
        return [
            {"contrast": one.name, "answers": one.answers, "steps": one.steps}
            | {"steps_minus_first": apart.get(one.name), "reads": one.reads, "questions": one.n_questions}
            for one in self.points
        ]

    def __repr__(self) -> str:
        return f"BoundaryResult({'; '.join(f'{one.name}: {one.reads}' for one in self.points)})"


def boundary(studies: Sequence[Study]) -> BoundaryResult:
    """Where answers rise while steps get worse, over all contrasts of some studies.

    Args:
        studies: finished ones; the headline of the first is what the other contrasts are compared with.

    Raises:
        UsageError: no study; two that are called the same; another margin (`confirmatory.smallest.steps`)
            than the first's.
    """
    if not studies:
        raise UsageError("name at least one study")
    names = [study.path.name for study in studies]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two studies are called '{twice}'; rename a folder, so that contrasts can be told apart"
        )
    margins = {study.path.name: study.settings.confirmatory.smallest.steps for study in studies}
    margin = margins[names[0]]
    other = next((name for name, own in margins.items() if own != margin), None)
    if other is not None:
        raise UsageError(
            f"confirmatory.smallest.steps is {margin} in {names[0]} and {margins[other]} in {other}: one "
            "margin has to be fixed for all"
        )
    asked = [(study, control) for study in studies for control in (None, *study.settings.controls)]
    arms = [Arms.of(*one) for one in asked]
    codes = _codes([own.questions for own in arms])
    tables = [_sums(own, code, max(map(max, codes)) + 1) for own, code in zip(arms, codes, strict=True)]
    labels = [study.path.name + (f": {control}" if control else "") for study, control in asked]
    points = [
        _point(label, *one, table, margin) for label, one, table in zip(labels, asked, tables, strict=True)
    ]
    others = [
        _interaction(label, table, tables[0]) for label, table in zip(labels[1:], tables[1:], strict=True)
    ]
    return BoundaryResult(margin, tuple(points), tuple(others))


def _codes(questions: Sequence[pd.DataFrame]) -> list[list[int]]:
    """The number of each question's text, the same for equal texts of any contrast."""
    every = pd.concat(
        [own.assign(qid=[f"{place} {qid}" for qid in own.qid]) for place, own in enumerate(questions)]
    )
    numbers = pd.factorize(every["qid"].map(one_of_each(every)))[0].tolist()
    ends = np.cumsum([0, *map(len, questions)])
    return [numbers[start:end] for start, end in pairwise(ends)]


def _sums(arms: Arms, codes: Sequence[int], n: int) -> Floats:
    """A contrast's sums over questions of equal text, [texts, `_SUMS`]."""
    before, after = (shared_tie_score(votes, arms.gold) for votes in arms.ballots)
    steps = [column for arm in arms.steps for column in (arm.erroneous(), arm.judged())]
    columns = np.stack([after - before, np.ones(len(codes)), *steps], axis=1).astype(np.float64)
    table = np.zeros((n, _SUMS))
    np.add.at(table, np.asarray(codes), columns)
    return table


def _answers(sums: Floats) -> Floats:
    return safe_ratio(sums[:, 0], sums[:, 1])


def _steps(sums: Floats) -> Floats:
    return np.asarray(safe_ratio(sums[:, 4], sums[:, 5]) - safe_ratio(sums[:, 2], sums[:, 3]))


def _weights(table: Floats) -> dict[Any, Floats]:
    """What each text weighs in the change of answers and in that of steps, [texts]."""
    share = table / np.maximum(table.sum(axis=0), 1e-300)
    return {_answers: table[:, 1], _steps: share[:, 3] + share[:, 5]}


def _interval(table: Floats, statistic: Any, weight: Floats) -> Interval:
    keep = weight > 0
    return interval_of_sums(table[keep], statistic, weight=weight[keep], reason="nothing was judged")


def _point(name: str, study: Study, control: str | None, table: Floats, margin: float) -> Point:
    contrast = contrast_of(study, control)
    weights = _weights(table)
    answers, steps = (_interval(table, own, weights[own]) for own in (_answers, _steps))
    coupled = study.result("coupling").get("contrasts", {}).get(control or "headline")
    return Point(
        name,
        contrast.before,
        contrast.after,
        contrast.domain or "",
        int((table[:, 1] > 0).sum()),
        answers,
        steps,
        _covariance(table),
        coupled["before"]["phi"] if coupled else missing("wrong claims and answers were not compared"),
        reads(answers, steps, margin),
    )


def _covariance(table: Floats) -> tuple[float, float, float]:
    """Jackknife variances of the two changes and their covariance."""
    rows = table[table[:, 1] > 0]
    left = rows.sum(axis=0) - rows
    values = np.stack([_answers(left), _steps(left)])
    around = values - values.mean(axis=1, keepdims=True)
    found = (len(rows) - 1) / len(rows) * (around @ around.T)
    return float(found[0, 0]), float(found[1, 1]), float(found[0, 1])


def reads(answers: Interval, steps: Interval, margin: float) -> Reading:
    """What a contrast shows, by the intervals of its two changes.

    Args:
        answers: change of right answers.
        steps: change of the share of wrong steps.
        margin: the smallest rise of wrong steps that matters.
    """
    if answers.low is None or answers.high is None or steps.low is None or steps.high is None:
        return "open"
    if answers.high <= 0:
        return "answers do not rise"
    if answers.low <= 0:
        return "open"
    return "split" if steps.low > 0 else "no split" if steps.high < margin else "open"


def _interaction(name: str, table: Floats, first: Floats) -> Interaction:
    both, weights = np.hstack([table, first]), (_weights(table), _weights(first))
    found = {}
    for own in (_answers, _steps):
        weight = sum(one[own] / max(one[own].sum(), 1e-300) for one in weights)
        found[own] = _interval(both, partial(_minus, own), np.asarray(weight))
    shared = int(((table[:, 1] > 0) & (first[:, 1] > 0)).sum())
    return Interaction(name, shared, found[_answers], found[_steps])


def _minus(statistic: Any, sums: Floats) -> Floats:
    return np.asarray(statistic(sums[:, :_SUMS]) - statistic(sums[:, _SUMS:]))
