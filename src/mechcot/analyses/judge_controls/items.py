"""What each judge control changes: which steps it judges, in which words, by which instrument.

A control changes one thing. Each is judged on the same sampled questions and traces of both arms, so
that its difference of step error can be set beside the primary instrument's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from mechcot.analyses.judge_controls.decoys import read_decoys
from mechcot.analyses.judge_controls.names import FACTORS, PRIMARY, WARM, with_changes, with_field
from mechcot.analyses.judge_controls.sample import Sample
from mechcot.core import records
from mechcot.core.records import STEP_KEY
from mechcot.judging.judge_file import Judge
from mechcot.steps import step_rows
from mechcot.steps.alter import decoys_of, hedged_pair, mask_answer

_COLUMNS = ["variant", *STEP_KEY, "text", "complete"]


@dataclass(frozen=True)
class Control:
    """One control: its items and its instrument.

    Attributes:
        name: of the control.
        kind: what is asked of the items: a verdict each; a rewriting, its fidelity, then a verdict; or a
            guess of the arm.
        changes: what it changes, in words.
        judge: its instrument; None: the exact checker.
        sample: which judgement of the same steps.
        items: variant, step key, text, complete; steps of whole traces where the judge sees earlier ones.
        untreated: what it cannot treat, in words, and how many of it there are by arm.
    """

    name: str
    kind: Literal["verdict", "rewriting", "guess"]
    changes: str
    judge: Judge | None
    items: pd.DataFrame
    sample: int = 0
    untreated: tuple[str, Mapping[str, int]] | None = None


def control_of(name: str, sample: Sample, judge: Judge | None, decoys: Path | None = None) -> Control:
    """A control's items and instrument.

    Args:
        name: one of `names` that nothing speaks against.
        sample: what is judged.
        judge: the primary instrument; None: the exact checker.
        decoys: a file of decoys in place of mechcot's.

    Raises:
        DataError: the file of decoys cannot be used.
    """
    steps = sample.steps.assign(variant="")[_COLUMNS]
    kind, _, which = name.partition(":")
    if name == PRIMARY:
        return Control(name, "verdict", "nothing: the judge as it is", judge, steps)
    if name == "again":
        return Control(name, "verdict", "nothing: the judge is asked again", judge, steps, sample=1)
    if kind == "hedge-flip":
        return _hedge_flip(sample, _alone(judge))
    if kind == "decoy":
        return _decoys(sample, _alone(judge), decoys)
    assert judge is not None  # `reason_against` leaves out the rest for the exact checker
    if name == "again-warm":
        warm = with_changes(judge, temperature=WARM)
        return Control(name, "verdict", f"the temperature is {WARM:g}", warm, steps, sample=1)
    if kind == "factor":
        factor = FACTORS[which]
        changes = f"{factor.what}: {'left out' if factor.has(judge) else 'added'}"
        return Control(name, "verdict", changes, factor.switched(judge), steps)
    if kind == "segment":
        return Control(name, "verdict", f"traces are cut by {which}", judge, _recut(sample, which))
    if name == "answer-blind":
        return _answer_blind(sample, judge)
    if name == "tone-swap":
        changes = "steps are rewritten in the manner of their own arm and of the other"
        return Control(name, "rewriting", changes, _alone(judge), sample.whole.assign(variant="")[_COLUMNS])
    changes = "the judge tells whose step it is from steps of both arms"
    return Control(name, "guess", changes, judge, sample.whole.assign(variant="")[_COLUMNS])


def _alone(judge: Judge | None) -> Judge | None:
    """The judge without the steps before: changed steps stand in no trace."""
    if judge is None or not judge.fields.previous:
        return judge
    return with_field(judge, "previous")


def _answer_blind(sample: Sample, judge: Judge) -> Control:
    answers = _answers(sample)
    texts = [
        mask_answer(sample.questions[row.qid], row.text, answers[row.qid, row.arm, int(row.cid)], sample.task)
        for row in records.rows(sample.steps)
    ]
    blind = with_changes(judge, fields=judge.fields.model_copy(update={"gold": False}))
    changes = "the right answer is hidden, and the trace's own is masked where a step states it"
    return Control(
        "answer-blind", "verdict", changes, blind, sample.steps.assign(variant="", text=texts)[_COLUMNS]
    )


def _recut(sample: Sample, segmenter: str) -> pd.DataFrame:
    rows = step_rows(
        sample.traces, sample.questions, replace(sample.task, segmenter=segmenter), sample.window
    )
    return pd.DataFrame(rows, columns=records.STEPS.names).assign(variant="")[_COLUMNS]


def _hedge_flip(sample: Sample, judge: Judge | None) -> Control:
    own = sample.task.hedge_pair
    steps = sample.whole
    pairs = [
        own(sample.questions[row.qid], row.text) if own is not None else hedged_pair(row.text)
        for row in records.rows(steps)
    ]
    treated = np.array([pair is not None for pair in pairs], dtype=bool)
    forms = [
        steps[treated].assign(variant=variant, text=[pair[i] for pair in pairs if pair is not None])
        for i, variant in enumerate(("hedged", "plain"))
    ]
    return Control(
        name="hedge-flip",
        kind="verdict",
        changes="the same claim with a hedge and without",
        judge=judge,
        items=pd.concat(forms, ignore_index=True)[_COLUMNS],
        untreated=("steps that the rules for hedges do not treat", _by_arm(sample, steps[~treated])),
    )


def _decoys(sample: Sample, judge: Judge | None, file: Path | None) -> Control:
    arms = (sample.before, sample.after)
    if file is None:
        table = decoys_of(sample.steps, _answers(sample), sample.questions, sample.task, sample.seed)
        changes = "planted statements of known truth in the words of each arm"
    else:
        table = read_decoys(file, arms, sample.questions, sample.known)
        changes = f"planted statements of known truth from {file.name}"
    found = table.drop_duplicates(["qid", "arm"])
    without = {arm: len(sample.questions) - int((found.arm == arm).sum()) for arm in arms}
    untreated = ("questions without a decoy", without)
    items = table.assign(variant=np.where(table.truth, "true", "false"), complete=True)
    return Control("decoy", "verdict", changes, judge, items[_COLUMNS], untreated=untreated)


def _answers(sample: Sample) -> dict[tuple[str, str, int], int]:
    return {(row.qid, row.arm, int(row.cid)): int(row.answer) for row in records.rows(sample.traces)}


def _by_arm(sample: Sample, steps: pd.DataFrame) -> dict[str, int]:
    counts = steps.arm.value_counts()
    return {arm: int(counts.get(arm, 0)) for arm in (sample.before, sample.after)}
