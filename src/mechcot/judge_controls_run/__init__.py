"""The run of the judge controls: what each of them judges, what that costs, and its files in the study."""

from mechcot.judge_controls_run.job import Wanted
from mechcot.judge_controls_run.plan import ControlsPlan
from mechcot.judge_controls_run.run import (
    JudgeControls,
    judge_controls_of,
    plan_judge_controls,
    run_judge_controls,
)

__all__ = [
    "ControlsPlan",
    "JudgeControls",
    "Wanted",
    "judge_controls_of",
    "plan_judge_controls",
    "run_judge_controls",
]
