"""Where a study's questions come from: loaded, or invented with the organism's world."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.core import files, records
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.core.teacher_settings import OWN_TEACHER
from mechcot.pipeline.plan import ON_THE_HUB, SKIPPED, questions_of
from mechcot.pipeline.text import given_traces
from mechcot.pipeline.training import refuse_prompts
from mechcot.pipeline.votes import asked_file
from mechcot.steps.of_study import world_of
from mechcot.study.folder import Study

_CAME_LATER = ("config", "revision", "options", "gold_is", "on_bad_row", "duplicates")


def question_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage that asks: with a file's questions, or with the organism's own."""
    settings = study.settings
    if settings.organism is not None:
        own = {"organism": settings.organism.model_dump(mode="json"), "seed": settings.seed}
        return [Stage("questions", 1, own, (), ("questions.parquet",), partial(invent, study), frozen=True,
                      plan=partial(plan_questions, study))]  # fmt: skip
    from mechcot.tasks.question_files import source_file

    assert settings.questions is not None  # by Settings' own validation
    file = source_file(settings.questions)
    asked = settings.questions
    # What a setting that came later does not change leaves a study made before it as it is.
    fields = type(asked).model_fields
    new = {name for name in _CAME_LATER if getattr(asked, name) == fields[name].default}
    columns = {"context"} if asked.columns.context is None else set()
    return [
        Stage(
            "questions",
            1,
            asked.model_dump(
                mode="json",
                exclude={"task": True, "set": True, "columns": columns, **dict.fromkeys(new, True)},
            ),
            (),
            (asked_file(study), SKIPPED) if asked.leaves_out else (asked_file(study),),
            partial(ask, study),
            frozen=True,
            outside=(file,) if file and file.exists() else (),
            plan=partial(plan_questions, study),
        )
    ]


def plan_questions(study: Study) -> Expense:
    """How many questions there will be."""
    found = questions_of(study)
    return Expense("questions", None if found is None else len(found), "questions", reason=ON_THE_HUB)


def ask(study: Study, work: Path) -> None:
    """Load the questions that the settings name."""
    from mechcot.tasks.questions import read_questions

    asked = study.settings.questions
    assert asked is not None
    found = read_questions(asked)
    schema = records.OPEN_QUESTIONS if study.settings.open_questions else records.QUESTIONS
    records.write_table(study.path / asked_file(study), found.table, schema)
    if asked.leaves_out:
        files.write_json(study.path / SKIPPED, found.told())
    _refuse_early(study)


def _refuse_early(study: Study) -> None:
    """Refuse before hours of work: a domain without a question, files and checkpoints that will not do."""
    domains = [study.settings.contrast.domain, *(c.domain for c in study.settings.controls.values())]
    for domain in domains:
        study.questions(domain)
    for name, arm in study.settings.arms.items():
        if arm.traces is not None and arm.traces != OWN_TEACHER:
            given_traces(study, name, arm.traces)
    refuse_prompts(study)


def invent(study: Study, work: Path) -> None:
    """Write the organism's questions."""
    from mechcot.tasks.organism.questions import questions

    assert study.settings.organism is not None
    table = questions(world_of(study), study.settings.organism, study.settings.seed)
    records.write_table(study.path / "questions.parquet", table, records.QUESTIONS)
    _refuse_early(study)
