"""What models hedge or assert: the claims that a task reads, and whole steps where it reads none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.probe.stored import positions
from mechcot.steps.hedge_words import found_in, unhedged
from mechcot.steps.of_study import questions_by_id, task_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study

CLAIMS, STEPS = "claims", "steps"


def unit_of(study: Study) -> str:
    """What is hedged in a study's traces: `CLAIMS` where its task reads them, else `STEPS`."""
    return CLAIMS if task_of(study).claim is not None else STEPS


def nothing_claimed(study: Study, arm: str) -> bool:
    """Whether an arm has nothing that could be hedged."""
    return study.claims(arm).empty if unit_of(study) == CLAIMS else study.steps(arm, STEP_KEY).empty


def claimed(study: Study, arm: str, among: pd.DataFrame) -> pd.DataFrame:
    """What an arm hedges or asserts in some of its steps.

    Where the task reads no claims, a step is one claim, decided at the token before its first one and hedged
    if the lexicon finds a hedge in it. Where rules tell kinds, its kind is that of its text without hedges:
    rules go by such words too, and directions are compared within a kind. Steps that the token limit cut are
    left out.

    Args:
        study: with the arm's steps.
        arm: whose.
        among: the steps, STEP_KEY.

    Returns:
        rows of `records.CLAIMS`; of steps STEP_KEY, `relation`, `subject` (the word that the arm before meets
        least, "" where that was not asked), `hedged` and `tok_decision`.
    """
    if unit_of(study) == CLAIMS:
        return study.claims(arm).merge(among[STEP_KEY], on=STEP_KEY)
    steps = study.steps(arm).merge(among[STEP_KEY], on=STEP_KEY)
    steps = steps[steps.complete].reset_index(drop=True)
    hedged = np.array([bool(found_in(text)) for text in steps.text], bool)
    told = steps[STEP_KEY].assign(
        relation=_kinds(study, steps, hedged),
        hedged=hedged,
        tok_decision=steps.tok_start - 1,
    )
    strata = study.strata(arm)
    if strata is None:
        return told.assign(subject="")
    return told.merge(strata[[*STEP_KEY, "subject"]], on=STEP_KEY, how="left").fillna({"subject": ""})


def at_claims(study: Study, arm: str) -> tuple[dict[int, NDArray[Any]], pd.DataFrame]:
    """The residual stream of an arm before the place of a hedge in its own claims, and these claims.

    Where the task reads no claims they are steps, and the stream is that of the token before each.

    Args:
        study: with the arm's reading of itself.
        arm: whose.

    Returns:
        layer to [claims, d_model]; rows of `claimed` that were read.

    Raises:
        AnalysisError: the token before a step was not kept.
    """
    activations = study.activations(arm)
    index = activations.frame()[STEP_KEY]
    claims = claimed(study, arm, index)
    rows, rule = positions(index, claims), "decision" if unit_of(study) == CLAIMS else "before"
    if rule not in activations.rules:
        raise AnalysisError(
            f"{activations.path}: has no rule {rule}; it has {activations.rules}. Add {rule} to "
            "reading.rules and run again"
        )
    found = {layer: activations.layer("resid_post", layer, rule)[rows] for layer in activations.layers}
    return found, claims


def _kinds(study: Study, steps: pd.DataFrame, hedged: NDArray[np.bool_]) -> list[str]:
    """The kind of each step: by rules of its text without hedges, else as a server named it."""
    if study.settings.kinds.server is not None:
        return list(steps.role)
    role = task_of(study).role
    questions = questions_by_id(study)
    return [
        role(questions[qid], unhedged(text)) if said else own
        for qid, text, own, said in zip(steps.qid, steps.text, steps.role, hedged, strict=True)
    ]
