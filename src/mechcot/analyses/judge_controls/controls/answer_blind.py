"""The right answer hidden, and the trace's own masked: are steps judged by their answer?"""

from __future__ import annotations

from mechcot.analyses.judge_controls.control import ITEM, Control, Items, Setup, with_field
from mechcot.core import records
from mechcot.steps.alter import mask_answer


def _masked(setup: Setup) -> Items:
    sample, answers = setup.sample, setup.sample.answers()
    texts = [
        mask_answer(sample.questions[row.qid], row.text, answers[row.qid, row.arm, int(row.cid)], sample.task)
        for row in records.rows(sample.steps)
    ]
    return Items(sample.steps.assign(variant="", text=texts)[list(ITEM)])


ANSWER_BLIND = Control(
    "answer-blind",
    "answer hidden and masked",
    "the right answer is hidden, and the trace's own is masked where a step states it",
    changes=lambda judge: with_field(judge, gold=False),
    items=_masked,
)
