"""Does the change of step error hold when the judge or the judged text is changed in one respect?

A *control* judges the sampled steps of both arms once more with one thing changed: the answer hidden, a
rule left out, the traces cut otherwise, the steps rewritten. Each gives the paired difference of step
error anew, and that difference minus the primary instrument's. Decoys, hedges put in and taken out, and
guesses of the arm say how the judge itself treats the two arms. `registry.CONTROLS` lists them all.
"""

from mechcot.analyses.judge_controls.analysis import analyse
from mechcot.analyses.judge_controls.design import Wanted
from mechcot.analyses.judge_controls.plan import ControlsPlan
from mechcot.analyses.judge_controls.result import JudgeControlsResult
from mechcot.analyses.judge_controls.run import (
    JudgeControls,
    judge_controls_of,
    plan_judge_controls,
    run_judge_controls,
)

__all__ = [
    "ControlsPlan",
    "JudgeControls",
    "JudgeControlsResult",
    "Wanted",
    "analyse",
    "judge_controls_of",
    "plan_judge_controls",
    "run_judge_controls",
]
