"""How often the training text names whom a claim is about: what a hedge direction has to beat.

A base hedges what it has seldom seen. A direction that tells hedged from asserted claims may then mark how
seldom a name was met and no doubt beyond that (methods 0.29).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.claimed import STEPS, unit_of
from mechcot.analyses.hedge.result import BesideFrequency
from mechcot.core.errors import MechcotError
from mechcot.core.records import STEP_KEY
from mechcot.stats.auroc import LeaveOneOut, leave_one_out, stratified_auroc
from mechcot.stats.directions import fixed_without, pairs_in_order, refitted_without, tied
from mechcot.stats.jackknife import jackknife_interval
from mechcot.steps.of_study import questions_by_id, task_of, whole_checkpoint

if TYPE_CHECKING:
    from mechcot.study.folder import Study

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GIVEN = "exposure in the training text"
OWN = "the log-probability of the subject's words alone"


def frequency_of(study: Study, arms: Sequence[str]) -> tuple[pd.DataFrame | None, str]:
    """How often each claim's subject was met, and what that is; or None and why it is not known.

    What the task knows; else the log-probability of the subject's words, nats, with nothing before them, to
    the arm before. A step's subject is its word that is least probable so (`pipeline.step_strata`).

    Args:
        study: with its steps and claims.
        arms: whose claims.

    Returns:
        keys of the claims and `frequency`.
    """
    if unit_of(study) == STEPS:
        tables = [study.strata(arm) for arm in arms]
        if any(table is None for table in tables):
            return None, "how seldom the arm before meets what steps are about was not asked"
        met = pd.concat(tables)[[*STEP_KEY, "frequency"]]
        met = met.fillna({"frequency": met.frequency.max()})  # short words alone: the language's own
        return _spread(
            met, f"the log-probability of a step's least probable word under {study.settings.contrast.before}"
        )
    claims = pd.concat([study.claims(arm) for arm in arms], ignore_index=True)
    task = task_of(study)
    if task.frequency is not None:
        questions = questions_by_id(study)
        texts = pd.concat([study.steps(arm)[[*STEP_KEY, "text"]] for arm in arms])
        rows = claims[STEP_KEY].merge(texts, on=STEP_KEY)
        told = zip(rows["qid"], rows["text"], strict=True)
        known = [task.frequency(questions[qid], text) for qid, text in told]
        return _spread(rows[STEP_KEY].assign(frequency=known), GIVEN)
    before = study.settings.contrast.before
    try:
        from mechcot.models.checkpoint import load

        checkpoint = load(study.settings.arms[before], whole_checkpoint(study, before), study.settings.device)
    except MechcotError as error:
        return None, str(error)
    from mechcot.reading.words import words_alone

    names = words_alone(checkpoint, claims["subject"])
    met = claims[STEP_KEY].assign(frequency=claims["subject"].map(names))
    return _spread(met, f"{OWN} under {before}")


def _spread(met: pd.DataFrame, what: str) -> tuple[pd.DataFrame | None, str]:
    if met["frequency"].nunique() < 2:
        return None, f"{what} is the same for all"
    return met, what


def thirds(frequency: FloatArray) -> IntArray:
    """0, 1 or 2 for the seldom, the middle and the often met third of the claims; equals stay together."""
    return np.searchsorted(np.quantile(frequency, [1 / 3, 2 / 3]), frequency, side="left").astype(np.int64)


def beside_held_out(
    X: FloatArray,
    own: NDArray[Any],
    frequency: FloatArray,
    truth: BoolArray,
    kinds: IntArray,
    half: IntArray,
    questions: NDArray[Any],
) -> BesideFrequency:
    """The held-out direction beside how seldom a subject was met; both directions refitted in the interval.

    Args:
        X: [claims, d_model].
        own: each claim's score by the direction of the other half, [claims].
        frequency: [claims].
        truth: whether the claim is hedged, [claims].
        kinds: [claims].
        half: [claims].
        questions: [claims].
    """
    rarity, unit = -frequency, "questions of each half, directions refitted"
    found = []
    for inside in (np.zeros_like(kinds), thirds(frequency)):
        cells = _crossed(_crossed(kinds, half), inside)
        without, side = refitted_without(X, truth, kinds, half, questions, cells)
        direction = LeaveOneOut(_fraction(own, truth, cells), without)
        rare = LeaveOneOut(
            _fraction(rarity, truth, cells), fixed_without(rarity, truth, cells, half, questions)
        )
        found.append((direction, rare, unit, side))
    return _beside(found, _pairs(truth, _crossed(_crossed(kinds, half), thirds(frequency))))


def beside_fixed(
    values: FloatArray, frequency: FloatArray, truth: BoolArray, kinds: IntArray, questions: NDArray[Any]
) -> BesideFrequency:
    """The same of a direction that was not fitted on these claims, which stays as it is."""
    unit, third = "questions, the direction held fixed", thirds(frequency)
    found = []
    for inside in (None, third):
        pair = (leave_one_out(s, truth, kinds, questions, inside) for s in (tied(values), -frequency))
        found.append((*pair, unit, None))
    return _beside(found, _pairs(truth, _crossed(kinds, third)))


def _beside(found: list[tuple[Any, ...]], n_pairs: int) -> BesideFrequency:
    parts = []
    for direction, rare, unit, side in found:
        known = direction.auroc is not None and rare.auroc is not None
        gap = direction.auroc - rare.auroc if known else None
        minus = jackknife_interval(gap, direction.without - rare.without, logit=False, unit=unit, strata=side)
        each = [
            jackknife_interval(one.auroc, one.without, logit=True, unit=unit, strata=side)
            for one in (direction, rare)
        ]
        parts.append((*each, minus))
    (_, alone_everywhere, minus), (inside, alone_inside, minus_inside) = parts
    return BesideFrequency(alone_everywhere, minus, inside, alone_inside, minus_inside, n_pairs)


def _crossed(one: IntArray, other: IntArray) -> IntArray:
    """One number for each pair of values."""
    out: IntArray = one + (int(one.max()) + 1) * other
    return out


def _fraction(scores: NDArray[Any], truth: BoolArray, cells: IntArray) -> float | None:
    right, pairs = pairs_in_order(scores[:, None], truth[None, :], cells)[:, 0]
    return float(right / pairs) if pairs else None


def _pairs(truth: BoolArray, cells: IntArray) -> int:
    return stratified_auroc(np.zeros(len(truth)), truth, cells, None).n_pairs
