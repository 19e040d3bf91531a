"""One arm's steps joined to their verdicts, and counted by question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.errors import AnalysisError
from mechcot.core.records import LABELS, STEP_KEY, TRACE_KEY
from mechcot.core.results import Pair
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.frames import (
    check_questions,
    describe,
    one_arm,
    plain,
    question_codes,
    require_columns,
    require_unique,
    text_codes,
    together,
)
from mechcot.stats.votes import Bools
from mechcot.steps.table import after_answer

_KEPT = (
    "q", "cid", "label", "role", "stratum", "subject", "n_words", "trace_right", "audited", "behind_answer",
)  # fmt: skip
BLOCK = 2**18
"""Steps, at about as many of which tables are joined at a time."""


@dataclass(frozen=True)
class ArmSteps:
    """One arm's steps with their verdicts, ready to be counted.

    Attributes:
        name: of the arm.
        instrument: of its verdicts; "" without any.
        steps: one row per step: `q` (row of its question), `cid`, `label` ("" without a verdict),
            `role`, `stratum`, `n_words`, `trace_right`, `audited` (its trace has a verdict),
            `behind_answer` (it follows the first statement of the trace's answer). Text is categories.
        has_strata: whether `stratum` was given.
        has_right_trace: [questions], whether a trace of the question answers gold.
        text: the number of each question's text [questions]; equal texts are left out together.
        n_questions: questions of the study.
        n_traces: traces.
        n_audited: traces in which a step has a verdict.
        n_audited_steps: their steps.
        n_without_steps: traces without a step.
    """

    name: str
    instrument: str
    steps: pd.DataFrame
    has_strata: bool
    has_right_trace: Bools
    text: Ints
    n_questions: int
    n_traces: int
    n_audited: int
    n_audited_steps: int
    n_without_steps: int

    @property
    def is_judged(self) -> Bools:
        """Steps [steps] whose verdict is correct or erroneous."""
        return self._labelled("correct", "erroneous")

    def erroneous(self, among: Bools | None = None) -> Ints:
        """Erroneous steps of each question [questions]; `among` [steps] restricts the steps."""
        return self._per_question(_both(self._labelled("erroneous"), among))

    def judged(self, among: Bools | None = None) -> Ints:
        """Correct and erroneous steps of each question [questions]."""
        return self._per_question(_both(self.is_judged, among))

    def claims_by_question(self) -> dict[str, Floats]:
        """Of each question [questions]: right and wrong claims, traces with a wrong one, audited traces."""
        audited = self.steps[self.steps["audited"]]
        traces = (
            audited.assign(right=audited["label"] == "correct", wrong=audited["label"] == "erroneous")
            .groupby(["q", "cid"], as_index=False)[["right", "wrong"]]
            .sum()
        )

        def total(values: Floats) -> Floats:
            return np.bincount(traces["q"], values, minlength=self.n_questions).astype(np.float64)

        right, wrong = (traces[name].to_numpy(np.float64) for name in ("right", "wrong"))
        return {
            "right": total(right),
            "wrong": total(wrong),
            "any_wrong": total((wrong > 0).astype(np.float64)),
            "traces": total(np.ones(len(traces))),
        }

    def claims_per_trace(self, among: Bools) -> float | None:
        """Correct, erroneous and abstained steps among those given, over audited traces."""
        claims = int((self._labelled("correct", "erroneous", "abstain") & among).sum())
        return claims / self.n_audited if self.n_audited else None

    def kinds(self, by_stratum: bool) -> npt.NDArray[np.object_]:
        """The kind of every step [steps]: its role, or its role and stratum."""
        role, stratum = (self.steps[name].astype("category").cat for name in ("role", "stratum"))
        if not by_stratum:
            return np.array(role.categories, dtype=object)[role.codes]
        names = [[f"{kind} / {own}" for own in stratum.categories] for kind in role.categories]
        table = np.array(names, dtype=object).reshape(len(role.categories), len(stratum.categories))
        return table[role.codes, stratum.codes]

    def _labelled(self, *labels: str) -> Bools:
        return self.steps["label"].isin(labels).to_numpy(dtype=bool)

    def _per_question(self, rows: Bools) -> Ints:
        return np.bincount(self.steps["q"].to_numpy()[rows], minlength=self.n_questions)


def arm_steps(
    questions: pd.DataFrame,
    traces: pd.DataFrame,
    steps: pd.DataFrame,
    verdicts: pd.DataFrame,
    strata: pd.DataFrame | None,
    when: str,
) -> ArmSteps:
    """Join one arm's traces, steps, verdicts and strata on their keys.

    Args:
        questions: rows of `records.QUESTIONS`.
        traces: rows of `records.TRACES` of one arm.
        steps: rows of `records.STEPS` of the same arm.
        verdicts: rows of `records.VERDICTS` of the same arm and one instrument.
        strata: step key and `stratum`; None to use a `stratum` column of verdicts or steps.
        when: "before" or "after", for messages.

    Raises:
        AnalysisError: see `audit.analyse`.
    """
    index, gold = check_questions(questions)
    what = {name: f"{name} {when}" for name in ("traces", "steps", "verdicts", "strata")}
    require_columns(traces, [*TRACE_KEY, "answer"], what["traces"])
    require_columns(steps, [*STEP_KEY, "role", "n_words"], what["steps"])
    require_columns(verdicts, [*STEP_KEY, "instrument", "label"], what["verdicts"])
    blocks = _blocks(index, steps, (traces, steps, verdicts, strata))
    parts = [_joined(index, gold, what, *own) for own in blocks]
    rows, own = (together(list(tables)) for tables in zip(*parts, strict=True))
    audited = rows.loc[rows["audited"]]
    return ArmSteps(
        name=one_arm(traces, what["traces"]),
        instrument=_instrument(verdicts, what["verdicts"]),
        steps=rows[[name for name in _KEPT if name in rows]],
        has_strata=_source(steps, verdicts, strata) is not None,
        has_right_trace=np.bincount(own["trace_q"], weights=own["trace_right"], minlength=len(index)) > 0,
        text=text_codes(questions),
        n_questions=len(index),
        n_traces=len(traces),
        n_audited=len(audited.drop_duplicates(["q", "cid"])),
        n_audited_steps=len(audited),
        n_without_steps=len(traces) - len(rows.drop_duplicates(["q", "cid"])),
    )


def _coded(table: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """The table with ids in the categories that those of the steps have, if any, and other text as text."""
    ids = {name: steps[name].dtype for name in ("qid", "arm") if steps[name].dtype == "category"}
    return plain(table, tuple(ids)).astype(ids).reset_index(drop=True)


def _blocks(
    index: pd.Index, steps: pd.DataFrame, tables: Sequence[pd.DataFrame | None]
) -> Iterator[list[Any]]:
    """Tables cut by question, about `BLOCK` steps each, text as text."""
    places = [None if table is None else index.get_indexer(pd.Index(table["qid"])) for table in tables]
    n = np.bincount(index.get_indexer(pd.Index(steps["qid"])) + 1, minlength=len(index) + 1)[1:]
    block = np.maximum(np.cumsum(n) - 1, 0) // BLOCK
    owners = [None if own is None else np.append(block, 0)[own] for own in places]
    for one in np.unique(block):
        yield [
            None if table is None else _coded(table[own == one], steps)
            for table, own in zip(tables, owners, strict=True)
        ]


def _joined(
    index: pd.Index,
    gold: Ints,
    what: dict[str, str],
    traces: pd.DataFrame,
    steps: pd.DataFrame,
    verdicts: pd.DataFrame,
    strata: pd.DataFrame | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Steps with all that is kept of them, and traces with `trace_q` and `trace_right`, of some questions."""
    _check(traces, steps, verdicts, what)
    arm = one_arm(traces, what["traces"])
    own = traces[[*TRACE_KEY, "answer"]].assign(trace_q=question_codes(traces, index, what["traces"]))
    own["trace_right"] = own["answer"].to_numpy() == gold[own["trace_q"].to_numpy()]
    rows = steps[[*STEP_KEY, "role", "n_words"]].assign(behind_answer=_behind_answer(steps, traces))
    rows = rows.merge(own, on=TRACE_KEY, how="left", validate="many_to_one")
    lost = rows.loc[rows["trace_q"].isna()]
    if len(lost):
        raise AnalysisError(f"{what['steps']}: {describe(lost, STEP_KEY)} belongs to no trace of arm {arm}")
    rows = _attach(rows, verdicts[[*STEP_KEY, "label"]], what["verdicts"])
    rows["label"] = rows["label"].fillna("")
    rows["q"] = rows["trace_q"].astype(np.int64)
    rows["trace_right"] = rows["trace_right"].astype(bool)
    rows = _add_strata(rows, _source(steps, verdicts, strata), arm, what["strata"])
    rows["audited"] = (rows["label"] != "").groupby([rows["q"], rows["cid"]]).transform("any").astype(bool)
    return rows[[name for name in _KEPT if name in rows]], own[["trace_q", "trace_right"]]


def _behind_answer(steps: pd.DataFrame, traces: pd.DataFrame) -> Bools:
    """Steps [steps] that follow the answer; tables without places in the text say of none that it does."""
    if "char_start" not in steps.columns or "reasoning_end" not in traces.columns:
        return np.zeros(len(steps), dtype=bool)
    return after_answer(steps, traces).to_numpy(dtype=bool)


def _check(traces: pd.DataFrame, steps: pd.DataFrame, verdicts: pd.DataFrame, what: dict[str, str]) -> None:
    require_unique(traces, TRACE_KEY, what["traces"])
    require_unique(steps, STEP_KEY, what["steps"])
    hint = "; pass the verdicts of one instrument"
    require_unique(verdicts, STEP_KEY, what["verdicts"], hint)
    odd = verdicts.loc[~verdicts["label"].isin(LABELS)]
    if len(odd):
        raise AnalysisError(
            f"{what['verdicts']}: {describe(odd, STEP_KEY)}: the label {odd['label'].iloc[0]!r} is none of"
            f" {list(LABELS)}"
        )


def _attach(rows: pd.DataFrame, extra: pd.DataFrame, what: str) -> pd.DataFrame:
    """Join a table that has at most one row per step, none of a step that is not there."""
    if rows.empty and extra.empty:  # of an arm that writes answers alone; pandas joins no such tables
        more = list(extra.columns.difference(STEP_KEY))
        return rows.reindex(columns=[*rows.columns, *more]).astype(dict.fromkeys(more, object))
    joined = rows.merge(extra, on=STEP_KEY, how="outer", indicator=True, validate="one_to_one")
    stray = joined.loc[joined["_merge"] == "right_only"]
    if len(stray):
        raise AnalysisError(
            f"{what}: {describe(stray, STEP_KEY)} is not among the steps ({len(stray)} such rows);"
            " were the steps cut anew after they were judged?"
        )
    return joined.drop(columns="_merge")


def _source(steps: pd.DataFrame, verdicts: pd.DataFrame, strata: pd.DataFrame | None) -> pd.DataFrame | None:
    """The table that says of steps in which stratum they are, if any."""
    given = (frame for frame in (verdicts, steps) if "stratum" in frame.columns)
    return next(given, None) if strata is None else strata


def _add_strata(rows: pd.DataFrame, source: pd.DataFrame | None, arm: str, what: str) -> pd.DataFrame:
    """The rows with a `stratum` column ("" where a step has none)."""
    if source is None:
        return rows.assign(stratum="")
    require_columns(source, [*STEP_KEY, "stratum"], what)
    joined = rows
    for name in [name for name in ("stratum", "subject") if name in source.columns]:
        own = source.loc[source["arm"] == arm, [*STEP_KEY, name]].drop_duplicates()
        several = own.duplicated(STEP_KEY, keep=False)
        own.loc[several, name] = "mixed"
        joined = _attach(joined, own.drop_duplicates(STEP_KEY), what)
        joined[name] = joined[name].fillna("")
    return joined


def _instrument(verdicts: pd.DataFrame, what: str) -> str:
    names = sorted(verdicts["instrument"].astype(str).unique())
    if len(names) > 1:
        raise AnalysisError(f"{what}: verdicts of several instruments: {names}; pass those of one")
    return names[0] if names else ""


def counts_of(arms: Pair[ArmSteps], among: Pair[Bools] | None = None) -> tuple[Ints, Ints, Ints, Ints]:
    """Erroneous and judged steps before, the same after, [questions] each; `among` [steps] restricts each."""
    (before, after), (own0, own1) = arms, among or (None, None)
    return before.erroneous(own0), before.judged(own0), after.erroneous(own1), after.judged(own1)


def _both(rows: Bools, among: Bools | None) -> Bools:
    return rows if among is None else rows & among
