"""The same traces cut otherwise: steps are compared that are not the same size."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from mechcot.analyses.judge_controls.control import ITEM, Control, Items, Setup
from mechcot.core import records
from mechcot.steps import SEGMENTERS, step_rows


def _control(segmenter: str) -> Control:
    def items(setup: Setup) -> Items:
        sample = setup.sample
        task = replace(sample.task, segmenter=segmenter)
        rows = step_rows(sample.traces, sample.questions, task, sample.window)
        table = pd.DataFrame(rows, columns=records.STEPS.names)
        return Items(table.assign(variant="")[list(ITEM)])

    return Control(
        f"segment:{segmenter}",
        f"cut by {segmenter}",
        f"traces are cut by {segmenter}",
        items=items,
        matched=("qid", "arm"),
        unchecked="the exact checker reads sentences of its own language: other pieces are no claims",
        family="segment",
        segmenter=segmenter,
    )


RECUT = tuple(map(_control, SEGMENTERS))
"""A control for each segmenter; a study's own is none of its controls."""
