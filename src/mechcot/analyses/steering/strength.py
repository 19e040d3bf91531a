"""Which direction is added where, and how much of it: chosen on questions that nothing is reported on."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mechcot.analyses.steering.design import ADD, SELECT
from mechcot.core import records
from mechcot.core.results import Result

MOST_DIVERGENCE = 0.1
"""Nats a token outside the places of hedges: more is damage (Arditi et al. 2024 filter directions so)."""
MOST_SILENT = 0.05
"""So many more traces without an answer are damage too."""
DEPTH = 0.8
"""Behind this share of the layers a direction is next to the unembedding: adding it there is adding a word
(the cut of Arditi et al. 2024)."""


@dataclass(frozen=True)
class Candidate(Result):
    """What one distance between the means, added along one direction, does on the questions that choose.

    Attributes:
        layer: where.
        direction: which form of it (`stats.direction_forms.FORMS`).
        effect: change of the log-odds of a hedge at its place, nats, mean over claims.
        divergence: nats a token outside these places.
    """

    layer: int
    direction: str
    effect: float
    divergence: float


@dataclass(frozen=True)
class Chosen:
    """What is added.

    Attributes:
        used: layer and form.
        without_cut: what would be used if the last layers were not left out.
        undamaged: whether the divergence there is small enough; else every candidate's is too large.
        candidates: all of them.
    """

    used: Candidate
    without_cut: Candidate
    undamaged: bool
    candidates: tuple[Candidate, ...]


def choose(candidates: tuple[Candidate, ...]) -> Chosen:
    """The layer and form with the largest effect among those whose divergence is small.

    Where all of them diverge more it is the one that diverges least. Layers behind `DEPTH` are left out, if
    that leaves one.

    Args:
        candidates: of layers 1 and up.
    """
    last = max(one.layer for one in candidates)
    early = tuple(one for one in candidates if one.layer <= DEPTH * last) or candidates

    def best(among: tuple[Candidate, ...]) -> Candidate:
        calm = [one for one in among if one.divergence <= MOST_DIVERGENCE]
        if not calm:
            return min(among, key=lambda one: one.divergence)
        return max(calm, key=lambda one: one.effect)

    found = best(early)
    return Chosen(found, best(candidates), found.divergence <= MOST_DIVERGENCE, candidates)


@dataclass(frozen=True)
class Strength:
    """What is known of one strength on some questions.

    Attributes:
        scale: which.
        hedged: share of claims that are hedged.
        divergence: nats a token outside the places of hedges.
        silent: traces without an answer, of all, more than unedited.
    """

    scale: float
    hedged: float
    divergence: float
    silent: float

    @property
    def damaged(self) -> bool:
        """Whether it writes other texts, beside the hedges."""
        return self.divergence > MOST_DIVERGENCE or self.silent > MOST_SILENT


def strengths_of(texts: pd.DataFrame, passes: pd.DataFrame, part: str = SELECT) -> tuple[Strength, ...]:
    """Each strength of the hedge direction on one part of the questions, ascending.

    Args:
        texts: rows of `design.TEXTS` of one arm.
        passes: rows of `design.PASSES` of that arm.
        part: of the questions.
    """
    written = texts[(texts.form == ADD) & (texts.draw == 0) & (texts.part == part)]
    sums = written.assign(silent=written.answer < 0, n=1).groupby("scale")[
        ["n_claims", "n_hedged", "silent", "n"]
    ]
    totals = sums.sum()
    read = passes[(passes.form == ADD) & (passes.draw == 0) & (passes.part == part)]
    far = read.groupby("scale")[["divergence", "n_tokens"]].sum()
    bare = totals.silent[0.0] / totals.n[0.0]
    return tuple(
        Strength(
            scale,
            float(row.n_hedged / row.n_claims) if row.n_claims else float("nan"),
            float(far.divergence[scale] / far.n_tokens[scale]),
            float(row.silent / row.n - bare),
        )
        for scale, row in zip(totals.index.tolist(), records.rows(totals), strict=True)
    )


def choose_scale(strengths: tuple[Strength, ...], wanted: float) -> tuple[float, str]:
    """The least strength at which at least `wanted` of the claims are hedged, and why there is none.

    Where none reaches it, or the one that does is damage, the reason says so; the strength is then the
    least that reaches it, or else the greatest without damage, or else the one that hedges most.

    Args:
        strengths: of one arm, by `strengths_of`.
        wanted: share of claims.
    """
    more = [one for one in strengths if one.scale > 0]
    reach = [one for one in more if one.hedged >= wanted]
    safe = [one.scale for one in more if not one.damaged]
    if not reach and safe:
        return max(safe), "not reached"
    if not reach:
        best = max(more, key=lambda one: (one.hedged == one.hedged, one.hedged))
        return best.scale, "not reached"
    return reach[0].scale, "damage" if reach[0].damaged else ""


def hedged_share(texts: pd.DataFrame, part: str = SELECT) -> float:
    """Share of an arm's claims that are hedged, unedited.

    Args:
        texts: rows of `design.TEXTS` of one arm.
        part: of the questions.
    """
    own = texts[(texts.form == ADD) & (texts.scale == 0) & (texts.part == part)]
    return float(own.n_hedged.sum() / max(1, own.n_claims.sum()))
