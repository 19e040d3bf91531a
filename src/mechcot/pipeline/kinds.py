"""The kinds of stage of a study, in the order in which they are run."""

from __future__ import annotations

from mechcot.core.stages import Stage
from mechcot.pipeline.analyses import analysis_stages
from mechcot.pipeline.answers import answer_stages
from mechcot.pipeline.causes import cause_stages
from mechcot.pipeline.controls import control_stages
from mechcot.pipeline.examples import example_stages
from mechcot.pipeline.facts import fact_stages
from mechcot.pipeline.forced_traces import forced_trace_stages
from mechcot.pipeline.greedy import greedy_stages
from mechcot.pipeline.handover import handover_stages
from mechcot.pipeline.hedge_pairs import hedge_pair_stages
from mechcot.pipeline.judge import judge_stages
from mechcot.pipeline.localisation import localisation_stages
from mechcot.pipeline.own_chains import own_stages
from mechcot.pipeline.panel import panel_stages
from mechcot.pipeline.parity import parity_stages
from mechcot.pipeline.prompts import prompt_stages
from mechcot.pipeline.questions import question_stages
from mechcot.pipeline.reading import reading_stages
from mechcot.pipeline.report import report_stages
from mechcot.pipeline.sheet import sheet_stages
from mechcot.pipeline.steering import steering_stages
from mechcot.pipeline.step_kinds import step_kind_stages
from mechcot.pipeline.step_strata import step_strata_stages
from mechcot.pipeline.sub_steps import sub_step_stages
from mechcot.pipeline.teacher import teacher_stages
from mechcot.pipeline.text import text_stages
from mechcot.pipeline.training import training_stages
from mechcot.pipeline.weights import weights_stages
from mechcot.study.folder import Study

STAGES = (
    question_stages,
    prompt_stages,
    teacher_stages,
    own_stages,
    example_stages,
    training_stages,
    parity_stages,
    text_stages,
    step_kind_stages,
    step_strata_stages,
    answer_stages,
    judge_stages,
    panel_stages,
    control_stages,
    greedy_stages,
    fact_stages,
    reading_stages,
    handover_stages,
    weights_stages,
    localisation_stages,
    hedge_pair_stages,
    steering_stages,
    cause_stages,
    forced_trace_stages,
    sub_step_stages,
    analysis_stages,
    report_stages,
    sheet_stages,
)
"""The kinds of stage in order; each gives those of its kind that a study has."""


def stages_of(study: Study, *, progress: bool = True) -> list[Stage]:
    """All stages of a study, in order."""
    return [stage for kind in STAGES for stage in kind(study, progress)]
