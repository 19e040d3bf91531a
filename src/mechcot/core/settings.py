"""The settings of a study, section by section: what there is, its default, and what may stand there.

An unknown key is an error everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mechcot.core.alike import Asked, arm_named, check_contrast, check_control
from mechcot.core.along_arms import check_along, kept_along, with_along_arms
from mechcot.core.cause_settings import CauseSettings
from mechcot.core.confirmatory_settings import ConfirmatorySettings
from mechcot.core.contrast_settings import ContrastSettings, ControlSettings
from mechcot.core.engine_settings import EngineSettings
from mechcot.core.handover_settings import HandoverSettings
from mechcot.core.judging_settings import ControlsOfJudge, JudgeSettings, SheetSettings, check_judges
from mechcot.core.kind_settings import KindSettings
from mechcot.core.localisation_settings import LocalisationSettings
from mechcot.core.no_weights import check_no_weights
from mechcot.core.offers import offered
from mechcot.core.prompt_settings import ArmPrompt, PromptSettings
from mechcot.core.question_settings import QuestionSettings
from mechcot.core.reading_settings import ReadingSettings
from mechcot.core.sampling_settings import ArmSampling, SamplingSettings
from mechcot.core.section import Section
from mechcot.core.seed_arms import with_seed_arms
from mechcot.core.steering_settings import SteeringSettings
from mechcot.core.teacher_settings import (
    ExampleSettings,
    TeacherSettings,
    check_teacher_arms,
    check_teaching,
)
from mechcot.core.trace_settings import NO_RULES, TRACE_VARIANTS, TraceSettings
from mechcot.core.training_settings import DistillSettings, OrganismSettings
from mechcot.core.weight_settings import WeightSettings

TEACHER_VARIANTS: tuple[Literal["rich", "terse"], ...] = ("rich", "terse")
"""What an arm's `distill.examples` or `traces` may name in place of a file, where the organism is."""


ORGANISM_EXAMPLES = (*TEACHER_VARIANTS, *TRACE_VARIANTS, "own")
"""What `distill.examples` may name there: also traces by rule, and the base's own right ones."""


class ArmSettings(Section):
    """An author of traces: a checkpoint, given (`model`) or made here (`distill`), or traces alone.

    Traces that somebody already has (`traces`: a teacher behind an API, a colleague's model) are cut,
    judged and read as any others; there are no weights to read with or to distil into.
    """

    model: str | None = Field(
        None, min_length=1, description="folder or Hub name of a causal LM; `organism`: trained here"
    )
    distill: DistillSettings | None = None
    traces: str | None = Field(
        None,
        min_length=1,
        description="a file of traces in place of a checkpoint; a variant of the organism's teacher (rich, "
        "terse); or teacher: the study's own teacher, asked the study's questions",
    )
    server: str | None = Field(
        None,
        min_length=1,
        description="a sampler file: a server that has these weights samples the traces, which the weights "
        "read back here (docs/sampling-servers.md); null: they are sampled here",
    )
    sampling: ArmSampling | None = Field(
        None,
        description="what of `sampling` is otherwise for this arm; only a control that says so compares it",
    )
    prompt: ArmPrompt | None = Field(
        None,
        description="what of `prompt` is otherwise for this arm; only a control that says so compares it",
    )
    judged: int | None = Field(
        None, ge=1, description="its traces a question that are judged; null: judge.traces_per_question"
    )
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    trust_remote_code: bool = False

    @model_validator(mode="after")
    def _one(self) -> ArmSettings:
        if sum(source is not None for source in (self.model, self.distill, self.traces)) != 1:
            raise ValueError("an arm has exactly one of `model`, `distill` and `traces`")
        for name in ("sampling", "server", "prompt"):
            if self.traces is not None and getattr(self, name) is not None:
                raise ValueError(f"{name}: the arm is given as traces, and nothing of it is sampled")
        return self


class AnswerSettings(Section):
    """A second instrument for answers, beside the rules."""

    judge: str | None = Field(
        None,
        min_length=1,
        description="a judge file: its server reads every answer too; null: the rules alone",
    )


class KnowledgeSettings(Section):
    """A list of facts that neither arm wrote; the organism's world is one by itself."""

    pairs: str | None = Field(
        None,
        min_length=1,
        description="a file of claims, each with its minimal correction (docs/text-or-weights.md); null: the "
        "task's own list, where it has one",
    )


class StepSettings(Section):
    """How reasoning is cut into steps."""

    segmenter: Literal["sentences", "lines", "structural", "words"] = "sentences"
    window: int = Field(90, ge=1, description="words of a step, for the segmenter `words`")


class AnalysisSettings(Section):
    """Resampling and folds of the analyses."""

    bootstrap: int = Field(10_000, ge=100)
    folds: int = Field(5, ge=2)
    permutations: int = Field(200, ge=0)
    traces_shown: int = Field(6, ge=0, description="traces that the report shows in full, in pairs")


class Settings(Section):
    """All settings of a study."""

    preset: str
    miniature: bool = Field(
        False, description="made by --miniature: tiny stand-ins for all; it says nothing of any model"
    )
    seed: int = Field(0, ge=0, lt=2**32)
    threads: int = Field(0, ge=0, description="processor threads; 0: all cores, resolved when first run")
    device: str = Field("auto", description="cpu, cuda, ...; auto: cuda where there is one")
    engine: EngineSettings | None = Field(
        None, description="Ray's workers (docs/scale.md); null: this process. No result depends on it"
    )
    organism: OrganismSettings | None = None
    questions: QuestionSettings | None = None
    teacher: TeacherSettings | None = Field(
        None, description="who writes chains to learn from (docs/teacher.md); null: nobody"
    )
    examples: dict[str, ExampleSettings] = Field({}, description="made of the teacher's chains, by name")
    prompt: PromptSettings = PromptSettings()
    arms: dict[str, ArmSettings]
    contrast: ContrastSettings = ContrastSettings()
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        (),
        description="further training seeds of the contrast's student: an arm AFTER-seed-N for each, sampled "
        "and judged like it; with two and more, intervals for other seeds too",
    )
    along: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (),
        description="shares of the training of the contrast's student, and of its `seeds`, after which it is "
        "kept as it is then: an arm STUDENT-at-PERCENT for each (docs/along.md)",
    )
    controls: dict[str, ControlSettings] = Field({})
    sampling: SamplingSettings = SamplingSettings()
    answers: AnswerSettings = AnswerSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    steps: StepSettings = StepSettings()
    kinds: KindSettings = KindSettings()
    judge: JudgeSettings = JudgeSettings()
    panel: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="files of further judges, each of whom judges all steps too (docs/judges.md)"
    )
    judge_controls: ControlsOfJudge | None = Field(
        None, description="controls of a judge (docs/judge-controls.md); null: a command asks for them"
    )
    sheet: SheetSettings | None = Field(
        None, description="a sheet of steps for people (docs/sheets.md); null: a command draws it"
    )
    confirmatory: ConfirmatorySettings = ConfirmatorySettings()
    reading: ReadingSettings = ReadingSettings()
    handover: HandoverSettings | None = None
    analysis: AnalysisSettings = AnalysisSettings()
    causes: CauseSettings | None = Field(None, description="which steps matter; null: not asked")
    traces: TraceSettings | None = Field(
        None, description="sub-steps that rules check, and forced traces (docs/traces.md); null: not asked"
    )
    weights: WeightSettings | None = Field(
        None, description="where in the weights the change sits (mechcot weights); null: not asked"
    )
    localisation: LocalisationSettings | None = Field(
        None, description="at which layer, token and part a hedge is lost (mechcot hedge); null: not asked"
    )
    steering: SteeringSettings | None = Field(
        None, description="whether hedging put back changes what is claimed (mechcot hedge); null: not asked"
    )

    @model_validator(mode="before")
    @classmethod
    def _further_arms(cls, given: Any) -> Any:
        return with_along_arms(with_seed_arms(given))

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.organism is None) == (self.questions is None):
            raise ValueError("give either `organism` or `questions`")
        for name, arm in self.arms.items():
            self._check_arm(name, arm)
        check_along({name: (arm.distill, arm.server) for name, arm in self.arms.items()})
        own, more = self.prompt.lead_in, self.reading.lead_ins
        if twice := [text for place, text in enumerate(more) if text in (*own, *more[:place])]:
            raise ValueError(
                f"reading.lead_ins: {twice[0]!r} stands twice among prompt.lead_in and reading.lead_ins; "
                "take one of them out"
            )
        for where, arm_name in self._named_arms():
            if arm_name not in self.arms:
                raise ValueError(f"{where}: there is no arm '{arm_name}'; there are {sorted(self.arms)}")
        if self.given:
            check_no_weights(self)
        for where, arm_name in self._weights_needed():
            if self.arms[arm_name].traces is not None:
                raise ValueError(
                    f"{where}: the arm '{arm_name}' is given as traces and has no weights; name an arm that "
                    "has `model` or `distill`"
                )
        if self.organism is not None and self.knowledge.pairs is not None:
            raise ValueError("knowledge.pairs: the organism's world is the list of facts; leave it out")
        if self.organism is not None and self.causes is not None and self.causes.rewriter is not None:
            raise ValueError(
                "causes.rewriter: the organism's claims are swapped by their objects; leave it out"
            )
        if self.organism is not None and self.kinds != KindSettings():
            raise ValueError("kinds: the organism's language tells the kinds of its steps; leave it out")
        if self.contrast.before == self.contrast.after:
            raise ValueError(f"contrast: before and after are the same arm, '{self.contrast.before}'")
        headline = (self.contrast.before, self.contrast.after)
        again = [one for one in self.contrast.replicates if one in headline]
        if again or len(set(self.contrast.replicates)) < len(self.contrast.replicates):
            raise ValueError(f"contrast.replicates: {list(self.contrast.replicates)} names an arm twice")
        self._check_question(self.prompt)
        self._check_alike()
        compared = {name: (one.before, one.after, one.differs) for name, one in self.controls.items()}
        check_teacher_arms({name: arm.traces for name, arm in self.arms.items()}, self.teacher, compared)
        check_teaching(
            self.organism is not None, self.teacher, self.examples, TEACHER_VARIANTS, self.open_questions
        )
        asked = self.handover is not None and self.handover.judge is None
        check_judges(self.judge, self.panel, self.judge_controls, asked)
        if self.questions is not None:
            self._check_task(self.questions.task)
        return self

    def authors(self) -> tuple[str, ...]:
        """The arms whose traces are read, the contrast's first."""
        given = (name for name, arm in self.arms.items() if arm.traces is not None)
        chosen = given if self.reading.authors is None else self.reading.authors
        return tuple(dict.fromkeys((self.contrast.before, self.contrast.after, *chosen)))

    @property
    def given(self) -> bool:
        """Whether all arms are traces out of files, so that the study has no weights at all."""
        own = self.organism is None and self.teacher is None
        return own and all(arm.traces is not None for arm in self.arms.values())

    def readers(self) -> tuple[str, ...]:
        """The arms whose weights read, the contrast's first; none where there are no weights."""
        if self.given:
            return ()
        chosen = self.reading.readers or ()
        return tuple(dict.fromkeys((self.contrast.before, self.contrast.after, *chosen)))

    def readings(
        self, authors: Sequence[str] = (), readers: Sequence[str] = ()
    ) -> tuple[tuple[str, str], ...]:
        """Authors with their readers: all with all, and those along a training with themselves.

        Args:
            authors: these alone, with all of `readers`; none: as the settings name them.
            readers: likewise.
        """
        pairs = [(one, by) for one in authors or self.authors() for by in readers or self.readers()]
        own = () if authors or readers else [arm for run in self.trainings().values() for arm in run]
        return tuple(dict.fromkeys((*pairs, *((arm, arm) for arm in own))))

    def trainings(self) -> dict[str, dict[str, float]]:
        """The contrast's students with checkpoints kept along their trainings: each with its arms by share.

        The base stands first, at 0, the student last, at 1.
        """
        made = {name: arm.distill for name, arm in self.arms.items()}
        students = (self.contrast.after, *self.contrast.replicates)
        runs = ((student, made[student], kept_along(made, student)) for student in students)
        return {
            name: {own.base: 0.0, **kept} for name, own, kept in runs if own is not None and len(kept) > 1
        }

    def _check_task(self, name: str) -> None:
        tasks = offered("tasks")
        known = [task for task in tasks if task != "organism"]
        if name not in known:
            raise ValueError(f"questions.task: there is no task '{name}'; there are {', '.join(known)}")
        self.judge.check_task(name, checker=tasks[name](self).check is not None)
        if self.traces is not None and tasks[name](self).verifiable is None:
            raise ValueError(NO_RULES.format(task=name))

    def sampling_of(self, arm: str) -> SamplingSettings:
        """How an arm is sampled: as the study says, but for what the arm says itself."""
        own = self.arms[arm].sampling
        return self.sampling if own is None else own.of(self.sampling)

    def prompt_of(self, arm: str) -> PromptSettings:
        """How an arm is asked: as the study says, but for what the arm says itself."""
        own = self.arms[arm].prompt
        return self.prompt if own is None else own.of(self.prompt)

    def judged_of(self, arm: str) -> int | None:
        """How many traces a question of an arm are judged, the first; None: all."""
        own = self.arms[arm].judged
        return self.judge.traces_per_question if own is None else own

    def _check_alike(self) -> None:
        asked = {}
        for name, arm in self.arms.items():
            with arm_named(name):
                prompt = self.prompt_of(name)
                self._check_question(prompt)
            given, own = arm.traces is not None, arm.prompt is not None
            asked[name] = Asked(prompt, own, self.sampling_of(name), self.judged_of(name), given)
            if arm.prompt is not None and arm.distill is not None and self.made_here(arm.distill.examples):
                raise ValueError(
                    f"arms.{name}.prompt: it learns from examples that are written with the study's prompt, "
                    "and would be asked with another. Teach it on a file that has this prompt, or take "
                    "`prompt` out"
                )
        before, after = self.contrast.before, self.contrast.after
        check_contrast(asked, before, (after, *self.contrast.replicates), self.contrast.differs)
        for name, control in self.controls.items():
            pair = (control.before or before, control.after or after)
            check_control(asked, f"controls.{name}", pair, control.differs)

    def made_here(self, examples: str) -> bool:
        """Whether examples (`distill.examples`) are made in the study, and not a file."""
        return examples in (self.examples if self.organism is None else ORGANISM_EXAMPLES)

    @property
    def open_questions(self) -> bool:
        """Whether questions have no options: answers are texts."""
        return self.questions is not None and self.questions.open

    def _check_question(self, prompt: PromptSettings) -> None:
        shows = "{options}" in prompt.question
        if self.open_questions and (shows or prompt.answer_form != "text"):
            raise ValueError(
                "prompt: open questions have no options and no letters: leave {options} out of question and "
                "set answer_form to text, or start from preset: open"
            )
        if not self.open_questions and not shows:
            raise ValueError("prompt.question must hold the slots {stem} and {options}")

    def _check_arm(self, name: str, arm: ArmSettings) -> None:
        if not name.replace("-", "_").isidentifier():
            raise ValueError(f"arms: '{name}' cannot name a folder; use letters, digits, - and _")
        if arm.distill and arm.distill.base not in self.arms:
            there = f"there is no arm '{arm.distill.base}'; there are {sorted(self.arms)}"
            raise ValueError(f"arms.{name}.distill.base: {there}")
        if arm.distill and self.arms[arm.distill.base].distill:
            raise ValueError(f"arms.{name}.distill.base: '{arm.distill.base}' is itself distilled")
        if self.organism is not None:
            return
        if arm.model == "organism":
            raise ValueError(f"arms.{name}.model: the organism is not part of this study")
        named = {"traces": arm.traces, "distill.examples": arm.distill.examples if arm.distill else None}
        for key, source in named.items():
            if source in (*TEACHER_VARIANTS, "own") and source not in self.examples:
                raise ValueError(
                    f"arms.{name}.{key}: '{source}' is of the organism's teacher, and the organism is not "
                    "part of this study; name a file"
                )

    def _weights_needed(self) -> list[tuple[str, str]]:
        """Where an arm is named whose weights are used, and which; of a study without weights none."""
        pair = (("contrast.before", self.contrast.before), ("contrast.after", self.contrast.after))
        needed = [] if self.given else [*pair]
        needed += [
            (f"arms.{name}.distill.base", arm.distill.base) for name, arm in self.arms.items() if arm.distill
        ]
        return needed + [("reading.readers", name) for name in self.reading.readers or ()]

    def _named_arms(self) -> list[tuple[str, str]]:
        named = [("contrast.before", self.contrast.before), ("contrast.after", self.contrast.after)]
        named += [("contrast.replicates", name) for name in self.contrast.replicates]
        if self.traces is not None and self.traces.against is not None:
            named.append(("traces.against", self.traces.against))
        for name, control in self.controls.items():
            named += [
                (f"controls.{name}.{role}", arm)
                for role, arm in (("before", control.before), ("after", control.after))
                if arm is not None
            ]
        named += [("reading.authors", name) for name in self.reading.authors or ()]
        return named + [("reading.readers", name) for name in self.reading.readers or ()]
