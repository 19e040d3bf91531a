"""How much the verdict hangs on manner: steps in the other arm's words, hedges put in and taken out."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from mechcot.analyses.judge_controls.counts import DECIDED, FIDELITIES, PRIMARY, VERDICTS, Arms, Estimates
from mechcot.analyses.judge_controls.parts import HedgeFlip, ToneSwap
from mechcot.core.records import STEP_KEY

_ROLES = ("before", "after")


def tone_swap(items: pd.DataFrame, arms: Arms, asked: Estimates) -> Callable[[], ToneSwap] | None:
    """Origin by manner, on steps that both rewritings left their claim.

    A rewriting that failed for one manner alone would leave other steps in one cell than in the next,
    and what was lost would look like an effect of manner.

    Args:
        items: of `checked_items`.
        arms: of the items.
        asked: takes the quantities.

    Returns:
        What makes the result once the quantities are estimated; None where nothing was rewritten.
    """
    rewritten = items[items["control"] == "tone-swap"]
    if rewritten.empty:
        return None
    kept = {name: preserved(rewritten[rewritten["variant"] == name]) for name in ("own", "other")}
    shared = kept["own"][STEP_KEY].merge(kept["other"][STEP_KEY], on=STEP_KEY)
    both = {name: rows.merge(shared, on=STEP_KEY) for name, rows in kept.items()}
    own, other = (arms.errors(both[name]) for name in ("own", "other"))
    ratios = {
        ("before", "before"): own[0],
        ("before", "after"): other[0],
        ("after", "before"): other[1],
        ("after", "after"): own[1],
    }
    cells = {cell: asked.ask((1.0, ratio)) for cell, ratio in ratios.items()}
    signs = {role: 1.0 if role == "after" else -1.0 for role in _ROLES}
    origin, manner = (
        asked.ask(*((signs[cell[place]] / 2, ratio) for cell, ratio in ratios.items())) for place in (0, 1)
    )
    interaction = asked.ask(*((signs[o] * signs[m], ratio) for (o, m), ratio in ratios.items()))
    primary = items[items["control"] == PRIMARY].merge(kept["own"][STEP_KEY], on=STEP_KEY)
    early, late = zip(arms.errors(kept["own"]), arms.errors(primary), strict=True)
    drifts = [((1.0, rewriting), (-1.0, plain)) for rewriting, plain in (early, late)]
    drift = (
        asked.ask(*drifts[0]),
        asked.ask(*drifts[1]),
        asked.ask(*drifts[1], *((-factor, ratio) for factor, ratio in drifts[0])),
    )
    n = {cell: (int(ratio.num.sum()), int(ratio.den.sum())) for cell, ratio in ratios.items()}
    fidelity = _fidelity(rewritten, arms)
    return lambda: ToneSwap(
        cells={cell: asked[place] for cell, place in cells.items()},
        n=n,
        origin=asked[origin],
        manner=asked[manner],
        interaction=asked[interaction],
        drift=asked.pair(drift),
        fidelity=fidelity,
    )


def hedge_flip(items: pd.DataFrame, arms: Arms, asked: Estimates) -> Callable[[], HedgeFlip] | None:
    """Labels of the same claim with a hedge and without.

    Args:
        items: of `checked_items`.
        arms: of the items.
        asked: takes the quantities.

    Returns:
        What makes the result once the quantities are estimated; None without pairs.
    """
    rows = items[items["control"] == "hedge-flip"]
    if rows.empty:
        return None
    hedged, plain = (rows[rows["variant"] == name] for name in ("hedged", "plain"))
    pairs = hedged.merge(plain[[*STEP_KEY, "label"]], on=STEP_KEY, suffixes=("", "_plain"))
    first, second = pairs["label"], pairs["label_plain"]
    verdicts = first.isin(VERDICTS) & second.isin(VERDICTS)
    decided = first.isin(DECIDED) & second.isin(DECIDED)
    shifted = (first == "erroneous").astype(float) - (second == "erroneous").astype(float)
    flips = asked.ask_pair(*arms.ratios(pairs, first != second, verdicts))
    shift = asked.ask_pair(*arms.ratios(pairs, shifted, decided))
    n_pairs, n_decided = arms.count(pairs, verdicts), arms.count(pairs, decided)
    return lambda: HedgeFlip(asked.pair(flips), asked.pair(shift), n_pairs, n_decided)


def preserved(rewritten: pd.DataFrame) -> pd.DataFrame:
    """The rewritings that kept their step's claim."""
    return rewritten[rewritten["fidelity"] == "preserved"]


def _fidelity(rewritten: pd.DataFrame, arms: Arms) -> dict[tuple[str, str], dict[str, int]]:
    """(variant, arm) to fidelity and its items; "" counts those whose fidelity nobody checked."""
    counts = rewritten.groupby(["variant", "arm", "fidelity"]).size()
    return {
        (variant, arm): {name: int(counts.get((variant, arm, name), 0)) for name in (*FIDELITIES, "")}
        for variant in ("own", "other")
        for arm in arms.names
    }
