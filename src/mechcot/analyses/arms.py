"""Two arms on the same questions: steps joined to their verdicts, and counted by question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.records import LABELS, STEP_KEY, TRACE_KEY
from mechcot.core.results import Pair
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.frames import (
    check_questions,
    describe,
    one_arm,
    question_codes,
    require_columns,
    require_unique,
    text_codes,
    trace_votes,
)
from mechcot.stats.jackknife import by_text
from mechcot.stats.votes import Bools
from mechcot.steps.table import after_answer

if TYPE_CHECKING:
    from mechcot.core.contrast_settings import ContrastSettings
    from mechcot.study.folder import Study

_VERDICTS = LABELS[:4]  # the labels that are verdicts; the rest are failures of the instrument

_KEPT = (
    "q", "cid", "label", "role", "stratum", "subject", "n_words", "trace_right", "audited", "behind_answer",
)  # fmt: skip


@dataclass(frozen=True)
class ArmSteps:
    """One arm's steps with their verdicts, ready to be counted.

    Attributes:
        name: of the arm.
        instrument: of its verdicts; "" without any.
        steps: one row per step: `q` (row of its question), `cid`, `label` ("" without a verdict),
            `role`, `stratum`, `n_words`, `trace_right`, `audited` (its trace has a verdict),
            `behind_answer` (it follows the first statement of the trace's answer).
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
        role = self.steps["role"].astype(str)
        kind = role + " / " + self.steps["stratum"].astype(str) if by_stratum else role
        return kind.to_numpy(dtype=object)

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
    rows, has_strata = _add_strata(rows, steps, verdicts, strata, arm, what["strata"])
    rows["audited"] = (rows["label"] != "").groupby([rows["qid"], rows["cid"]]).transform("any").astype(bool)
    audited = rows.loc[rows["audited"]]
    return ArmSteps(
        name=arm,
        instrument=_instrument(verdicts, what["verdicts"]),
        steps=rows[[name for name in _KEPT if name in rows]],
        has_strata=has_strata,
        has_right_trace=np.bincount(own["trace_q"], weights=own["trace_right"], minlength=len(index)) > 0,
        text=text_codes(questions),
        n_questions=len(index),
        n_traces=len(traces),
        n_audited=len(audited.drop_duplicates(["qid", "cid"])),
        n_audited_steps=len(audited),
        n_without_steps=len(traces) - len(rows.drop_duplicates(["qid", "cid"])),
    )


@dataclass(frozen=True)
class Arms:
    """Two arms on the same questions under one instrument, joined and checked when first asked for.

    Attributes:
        questions: rows of `records.QUESTIONS` (used: qid, options, gold).
        traces_before: rows of `records.TRACES` before (used: the trace key, answer), at least one for
            every question; all of them vote.
        steps_before: rows of `records.STEPS` before (used: the step key, role, n_words).
        verdicts_before: rows of `records.VERDICTS` of one instrument before. Steps without a row are
            counted and used for nothing else.
        traces_after: the same after.
        steps_after: the same after.
        verdicts_after: the same after.
        strata: a stratum for steps: the step key and `stratum` (the claims table serves), rows of both
            arms; other arms' rows are ignored. Several different strata of one step make "mixed".
            Without it a `stratum` column of both verdict or both step tables is used.

    Raises:
        AnalysisError: a missing column, a row twice, a verdict or stratum of an unknown step, an unknown
            label, several instruments, a question without traces.
    """

    questions: pd.DataFrame
    traces_before: pd.DataFrame
    steps_before: pd.DataFrame
    verdicts_before: pd.DataFrame
    traces_after: pd.DataFrame
    steps_after: pd.DataFrame
    verdicts_after: pd.DataFrame
    strata: pd.DataFrame | None = None

    @classmethod
    def of(cls, study: Study, control: str | None = None) -> Arms:
        """The arms of a study's contrast, or of a control's, with the strata of its claims.

        Where a control says that they may have other numbers of traces, both have the first of them alone: as
        many of every question as the smallest number.
        """
        arms = cls.between(study, contrast_of(study, control))
        return arms._as_many() if _may_differ(study, control) else arms

    @classmethod
    def between(cls, study: Study, contrast: ContrastSettings) -> Arms:
        """The arms of any contrast of a study's."""
        questions = study.questions(contrast.domain)
        pair = (contrast.before, contrast.after)
        return cls._joined(questions, pair, (study.traces, study.steps, study.verdicts), study.claims)

    @classmethod
    def greedy(cls, study: Study, control: str | None = None) -> Arms:
        """The same arms by their greedy traces, one a question."""
        contrast = contrast_of(study, control)
        pair = (contrast.before, contrast.after)
        traces, steps, verdicts, claims = (
            partial(_greedy, study, name) for name in ("traces", "steps", "verdicts", "claims")
        )
        return cls._joined(study.questions(contrast.domain), pair, (traces, steps, verdicts), claims)

    @classmethod
    def _joined(
        cls,
        questions: pd.DataFrame,
        pair: tuple[str, str],
        sources: tuple[Callable[[str], pd.DataFrame], ...],
        claimed: Callable[[str], pd.DataFrame],
    ) -> Arms:
        tables = [on_questions(questions, table(arm)) for arm in pair for table in sources]
        traces0, steps0, verdicts0, traces1, steps1, verdicts1 = tables
        claims = on_questions(questions, pd.concat([claimed(arm) for arm in sorted(set(pair))]))
        strata = claims[[*STEP_KEY, "stratum", "subject"]] if (claims.stratum != "").any() else None
        return cls(questions, traces0, steps0, verdicts0, traces1, steps1, verdicts1, strata)

    def _as_many(self) -> Arms:
        """The same arms with the first k traces of every question, k the smallest number."""
        kept = pd.concat(_as_many(Pair(self.traces_before, self.traces_after)))[TRACE_KEY]
        names = [one.name for one in fields(self) if one.name != "questions"]
        tables = {name: getattr(self, name) for name in names}
        cut = {name: own.merge(kept, on=TRACE_KEY) for name, own in tables.items() if own is not None}
        return replace(self, **cut)

    @cached_property
    def index(self) -> pd.Index:
        """Question ids [questions]."""
        return check_questions(self.questions)[0]

    @cached_property
    def gold(self) -> Ints:
        """Right option of each question [questions]."""
        return check_questions(self.questions)[1]

    @cached_property
    def ballots(self) -> Pair[Ints]:
        """Votes of each arm's traces, [questions, options + 1] each; the last column is "no answer"."""
        return Pair(
            trace_votes(self.questions, self.traces_before, "traces before"),
            trace_votes(self.questions, self.traces_after, "traces after"),
        )

    @cached_property
    def steps(self) -> Pair[ArmSteps]:
        """Each arm's steps with their verdicts."""
        before = (self.traces_before, self.steps_before, self.verdicts_before, self.strata, "before")
        after = (self.traces_after, self.steps_after, self.verdicts_after, self.strata, "after")
        return Pair(arm_steps(self.questions, *before), arm_steps(self.questions, *after))

    @cached_property
    def sums(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Erroneous and judged steps before, the same after, [texts] each."""
        e0, m0, e1, m1 = (by_text(column, self.text).astype(np.int64) for column in counts_of(self.steps))
        return e0, m0, e1, m1

    @property
    def text(self) -> Ints:
        """The number of each question's text [questions]; equal texts are left out together."""
        return self.steps.before.text

    @cached_property
    def instrument(self) -> str:
        """The one instrument of both arms' verdicts.

        Raises:
            AnalysisError: there are two, or none.
        """
        names = sorted({arm.instrument for arm in self.steps if arm.instrument})
        if not names:
            raise AnalysisError("verdicts before and after: both tables are empty; judge the steps first")
        if len(names) > 1:
            raise AnalysisError(
                f"the two arms were judged by different instruments: {names}; use one for both"
            )
        return names[0]


def _greedy(study: Study, name: str, arm: str) -> pd.DataFrame:
    return study.greedy_table(arm, name)


def _behind_answer(steps: pd.DataFrame, traces: pd.DataFrame) -> Bools:
    """Steps [steps] that follow the answer; tables without places in the text say of none that it does."""
    if "char_start" not in steps.columns or "reasoning_end" not in traces.columns:
        return np.zeros(len(steps), dtype=bool)
    return after_answer(steps, traces).to_numpy(dtype=bool)


def _check(traces: pd.DataFrame, steps: pd.DataFrame, verdicts: pd.DataFrame, what: dict[str, str]) -> None:
    require_columns(traces, [*TRACE_KEY, "answer"], what["traces"])
    require_columns(steps, [*STEP_KEY, "role", "n_words"], what["steps"])
    require_columns(verdicts, [*STEP_KEY, "instrument", "label"], what["verdicts"])
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
    if extra.empty:  # an arm without steps: two empty tables cannot be merged
        new = [name for name in extra.columns if name not in STEP_KEY]
        return rows.assign(**{name: pd.Series(None, index=rows.index, dtype=object) for name in new})
    joined = rows.merge(extra, on=STEP_KEY, how="outer", indicator=True, validate="one_to_one")
    stray = joined.loc[joined["_merge"] == "right_only"]
    if len(stray):
        raise AnalysisError(
            f"{what}: {describe(stray, STEP_KEY)} is not among the steps ({len(stray)} such rows);"
            " were the steps cut anew after they were judged?"
        )
    return joined.drop(columns="_merge")


def _add_strata(
    rows: pd.DataFrame,
    steps: pd.DataFrame,
    verdicts: pd.DataFrame,
    strata: pd.DataFrame | None,
    arm: str,
    what: str,
) -> tuple[pd.DataFrame, bool]:
    """The rows with a `stratum` column, and whether it was given ("" where a step has none)."""
    source = strata
    if source is None:
        source = next((frame for frame in (verdicts, steps) if "stratum" in frame.columns), None)
    if source is None:
        return rows.assign(stratum=""), False
    require_columns(source, [*STEP_KEY, "stratum"], what)
    joined = rows
    for name in [name for name in ("stratum", "subject") if name in source.columns]:
        own = source.loc[source["arm"] == arm, [*STEP_KEY, name]].drop_duplicates()
        several = own.duplicated(STEP_KEY, keep=False)
        own.loc[several, name] = "mixed"
        joined = _attach(joined, own.drop_duplicates(STEP_KEY), what)
        joined[name] = joined[name].fillna("")
    return joined, True


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


def contrast_of(study: Study, control: str | None = None) -> ContrastSettings:
    """The headline's contrast, or a control's, filled up from the headline's.

    Raises:
        UsageError: there is no such control.
    """
    headline = study.settings.contrast
    if control is None:
        return headline
    if control not in study.settings.controls:
        known = ", ".join(study.settings.controls) or "none"
        raise UsageError(f"there is no control '{control}' in {study.path}; there are: {known}")
    own = study.settings.controls[control].model_dump(exclude_none=True, exclude={"differs"})
    return headline.model_copy(update=own)


def traces_of(study: Study, control: str | None = None) -> Pair[pd.DataFrame]:
    """The traces of both arms on their questions; where they may be of other numbers, as many of each."""
    contrast = contrast_of(study, control)
    questions = study.questions(contrast.domain)
    both = Pair(*(on_questions(questions, study.traces(arm)) for arm in (contrast.before, contrast.after)))
    return _as_many(both) if _may_differ(study, control) else both


def _may_differ(study: Study, control: str | None) -> bool:
    """Whether a control says that its arms may have other numbers of traces."""
    return control is not None and "samples" in study.settings.controls[control].differs


def _as_many(traces: Pair[pd.DataFrame]) -> Pair[pd.DataFrame]:
    """Of every question and arm the first k traces, k the smallest number of any."""
    k = min(int(table.groupby("qid").size().min()) for table in traces)
    cut = (table[table.groupby("qid").cid.rank() <= k].reset_index(drop=True) for table in traces)
    return Pair(*cut)


def pair_of(study: Study) -> Pair[str]:
    """The contrast's arms, before and after."""
    return Pair(study.settings.contrast.before, study.settings.contrast.after)


def draws_of(study: Study) -> int:
    """Bootstrap draws of every interval."""
    return study.settings.analysis.bootstrap


def on_questions(questions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that are of these questions."""
    return table[table.qid.isin(questions.qid)].reset_index(drop=True)
