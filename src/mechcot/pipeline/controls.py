"""Controls of a judge as a stage of the study, where the settings ask for them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.plan import controls_plan, no_calls_yet, there
from mechcot.study.folder import Study

if TYPE_CHECKING:
    from mechcot.analyses.judge_controls.design import Wanted


def control_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage of the controls of a judge; none where the settings ask for none."""
    settings = study.settings.judge_controls
    if settings is None:
        return []
    from mechcot.analyses.judge_controls.design import VERSION, chosen, judge_of, key_parts
    from mechcot.analyses.judge_controls.run import files_of, inputs_of
    from mechcot.analyses.judge_controls.study_report import STAGE
    from mechcot.judging.judge_file import judge_path, read_judge

    wanted = wanted_of(study)
    name, _ = judge_of(study, wanted.judge_file)  # before hours of sampling, not after them
    chosen(wanted.only, study.settings.steps.segmenter)
    outside = [judge_path(file) for file in (judge_file(study), wanted.rewriter_file) if file is not None]
    for path in outside:
        read_judge(path)
    return [
        Stage(
            STAGE + name,
            VERSION,
            {"judge_controls": settings.basis(), "drawn": key_parts(study)},
            inputs_of(study),
            files_of(name),
            partial(judge, study, wanted, settings.budget, progress),
            outside=(*outside, *([] if wanted.decoys is None else [Path(wanted.decoys)])),
            plan=partial(plan, study, wanted, STAGE + name),
        )
    ]


def judge_file(study: Study) -> str | None:
    """Whose controls they are; None: the exact checker's."""
    own = study.settings.judge_controls
    assert own is not None
    return own.judge or (study.settings.judge.path if study.settings.judge.kind == "llm" else None)


def wanted_of(study: Study) -> Wanted:
    """The controls that a study's settings ask for."""
    from mechcot.analyses.judge_controls.design import Wanted

    own = study.settings.judge_controls
    assert own is not None
    decoys = None if own.decoys is None else Path(own.decoys).expanduser()
    return Wanted(own.judge, own.rewriter, own.only, own.questions, own.traces, decoys)


def judge(study: Study, wanted: Wanted, budget: float | None, progress: bool, work: Path) -> None:
    """Judge a sample of steps under the controls, and write what comes out."""
    from mechcot.analyses.judge_controls.run import write_judge_controls_of

    write_judge_controls_of(study, wanted, budget=budget, progress=progress)


def plan(study: Study, wanted: Wanted, name: str) -> Expense:
    """What the controls will take together, once there are steps."""
    from mechcot.analyses.judge_controls.run import plan_controls_of

    contrast = study.settings.contrast
    missing = [arm for arm in (contrast.before, contrast.after) if not there(study, arm, "traces", "steps")]
    if missing:
        return no_calls_yet(name, "items", f"the steps of {', '.join(missing)}")
    return controls_plan(plan_controls_of(study, wanted)).total
