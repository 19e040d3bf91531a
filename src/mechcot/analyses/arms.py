"""Two arms on the same questions, joined and checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mechcot.analyses.arm_steps import ArmSteps, arm_steps, counts_of
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.records import STEP_KEY, TRACE_KEY
from mechcot.core.results import Pair
from mechcot.stats.cluster import Ints
from mechcot.stats.frames import check_questions, plain, together, trace_votes
from mechcot.stats.jackknife import by_text

if TYPE_CHECKING:
    from mechcot.core.contrast_settings import ContrastSettings
    from mechcot.study.folder import Study


_USED = {
    "traces": (*TRACE_KEY, "answer", "finish_reason", "reasoning_end"),
    "steps": (*STEP_KEY, "role", "n_words", "char_start"),
    "verdicts": (*STEP_KEY, "instrument", "label"),
    "claims": (*STEP_KEY, "stratum", "subject"),
}
"""Columns of a study's tables that are read for two arms; texts and tokens stay on disk."""


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
        sources = {
            "traces": study.traces,
            "steps": study.steps,
            "verdicts": lambda arm, only: study.verdicts(arm, only=only),
            "claims": study.claims,
        }
        return cls._joined(questions, pair, sources, study.strata)

    @classmethod
    def greedy(cls, study: Study, control: str | None = None) -> Arms:
        """The same arms by their greedy traces, one a question."""
        contrast = contrast_of(study, control)
        pair = (contrast.before, contrast.after)
        sources = {name: partial(_greedy, study, name) for name in _USED}
        return cls._joined(study.questions(contrast.domain), pair, sources)

    @classmethod
    def _joined(
        cls,
        questions: pd.DataFrame,
        pair: tuple[str, str],
        sources: Mapping[str, Callable[[str, Sequence[str]], pd.DataFrame]],
        asked: Callable[[str], pd.DataFrame | None] = lambda arm: None,
    ) -> Arms:
        # one and the same categories: then tables are joined on numbers
        ids, names = (pd.CategoricalDtype(sorted(set(own))) for own in (questions.qid, pair))

        def table(name: str, arm: str) -> pd.DataFrame:
            own = on_questions(questions, sources[name](arm, _USED[name]))
            if name == "traces":
                return plain(own)
            return own.assign(qid=own.qid.astype(ids), arm=own.arm.astype(names))

        tables = [table(name, arm) for arm in pair for name in ("traces", "steps", "verdicts")]
        traces0, steps0, verdicts0, traces1, steps1, verdicts1 = tables
        claims = together([table("claims", arm) for arm in sorted(set(pair))])
        columns = [*STEP_KEY, "stratum", "subject"]
        found = [own for arm in sorted(set(pair)) if (own := asked(arm)) is not None]
        if (claims.stratum != "").any():
            strata = claims[columns]
        elif len(found) == len(set(pair)):
            strata = on_questions(questions, together(found))[columns]
        else:
            strata = None
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


def _greedy(study: Study, name: str, arm: str, only: Sequence[str]) -> pd.DataFrame:
    return study.greedy_table(arm, name, only)


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
    among = table.qid.isin(questions.qid)
    return (table if among.all() else table[among]).reset_index(drop=True)
