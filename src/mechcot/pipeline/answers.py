"""The stage in which a judge's server reads the answers too, where `answers.judge` names one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from mechcot.core import files, records
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.plan import calls_expense, there
from mechcot.steps.of_study import questions_by_id
from mechcot.study.folder import Study

STAGE = "answers-by-judge"


def answer_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage that has all arms' answers read in one go; none where the settings name no judge."""
    if study.settings.answers.judge is None:
        return []
    from mechcot.judging.judge_file import read_judge

    path, arms = _path(study), study.settings.arms
    read_judge(path)  # before hours of sampling, not after them
    return [
        Stage(
            STAGE,
            1,
            study.settings.answers.model_dump(mode="json"),
            ("questions.parquet", *(f"arms/{arm}/traces.parquet" for arm in arms)),
            (*(f"arms/{arm}/answers.parquet" for arm in arms), "instruments/answers.json"),
            partial(read_answers, study, progress),
            outside=(path,),
            plan=partial(plan_reading, study),
        )
    ]


def _path(study: Study) -> Path:
    from mechcot.judging.judge_file import judge_path

    assert study.settings.answers.judge is not None  # else there is no stage
    return judge_path(study.settings.answers.judge)


def _traces(study: Study) -> pd.DataFrame:
    return pd.concat([study.traces(arm) for arm in study.settings.arms], ignore_index=True)


def plan_reading(study: Study) -> Expense:
    """What the calls will take, once all texts are there."""
    from mechcot.judging.answering import plan_answers
    from mechcot.judging.judge_file import read_judge

    missing = [arm for arm in study.settings.arms if not there(study, arm, "traces")]
    if missing:
        reason = f"the traces of {', '.join(missing)} are not there yet"
        return Expense(STAGE, None, "answers", calls=None, tokens_in=None, tokens_out=None, money=None,
                       reason=reason)  # fmt: skip
    traces, calls = _traces(study), study.path / "work" / "calls"
    judge = read_judge(_path(study))
    found = plan_answers(traces, questions_by_id(study), judge, calls, seed=study.settings.seed)
    return calls_expense(STAGE, len(traces), "answers", found)


def read_answers(study: Study, progress: bool, work: Path) -> None:
    """Have the answers of all arms read; replies cost money and outlive the stage, as verdicts' do."""
    from mechcot.asking.session import Session
    from mechcot.judging.answering import answers_by_llm
    from mechcot.judging.judge_file import read_judge

    questions = study.questions()
    accepted = (
        {row.qid: list(row.accepted) for row in records.rows(questions)}
        if study.settings.open_questions
        else {}
    )
    calls = study.path / "work" / "calls"
    session = Session(read_judge(_path(study)), calls, study.settings.seed, progress=progress)
    found = answers_by_llm(_traces(study), questions_by_id(study), session, accepted=accepted)
    table = pd.DataFrame(found.rows, columns=records.ANSWERS.names)
    for arm in study.settings.arms:
        out = study.arm_path(arm) / "answers.parquet"
        records.write_table(out, table[table.arm == arm], records.ANSWERS)
    files.write_json(study.path / "instruments" / "answers.json", found.about)
