"""The questions, traces and steps of a study that all its judge controls judge."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mechcot.core import records
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import Pair
from mechcot.steps.of_study import task_of
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task, question_of

SAMPLES = 6
"""Steps of an arm that show its manner to a rewriter or a guesser."""


@dataclass(frozen=True)
class Sample:
    """The part of a study that the controls judge.

    Attributes:
        before: arm.
        after: arm.
        questions: sampled, by id.
        known: ids of all questions of the study.
        n_questions: of the contrast's domain with traces of both arms, sampled or not.
        traces: of both arms on these questions, as many a question as are judged.
        steps: of these traces, the arm before first.
        others: steps of both arms on the questions that were not sampled; all of them if there are none.
        task: of the study.
        window: words of a step, for the segmenter `words`.
        seed: of the study.
    """

    before: str
    after: str
    questions: Mapping[str, Question]
    known: frozenset[str]
    n_questions: int
    traces: pd.DataFrame
    steps: pd.DataFrame
    others: pd.DataFrame
    task: Task
    window: int
    seed: int

    @property
    def whole(self) -> pd.DataFrame:
        """The steps that hold a whole text: not cut by the token limit, not blank."""
        return self.steps[_whole(self.steps)]

    @property
    def arms(self) -> Pair[str]:
        """Before and after."""
        return Pair(self.before, self.after)

    def answers(self) -> dict[tuple[str, str, int], int]:
        """The traces' own answers, by question, arm and trace."""
        return {(row.qid, row.arm, int(row.cid)): int(row.answer) for row in records.rows(self.traces)}

    def against_manners(self) -> str:
        """Why the arms' manners cannot be shown, or ""."""
        poor = [arm for arm, steps in self.manners().items() if len(steps) < 2]
        return f"fewer than 2 different steps show the manner of {' and of '.join(poor)}" if poor else ""

    def manners(self) -> dict[str, pd.DataFrame]:
        """Steps of each arm that show its manner: of questions that are not sampled, where there are some.

        Steps that state an answer are left out: they would tell the arms apart by their answers.
        """
        found = {}
        for arm in self.arms:
            own = self.others[(self.others.arm == arm) & _whole(self.others) & ~self.others.states_answer]
            own = own.iloc[_rng(self.seed, "manner", arm).permutation(len(own))]
            found[arm] = own.drop_duplicates("text").drop_duplicates("qid").head(SAMPLES)
        return found


def sample_of(study: Study, n_questions: int | None, n_traces: int) -> Sample:
    """Draw the questions and traces that all controls judge.

    A larger draw holds the smaller one, so that what was judged for it is not paid for again.

    Args:
        study: with the steps of both arms of its contrast.
        n_questions: of the contrast's domain; None: all.
        n_traces: of a question and arm; the first ones.

    Raises:
        UsageError: fewer than 2 questions are asked for, or more than there are; or fewer than 1 trace.
        AnalysisError: an arm has no step on these questions.
    """
    contrast, settings = study.settings.contrast, study.settings
    arms = (contrast.before, contrast.after)
    own = {arm: study.traces(arm) for arm in arms}
    table = study.questions(contrast.domain)
    table = table[table.qid.isin(own[arms[0]].qid) & table.qid.isin(own[arms[1]].qid)]
    total = len(table)
    wanted = total if n_questions is None else n_questions
    if not 2 <= wanted <= total:
        raise UsageError(
            f"{study.path}: {wanted} questions cannot be sampled: the contrast's domain '{contrast.domain}' "
            f"has {total} with traces of both arms, and a difference with an interval needs 2. Set "
            f"--questions to 2..{total}"
        )
    if n_traces < 1:
        raise UsageError(f"{n_traces} traces a question cannot be judged; set --traces to 1 or more")
    order = _rng(settings.seed, "questions").permutation(total)
    chosen = table.iloc[np.sort(order[:wanted])]
    traces, steps = (
        _first(pd.concat([tables[arm] for arm in arms], ignore_index=True), table, n_traces)
        for tables in (own, {arm: study.steps(arm) for arm in arms})
    )
    sampled = steps.qid.isin(chosen.qid)
    for arm in arms:
        if not (steps[sampled].arm == arm).any():
            raise AnalysisError(
                f"{study.path}: the arm '{arm}' has no step on the {wanted} sampled questions"
            )
    return Sample(
        before=contrast.before,
        after=contrast.after,
        questions={row.qid: question_of(row) for row in records.rows(chosen)},
        known=frozenset(study.questions().qid),
        n_questions=total,
        traces=traces[traces.qid.isin(chosen.qid)].reset_index(drop=True),
        steps=steps[sampled].reset_index(drop=True),
        others=(steps if wanted == total else steps[~sampled]).reset_index(drop=True),
        task=task_of(study),
        window=settings.steps.window,
        seed=settings.seed,
    )


def _first(table: pd.DataFrame, questions: pd.DataFrame, n_traces: int) -> pd.DataFrame:
    return table[table.qid.isin(questions.qid) & (table.cid < n_traces)]


def _whole(steps: pd.DataFrame) -> pd.Series:
    return steps.complete.astype(bool) & (steps.text.str.strip() != "")


def _rng(seed: int, *what: str) -> np.random.Generator:
    drawn = random.Random(f"judge controls {seed} {' '.join(what)}")
    return np.random.default_rng(drawn.getrandbits(64))
