"""Settings of who judges steps: the judge, further ones, controls of the judge, people."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field, model_validator

from mechcot.core.section import Section

HOW_TO_JUDGE = """Write who judges the steps into the settings file:
  judge: {kind: llm, path: kimi}               # a judge file, or one that comes with mechcot (docs/judges.md)
  judge: {kind: table, path: verdicts.csv}     # verdicts that you have: qid, arm, cid, sid, label
or, for a study that is there: --set 'judge={kind: llm, path: kimi}'"""


class JudgeSettings(Section):
    """Who judges steps."""

    kind: Literal["exact", "llm", "table"] = "exact"
    path: str | None = Field(None, description="kind table: a verdicts file; kind llm: a judge file")
    traces_per_question: int | None = Field(
        None,
        ge=1,
        description="the first traces a question and arm that are judged, by the panel too; null: all",
    )

    def basis(self) -> dict[str, Any]:
        """What verdicts depend on beside the steps that are judged (`Settings.judged_of`)."""
        return self.model_dump(mode="json", exclude={"traces_per_question"})

    def check_task(self, task: str, *, checker: bool) -> None:
        """Refuse to have steps judged exactly where the task has no checker (ValueError)."""
        if self.kind == "exact" and not checker:
            raise ValueError(
                f"judge: the task '{task}' has no exact checker, and no judge is named. {HOW_TO_JUDGE}"
            )

    @model_validator(mode="after")
    def _path(self) -> JudgeSettings:
        if (self.kind == "exact") != (self.path is None):
            problem = "a judge of kind table or llm has a path, an exact one has none"
            raise ValueError(f"{problem}. {HOW_TO_JUDGE}" if self.path is None else problem)
        return self


class ControlsOfJudge(Section):
    """A sample of steps judged again under controls of a judge (docs/judge-controls.md)."""

    judge: str | None = Field(None, min_length=1, description="a judge file; null: the study's own judge")
    rewriter: str | None = Field(
        None, min_length=1, description="judge file of who rewrites steps; null: no tone-swap"
    )
    only: tuple[str, ...] = Field(
        (), description="names of controls, or factor and segment for all of theirs; empty: all"
    )
    questions: int | None = Field(None, ge=2, description="drawn at random; null: all")
    traces: int = Field(1, ge=1, description="of a question and arm")
    decoys: str | None = Field(None, min_length=1, description="a file of decoys; null: mechcot's own")
    budget: float | None = Field(
        None, ge=0, description="money that all calls may cost, earlier runs included; null: no limit"
    )

    def basis(self) -> dict[str, object]:
        """What the verdicts depend on."""
        return self.model_dump(mode="json", exclude={"budget"})


class SheetSettings(Section):
    """A blinded sheet of steps for people to judge, drawn at the end of a run (docs/sheets.md)."""

    steps: int = Field(300, ge=1, description="different steps, both arms together")
    repeat: int = Field(30, ge=0, description="how many of them stand there twice")
    answer_blind: bool = Field(False, description="leave the right answer out")


def instrument_of(file: str) -> str:
    """What a further judge's verdicts are called in its study, by its file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", PurePath(file).name.removesuffix(".yaml")).strip("-").lower()


def check_judges(
    judge: JudgeSettings, panel: tuple[str, ...], controls: ControlsOfJudge | None, handover: bool
) -> None:
    """Refuse further judges that would be taken for one another, and questions to a table of verdicts.

    Args:
        judge: the study's own.
        panel: files of further ones.
        controls: of a judge, if they are wanted.
        handover: whether next steps are to be judged by the study's own judge.

    Raises:
        ValueError: with the setting, and what to do.
    """
    names = [instrument_of(file) for file in panel]
    for place, name in enumerate(names):
        if name in names[:place] or name in ("", "exact", "llm", "table", "answers"):
            raise ValueError(
                f"panel: the verdicts of '{panel[place]}' would be called '{name}', which is taken; give the "
                "judge file another name"
            )
    if judge.kind == "llm" and judge.path in panel:
        raise ValueError(f"panel: '{judge.path}' is the study's own judge; leave it out")
    if judge.kind != "table":
        return
    if handover:
        raise ValueError(
            "handover.judge: the study's verdicts are a table, which has none of steps still to be "
            "written; name a judge file"
        )
    if controls is not None and controls.judge is None:
        raise ValueError(
            "judge_controls.judge: the study's verdicts are a table, which cannot be asked again; name a "
            "judge file"
        )
