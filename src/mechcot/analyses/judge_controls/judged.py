"""One control judged: its items with what the instrument said, and what the calls took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.analyses.judge_controls.items import Control
from mechcot.analyses.judge_controls.sample import Sample
from mechcot.core import records
from mechcot.core.errors import JudgeError
from mechcot.judging.exact import judge_exactly
from mechcot.judging.guessing import guess_arms
from mechcot.judging.judge_file import Judge
from mechcot.judging.llm import judge_by_llm
from mechcot.judging.rewriting import fidelity, rewrite
from mechcot.judging.spending import Ledger


@dataclass(frozen=True)
class Asking:
    """How calls are made.

    Attributes:
        name: of the judge file, for messages.
        judge: the primary instrument, whose server compares rewritings; None: the exact checker.
        rewriter: who rewrites steps, if anybody does.
        work: folder of kept replies.
        ledger: of the money for all controls together.
        progress: whether to draw bars.
    """

    name: str
    judge: Judge | None
    rewriter: Judge | None
    work: Path
    ledger: Ledger
    progress: bool


def judged(control: Control, sample: Sample, asking: Asking) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Judge a control's items.

    Returns:
        Rows of `records.JUDGE_CONTROLS`, and for each kind of call what it was and what it took.

    Raises:
        ConfigError: a judge file, or the environment variable that it names, cannot be used.
        JudgeError: too many calls failed, a server cannot be used, or the budget is reached. Replies got
            are kept.
    """
    if control.kind == "rewriting":
        rows, about = _rewritten(control, sample, asking)
    elif control.kind == "guess":
        rows, about = _guessed(control, sample, asking)
    else:
        rows, about = _verdicts(control.items, control.judge, control.sample, sample, asking)
    table = rows.assign(control=control.name, n_words=[len(text.split()) for text in rows.text])
    nothing_said: dict[str, Any] = {"label": "", "reason": "", "fidelity": "", "score": pd.NA}
    for column, nothing in nothing_said.items():
        if column not in table.columns:
            table[column] = nothing
    # One type in every control's table: one without scores must not decide it when they are put together.
    table = table[records.JUDGE_CONTROLS.names].astype({"score": "Float64"})
    return table.reset_index(drop=True), about


def _verdicts(
    items: pd.DataFrame, judge: Judge | None, again: int, sample: Sample, asking: Asking
) -> tuple[pd.DataFrame, dict[str, Any]]:
    if judge is None:
        rows, about = judge_exactly(items, sample.questions, sample.task), {}
    else:
        judgement = judge_by_llm(
            *(items, sample.questions, judge, asking.work),
            name=asking.name, seed=sample.seed, sample=again, ledger=asking.ledger, progress=asking.progress,
        )  # fmt: skip
        rows, about = judgement.rows, {"verdicts": judgement.about}
    found = {column: [row[column] for row in rows] for column in ("label", "reason")}
    return items.assign(**found), about


def _rewritten(control: Control, sample: Sample, asking: Asking) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Steps in two manners, whether the claims stayed, and verdicts on those that did."""
    assert asking.rewriter is not None  # else the control is left out, as without a judge
    assert asking.judge is not None
    calls: dict[str, Any] = {"seed": sample.seed, "ledger": asking.ledger, "progress": asking.progress}
    items = in_both_manners(control, sample)
    manners = {arm: tuple(steps.text) for arm, steps in sample.manners().items()}
    made = rewrite(items, sample.questions, manners, asking.rewriter, asking.work, **calls)
    pairs = pd.DataFrame({"qid": items.qid, "original": items.text, "rewritten": made.rows.text})
    kept = fidelity(pairs, asking.judge, asking.work, **calls)
    rows = made.rows.assign(fidelity=kept.labels, label="")
    rows["reason"] = [own or of_pair for own, of_pair in zip(made.rows.reason, kept.reasons, strict=True)]
    preserved = rows.fidelity == "preserved"
    verdicts, about = _verdicts(rows[preserved], control.judge, control.sample, sample, asking)
    rows.loc[preserved, ["label", "reason"]] = verdicts[["label", "reason"]]
    return rows, {"rewriting": made.about, "fidelity": kept.about, **about}


def in_both_manners(control: Control, sample: Sample) -> pd.DataFrame:
    """Each step twice, with the arm in whose manner it is to be rewritten as `style`."""
    other = {sample.before: sample.after, sample.after: sample.before}
    own = control.items.assign(variant="own", style=control.items.arm)
    return pd.concat([own, own.assign(variant="other", style=own.arm.map(other))], ignore_index=True)


def _guessed(control: Control, sample: Sample, asking: Asking) -> tuple[pd.DataFrame, dict[str, Any]]:
    assert asking.judge is not None  # else the control is left out
    found = guess_arms(
        *(control.items, writers(sample), sample.after, asking.judge, asking.work),
        seed=sample.seed, ledger=asking.ledger, progress=asking.progress,
    )  # fmt: skip
    scores = pd.array(found.probabilities, dtype="Float64")
    return control.items.assign(score=scores, reason=found.reasons), {"guesses": found.about}


def writers(sample: Sample) -> dict[str, list[tuple[str, str]]]:
    """Steps that show each arm's manner, with their questions."""
    return {arm: list(zip(steps.qid, steps.text, strict=True)) for arm, steps in sample.manners().items()}


def one_model(abouts: dict[str, dict[str, Any]]) -> None:
    """Refuse verdicts of two models behind one server: a difference between controls would be theirs.

    Args:
        abouts: what `judged` says of the calls, by control.

    Raises:
        JudgeError: the server answered as another model on the way.
    """
    models = {
        (call["endpoint"], call["model"], call["returned_model"])
        for calls in abouts.values()
        for call in calls.values()
        if call["returned_model"]
    }
    for endpoint, model, returned in sorted(models):
        others = {r for e, m, r in models if (e, m) == (endpoint, model)} - {returned}
        if others:
            raise JudgeError(
                f"the server {endpoint} answered as '{returned}' and as '{min(others)}': two judges, whose "
                "controls cannot be compared. Run again: all is asked of the model that answers then"
            )
