"""The split of the change at several resolutions: does its within term keep its sign?

A change of step error falls into a mix of cells and the error inside cells. What stands inside depends on
what a cell is, and on whose shares weigh the cells (before's, after's, or the mean of both: Kitagawa's). The
headline's resolution is the settings', written down before any verdict is read. It is accounting, not
mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.analyses.arm_steps import ArmSteps
from mechcot.core.results import Interval, Pair, Result, because
from mechcot.stats.cluster import Floats
from mechcot.stats.frames import together
from mechcot.stats.jackknife import by_text, interval_of_sums

SUPPORT = 0.5
"""Below this share of an arm's judged steps in shared cells, the within term speaks of the lesser part."""


@dataclass(frozen=True)
class Resolution(Result):
    """The split with cells of one size; cells are fixed once, on the data.

    Attributes:
        name: what a cell is.
        n_cells: cells with a judged step of either arm.
        n_shared: cells with judged steps of both.
        support: share of each arm's judged steps that lie in shared cells.
        total: after - before.
        composition: shared cells became more or less frequent (symmetric weights).
        within: shared cells err more or less often, weighted by the mean of both arms' shares.
        within_before: the same with the shares before.
        within_after: the same with the shares after.
        unshared: cells that one arm alone has.
        within_reads: "up", "down", "unclear", or why it is not identifiable at this resolution.
    """

    name: str
    n_cells: int
    n_shared: int
    support: Pair[float | None] = field(metadata=because("an arm has no judged steps"))
    total: Interval
    composition: Interval
    within: Interval
    within_before: Interval
    within_after: Interval
    unshared: Interval
    within_reads: str


_TERMS = ("total", "composition", "within", "within_before", "within_after", "unshared")


def resolutions(arms: Pair[ArmSteps]) -> tuple[Resolution, ...]:
    """The split by kind, by kind and stratum, and by kind, stratum and subject, where steps carry them."""
    paths = [("kind", ["role"])]
    if arms.before.has_strata and arms.after.has_strata:
        paths.append(("kind x stratum", ["role", "stratum"]))
        if "subject" in arms.before.steps and "subject" in arms.after.steps:
            paths.append(("kind x stratum x subject", ["role", "stratum", "subject"]))
    return tuple(_resolution(name, columns, arms) for name, columns in paths)


def _resolution(name: str, columns: Sequence[str], arms: Pair[ArmSteps]) -> Resolution:
    judged = [_counted(arm, columns) for arm in arms]
    every = together(judged)
    every["cell"] = every.groupby(list(columns), sort=True, observed=True).ngroup()
    n_cells, text = int(every["cell"].nunique()), arms.before.text
    tables, start = [], 0
    for own in judged:
        rows = every.iloc[start : start + len(own)]
        start += len(own)
        place = rows["q"].to_numpy() * n_cells + rows["cell"].to_numpy()
        tables += [
            by_text(
                np.bincount(place, weights, minlength=text.size * n_cells).reshape(text.size, n_cells), text
            )
            for weights in (rows["wrong"], rows["n"])
        ]
    table = np.concatenate(tables, axis=1)
    table = table[table.sum(axis=1) > 0]
    sums = table.sum(axis=0)[None]
    shared = (sums.reshape(4, n_cells)[1] > 0) & (sums.reshape(4, n_cells)[3] > 0)
    judged_steps = table.reshape(len(table), 4, n_cells)[:, (1, 3)].sum(axis=2)
    weight = (judged_steps / np.maximum(judged_steps.sum(axis=0), 1)).sum(
        axis=1
    )  # of a question, in both arms' rates

    def interval(term: int) -> Interval:
        return interval_of_sums(
            table,
            lambda rows: _terms(rows, shared)[:, term] if shared.any() else np.full(len(rows), np.nan),
            weight=weight,
            reason="" if shared.any() else "no cell has judged steps of both arms",
        )

    terms = {term: interval(i) for i, term in enumerate(_TERMS)}
    steps = [sums.reshape(4, n_cells)[row] for row in (1, 3)]
    support = [float(own[shared].sum() / own.sum()) if own.sum() else None for own in steps]
    return Resolution(
        name=name,
        n_cells=n_cells,
        n_shared=int(shared.sum()),
        support=Pair(*support),
        within_reads=_reads([terms[name] for name in _TERMS[2:5]], support),
        **terms,
    )


def _counted(arm: ArmSteps, columns: Sequence[str]) -> pd.DataFrame:
    """Judged steps of an arm and wrong ones among them, `n` and `wrong`, a row a question and cell."""
    own = arm.steps.loc[arm.is_judged, [*columns, "q", "label"]]
    wrong = own.assign(wrong=(own["label"] == "erroneous").astype(np.float64))
    of = wrong.groupby([*columns, "q"], observed=True)["wrong"]
    return of.agg(wrong="sum", n="size").reset_index()


def _terms(sums: Floats, shared: npt.NDArray[np.bool_]) -> Floats:
    """`_TERMS` [replicates, 6] from errors and judged steps before and after [replicates, 4 x cells]."""
    e0, m0, e1, m1 = sums.reshape(len(sums), 4, sums.shape[1] // 4).transpose(1, 0, 2)
    both = shared & (m0 > 0) & (m1 > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r0, r1 = (np.where(both, e / m, 0.0) for e, m in ((e0, m0), (e1, m1)))
        s0, s1 = (np.where(both, m, 0.0) / np.where(both, m, 0.0).sum(1, keepdims=True) for m in (m0, m1))
        total = e1.sum(1) / m1.sum(1) - e0.sum(1) / m0.sum(1)
    composition = ((s1 - s0) * (r0 + r1) / 2).sum(1)
    before, after = (s0 * (r1 - r0)).sum(1), (s1 * (r1 - r0)).sum(1)
    within = (before + after) / 2
    return np.stack([total, composition, within, before, after, total - composition - within], axis=1)


def _reads(terms: Sequence[Interval], support: Sequence[float | None]) -> str:
    """Where the within term points; why it cannot be told where its sign hangs on the weights."""
    if any(term.estimate is None for term in terms):
        return f"not identifiable at this resolution: {terms[0].reason}"
    least = min(share for share in support if share is not None)
    if least < SUPPORT:
        return f"not identifiable at this resolution: {least:.0%} of an arm’s steps lie in shared cells"
    if turns(terms):
        return "not identifiable at this resolution: its sign hangs on whose shares weigh the cells"
    symmetric = terms[0]
    if symmetric.low is not None and symmetric.low > 0:
        return "up"
    return "down" if symmetric.high is not None and symmetric.high < 0 else "unclear"


def turns(terms: Sequence[Interval]) -> bool:
    """Whether one term lies clearly on one side of 0 and another's estimate on the other side."""
    up, down = _sides(terms)
    known = [term.estimate for term in terms if term.estimate is not None]
    return (up and min(known) < 0) or (down and max(known) > 0)


def _sides(terms: Sequence[Interval]) -> Pair[bool]:
    """Whether a term lies clearly above 0, and whether one lies clearly below."""
    return Pair(
        any(term.low is not None and term.low > 0 for term in terms),
        any(term.high is not None and term.high < 0 for term in terms),
    )


def headline_of(found: Sequence[Resolution], cells: str) -> tuple[Resolution, str]:
    """The headline's resolution, and what its within term reads beside the other supported resolutions.

    Args:
        found: the coarsest first.
        cells: what a cell of the headline is; the coarsest where the steps do not carry it.
    """
    own = next((one for one in found if one.name == cells), found[0])
    if own.within_reads.startswith("not"):
        return own, own.within_reads
    others = [one.within for one in found if min(share or 0.0 for share in one.support) >= SUPPORT]
    if all(_sides(others)):
        return own, "not identifiable at this resolution: its sign turns with the size of the cells"
    return own, own.within_reads
