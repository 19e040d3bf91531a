"""Labels other than a judge's: what becomes of a prefix's answer, and whether a claim is hedged.

Both come as verdicts, so that one join makes the table of any probe: "erroneous" stands for the label 1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY, TRACE_KEY

LEAKS = {
    "step_error": (),
    "answer_correct": ("answer_right",),
    "hedged": ("n_words", "n_tokens", "entropy_object"),
}
"""Columns of the step table that hold a label itself: whether the answer is right, the hedge's own words."""


def answer_labels(
    steps: pd.DataFrame, traces: pd.DataFrame, questions: pd.DataFrame, stored: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Label each step by what its trace's final answer turns out to be: 1 is right.

    A step counts as long as the answer was not stated before its end: after that there is nothing to predict.

    Args:
        steps: rows of `records.STEPS`, one arm.
        traces: rows of `records.TRACES`, the same arm.
        questions: rows of `records.QUESTIONS`.
        stored: the steps that have activations, by STEP_KEY; None: all.

    Returns:
        verdicts (STEP_KEY, `label`), and how many of the stored steps were left out and why.
    """
    right = traces[[*TRACE_KEY, "answer"]].merge(questions[["qid", "gold"]], on="qid", how="left")
    table = steps[[*STEP_KEY, "states_answer"]].merge(right, on=TRACE_KEY, how="left")
    stated = table.sort_values(STEP_KEY).groupby(TRACE_KEY)["states_answer"].cummax().astype(bool)
    answered = table["answer"].fillna(-1) >= 0
    kept = table[answered & ~stated.reindex(table.index)]
    label = (kept["answer"] == kept["gold"]).map({True: "erroneous", False: "correct"})
    there = np.ones(len(table), dtype=bool)
    if stored is not None:
        there = (
            table[STEP_KEY].merge(stored[STEP_KEY], how="left", indicator=True)["_merge"] == "both"
        ).to_numpy()
    dropped = {
        "steps of traces without an answer": int((there & ~answered).sum()),
        "steps after which the answer stands already": int((there & answered & stated).sum()),
    }
    return kept[STEP_KEY].assign(label=label), dropped


def hedge_labels(claims: pd.DataFrame) -> pd.DataFrame:
    """Label each claim by whether it is hedged: verdicts (STEP_KEY, `label`).

    Args:
        claims: rows of `records.CLAIMS`, one arm.

    Raises:
        AnalysisError: the task reads no claims.
    """
    if claims.empty:
        raise AnalysisError("the task reads no claims in these steps, so that none can be called hedged")
    return claims[STEP_KEY].assign(label=claims["hedged"].map({True: "erroneous", False: "correct"}))


def prefixes(steps: pd.DataFrame) -> pd.DataFrame:
    """The steps with all that was written up to their end as `text`: what a probe of a prefix has to beat."""
    ordered = steps.sort_values(STEP_KEY)
    texts = ordered.groupby(TRACE_KEY)["text"].transform(lambda column: _joined(list(column)))
    return steps.assign(text=texts.reindex(steps.index))


def _joined(texts: list[str]) -> list[str]:
    out: list[str] = []
    for text in texts:
        out.append(f"{out[-1]} {text}" if out else text)
    return out


def unhedged(steps: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """The steps that claim something, `text` being the claim without its hedge: the label is not in it."""
    said = claims[STEP_KEY].assign(
        text=claims["subject"].astype(str) + " " + claims["relation"] + " " + claims["object"]
    )
    return steps.drop(columns="text").merge(said, on=STEP_KEY)
