"""How many questions, traces and steps a study will have, and how long they are: counted, or assumed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from mechcot.core.question_sets import SETS
from mechcot.core.question_settings import QuestionSettings
from mechcot.pipeline.estimate.result import Constant
from mechcot.pipeline.plan import questions_of, there
from mechcot.study.folder import Study
from mechcot.tasks.question_files import source_file

PROMPT, TRACE, STEPS = 280.0, 350.0, 7.3
"""Tokens of a prompt and of a trace (a MedQA question with its options; a page of reasoning), and steps of a
trace: 14,587 steps of 500 questions in four arms, as the published code counts them."""


@dataclass
class Sizes:
    """What there is to do, and the constants that were asked for, in their order."""

    study: Study
    told: dict[str, Constant] = field(default_factory=dict)

    def tell(self, what: str, value: float, unit: str, source: str) -> float:
        """A number, written down with its source."""
        self.told.setdefault(what, Constant(what, value, unit, source))
        return self.told[what].value

    def questions(self) -> float:
        """The study's questions."""
        found = questions_of(self.study)
        if found is not None:
            return self.tell("questions", len(found), "questions", "counted")
        return self._of_set("questions", self.study.settings.questions, train=False)

    def teacher_questions(self) -> float:
        """Those that the teacher is given."""
        settings = self.study.settings.teacher
        assert settings is not None
        if source_file(settings.questions):
            from mechcot.tasks.questions import load_questions

            return self.tell("teacher's questions", len(load_questions(settings.questions)), "", "counted")
        return self._of_set("teacher's questions", settings.questions, train=True)

    def _of_set(self, what: str, asked: QuestionSettings | None, *, train: bool) -> float:
        known = SETS.get((asked.set if asked else "") or "")
        n = None if known is None else known.n_train if train else known.n_asked
        if asked is not None and asked.limit is not None and (n is None or n > asked.limit):
            return self.tell(what, asked.limit, "questions", "the settings' limit")
        if n is None:
            return self.tell(what, 1000, "questions", "assumed: they are on the Hub and not fetched")
        return self.tell(what, n, "questions", "by the set's page: not fetched")

    def prompt(self) -> float:
        """Tokens of a prompt."""
        tables = [self.study.traces(arm) for arm in self._with("traces")]
        if tables:
            length = pd.concat(tables).prompt_ids.map(len).mean()
            return self.tell("tokens of a prompt", float(length), "tokens", "counted in the traces")
        found = questions_of(self.study)
        if found is None:
            return self.tell("tokens of a prompt", PROMPT, "tokens", "assumed")
        texts = found.stem.str.len() + found.options.map(lambda own: sum(len(o) + 5 for o in own))
        length = (float(texts.mean()) + len(self.study.settings.prompt.question)) / 4 + 10
        return self.tell("tokens of a prompt", length, "tokens", "counted: characters / 4")

    def trace(self) -> float:
        """Tokens of a trace."""
        tables = [self.study.traces(arm) for arm in self._with("traces")]
        if tables:
            length = pd.concat(tables).token_ids.map(len).mean()
            return self.tell("tokens of a trace", float(length), "tokens", "counted in the traces")
        limit = self.study.settings.sampling.max_new_tokens
        return self.tell("tokens of a trace", min(TRACE, limit), "tokens", "assumed")

    def steps(self) -> float:
        """Steps of a trace."""
        arms = self._with("traces", "steps")
        if arms:
            steps = sum(len(self.study.steps(arm)) for arm in arms)
            return self.tell(
                "steps of a trace",
                steps / sum(len(self.study.traces(arm)) for arm in arms),
                "steps",
                "counted",
            )
        return self.tell("steps of a trace", STEPS, "steps", "assumed")

    def judged(self, arm: str) -> int:
        """How many traces of a question and arm are judged."""
        samples = self.study.settings.sampling_of(arm).samples
        return min(self.study.settings.judged_of(arm) or samples, samples)

    def _with(self, *tables: str) -> list[str]:
        return [arm for arm in self.study.settings.arms if there(self.study, arm, *tables)]
