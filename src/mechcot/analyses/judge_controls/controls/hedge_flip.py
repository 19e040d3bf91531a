"""The same claim with a hedge and without: does a hedge alone change the verdict?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mechcot.analyses.judge_controls.control import ITEM, Control, Finding, Items, Json, Setup, alone
from mechcot.analyses.judge_controls.controls.tone_swap import MANNER
from mechcot.analyses.judge_controls.counts import DECIDED, VERDICTS, Arms, Estimates
from mechcot.analyses.judge_controls.wording import ROLES, points
from mechcot.core import records
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Pair, Paired, Result
from mechcot.core.words import DIFFERENCE, Table, number, percent
from mechcot.report.parts import Part
from mechcot.steps.alter import hedged_pair

VARIANTS = {"hedged": "hedge put in", "plain": "hedge taken out"}


def _items(setup: Setup) -> Items:
    sample = setup.sample
    own, steps = sample.task.hedge_pair, sample.whole
    pairs = [
        own(sample.questions[row.qid], row.text) if own is not None else hedged_pair(row.text)
        for row in records.rows(steps)
    ]
    treated = np.array([pair is not None for pair in pairs], dtype=bool)
    forms = [
        steps[treated].assign(variant=variant, text=[pair[i] for pair in pairs if pair is not None])
        for i, variant in enumerate(VARIANTS)
    ]
    counts = steps[~treated].arm.value_counts()
    left = {arm: int(counts.get(arm, 0)) for arm in sample.arms}
    table = pd.concat(forms, ignore_index=True)[list(ITEM)]
    return Items(table, untreated={"steps that the rules for hedges do not treat": left})


@dataclass(frozen=True, repr=False)
class HedgeFlip(Result):
    """What a hedge alone does to the verdict on a claim.

    Attributes:
        flips: share of pairs whose two labels differ, of all four verdicts.
        shift: erroneous with the hedge minus erroneous without, pairs that are judged both times.
        n_pairs: pairs with two verdicts.
        n_decided: pairs with two verdicts correct or erroneous.
    """

    flips: Paired
    shift: Paired
    n_pairs: Pair[int]
    n_decided: Pair[int]


def _of(rows: pd.DataFrame, primary: pd.DataFrame, arms: Arms, asked: Estimates) -> Callable[[], HedgeFlip]:
    hedged, plain = (rows[rows["variant"] == name] for name in VARIANTS)
    pairs = hedged.merge(plain[[*STEP_KEY, "label"]], on=STEP_KEY, suffixes=("", "_plain"))
    first, second = pairs["label"], pairs["label_plain"]
    verdicts = first.isin(VERDICTS) & second.isin(VERDICTS)
    decided = first.isin(DECIDED) & second.isin(DECIDED)
    shifted = (first == "erroneous").astype(float) - (second == "erroneous").astype(float)
    flips = asked.ask_rates(*arms.ratios(pairs, first != second, verdicts))
    shift = asked.ask_pair(*arms.ratios(pairs, shifted, decided))
    n_pairs, n_decided = arms.count(pairs, verdicts), arms.count(pairs, decided)
    return lambda: HedgeFlip(flips(), shift(), n_pairs, n_decided)


def _tables(found: Json) -> tuple[Table, ...]:
    hedge, arms = found["hedge_flip"], found["arms"]
    flips, shift = hedge["flips"], hedge["shift"]
    rows = (
        (
            "it alone changes the verdict",
            *(f"{percent(flips[role])} of {hedge['n_pairs'][role]:,} pairs" for role in ROLES),
            points(flips["difference"]),
        ),
        ("erroneous with it minus without", *(points(shift[name]) for name in (*ROLES, "difference"))),
    )
    return (Table("A hedge", ("", *(arms[role] for role in ROLES), DIFFERENCE), rows),)


def _part(found: Json) -> Part:
    hedge, arms = found["hedge_flip"], found["arms"]
    if number(hedge["flips"]["before"]) is None and number(hedge["flips"]["after"]) is None:
        return Part("hedge", "No pair of a claim with a hedge and without was judged.")
    flips = " and ".join(f"{percent(hedge['flips'][role])} of {arms[role]}’s claims" for role in ROLES)
    shifts = ", ".join(f"{arms[role]} {points(hedge['shift'][role])}" for role in ROLES)
    pairs = " and ".join(f"{hedge['n_pairs'][role]:,}" for role in ROLES)
    detail = (
        f"{pairs} claims with a hedge and without; the difference is {points(hedge['flips']['difference'])}. "
        f"Called erroneous with it minus without: {shifts}; the difference of the two, "
        f"{points(hedge['shift']['difference'])}, is what hedging everything would add to that of the arms."
    )
    return Part("hedge", f"A hedge alone changes the verdict on {flips}.", reason=detail)


HEDGE_FLIP = Control(
    "hedge-flip",
    "hedge",
    "the same claim with a hedge and without",
    changes=alone,
    items=_items,
    variants=VARIANTS,
    unchecked="",
    nothing="no step holds a claim that a hedge can be put into or taken out of",
    finding=Finding("hedge_flip", "no hedge was put in or taken out", _of, MANNER, _part, _tables),
)
