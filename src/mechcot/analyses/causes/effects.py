"""What each change of a step did, step by step, and its mean over steps, questions left out in turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logsumexp, softmax

from mechcot.analyses.causes import design
from mechcot.analyses.causes.result import (
    ANY,
    BLIND,
    CHANGED,
    DIRECT,
    FLIPPED,
    HELD,
    HIDDEN,
    MOVED,
    OWN,
    RIGHT,
    SURPRISAL,
    TOTAL,
    UNANSWERED,
    UNCHANGED,
    WRONGNESS,
    WRONGNESS_ALIKE,
    WRONGNESS_RIGHT,
    Effect,
)
from mechcot.core import records
from mechcot.core.results import Interval, Pair
from mechcot.stats import rate_interval, ratio_difference_interval, ratio_interval

Floats = npt.NDArray[np.float64]
STEP = records.STEP_KEY
LEFT = [*STEP, "kind"]
VALUES = ["arm", "qid", "kind", "estimand", "measure", "what", "value"]
"""One value a step: what a change did there."""
CELL = ["estimand", "measure", "what"]
COLUMNS = pd.MultiIndex.from_product([(0, 1), ("sum", "count")]).swaplevel()
"""Sums and counts of the arm before, then of the arm after."""
SWAPS = tuple(name for names in design.SWAPS_OF.values() for name in names)
REGENERATED = (CHANGED, OWN, RIGHT, UNANSWERED)
"""Measures of answers written anew."""
WITHIN = {
    WRONGNESS: (design.REPAIR, design.LATERAL),
    WRONGNESS_ALIKE: (design.REPAIR, design.ALIKE),
    WRONGNESS_RIGHT: (design.BREAK, design.OTHER_RIGHT),
}
"""Differences of two swaps of one step."""


def of_swaps(swaps: pd.DataFrame) -> pd.DataFrame:
    """Rows of `VALUES` of swaps with the prefix held.

    Args:
        swaps: rows of `design.SWAPPED`.
    """
    did = swaps.assign(
        **{
            OWN: swaps.log_odds - swaps.log_odds_said,
            RIGHT: swaps.right - swaps.right_said,
            MOVED: (swaps.p - swaps.p_said).abs(),
            FLIPPED: swaps.flipped.astype(float),
            SURPRISAL: swaps.surprisal,
        }
    )
    any_swap = did.groupby(LEFT, as_index=False)[[MOVED, FLIPPED]].mean().assign(variant=ANY)
    whole = pd.concat([did, *_within(did, (OWN, RIGHT, SURPRISAL)), any_swap])
    return _long(whole, HELD, (OWN, RIGHT, MOVED, FLIPPED, SURPRISAL))


def _within(did: pd.DataFrame, measures: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Differences of two swaps within a step, as further variants."""
    for what, (one, other) in WITHIN.items():
        first, second = (did[did.variant == name].set_index(LEFT)[list(measures)] for name in (one, other))
        yield (first - second).dropna().reset_index().assign(variant=what)


def _long(wide: pd.DataFrame, estimand: str, measures: Sequence[str]) -> pd.DataFrame:
    long = wide.melt(["arm", "qid", "kind", "variant"], list(measures), "measure", "value").dropna()
    return long.rename(columns={"variant": "what"}).assign(estimand=estimand)[VALUES]


def of_knock_outs(
    knock_outs: pd.DataFrame, forced: pd.DataFrame, traces: pd.DataFrame, steps: pd.DataFrame
) -> pd.DataFrame:
    """Rows of `VALUES` of steps hidden from the lead-in: what hiding one adds to the answer.

    Args:
        knock_outs: rows of `records.KNOCKOUTS` of one author and reader; the first lead-in, the question's
            own order and the model's own output are used.
        forced: rows of `records.FORCED`, likewise.
        traces: rows of `records.TRACES`; those without an answer are left out.
        steps: rows of `records.STEPS`.
    """
    own = traces.loc[traces.answer >= 0, ["qid", "arm", "cid", "answer"]]
    first = {"lead_in": 0, "permutation": 0, "layer": -1}
    plain, hidden = (
        frame[np.logical_and.reduce([frame[name] == value for name, value in first.items()])]
        for frame in (forced, knock_outs)
    )
    keys = ["qid", "arm", "cid", "k"]
    rows = hidden.merge(plain[[*keys, "logp"]], on=keys, suffixes=("", "_plain"))
    rows = rows.merge(own, on=keys[:3]).merge(steps[[*STEP, "role"]], on=STEP)
    if rows.empty:
        return pd.DataFrame(columns=VALUES)
    values = [_hidden(*row) for row in zip(rows.logp, rows.logp_plain, rows.answer, strict=True)]
    wide = pd.DataFrame(values, columns=[OWN, MOVED, FLIPPED], index=rows.index)
    wide = pd.concat([rows.rename(columns={"role": "kind"}), wide], axis=1).assign(variant=HIDDEN)
    parts = [
        _long(part, BLIND if scope == "later" else DIRECT, (OWN, MOVED, FLIPPED))
        for scope, part in wide.groupby("scope")
    ]
    return pd.concat(parts)


def _hidden(logp: npt.ArrayLike, plain: npt.ArrayLike, own: int) -> tuple[float, float, float]:
    """Changes of the own answer's log-odds and (without the sign) probability; whether another is first."""
    now, then = np.asarray(logp, np.float64), np.asarray(plain, np.float64)
    odds = [float(x[own] - logsumexp(np.delete(x, own))) for x in (now, then)]
    p = [softmax(x)[own] for x in (now, then)]
    return odds[0] - odds[1], float(abs(p[0] - p[1])), float(now.argmax() != then.argmax())


def regenerated(continued: pd.DataFrame, gold: pd.Series) -> pd.DataFrame:
    """A row a step and change: how answers written anew behind it differ, over pairs of continuations.

    A pair is one behind the text as written and one behind the changed text. To name no option is an answer
    of its own; what the token limit cut is left out.

    Args:
        continued: rows of `design.CONTINUED`.
        gold: right option by question.

    Returns:
        Step, `margin`, `variant`, `differ` (share of pairs with another answer), and what the change brings:
        CHANGED (`differ` less its value in pairs that are both behind the text as written, which is
        `differ` of UNCHANGED), OWN, RIGHT and UNANSWERED (shares of the trace's own answer, the right one,
        and none).
    """
    rows = []
    asked = continued[(continued.job == design.STEP) & ~continued.cut.astype(bool)]
    for key, step in asked.groupby([*LEFT, "margin"]):
        qid = str(key[0])
        drawn = {str(variant): part.answer.to_numpy() + 1 for variant, part in step.groupby("variant")}
        written, options = drawn.pop(design.WRITTEN, np.empty(0, int)), int(step.answer.max()) + 2
        if len(written) < 2:
            continue
        counts = np.bincount(written, minlength=options)
        same = (counts * (counts - 1)).sum() / (len(written) * (len(written) - 1))
        aims = {OWN: int(step.own.iloc[0]) + 1, RIGHT: int(gold[qid]) + 1, UNANSWERED: 0}
        row = dict(zip([*LEFT, "margin"], key, strict=True))
        rows.append({**row, "variant": UNCHANGED, "differ": 1 - same, CHANGED: 1 - same})
        for variant, answers in drawn.items():
            equal = (counts * np.bincount(answers, minlength=options)).sum() / (len(written) * len(answers))
            told = {name: _share(answers, aim) - _share(written, aim) for name, aim in aims.items()}
            rows.append({**row, "variant": variant, "differ": 1 - equal, CHANGED: same - equal, **told})
    return pd.DataFrame(rows, columns=[*LEFT, "margin", "variant", "differ", *REGENERATED])


def of_regenerations(did: pd.DataFrame) -> pd.DataFrame:
    """Rows of `VALUES` of steps that were gone on from anew.

    Args:
        did: rows of `regenerated`.
    """
    swapped = did[did.variant.isin(SWAPS)]
    any_swap = swapped.groupby(LEFT, as_index=False)[[CHANGED]].mean().assign(variant=ANY)
    return _long(pd.concat([did, *_within(did, REGENERATED), any_swap]), TOTAL, REGENERATED)


def _share(answers: npt.NDArray[np.int_], option: int) -> float:
    return float((answers == option).mean())


def effects_of(
    values: pd.DataFrame, pair: Pair[str], groups: Mapping[str, Collection[str]]
) -> tuple[Effect, ...]:
    """Means over steps, arm by arm, with their difference; a question is left out of both arms together.

    Args:
        values: rows of `VALUES`.
        pair: arms before and after.
        groups: a name for several roles to these roles; each role stands for itself too.
    """
    kinds: dict[str, Collection[str]] = {**groups, **{kind: (kind,) for kind in sorted(set(values.kind))}}
    # Numbered once: to group texts anew for each cell takes most of the time.
    cells = values.groupby(CELL, sort=False)
    named = values.assign(
        cell=cells.ngroup().to_numpy(),
        question=pd.factorize(values.qid, sort=True)[0],
        place=values.arm.map({arm: place for place, arm in enumerate(pair)}).to_numpy(np.int64),
    )
    names = named.drop_duplicates("cell").set_index("cell")[CELL]
    found = []
    for kind, roles in kinds.items():
        own = named[named.kind.isin(list(roles))]
        sums = own.groupby(["cell", "question", "place"]).value.agg(["sum", "count"])
        sums = pd.DataFrame(sums.unstack("place")).reindex(columns=COLUMNS).fillna(0.0)
        for cell in pd.unique(own.cell):
            estimand, measure, what = names.loc[cell]
            columns = [*np.ascontiguousarray(sums.loc[cell].to_numpy(np.float64).T)]
            mean = rate_interval if measure == FLIPPED else ratio_interval
            found.append(
                Effect(
                    str(estimand),
                    str(measure),
                    str(what),
                    kind,
                    _mean(mean, *columns[:2]),
                    _mean(mean, *columns[2:]),
                    ratio_difference_interval(*columns),
                    Pair(int(columns[1].sum()), int(columns[3].sum())),
                )
            )
    return tuple(found)


def _mean(mean: Callable[..., Interval], total: Floats, steps: Floats) -> Interval:
    if not steps.sum():
        return Interval(None, None, None, 0, "", "the arm has no such step")
    return mean(total, steps)
