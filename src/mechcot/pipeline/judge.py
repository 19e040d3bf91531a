"""The study's own verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import files, records
from mechcot.core.judging_settings import JudgeSettings
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.plan import calls_expense, there
from mechcot.steps.of_study import audited_steps, questions_by_id, task_basis, task_of
from mechcot.study.folder import Study


def judge_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage that judges all arms in one go."""
    settings = study.settings.judge
    if settings.kind == "llm":
        from mechcot.judging.judge_file import read_judge

        read_judge(_path(settings))  # before hours of sampling, not after them
    steps = tuple(f"arms/{arm}/steps.parquet" for arm in study.settings.arms)
    verdicts = verdict_files(study, settings.kind)
    about = ("instruments/llm.json",) if settings.kind == "llm" else ()
    return [
        Stage(
            "judge",
            2,
            settings.basis() | task_basis(study) | judged_first(study),
            ("questions.parquet", *steps),
            (*verdicts, *about),
            partial(judge, study, progress),
            outside=judge_file(study),
            plan=partial(plan_judging, study),
        )
    ]


def judged_first(study: Study) -> dict[str, Any]:
    """What a stage's key says of how many traces an arm are judged, where that is said."""
    first = {arm: study.settings.judged_of(arm) for arm in study.settings.arms}
    return {"traces": first} if any(first.values()) else {}


def judge_file(study: Study) -> tuple[Path, ...]:
    """The file that the study's judge reads, if any."""
    settings = study.settings.judge
    return (_path(settings),) if settings.path else ()


def _path(settings: JudgeSettings) -> Path:
    """The table or judge file of the settings."""
    from mechcot.judging.judge_file import judge_path

    path = settings.path or ""  # the exact checker has none
    return judge_path(path) if settings.kind == "llm" else Path(path).expanduser()


def plan_judging(study: Study) -> Expense:
    """How many steps there are to judge, and what the calls of an LLM judge will take."""
    arms = tuple(study.settings.arms)
    missing = [arm for arm in arms if not there(study, arm, "steps")]
    steps = None if missing else audited_steps(study)
    return plan_of(study, "judge", steps, f"the steps of {', '.join(missing)}")


def plan_of(study: Study, what: str, steps: pd.DataFrame | None, missing: str) -> Expense:
    """What judging some steps takes; None: they are not there yet, and `missing` names them."""
    settings = study.settings
    asked = settings.judge.kind == "llm"
    if steps is None:
        known = None if asked else 0
        return Expense(what, None, "steps", calls=known, tokens_in=known, tokens_out=known, money=known,
                       reason=f"{missing} are not there yet")  # fmt: skip
    if not asked:
        return Expense(what, len(steps), "steps")
    from mechcot.judging.judge_file import read_judge
    from mechcot.judging.llm import plan

    judge_file, calls = read_judge(_path(settings.judge)), study.path / "work" / "calls"
    found = plan(steps, questions_by_id(study), judge_file, calls, seed=settings.seed)
    return calls_expense(what, len(steps), "steps", found)


def judge(study: Study, progress: bool, work: Path) -> None:
    """Judge the steps of all arms, in one go: a judge may shuffle them."""
    kind = study.settings.judge.kind
    rows, about = judged(study, audited_steps(study), progress)
    write_verdicts(study, kind, rows, about)


def verdict_files(study: Study, name: str) -> tuple[str, ...]:
    """Where the verdicts of an instrument lie, arm by arm."""
    return tuple(f"arms/{arm}/verdicts/{name}.parquet" for arm in study.settings.arms)


def write_verdicts(
    study: Study, name: str, rows: Sequence[dict[str, Any]], about: dict[str, Any] | None
) -> None:
    """Write an instrument's verdicts (`records.VERDICTS`) arm by arm and, of a server's, what it is."""
    if about is not None:
        files.write_json(study.path / "instruments" / f"{name}.json", about)
    table = pd.DataFrame(rows, columns=records.VERDICTS.names)
    for arm, file in zip(study.settings.arms, verdict_files(study, name), strict=True):
        records.write_table(study.path / file, table[table.arm == arm], records.VERDICTS)


def judged(
    study: Study, steps: pd.DataFrame, progress: bool
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Verdicts of the study's own judge on some steps, and what an LLM judge is and took; None of others."""
    settings, questions = study.settings.judge, questions_by_id(study)
    path = _path(settings)
    if settings.kind == "exact":
        from mechcot.judging.exact import judge_exactly

        return judge_exactly(steps, questions, task_of(study)), None
    if settings.kind == "table":
        from mechcot.judging.table import judge_by_table

        return judge_by_table(steps, path), None
    from mechcot.asking.session import Session
    from mechcot.judging.judge_file import read_judge
    from mechcot.judging.llm import judge_by_llm

    # Replies cost money: they outlive the stage, so that a mended judge file pays only for what changed.
    calls = study.path / "work" / "calls"
    session = Session(read_judge(path), calls, study.settings.seed, progress=progress)
    judgement = judge_by_llm(steps, questions, session, name=path.stem)
    return judgement.rows, judgement.about
