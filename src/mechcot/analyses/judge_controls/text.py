"""The result of the judge controls as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechcot.analyses.judge_controls.parts import (
    FLAT_NOTE,
    ControlRow,
    FlipRow,
    Paired,
    ToneSwap,
    is_flat,
    name_of,
)
from mechcot.core.results import Interval
from mechcot.core.words import aligned, short

if TYPE_CHECKING:
    from mechcot.analyses.judge_controls.result import JudgeControlsResult


_FLAT = "]*"
"""How an interval of no width ends."""


def terminal_text(result: JudgeControlsResult) -> str:
    """All of the result's numbers that a reader asks first, one table a question."""
    blocks = [_controls(result)]
    blocks += [_flips(result)] if result.flips else []
    blocks += [_tone_swap(result.tone_swap, result.arms)] if result.tone_swap else []
    blocks += [_of_judge(result)]
    blocks += [_strata(result)]
    blocks += [[f"* {FLAT_NOTE}"]] if any(_FLAT in line for lines in blocks for line in lines) else []
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _controls(result: JudgeControlsResult) -> list[str]:
    head = ("wrong steps", *result.arms, "difference [95 % interval]", "minus primary", "p (family)")
    rows = [head, *(_control(row) for row in result.controls)]
    reasons = [
        f"{row.name}: {reason}"
        for row in result.controls
        if (reason := row.error.difference.reason if row.error.difference.estimate is None else "")
    ]
    return [*aligned(rows), *reasons]


def _control(row: ControlRow) -> tuple[str, ...]:
    family = "" if row.p_family is None else f"{row.p_family:.3f}" if row.p_family >= 0.001 else "<0.001"
    rates = (
        "-"
        if rate.estimate is None
        else f"{row.counts[late]['erroneous']}/{row.judged(late)} {rate.estimate:.1%}"
        for late, rate in ((False, row.error.before), (True, row.error.after))
    )
    alone = row.control == "primary"
    minus = "" if alone else points(row.minus_primary)
    return row.name, *rates, points(row.error.difference), minus, family


def _flips(result: JudgeControlsResult) -> list[str]:
    rows: list[tuple[str, ...]] = [("labels that differ from the primary's", *result.arms, "difference")]
    rows += [_flip(row) for row in result.flips]
    return aligned(rows)


def _flip(row: FlipRow) -> tuple[str, ...]:
    what = "any verdict" if row.labels == "four" else "correct or erroneous"
    counts = (
        f"{flipped}/{n}" + ("" if rate.estimate is None else f" {rate.estimate:.1%}")
        for flipped, n, rate in zip(
            row.n_flipped, row.n_steps, (row.share.before, row.share.after), strict=True
        )
    )
    return f"{name_of(row.control)}, {what}", *counts, points(row.share.difference)


def _tone_swap(swap: ToneSwap, arms: tuple[str, str]) -> list[str]:
    roles = ("before", "after")
    rows: list[tuple[str, ...]] = [("wrong steps, rewritten", *(f"in the manner of {arm}" for arm in arms))]
    for origin, arm in zip(roles, arms, strict=True):
        rows.append((f"claims of {arm}", *(_cell(swap, origin, manner) for manner in roles)))
    kept = [
        f"{counts['preserved']}/{sum(counts.values())} {arm}, {variant} manner"
        for (variant, arm), counts in swap.fidelity.items()
    ]
    return [
        *aligned(rows),
        f"claims {points(swap.origin)}, manner {points(swap.manner)}, interaction {points(swap.interaction)}",
        f"drift of rewriting: {_changes(swap.drift, arms)}",
        f"claims kept: {'; '.join(kept)}",
    ]


def _cell(swap: ToneSwap, origin: str, manner: str) -> str:
    wrong, judged = swap.n[origin, manner]
    rate = swap.cells[origin, manner].estimate
    return "-" if rate is None else f"{wrong}/{judged} {rate:.1%}"


def _of_judge(result: JudgeControlsResult) -> list[str]:
    arms, lines = result.arms, []
    if result.hedge_flip:
        hedge = result.hedge_flip
        n = " and ".join(str(n) for n in hedge.n_pairs)
        lines.append(f"a hedge alone changes the verdict ({n} pairs): {_both(hedge.flips, arms)}")
        lines.append(f"  called erroneous with it minus without: {_changes(hedge.shift, arms)}")
    if result.decoys:
        for truth, label, rates in (
            ("false", "erroneous", result.decoys.sensitivity),
            ("true", "correct", result.decoys.specificity),
        ):
            own = [result.decoys.counts[arm, truth] for arm in arms]
            n = " and ".join(f"{c[label]} of {c['correct'] + c['erroneous']}" for c in own)
            lines.append(f"{truth} decoys called {label} ({n}): {_both(rates, arms)}")
    if result.guess:
        n = " and ".join(str(n) for n in result.guess.n_steps)
        failed = f", {result.guess.n_failed} without a guess" if result.guess.n_failed else ""
        lines.append(
            f"guess of the arm, AUROC ({n} steps{failed}; 0.5 is blinded): {short(result.guess.auroc)}"
        )
    return lines


def _strata(result: JudgeControlsResult) -> list[str]:
    before, after = result.arms
    names = {
        "both": "both right",
        "only_before": f"only {before} right",
        "only_after": f"only {after} right",
        "neither": "neither right",
    }
    rows: list[tuple[str, ...]] = [("difference, on questions", "by plurality", "n", "by vote shares", "n")]
    for plain, weighted in zip(result.strata, result.strata_weighted, strict=True):
        cells = (
            points(plain.delta),
            str(plain.n_questions),
            points(weighted.delta),
            f"{weighted.weight:.1f}",
        )
        rows.append((names[plain.name], *cells))
    return aligned(rows)


def _both(found: Paired, arms: tuple[str, str]) -> str:
    rates = ", ".join(
        f"{arm} {'-' if rate.estimate is None else f'{rate.estimate:.1%}'}"
        for arm, rate in zip(arms, (found.before, found.after), strict=True)
    )
    return f"{rates}, difference {points(found.difference)}"


def _changes(found: Paired, arms: tuple[str, str]) -> str:
    """As `_both`, where each arm's own value is a difference already."""
    own = ", ".join(
        f"{arm} {points(value)}" for arm, value in zip(arms, (found.before, found.after), strict=True)
    )
    return f"{own}; difference {points(found.difference)}"


def points(found: Interval) -> str:
    """A difference in percentage points with its interval, starred where it has no width; a dash for none."""
    if found.estimate is None:
        return "-"
    ends = ""
    if found.low is not None and found.high is not None:
        close = _FLAT if is_flat(found.low, found.high) else "]"
        ends = f" [{100 * found.low:+.1f}, {100 * found.high:+.1f}{close}"
    return f"{100 * found.estimate:+.1f}{ends}"
