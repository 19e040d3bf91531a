"""Stages that no model does: so many seconds a question, trace or step, as fitted on finished studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from mechcot.analyses import registry
from mechcot.pipeline.estimate.machines import table
from mechcot.pipeline.estimate.result import Work
from mechcot.pipeline.estimate.sizes import Sizes

PROCESS = "one process"
LIKE = "segments"
"""A stage that goes through all steps; one that the table lacks is taken for as slow."""
TABLES = 10_000.0
"""Bytes of tables that the greediest analysis holds of a trace (docs/table-scale.json)."""


def plain_rows(sizes: Sizes) -> Mapping[str, Callable[[], Work]]:
    """What each of them takes, by its name."""
    settings = sizes.study.settings
    names = ["questions", "prompts", "facts", "report", *(f"steps-{arm}" for arm in settings.arms)]
    names += [one.name for one in registry.ANALYSES if one.version is not None and one.name != "probe"]
    if settings.organism is not None:
        names.append("teacher")
    if settings.judge.kind == "exact":
        names.append("judge")
    if settings.teacher is not None:
        names.append("examples")
    if settings.kinds.server is None:
        names.append("step-kinds")
    return {name: partial(_plain, sizes, name) for name in names}


def family(stage: str) -> str:
    """The stages that are alike under the name of one."""
    return "steps" if stage.startswith("steps-") else stage


def amount(sizes: Sizes, stage: str, unit: str) -> float:
    """How many things a stage is done to: those of one arm, or of all."""
    settings = sizes.study.settings
    arms = [stage.removeprefix("steps-")] if stage.startswith("steps-") else list(settings.arms)
    questions = sizes.questions()
    traces = {arm: questions * settings.sampling_of(arm).samples for arm in arms}
    if unit == "questions":
        return questions
    if unit == "facts":
        return sizes.facts()
    if unit == "examples":
        return float(settings.organism.teacher_traces) if settings.organism else 0.0
    return (
        sum(traces.values()) if unit == "traces" else sum(n * sizes.steps(arm) for arm, n in traces.items())
    )


def _plain(sizes: Sizes, stage: str) -> Work:
    known = table()["stages"]
    alike = family(stage) if family(stage) in known else LIKE
    own = known[alike]
    n = amount(sizes, stage, own["unit"])
    made = f"fitted on {', '.join(table()['fitted on'])}"
    if alike != family(stage):
        made = f"assumed: as of {alike}, {made}"
    each = sizes.tell(f"{family(stage)}: seconds for each of its {own['unit']}", own["each"], "s", made)
    traces = sum(sizes.questions() * sizes.study.settings.sampling_of(arm).samples
                 for arm in sizes.study.settings.arms)  # fmt: skip
    held = sizes.process() + (TABLES * traces if own["unit"] == "steps" else 0)
    seconds = own["fixed"] + each * n
    return Work(stage, n, own["unit"], seconds=seconds, memory=held, bound=PROCESS)
