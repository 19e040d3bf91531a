"""What can be said of traces that would be right in both arms, from two arms' tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mechcot.analyses.arm_steps import ArmSteps
from mechcot.analyses.arms import Arms
from mechcot.core.results import Pair
from mechcot.stats.both_right import BothRightBounds, RightTraces, both_right_bounds
from mechcot.stats.cluster import Floats
from mechcot.stats.frames import question_codes


def bounds_of(arms: Arms) -> BothRightBounds:
    """Bounds of the change among traces right in both arms; traces without a judged step are not in it."""
    before, after = (_halves(arms, traces) for traces in (arms.traces_before, arms.traces_after))
    judged = Pair(*(_right_traces(own) for own in arms.steps))
    return both_right_bounds((before[0], after[0]), (before[1], after[1]), judged, arms.text)


def _halves(arms: Arms, traces: pd.DataFrame) -> tuple[Floats, Floats]:
    """Right traces and traces of each half, by turns of cid, [questions, 2] each."""
    q = question_codes(traces, arms.index, "traces")
    place = traces.groupby("qid")["cid"].rank(method="first").to_numpy(dtype=np.int64)
    cell, shape = 2 * q + place % 2, (len(arms.index), 2)
    right = traces["answer"].to_numpy() == arms.gold[q]
    counts = np.zeros((2, 2 * shape[0]))
    np.add.at(counts[0], cell, right)
    np.add.at(counts[1], cell, 1.0)
    return counts[0].reshape(shape), counts[1].reshape(shape)


def _right_traces(arm: ArmSteps) -> RightTraces:
    judged = arm.steps[arm.is_judged]
    own = judged.assign(wrong=judged["label"] == "erroneous").groupby(["q", "cid"])
    table = own.agg(wrong=("wrong", "mean"), right=("trace_right", "first")).reset_index()
    table["weight"] = 1 / table.groupby("q")["cid"].transform("size")
    table = table[table["right"]]
    return RightTraces(
        table["q"].to_numpy(dtype=np.int64), table["wrong"].to_numpy(float), table["weight"].to_numpy(float)
    )
