"""Settings of a teacher: who writes chains for training questions, and what students are taught of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from mechcot.core.question_sets import SETS
from mechcot.core.question_settings import QuestionSettings
from mechcot.core.section import Section

OWN_TEACHER = "teacher"
"""What an arm's `traces` may name in place of a file, where the study has a teacher behind a server."""


class TrainQuestions(QuestionSettings):
    """Where the teacher's questions come from: as the study's own, which are the test."""

    split: str = Field("train", description="split, for a data set of the Hub (path: hub:OWNER/NAME)")

    @model_validator(mode="before")
    @classmethod
    def _train(cls, given: Any) -> Any:
        """Of a set by name the split to train on, and not the one that is asked."""
        named = given.get("set") if isinstance(given, dict) else None
        if named not in SETS or {"split", "path"} & given.keys():
            return given
        if SETS[named].train is None:
            raise ValueError(
                f"the set '{named}' has no split to train on; take another set, or name a split or a path"
            )
        return {**given, "split": SETS[named].train}


class TeacherSettings(Section):
    """Chains for training questions: asked of a server, or those that somebody already has."""

    server: str | None = Field(None, min_length=1, description="the file of the server that writes them")
    traces: str | None = Field(
        None,
        min_length=1,
        description="a file of chains in place of a server, with qid and text; may have cid, finish_reason, "
        "hinted and attempt",
    )
    questions: TrainQuestions = Field(description="that the teacher answers, never the study's own")
    prompt: str | None = Field(
        None,
        min_length=1,
        description="instructions in place of mechcot's; how the answer is to be written, and what the marks "
        "mean, follow in any case",
    )
    chains: int = Field(2, ge=1, description="right chains that are kept of a question")
    attempts: int = Field(6, ge=1, description="calls a question at most, for a server")
    hint_after: int | None = Field(
        3, ge=1, description="attempts in a row without a right answer, after which it is shown; null: never"
    )
    distinct: float = Field(
        0.9,
        gt=0,
        le=1,
        description="chains that are more alike than this to one that is kept are not kept; 1: all are",
    )
    budget: float | None = Field(
        None, gt=0, description="money that all calls may cost, earlier runs included, for a server"
    )

    @model_validator(mode="after")
    def _one(self) -> TeacherSettings:
        if (self.server is None) == (self.traces is None):
            raise ValueError("give either `server` or `traces`")
        if self.server is not None and self.attempts < self.chains:
            raise ValueError(
                f"attempts is {self.attempts} and chains is {self.chains}: each chain takes an attempt"
            )
        return self


class ExampleSettings(Section):
    """What a student is taught of chains: whose, which ones, with which reasoning, how many."""

    chains: Literal["teacher", "own"] = Field(
        "teacher",
        description="whose: the teacher's, or those that the student's base writes for the same questions, "
        "as it is asked and sampled in the study, `teacher.attempts` a question",
    )
    hinted: Literal["none", "only", "also"] = Field(
        "none", description="chains that were written with the answer shown: none of them, only them, all"
    )
    reasoning: Literal["own", "none", "shuffled"] = Field(
        "own", description="before the answer: the chain's own, none, or that of another question's chain"
    )
    match: str | None = Field(None, description="the examples whose questions these have, and no others")
    by: Literal["questions", "tokens"] = Field(
        "questions",
        description="what is made equal to `match`: the examples of each question, or the tokens of all",
    )

    @model_validator(mode="after")
    def _matched(self) -> ExampleSettings:
        if self.match is None and self.by != "questions":
            raise ValueError("by: says what is made equal to the examples of `match`; name them")
        if self.chains == "own" and self.hinted == "only":
            raise ValueError("hinted: the base's own chains are written without the answer; leave it out")
        return self

    def basis(self) -> dict[str, Any]:
        """What examples depend on: without what came later and is not used, so that older studies stay."""
        return self.model_dump(mode="json", exclude={"chains"} if self.chains == "teacher" else set())


def check_teaching(
    organism: bool,
    teacher: TeacherSettings | None,
    examples: Mapping[str, ExampleSettings],
    reserved: tuple[str, ...],
    open_questions: bool,
) -> None:
    """Refuse a teacher and examples that do not go together, or not with the study.

    Args:
        organism: whether the study has its own teacher.
        teacher: of the study.
        examples: made of its chains.
        reserved: names that mean something else.
        open_questions: whether the study's questions are open.

    Raises:
        ValueError: with the setting, and what to do.
    """
    if organism and (teacher or examples):
        raise ValueError("teacher: the organism has a teacher of its own; leave out `teacher` and `examples`")
    if examples and teacher is None:
        raise ValueError("examples: they are made of a teacher's chains; say who wrote them (`teacher`)")
    if teacher and teacher.questions.open != open_questions:
        kinds = ("have options", "are open")
        raise ValueError(
            f"teacher.questions: they {kinds[not open_questions]}, the study's own {kinds[open_questions]}: "
            "a student is taught on the prompts it is asked with. Set columns.options alike"
        )
    for name, own in examples.items():
        if name in reserved or not name.replace("-", "_").isidentifier():
            raise ValueError(
                f"examples: '{name}' cannot name examples; use letters, digits, - and _, and none of "
                f"{', '.join(reserved)}"
            )
        if own.match is not None and (own.match not in examples or examples[own.match].match is not None):
            free = [other for other, one in examples.items() if one.match is None]
            raise ValueError(
                f"examples.{name}.match: '{own.match}' is none of the examples that match no others: "
                f"{', '.join(free) or 'there is none'}"
            )


def check_teacher_arms(
    traces: Mapping[str, str | None],
    teacher: TeacherSettings | None,
    compared: Mapping[str, tuple[str | None, str | None, tuple[str, ...]]],
) -> None:
    """Refuse an arm that is the study's teacher without one, or compared as if it were asked as the others.

    Args:
        traces: what each arm is given as; None: it is sampled.
        teacher: of the study.
        compared: the arms before and after of each control, and in what they may differ.

    Raises:
        ValueError: with the setting, and what to do.
    """
    own = [name for name, source in traces.items() if source == OWN_TEACHER]
    if own and (teacher is None or teacher.server is None):
        raise ValueError(
            f"arms.{own[0]}.traces: '{OWN_TEACHER}' is the study's teacher behind a server, and the study "
            "has none (teacher.server); name a file of traces"
        )
    for name, (before, after, differs) in compared.items():
        if {before, after} & set(own) and "prompt" not in differs:
            raise ValueError(
                f"controls.{name}: it compares the study's teacher, which is asked in words of its own and "
                f"with the sampling of its file; declare it with controls.{name}.differs=[prompt, "
                "temperature, max_new_tokens]"
            )
