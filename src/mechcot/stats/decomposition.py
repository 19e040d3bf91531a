"""Where a difference of step error comes from: other kinds of step, or worse steps of a kind.

Definition. Arm t (0 before, 1 after) has judged steps m_tk and errors e_tk of kind k, and rate
R_t = sum_k e_tk / sum_k m_tk. C holds the *shared* kinds, those with judged steps of at least
`min_questions` questions in both arms. C is fixed once, on the data: a kind that came and went between
resampled studies would move the terms by its coming and going alone.
Inside C let s_tk = m_tk / sum_C m_t be the shares (they sum to 1), r_tk = e_tk / m_tk the rates,
and R_tC = sum_C s_tk r_tk the arm's rate on shared kinds alone. Then

    R_1 - R_0 =  sum_C (s_1k - s_0k) (r_0k + r_1k) / 2       common composition
               + sum_C (s_0k + s_1k) / 2 (r_1k - r_0k)       common within
               + (R_1 - R_1C) - (R_0 - R_0C)                 unshared

The first two are the symmetrical split of Kitagawa (1955) on the shared kinds and add to
R_1C - R_0C; the third is what is left of the total, so the three add to it exactly. The third
reads: by how much the kinds that an arm has alone move that arm's rate away from its rate on
shared kinds (new kinds raise the after arm, vanished kinds used to raise the before arm), as the
out-of-support terms of Nopo (2008). A kind that one arm lacks has no within term: it has no rate
there. Shares are taken *inside* C on purpose: with shares of all steps, new kinds that err as
often as the old would still show as a fall in composition and an equal rise in "new".
The terms do not change when a constant is added to all rates, and change sign when the arms are
swapped. With no shared kind at all, composition and within are 0 and all is unshared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import Interval, Result, because
from mechcot.stats.cluster import LEVEL, Floats
from mechcot.stats.jackknife import QUESTIONS, jackknife_interval

Bools = npt.NDArray[np.bool_]
MIN_QUESTIONS = 10
"""Questions with steps of a kind, in each arm, that its rate needs there: `scripts/coverage_intervals.py`."""


@dataclass(frozen=True)
class KindTerm(Result):
    """What one kind contributes; each term summed over kinds is that term of the split.

    Attributes:
        kind: its name.
        status: "shared", "new" (after only), "vanished" (before only), "thin" (in both arms, but
            with fewer than `min_questions` questions in one, so unshared) or "unused".
        n_before: judged steps.
        n_after: judged steps.
        rate_before: error rate, None without steps.
        rate_after: error rate, None without steps.
        composition: (s_1k - s_0k) times (the kind's mean rate minus the arms' mean shared rate).
        within: (s_0k + s_1k) / 2 times (r_1k - r_0k).
        unshared: its share of all the arm's steps times (its rate minus the arm's shared rate),
            negative for a vanished kind's.
    """

    kind: str
    status: str
    n_before: int
    n_after: int
    rate_before: float | None = field(metadata=because("no judged steps of this kind before"))
    rate_after: float | None = field(metadata=because("no judged steps of this kind after"))
    composition: float
    within: float
    unshared: float


class Ends(NamedTuple):
    """The lowest and the highest value that are possible; None where nothing is known."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Split(Result):
    """A difference of step error in three terms that add to it (see the module's definition).

    Attributes:
        total: R_1 - R_0 over the steps in the split.
        common_composition: shared kinds became more or less frequent among shared steps.
        common_within: shared kinds err more or less often.
        unshared: kinds that one arm alone has.
        within_bounds: lowest and highest value of a within term over *all* kinds, whatever the
            missing rate of an unshared kind in the arm that lacks it (0 to 1, with shares of all
            steps). Bounds for what cannot be known, no interval.
        kinds: one term per kind.
        n_questions: questions with a judged step in either arm.
        min_questions: questions with steps of a kind that it needs in both arms to count as shared.
    """

    total: Interval
    common_composition: Interval
    common_within: Interval
    unshared: Interval
    within_bounds: Ends = field(metadata=because(""))
    kinds: tuple[KindTerm, ...]
    n_questions: int
    min_questions: int

    table = "kinds"

    @property
    def reason(self) -> str:
        """Why a term is None."""
        return self.total.reason


def split_by_kind(
    errors0: npt.ArrayLike,
    judged0: npt.ArrayLike,
    errors1: npt.ArrayLike,
    judged1: npt.ArrayLike,
    kinds: Sequence[str],
    *,
    min_questions: int = MIN_QUESTIONS,
    level: float = LEVEL,
) -> Split:
    """Split R_1 - R_0 into composition, within and unshared kinds; intervals leave out question by question.

    Args:
        errors0: erroneous steps before [questions, kinds].
        judged0: judged steps (correct or erroneous) before [questions, kinds].
        errors1: erroneous steps after [questions, kinds].
        judged1: judged steps after [questions, kinds].
        kinds: names of the columns.
        min_questions: a kind with steps of fewer questions in either arm counts as unshared.
        level: coverage that is aimed at.

    Raises:
        AnalysisError: shapes differ, or more errors than judged steps.
        UsageError: min_questions below 1.
    """
    if min_questions < 1:
        raise UsageError(f"min_questions must be at least 1, not {min_questions}")
    tables = _tables(errors0, judged0, errors1, judged1, kinds)
    shared = np.logical_and(*((table > 0).sum(axis=0) >= min_questions for table in (tables[1], tables[3])))
    present = (tables[1].sum(axis=1) > 0) | (tables[3].sum(axis=1) > 0)
    stacked = np.concatenate([table[present] for table in tables], axis=1)
    sums = stacked.sum(axis=0)
    steps = np.stack([table[present].sum(axis=1) for table in (tables[1], tables[3])])
    weight = _shares(steps).sum(axis=0)

    point, left = _terms(sums[None], shared)[0], _terms(sums - stacked, shared)
    defined = bool(np.isfinite(point[0]))
    total, composition, within, unshared = (
        jackknife_interval(
            float(value) if defined else None,
            without,
            logit=False,
            unit=QUESTIONS,
            weight=weight,
            reason="an arm has no judged steps",
            level=level,
        )
        for value, without in zip(point, left.T, strict=True)
    )
    apart = int(((tables[1] + tables[3])[:, ~shared] > 0).any(axis=1).sum())
    if 0 < apart < min_questions and unshared.low is not None:
        reason = f"steps of unshared kinds are of {apart} questions alone"
        unshared = replace(unshared, low=None, high=None, reason=reason)
    return Split(
        total=total,
        common_composition=composition,
        common_within=within,
        unshared=unshared,
        within_bounds=_within_bounds(sums, len(kinds)) if defined else Ends(None, None),
        kinds=_kind_terms(sums, kinds, shared),
        n_questions=len(stacked),
        min_questions=min_questions,
    )


def _tables(
    errors0: npt.ArrayLike,
    judged0: npt.ArrayLike,
    errors1: npt.ArrayLike,
    judged1: npt.ArrayLike,
    kinds: Sequence[str],
) -> list[Floats]:
    tables = [np.asarray(table, dtype=np.float64) for table in (errors0, judged0, errors1, judged1)]
    shapes = [table.shape for table in tables]
    if any(table.ndim != 2 for table in tables) or len(set(shapes)) != 1 or shapes[0][1] != len(kinds):
        raise AnalysisError(
            f"four tables [questions, {len(kinds)} kinds] are needed; the shapes are {shapes}"
        )
    for arm, (errors, judged) in (("before", tables[:2]), ("after", tables[2:])):
        bad = np.argwhere(~((errors >= 0) & (errors <= judged)))
        if len(bad):
            row, column = bad[0]
            raise AnalysisError(
                f"{arm}, question at row {row}, kind {kinds[column]!r}: {errors[row, column]:g} errors"
                f" among {judged[row, column]:g} judged steps"
            )
    return tables


def _rates(num: Floats, den: Floats) -> Floats:
    """Quotients, and 0 where there is nothing (such a rate is always multiplied by a zero share)."""
    return np.divide(num, den, out=np.zeros_like(num), where=den > 0)


def _shares(counts: Floats) -> Floats:
    """Counts as fractions of their sum over the last axis; all 0 where there are none."""
    return _rates(counts, np.broadcast_to(counts.sum(axis=-1, keepdims=True), counts.shape))


def _terms(sums: Floats, shared: Bools) -> Floats:
    """Total, composition, within, unshared [rows, 4] from sums [rows, 4 * kinds] and shared kinds [kinds].

    NaN where an arm has no judged steps.
    """
    e0, m0, e1, m1 = np.split(sums, 4, axis=1)
    r0, r1 = _rates(e0, m0), _rates(e1, m1)
    s0, s1 = _shares(m0 * shared), _shares(m1 * shared)
    composition = ((s1 - s0) * (r0 + r1) / 2).sum(axis=1)
    within = ((s0 + s1) / 2 * (r1 - r0)).sum(axis=1)
    n0, n1 = m0.sum(axis=1), m1.sum(axis=1)
    total = _rates(e1.sum(axis=1), n1) - _rates(e0.sum(axis=1), n0)
    alone1 = _rates((e1 * ~shared).sum(axis=1) - (m1 * ~shared).sum(axis=1) * (s1 * r1).sum(axis=1), n1)
    alone0 = _rates((e0 * ~shared).sum(axis=1) - (m0 * ~shared).sum(axis=1) * (s0 * r0).sum(axis=1), n0)
    terms = np.stack([total, composition, within, alone1 - alone0], axis=1)
    terms[(n0 == 0) | (n1 == 0)] = np.nan
    return terms


def _within_bounds(sums: Floats, n_kinds: int) -> Ends:
    """Kitagawa's within term over all kinds, with each rate that an arm lacks at 0 and at 1."""
    e0, m0, e1, m1 = sums.reshape(4, n_kinds)
    weight = (m0 / m0.sum() + m1 / m1.sum()) / 2
    lacks0, lacks1 = m0 == 0, m1 == 0
    r0, r1 = _rates(e0, m0), _rates(e1, m1)
    low = (weight * (np.where(lacks1, 0.0, r1) - np.where(lacks0, 1.0, r0))).sum()
    high = (weight * (np.where(lacks1, 1.0, r1) - np.where(lacks0, 0.0, r0))).sum()
    return Ends(float(low), float(high))


def _kind_terms(sums: Floats, kinds: Sequence[str], shared: Bools) -> tuple[KindTerm, ...]:
    e0, m0, e1, m1 = sums.reshape(4, len(kinds))
    r0, r1 = _rates(e0, m0), _rates(e1, m1)
    s0, s1 = _shares(m0 * shared), _shares(m1 * shared)
    base0, base1 = float((s0 * r0).sum()), float((s1 * r1).sum())
    w0, w1 = _shares(m0), _shares(m1)
    composition = (s1 - s0) * ((r0 + r1) / 2 - (base0 + base1) / 2)
    within = (s0 + s1) / 2 * (r1 - r0)
    unshared = np.where(shared, 0.0, w1 * (r1 - base1) - w0 * (r0 - base0))
    return tuple(
        KindTerm(
            kind=kind,
            status=_status(bool(shared[i]), m0[i], m1[i]),
            n_before=int(m0[i]),
            n_after=int(m1[i]),
            rate_before=float(r0[i]) if m0[i] else None,
            rate_after=float(r1[i]) if m1[i] else None,
            composition=float(composition[i]),
            within=float(within[i]),
            unshared=float(unshared[i]),
        )
        for i, kind in enumerate(kinds)
    )


def _status(shared: bool, before: float, after: float) -> str:
    if shared:
        return "shared"
    if before and after:
        return "thin"
    if after:
        return "new"
    return "vanished" if before else "unused"
