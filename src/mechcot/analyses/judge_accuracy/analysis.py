"""A judge's accuracy on steps that people labelled: ProcessBench's F1, and what steps say one by one.

A judge here says of every step whether it is wrong; its answer for a solution is the first step that it calls
erroneous, or that there is none. As ProcessBench has it (Zheng et al. 2024, section 4): the share of
solutions
with an error whose first wrong step is found, the share of solutions without one in which none is called
wrong, and F1, the harmonic mean of the two. Solutions of one problem are left out together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mechcot.analyses.judge_accuracy.labels import Labels, Solution
from mechcot.core import records
from mechcot.core.errors import AnalysisError
from mechcot.core.results import UNSTORED, Interval, Result
from mechcot.stats.cluster import Floats, safe_ratio
from mechcot.stats.jackknife import interval_of_sums, rate_interval

UNIT = "problems"
_FAILED = ("api_failure", "parse_failure")


@dataclass(frozen=True)
class Rate(Result):
    """One share.

    Attributes:
        name: what it is.
        share: with its interval.
        n: of how many.
        unit: of what.
    """

    name: str
    share: Interval
    n: int
    unit: str


@dataclass(frozen=True, repr=False)
class JudgeAccuracy(Result):
    """How well a judge finds wrong steps.

    Attributes:
        instrument: its name.
        labels: the file of labels.
        form: whose rows they are.
        n_solutions: that were judged.
        n_problems: that they solve.
        rates: F1 first, then its two halves, then steps one by one.
        n_failed: solutions without an answer, as a call for a step that decides failed.
        n_abstained: labelled steps on which the judge abstained; they count as not called wrong.
        left_out: rows of the file that are no labelled solutions, by reason.
        shown_answer: whether the judge was shown the right answer.
        about: what the instrument is, and what its calls took.
        verdicts: a row a step.
    """

    instrument: str
    labels: str
    form: str
    n_solutions: int
    n_problems: int
    rates: tuple[Rate, ...]
    n_failed: int
    n_abstained: int
    left_out: Mapping[str, int]
    shown_answer: bool
    about: Mapping[str, Any]
    verdicts: pd.DataFrame = field(metadata=UNSTORED)

    table = "rates"

    def __repr__(self) -> str:
        return f"JudgeAccuracy({self.instrument}: F1 {self.rates[0].share}, {self.n_solutions} solutions)"


def accuracy_of(
    labels: Labels, verdicts: pd.DataFrame, about: Mapping[str, Any], shown: bool
) -> JudgeAccuracy:
    """What verdicts on the steps of labelled solutions are worth.

    Args:
        labels: the solutions.
        verdicts: a row a step: qid (the solution's name), sid, label (`records.VERDICTS`).
        about: what the instrument is.
        shown: whether it was shown the right answers.

    Raises:
        AnalysisError: a step without a verdict.
    """
    said = {(row.qid, int(row.sid)): str(row.label) for row in records.rows(verdicts)}
    table = pd.DataFrame([_counts(one, _labels_of(one, said)) for one in labels.solutions])
    sums = table.groupby("problem", sort=False).sum()
    f1 = f1_interval(sums)
    rates = (
        Rate("F1", f1, int(table.wrong.sum() + table.right.sum()), "solutions"),
        _rate(sums, "first wrong step found", "found", "wrong", "solutions with an error"),
        _rate(sums, "none called wrong", "clean", "right", "solutions without one"),
        _rate(sums, "wrong steps called wrong", "hit", "wrong_steps", "first wrong steps"),
        _rate(sums, "right steps called wrong", "alarm", "right_steps", "right steps"),
    )
    return JudgeAccuracy(
        instrument=str(about.get("instrument", "")),
        labels=labels.path,
        form=labels.form,
        n_solutions=len(table),
        n_problems=len(sums),
        rates=rates,
        n_failed=int(table.failed.sum()),
        n_abstained=int(table.abstained.sum()),
        left_out=labels.left_out,
        shown_answer=shown,
        about=about,
        verdicts=verdicts,
    )


def f1_interval(sums: pd.DataFrame) -> Interval:
    """F1 of counts by problem: the columns found, wrong, clean, right."""
    counting = sums[sums.wrong + sums.right > 0]
    return interval_of_sums(
        counting[["found", "wrong", "clean", "right"]].to_numpy(),
        _f1,
        weight=(counting.wrong + counting.right).to_numpy(),
        logit=True,
        reason="there are no solutions with an error, or none without",
        unit=UNIT,
    )


def _labels_of(one: Solution, said: Mapping[tuple[str, int], str]) -> tuple[str, ...]:
    missing = [place for place in range(len(one.steps)) if (one.name, place) not in said]
    if missing:
        raise AnalysisError(
            f"solution '{one.name}': step {missing[0]} has no verdict; judge all of its steps"
        )
    return tuple(said[one.name, place] for place in range(len(one.steps)))


def _counts(one: Solution, labels: Sequence[str]) -> dict[str, Any]:
    """What a solution counts for, as columns."""
    answer = next((place for place, label in enumerate(labels) if label in ("erroneous", *_FAILED)), -1)
    failed = answer >= 0 and labels[answer] in _FAILED
    wrong = one.label >= 0
    steps = [
        (label, is_wrong) for label, is_wrong in zip(labels, one.known, strict=False) if label not in _FAILED
    ]
    return {
        "problem": one.problem,
        "wrong": int(wrong and not failed),
        "found": int(wrong and not failed and answer == one.label),
        "right": int(not wrong and not failed),
        "clean": int(not wrong and not failed and answer == -1),
        "failed": int(failed),
        "wrong_steps": sum(is_wrong for _, is_wrong in steps),
        "hit": sum(is_wrong and label == "erroneous" for label, is_wrong in steps),
        "right_steps": sum(not is_wrong for _, is_wrong in steps),
        "alarm": sum(not is_wrong and label == "erroneous" for label, is_wrong in steps),
        "abstained": sum(label == "abstain" for label, _ in steps),
    }


def _rate(sums: pd.DataFrame, name: str, num: str, den: str, unit: str) -> Rate:
    share = rate_interval(sums[num].to_numpy(), sums[den].to_numpy(), unit=UNIT)
    return Rate(name, share, int(sums[den].sum()), unit)


def _f1(sums: Floats) -> Floats:
    """Harmonic mean of the two shares, of sums [rows, 4]; 0 where both are 0."""
    found, clean = safe_ratio(sums[:, 0], sums[:, 1]), safe_ratio(sums[:, 2], sums[:, 3])
    both = found + clean
    return np.where(both == 0, 0.0, 2 * found * clean / np.where(both == 0, 1.0, both))
