"""What a study is expected to take, and what differences it could see."""

from __future__ import annotations

import numpy as np

from mechcot.core.plan import Plan
from mechcot.pipeline.estimate.result import Constant, Detectable, Estimate, total
from mechcot.pipeline.estimate.rows import PEAK, USE, rows_of
from mechcot.pipeline.estimate.sizes import Sizes
from mechcot.pipeline.estimate.weights import measured_rate
from mechcot.stats.inference import detectable_difference
from mechcot.study.folder import Study


def estimate_of(study: Study, planned: Plan) -> Estimate:
    """What the stages that a plan has to do are expected to take.

    Operations of weights are 2 a parameter and token forward, of a training step as many as `rows` says;
    hours are these over the peak of a GPU times the share of it that is reached. What is counted in tables or
    files of the study is; the rest is assumed, and listed as such.

    Args:
        study: with its settings; nothing of it need be there.
        planned: which stages are done (`pipeline.plan.plan_stages`).
    """
    sizes = Sizes(study)
    foretold = rows_of(sizes)
    to_do = [row.what for row in planned.rows if row.state != "cached"]
    rows = tuple(foretold[name]() for name in to_do if name in foretold)
    detectable = _detectable(sizes)
    hours, here = total(rows).gpu_hours, None
    if hours:
        rate, what = measured_rate()
        sizes.tell("this machine: operations a second", rate, "FLOP/s", f"measured here ({what})")
        here = hours * PEAK / rate
    used = {f"share of that reached in {kind}" for kind in USE}
    constants = tuple(sizes.told.values())
    if here is not None:
        constants = tuple(_here(one) if one.what in used else one for one in constants)
    left_out = tuple(name for name in to_do if name not in foretold)
    return Estimate(rows, left_out, constants, detectable, here)


def _here(constant: Constant) -> Constant:
    return Constant(constant.what, constant.value, constant.unit, f"{constant.source}, here too")


def _detectable(sizes: Sizes) -> tuple[Detectable, ...]:
    """The smallest differences of answers and of steps, and on a sheet for people."""
    settings = sizes.study.settings
    n = sizes.questions()
    turned = sizes.tell("share of questions whose answer differs between the arms", 0.25, "", "assumed")
    found = [_found("answers by vote, paired", n, "questions", turned / n)]
    wrong = sizes.tell("share of steps that are wrong", 0.4, "", "assumed")
    alike = sizes.tell("correlation of steps of one question (ICC)", 0.15, "", "assumed")
    each = sizes.judged(settings.contrast.before) * sizes.steps()  # those of the arm after are as many
    spread = 2 * wrong * (1 - wrong)
    steps = n * each
    found.append(
        _found(
            "wrong steps, pairing left out", steps, "steps an arm", spread * (1 + (each - 1) * alike) / steps
        )
    )
    if settings.sheet is not None:
        half = settings.sheet.steps / 2
        on_sheet = 1 + max(half / n - 1, 0) * alike
        found.append(_found("wrong steps, by people alone", half, "steps an arm", spread * on_sheet / half))
    return tuple(found)


def _found(what: str, n: float, unit: str, variance: float) -> Detectable:
    return Detectable(what, n, unit, detectable_difference(float(np.sqrt(variance))))
