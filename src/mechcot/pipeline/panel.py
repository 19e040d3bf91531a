"""Further judges that the settings name: each judges the steps of all arms, as `mechcot judge` has it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.core.judging_settings import instrument_of
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.judge import judged_first, verdict_files, write_verdicts
from mechcot.pipeline.plan import calls_expense, no_calls_yet, there
from mechcot.steps.of_study import audited_steps, questions_by_id, task_basis
from mechcot.study.folder import FURTHER, Study


def panel_stages(study: Study, progress: bool) -> list[Stage]:
    """A stage for each further judge of the settings."""
    from mechcot.judging.judge_file import judge_path, read_judge

    stages = []
    for given in study.settings.panel:
        path, name = judge_path(given), instrument_of(given)
        read_judge(path)  # before hours of sampling, not after them
        stages.append(
            Stage(
                FURTHER + name,
                1,
                {"judge": name, **judged_first(study)} | task_basis(study),
                ("questions.parquet", *(f"arms/{arm}/steps.parquet" for arm in study.settings.arms)),
                (*verdict_files(study, name), f"instruments/{name}.json"),
                partial(judge, study, path, name, progress),
                outside=(path,),
                plan=partial(plan_judging, study, path, name),
            )
        )
    return stages


def judge(study: Study, path: Path, name: str, progress: bool, work: Path) -> None:
    """Judge the steps of all arms by one more judge; equal questions to one server are one call."""
    from mechcot.asking.session import Session
    from mechcot.judging.judge_file import read_judge
    from mechcot.judging.llm import judge_by_llm

    calls, steps = study.path / "work" / "calls", audited_steps(study)
    session = Session(read_judge(path), calls, study.settings.seed, progress=progress)
    judgement = judge_by_llm(steps, questions_by_id(study), session, name=name)
    write_verdicts(study, name, judgement.rows, judgement.about)


def plan_judging(study: Study, path: Path, name: str) -> Expense:
    """What the calls of a further judge will take."""
    from mechcot.judging.judge_file import read_judge
    from mechcot.judging.llm import plan

    arms, calls = tuple(study.settings.arms), study.path / "work" / "calls"
    missing = [arm for arm in arms if not there(study, arm, "steps")]
    if missing:
        return no_calls_yet(FURTHER + name, "steps", f"the steps of {', '.join(missing)}")
    steps = audited_steps(study)
    found = plan(steps, questions_by_id(study), read_judge(path), calls, seed=study.settings.seed)
    return calls_expense(FURTHER + name, len(steps), "steps", found)
