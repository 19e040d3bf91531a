"""The judge file: which model is asked, where, what it is shown, and at what price. Never a key."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from mechcot.asking.server_file import Server, read_server
from mechcot.core.section import Section

SHIPPED = Path(__file__).parent / "judges"
"""The judge files that come with mechcot."""

Label = Literal["correct", "erroneous", "abstain", "not_checkable"]

Rule = Literal["tone", "alternatives", "answer", "previous", "partial"]

RULES: tuple[Rule, ...] = ("tone", "alternatives", "answer", "previous", "partial")
"""The rules of mechcot's instructions, in their order."""


class Fields(Section):
    """What the judge sees beside the step itself; each is switched alone."""

    question: bool = True
    options: bool = True
    gold: bool = Field(True, description="the right option; false: an answer-blind judge")
    previous: bool = Field(False, description="the trace's steps before this one")


class Judge(Server):
    """A judge behind a server."""

    role: ClassVar[str] = "judge"

    prompt: str | None = Field(
        None,
        min_length=1,
        description="instructions in place of mechcot's; what the marks mean, and the form of the reply, "
        "follow in any case",
    )
    labels: tuple[Label, ...] = Field(
        ("correct", "erroneous", "abstain", "not_checkable"), description="what the judge may say"
    )
    rules: tuple[Rule, ...] = Field(RULES, description="which of mechcot's rules the instructions hold")
    examples: bool = Field(True, description="whether the instructions hold mechcot's examples")
    fields: Fields = Fields()

    @field_validator("labels")
    @classmethod
    def _labels(cls, value: tuple[Label, ...]) -> tuple[Label, ...]:
        if len(set(value)) != len(value) or not {"correct", "erroneous"} <= set(value):
            raise ValueError("must name correct and erroneous, and each label once")
        return value

    @field_validator("rules")
    @classmethod
    def _rules(cls, value: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if len(set(value)) != len(value):
            raise ValueError("must name each rule once")
        return tuple(rule for rule in RULES if rule in value)

    @model_validator(mode="after")
    def _instructions(self) -> Judge:
        if self.prompt is not None and (self.rules != RULES or not self.examples):
            raise ValueError(
                "rules and examples are parts of mechcot's instructions, and prompt stands in their place: "
                "leave out rules and examples, or prompt"
            )
        return self


def read_judge(path: Path) -> Judge:
    """Read a judge file.

    Raises:
        ConfigError: as `read_server` raises it.
    """
    return read_server(path, Judge, f"; judge files that come with mechcot, to be named alone: {shipped()}")


def shipped() -> str:
    """The names of the judge files that come with mechcot, for messages."""
    return ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))


def judge_path(given: str | Path) -> Path:
    """Where a judge file lies: as it is named, or among those that come with mechcot (`kimi`, `local`, ...).

    Args:
        given: a path; or the name of a shipped file, with or without its ending. A file of that name in
            the working folder goes before it.
    """
    path = Path(given).expanduser()
    own = SHIPPED / f"{path.name.removesuffix('.yaml')}.yaml"
    return own if path.parent == Path() and not path.exists() and own.exists() else path
