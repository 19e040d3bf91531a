"""How many questions, traces and steps a study will have, and how long they are: counted, or assumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from mechcot.core.question_sets import SETS
from mechcot.core.question_settings import QuestionSettings
from mechcot.pipeline.estimate.machines import Machine, table
from mechcot.pipeline.estimate.result import Constant
from mechcot.pipeline.pace import Pace
from mechcot.pipeline.plan import questions_of, there
from mechcot.steps.of_study import world_of
from mechcot.study.folder import Study
from mechcot.tasks.question_files import source_file

PROMPT, TRACE, STEPS = 280.0, 350.0, 7.3
"""Tokens of a prompt and of a trace (a MedQA question with its options; a page of reasoning), and steps of a
trace: 14,587 steps of 500 questions in four arms, as the published code counts them."""


@dataclass
class Sizes:
    """What there is to do, and the constants that were asked for, in their order.

    Attributes:
        study: with its settings.
        machine: so many cores of this one as the study's threads, or its GPU.
        pace: of what the study has done already.
        told: the constants.
    """

    study: Study
    machine: Machine
    pace: Pace
    told: dict[str, Constant] = field(default_factory=dict)

    def tell(self, what: str, value: float, unit: str, source: str) -> float:
        """A number, written down with its source."""
        self.told.setdefault(what, Constant(what, value, unit, source))
        return self.told[what].value

    def tell_machine(self, machine: Machine, kind: str) -> None:
        """Write down what of a machine a kind of work rests on."""
        source = f"{machine.status}: {machine.source}"
        self.tell(f"{machine.name}: operations a second", machine.flops, "FLOP/s", source)
        self.tell(f"{machine.name}: memory", machine.bandwidth, "bytes/s", source)
        self.tell(f"{machine.name}: a layer takes at least", machine.call, "s", source)
        self.tell(f"{machine.name}: share of these reached in {kind}", machine.reached[kind], "", source)

    def process(self) -> float:
        """Bytes of a process with its libraries."""
        return self.tell("bytes of a process with its libraries", table()["process"], "bytes", "measured")

    def questions(self, domain: str | None = None) -> float:
        """The study's questions, or those of a domain."""
        found = questions_of(self.study)
        if found is None:
            return self._of_set("questions", self.study.settings.questions, train=False)
        n = self.tell("questions", len(found), "questions", "counted")
        of_domain = n if domain is None else float((found.domain == domain).sum())
        return of_domain or n

    @cached_property
    def _world(self) -> Any:
        return world_of(self.study)

    def vocabulary(self) -> int:
        """Words of the organism's world."""
        from mechcot.tasks.organism.tokenizer import vocabulary

        return len(vocabulary(self._world))

    @cached_property
    def _corpus(self) -> float:
        from mechcot.tasks.organism.corpus import Corpus
        from mechcot.tasks.organism.recall_corpus import RecallCorpus

        own = self.study.settings.organism
        assert own is not None
        corpus = (RecallCorpus if self._world.recall else Corpus)(self._world, own, self.study.settings.seed)
        rows = [(corpus.facts(step), corpus.posts(step)) for step in range(3)]
        padded = [len(part) * max(len(row.words) for row in part) for step in rows for part in step if part]
        return sum(padded) / len(rows)

    def corpus_tokens(self) -> float:
        """Tokens of an optimiser step of the organism's base, padding included."""
        return self.tell("tokens of a step of the base", self._corpus, "tokens", "counted")

    def facts(self) -> float:
        """Facts that each arm is asked."""
        from mechcot.pipeline.facts import list_of

        return self.tell("facts", len(list_of(self.study)), "facts", "counted")

    def fitted(self, what: str) -> tuple[float, str, str]:
        """A size as it was in the study that the table was fitted on: number, unit, source."""
        return table()["sizes"][what], "tokens", f"fitted on {', '.join(table()['fitted on'])}"

    def pair_read(self) -> bool:
        """Whether both arms of the contrast are read by themselves."""
        settings = self.study.settings
        own = {(arm, arm) for arm in (settings.contrast.before, settings.contrast.after)}
        return own <= set(settings.readings())

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

    def trace(self, arm: str | None = None) -> float:
        """Tokens of a trace, of one arm or of any."""
        tables = [self.study.traces(one) for one in self._with("traces") if arm in (None, one)]
        if tables:
            length = pd.concat(tables).token_ids.map(len).mean()
            return self.tell(_of("tokens of a trace", arm), float(length), "tokens", "counted in the traces")
        limit = self.study.settings.sampling.max_new_tokens
        known = self._as_fitted("trace", arm)
        if known is not None:
            return self.tell(_of("tokens of a trace", arm), min(known[0], limit), "tokens", known[1])
        return self.tell("tokens of a trace", min(TRACE, limit), "tokens", "assumed")

    def steps(self, arm: str | None = None) -> float:
        """Steps of a trace, of one arm or of any."""
        arms = [one for one in self._with("traces", "steps") if arm in (None, one)]
        if arms:
            steps = sum(len(self.study.steps(arm)) for arm in arms)
            traces = sum(len(self.study.traces(arm)) for arm in arms)
            return self.tell(_of("steps of a trace", arm), steps / traces, "steps", "counted")
        known = self._as_fitted("steps", arm)
        if known is not None:
            return self.tell(_of("steps of a trace", arm), known[0], "steps", known[1])
        return self.tell("steps of a trace", STEPS, "steps", "assumed")

    def _as_fitted(self, what: str, arm: str | None) -> tuple[float, str] | None:
        """What an organism's arm wrote in the study that the table was fitted on; None: no such arm."""
        settings = self.study.settings
        if settings.organism is None:
            return None
        sizes = table()["sizes"][what]
        own = settings.arms[arm].distill if arm else None
        taught = "base" if own is None else own.examples
        if arm is None or taught not in sizes:
            found = sum(sizes.values()) / len(sizes)
        else:
            found = sizes[taught]
        return found, f"fitted on {', '.join(table()['fitted on'])}"

    def judged(self, arm: str) -> int:
        """How many traces of a question and arm are judged."""
        samples = self.study.settings.sampling_of(arm).samples
        return min(self.study.settings.judged_of(arm) or samples, samples)

    def _with(self, *tables: str) -> list[str]:
        return [arm for arm in self.study.settings.arms if there(self.study, arm, *tables)]


def _of(what: str, arm: str | None) -> str:
    return what if arm is None else f"{what} of {arm}"
