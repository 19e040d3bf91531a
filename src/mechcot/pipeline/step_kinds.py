"""The stage that gives every step its kind, where the task sorts steps by their wording."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import files, records
from mechcot.core.kind_records import KINDS, RULES, SERVER
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.plan import calls_expense, no_calls_yet, there
from mechcot.steps.of_study import questions_by_id, task_basis, task_of
from mechcot.study.folder import Study

STAGE = "step-kinds"


def step_kind_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage, for all arms in one go; none where the task's own language tells kinds.

    Its table stands in place of the steps' roles: these are made with the steps, which are kept as they
    are when rules change or a server shall name the kinds.
    """
    if not kind_files(study, study.settings.arms):
        return []
    from mechcot.tasks.kinds import VERSION

    arms = study.settings.arms
    path = _path(study)
    if path is not None:
        from mechcot.judging.judge_file import read_judge

        read_judge(path)  # before hours of sampling, not after them
    basis: dict[str, Any] = {"rules": VERSION}
    if path is not None:
        basis["named"] = {arm: study.settings.judged_of(arm) for arm in arms}
    return [
        Stage(
            STAGE,
            1,
            basis | task_basis(study),
            ("questions.parquet", *(f"arms/{arm}/steps.parquet" for arm in arms)),
            (*kind_files(study, arms), *(("instruments/kinds.json",) if path is not None else ())),
            partial(sort, study, progress),
            outside=(path,) if path is not None else (),
            plan=partial(plan_sorting, study),
        )
    ]


def kind_files(study: Study, arms: Iterable[str]) -> tuple[str, ...]:
    """Where the kinds of these arms' steps lie; none where the task's own language tells them."""
    if study.settings.organism is not None or not task_of(study).kinds:
        return ()
    return tuple(f"arms/{arm}/kinds.parquet" for arm in arms)


def _path(study: Study) -> Path | None:
    """The file of the server that names kinds, if any."""
    from mechcot.judging.judge_file import judge_path

    server = study.settings.kinds.server
    return None if server is None else judge_path(server)


def _named(study: Study, arm: str) -> pd.Series:
    """Which steps of an arm a server names: those of the traces that are judged."""
    steps, first = study.cut_steps(arm), study.settings.judged_of(arm)
    return pd.Series(True, steps.index) if first is None else steps.cid < first


def _asked(study: Study) -> pd.DataFrame:
    arms = study.settings.arms
    return pd.concat([study.cut_steps(arm)[_named(study, arm)] for arm in arms], ignore_index=True)


def plan_sorting(study: Study) -> Expense:
    """How many steps there are to sort, and what a server's calls will take."""
    arms, path = study.settings.arms, _path(study)
    missing = [arm for arm in arms if not there(study, arm, "steps")]
    if path is None:
        n = None if missing else sum(len(study.cut_steps(arm)) for arm in arms)
        return Expense(STAGE, n, "steps", reason=f"the steps of {', '.join(missing)} are not there yet")
    if missing:
        return no_calls_yet(STAGE, "steps", f"the steps of {', '.join(missing)}")
    from mechcot.judging.judge_file import read_judge
    from mechcot.judging.kinds import plan_kinds

    steps, calls = _asked(study), study.path / "work" / "calls"
    found = plan_kinds(steps, questions_by_id(study), read_judge(path), calls, seed=study.settings.seed)
    return calls_expense(STAGE, len(steps), "steps", found)


def sort(study: Study, progress: bool, work: Path) -> None:
    """Write `arms/ARM/kinds.parquet`: by the task's rules, and where a server is named by it."""
    role, questions = task_of(study).role, questions_by_id(study)
    tables = {arm: study.cut_steps(arm) for arm in study.settings.arms}
    kinds = {
        arm: [role(questions[qid], text) for qid, text in zip(own.qid, own.text, strict=True)]
        for arm, own in tables.items()
    }
    frames = {arm: own[records.STEP_KEY].assign(kind=kinds[arm], by=RULES) for arm, own in tables.items()}
    path = _path(study)
    if path is not None:
        from mechcot.asking.session import Session
        from mechcot.judging.judge_file import read_judge
        from mechcot.judging.kinds import kinds_by_llm

        calls = study.path / "work" / "calls"
        session = Session(read_judge(path), calls, study.settings.seed, progress=progress)
        found = kinds_by_llm(_asked(study), questions, session)
        start = 0
        for arm, own in frames.items():
            asked = _named(study, arm)
            stop = start + int(asked.sum())
            own.loc[asked, "kind"] = found.kinds[start:stop]
            own.loc[asked, "by"] = SERVER
            start = stop
        files.write_json(study.path / "instruments" / "kinds.json", found.about)
    for arm, own in frames.items():
        records.write_table(study.arm_path(arm) / "kinds.parquet", own, KINDS)
