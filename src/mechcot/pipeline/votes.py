"""The stage of open questions that makes the answers given their options, once all arms have answered."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.core import records
from mechcot.core.stages import Stage
from mechcot.study.folder import Study


def asked_file(study: Study) -> str:
    """The questions as arms are asked; open ones get their options, and their final file, from the votes."""
    return "asked.parquet" if study.settings.open_questions else "questions.parquet"


def traces_file(study: Study, arm: str) -> str:
    """An arm's traces before any vote; of questions with options they are final."""
    return f"arms/{arm}/{'completions' if study.settings.open_questions else 'traces'}.parquet"


def vote_stages(study: Study) -> list[Stage]:
    """The stage that counts the votes, in a study of open questions."""
    if not study.settings.open_questions:
        return []
    arms = study.settings.arms
    return [
        Stage(
            "votes",
            1,
            {"prompt": study.settings.prompt.basis()},
            (asked_file(study), *(traces_file(study, arm) for arm in arms)),
            ("questions.parquet", *(f"arms/{arm}/traces.parquet" for arm in arms)),
            partial(count_votes, study),
            frozen=True,
        )
    ]


def count_votes(study: Study, work: Path) -> None:
    """Give the questions their options, and every trace the option that it votes for."""
    from mechcot.sampling.votes import vote
    from mechcot.steps.of_study import task_of

    arms = list(study.settings.arms)
    asked = records.read_table(study.path / asked_file(study), records.OPEN_QUESTIONS)
    given = [records.read_table(study.path / traces_file(study, arm), records.TRACES) for arm in arms]
    questions, voted = vote(asked, given, task_of(study).format)
    for arm, table in zip(arms, voted, strict=True):
        records.write_table(study.arm_path(arm) / "traces.parquet", table, records.TRACES)
    records.write_table(study.path / "questions.parquet", questions, records.OPEN_QUESTIONS)
