"""Whether a trace's wrong steps and its wrong answer go together, in an arm and in one question.

A share of traces that are right in both ways (paper 2's "correct traces lead to correct solutions") says
nothing of that: it is small wherever either is rare. What says it is how much oftener the answer is right
where no claim is wrong. Over all questions hard ones bring both kinds of error; among traces of one question
they cannot. None of it is a cause: a wrong claim can mislead, and a wrong answer can be argued for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.arm_steps import ArmSteps
from mechcot.analyses.arms import Arms, contrast_of
from mechcot.analyses.form import INTERVAL, pick
from mechcot.core.results import Interval, Pair, Result, keyed
from mechcot.stats import interval_of_sums, jackknife_interval, rate_interval
from mechcot.stats.auroc import leave_one_out, stratified_auroc
from mechcot.stats.cluster import Floats, safe_ratio
from mechcot.stats.frames import question_codes
from mechcot.stats.jackknife import QUESTIONS
from mechcot.stats.two_by_two import gap, log_odds_ratio, phi

if TYPE_CHECKING:
    from mechcot.study.folder import Study

HEADLINE = "headline"
CELLS = ("right_clean", "wrong_clean", "right_flawed", "wrong_flawed")
"""Traces by their answer and by whether a claim in them is wrong."""
_NO_PAIR = "no pair of a right and a wrong trace to compare"
_NO_SPREAD = "no question has traces of different shares of wrong claims"
_ONE_SIDED = "all traces are clean or all flawed, or all right or all wrong"


@dataclass(frozen=True)
class ArmCoupling(Result):
    """Wrong claims and wrong answers of one arm's traces.

    A trace is clean where none of its judged claims is erroneous, else flawed. Without an answer it counts
    as wrong.

    Attributes:
        arm: its name.
        n_traces: traces with a judged claim; the table is of these.
        n_unjudged: traces without one, left out.
        n_no_answer: of `n_traces`, those without an answer.
        counts: traces in each of `CELLS`.
        right_and_clean: their joint share.
        right_if_clean: P(right | clean).
        right_if_flawed: P(right | flawed).
        gap: `right_if_clean` minus `right_if_flawed`.
        phi: correlation of right and clean, -1 to 1.
        log_odds_ratio: of right for clean against flawed, half a trace added to every cell (Haldane 1956).
        auroc: how often, of a right and a wrong trace, the wrong one has the larger share of wrong claims.
        auroc_same_question: the same among traces of one question.
        n_pairs_same_question: pairs behind it.
        slope: change of P(right) from no claim wrong to all wrong, among traces of one question (least
            squares around each question's means).
    """

    arm: str
    n_traces: int
    n_unjudged: int
    n_no_answer: int
    counts: dict[str, int]
    right_and_clean: Interval
    right_if_clean: Interval
    right_if_flawed: Interval
    gap: Interval
    phi: Interval
    log_odds_ratio: Interval
    auroc: Interval
    auroc_same_question: Interval
    n_pairs_same_question: int
    slope: Interval


@dataclass(frozen=True)
class Contrast(Result):
    """Both arms of a contrast, and after minus before.

    Attributes:
        contrast: `headline`, or a control's name.
        domain: of its questions; "" for all.
        n_questions: questions of equal text count once.
        before: the arm before.
        after: the arm after.
        change: of `gap`, `phi` and `slope`, both arms of a question left out together.
    """

    contrast: str
    domain: str
    n_questions: int
    before: ArmCoupling
    after: ArmCoupling
    change: dict[str, Interval]


@dataclass(frozen=True, repr=False)
class CouplingResult(Result):
    """Whether wrong steps and wrong answers go together.

    Attributes:
        contrasts: the headline's, then the controls'.
    """

    contrasts: tuple[Contrast, ...] = field(metadata=keyed("contrast"))

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a contrast and arm."""
        names = ("right_if_clean", "right_if_flawed", "gap", "auroc_same_question", "slope")
        return [
            {"contrast": one.contrast, "arm": arm.arm, "n_traces": arm.n_traces}
            | {name: getattr(arm, name) for name in names}
            for one in self.contrasts
            for arm in (one.before, one.after)
        ]

    def __repr__(self) -> str:
        told = "; ".join(
            f"{arm.arm} {arm.gap}" for arm in (self.contrasts[0].before, self.contrasts[0].after)
        )
        return f"CouplingResult(right answers of clean minus of flawed traces: {told})"


def coupling_of(study: Study) -> CouplingResult:
    """Whether a trace's wrong steps and its wrong answer go together."""
    found = []
    for control in (None, *study.settings.controls):
        arms = Arms.of(study, control)
        tables = [_traces(arm) for arm in arms.steps]
        answers = (arms.traces_before, arms.traces_after)
        silent = [_unanswered(own, arms.index) for own in answers]
        before, after = (_arm(*one) for one in zip(arms.steps, tables, silent, strict=True))
        found.append(
            Contrast(
                control or HEADLINE,
                contrast_of(study, control).domain or "",
                len(set(arms.text.tolist())),
                before,
                after,
                change=_change(Pair(*(_sums(table, arms.text) for table in tables))),
            )
        )
    return CouplingResult(tuple(found))


def _traces(arm: ArmSteps) -> pd.DataFrame:
    """One row a trace with a judged claim: its text's number, share of wrong claims, whether it is right."""
    steps = arm.steps.assign(
        wrong=arm.steps["label"] == "erroneous", judged=arm.steps["label"].isin(("correct", "erroneous"))
    )
    traces = steps.groupby(["q", "cid"], as_index=False).agg(
        wrong=("wrong", "sum"), judged=("judged", "sum"), right=("trace_right", "first")
    )
    traces = traces[traces["judged"] > 0].reset_index(drop=True)
    return traces.assign(
        text=arm.text[traces["q"].to_numpy(dtype=np.int64)],
        error=traces["wrong"] / traces["judged"],
        clean=traces["wrong"] == 0,
    )


def _unanswered(traces: pd.DataFrame, index: pd.Index) -> set[tuple[int, int]]:
    """The traces without an answer, by the row of their question and their number."""
    silent = traces[traces["answer"] < 0]
    return set(zip(question_codes(silent, index, "traces").tolist(), silent["cid"].tolist(), strict=True))


def _arm(arm: ArmSteps, traces: pd.DataFrame, silent: set[tuple[int, int]]) -> ArmCoupling:
    sums = _sums(traces, arm.text)
    cells = sums[:, :4]
    clean, flawed, every = cells[:, 0] + cells[:, 1], cells[:, 2] + cells[:, 3], cells.sum(axis=1)
    error, wrong = traces["error"].to_numpy(), 1 - traces["right"].to_numpy(dtype=np.int64)
    return ArmCoupling(
        arm.name,
        n_traces=len(traces),
        n_unjudged=arm.n_traces - len(traces),
        n_no_answer=len(silent & set(zip(traces["q"].tolist(), traces["cid"].tolist(), strict=True))),
        counts=dict(zip(CELLS, map(int, cells.sum(axis=0)), strict=True)),
        right_and_clean=rate_interval(cells[:, 0], every),
        right_if_clean=rate_interval(cells[:, 0], clean),
        right_if_flawed=rate_interval(cells[:, 2], flawed),
        **{name: _interval(sums, one) for name, one in _STATISTICS.items()},
        auroc=_auroc(error, wrong, traces["text"], same_question=False),
        auroc_same_question=_auroc(error, wrong, traces["text"], same_question=True),
        n_pairs_same_question=stratified_auroc(error, wrong, np.zeros(len(traces)), traces["text"]).n_pairs,
    )


def _sums(traces: pd.DataFrame, text: Any) -> Floats:
    """Of each text: traces in `CELLS`, then products around its means, error by right and by itself."""
    right, clean = (traces[name].to_numpy(dtype=bool) for name in ("right", "clean"))
    parts = [right & clean, ~right & clean, right & ~clean, ~right & ~clean]
    around = traces[["error", "right"]].astype(float)
    around -= around.groupby(traces["text"]).transform("mean")
    columns = [*parts, around["error"] * around["right"], around["error"] ** 2]
    table = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    sums = np.zeros((int(text.max()) + 1, table.shape[1]))
    np.add.at(sums, traces["text"].to_numpy(dtype=np.int64), table)
    return sums


def _slope(sums: Floats) -> Floats:
    return safe_ratio(sums[:, 4], sums[:, 5])


_STATISTICS: Mapping[str, Callable[[Floats], Floats]] = {
    "gap": gap,
    "phi": phi,
    "log_odds_ratio": log_odds_ratio,
    "slope": _slope,
}
_CHANGES = ("gap", "phi", "slope")


def _interval(sums: Floats, statistic: Callable[[Floats], Floats]) -> Interval:
    slope = statistic is _slope
    weight = sums[:, 5] if slope else sums[:, :4].sum(axis=1)
    rows = sums[weight > 0]
    return interval_of_sums(
        rows, statistic, weight=weight[weight > 0], reason=_NO_SPREAD if slope else _ONE_SIDED
    )


def _change(sums: Pair[Floats]) -> dict[str, Interval]:
    """After minus before, both arms of a text left out together."""
    table, width = np.hstack(sums), sums.before.shape[1]
    out = {}
    for name in _CHANGES:
        own = _STATISTICS[name]
        used = [part[:, 5] if own is _slope else part[:, :4].sum(axis=1) for part in sums]
        weight = sum(part / max(part.sum(), 1e-300) for part in used)
        keep = weight > 0
        out[name] = interval_of_sums(
            table[keep],
            partial(_moved, own, width),
            weight=weight[keep],
            reason=f"one arm has none: {_NO_SPREAD if own is _slope else _ONE_SIDED}",
        )
    return out


def _moved(own: Callable[[Floats], Floats], width: int, sums: Floats) -> Floats:
    return np.asarray(own(sums[:, width:]) - own(sums[:, :width]))


def _auroc(error: Floats, wrong: Any, text: pd.Series, *, same_question: bool) -> Interval:
    found = leave_one_out(error, wrong, np.zeros(len(error)), text, text if same_question else None)
    return jackknife_interval(found.auroc, found.without, logit=True, unit=QUESTIONS, reason=_NO_PAIR)


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """The headline's coupling in both arms and its change, for summary.json."""
    own = result["contrasts"][HEADLINE]
    names = ("right_and_clean", "right_if_clean", "right_if_flawed", "gap", "auroc_same_question", "slope")
    return {arm: {name: pick(own[role][name], INTERVAL) for name in names} for role, arm in arms.items()} | {
        "change": {name: pick(leaf, INTERVAL) for name, leaf in own["change"].items()}
    }
