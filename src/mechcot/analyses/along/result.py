"""What changes when along trainings, as results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mechcot.core.results import Interval, Result, cells


@dataclass(frozen=True)
class Point(Result):
    """One arm along a training.

    Attributes:
        arm: name of it.
        share: of the training's optimiser steps; 0 before, 1 at the end.
        rates: each measure, with its interval over questions.
        done: the share of each measure's total change that is behind, likewise; 0 before, 1 at the end.
    """

    arm: str
    share: float
    rates: dict[str, Interval]
    done: dict[str, Interval]


@dataclass(frozen=True)
class Half(Result):
    """When half of a measure's total change is behind.

    Attributes:
        measure: which.
        total: its change from before to the end of the training.
        time: share of the training's steps at which half of that is reached, between checkpoints by linear
            interpolation; not defined where the interval of `total` holds 0.
        between: the shares of the checkpoints that `time`, where it is defined, lies between.
    """

    measure: str
    total: Interval
    time: Interval
    between: tuple[float, float]


@dataclass(frozen=True)
class Apart(Result):
    """Two measures' times to half.

    Attributes:
        first: a measure.
        second: another.
        difference: time of the second minus time of the first, in shares of the training.
    """

    first: str
    second: str
    difference: Interval


@dataclass(frozen=True)
class SeedHalf(Result):
    """When half of a measure's total change is behind, over training seeds.

    Attributes:
        measure: which.
        time: mean over the seeds, with an interval for other questions and other seeds.
        between: the lowest and the highest of the checkpoints that its times lie between.
    """

    measure: str
    time: Interval
    between: tuple[float, float]


@dataclass(frozen=True)
class SeedApart(Result):
    """Two measures' times to half, over training seeds.

    Attributes:
        first: a measure.
        second: another.
        difference: of their times, mean over the seeds, likewise.
        holds: whether the interval excludes 0 at a level that all pairs share (Bonferroni), and the two times
            lie between other checkpoints in every training.
    """

    first: str
    second: str
    difference: Interval
    holds: bool


@dataclass(frozen=True)
class Run(Result):
    """One training.

    Attributes:
        student: the arm at its end.
        seed: of the training.
        points: the arms along it, the one before first.
        halves: a row a measure.
        apart: a row a pair of measures; the intervals are over questions alone.
    """

    student: str
    seed: int
    points: tuple[Point, ...]
    halves: tuple[Half, ...]
    apart: tuple[Apart, ...]


@dataclass(frozen=True, repr=False)
class AlongResult(Result):
    """What changes when along one training or several.

    Attributes:
        before: name of the arm that the trainings start from.
        n_questions: equal texts count once.
        runs: a row a training, the headline's first.
        halves: over the training seeds; empty with fewer than three.
        apart: likewise.
    """

    before: str
    n_questions: int
    runs: tuple[Run, ...]
    halves: tuple[SeedHalf, ...]
    apart: tuple[SeedApart, ...]

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a training, arm along it and measure."""
        return [
            {
                "student": run.student,
                "seed": run.seed,
                "arm": point.arm,
                "share": point.share,
                "measure": name,
            }
            | cells(rate)
            for run in self.runs
            for point in run.points
            for name, rate in point.rates.items()
        ]

    def __repr__(self) -> str:
        told = ", ".join(f"{half.measure} {half.time}" for half in self.halves or self.runs[0].halves)
        return f"AlongResult({len(self.runs)} trainings; half of the change: {told})"
