"""Students of several training seeds, on the page."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from mechcot.analyses.seeds import figures
from mechcot.core.words import number, points, signed
from mechcot.report.parts import Findings, Part, Section
from mechcot.stats.seeds import SEEDS


def section(found: Findings) -> Section:
    """The mean over training seeds, and every student."""
    result = found.results["seeds"]
    n = len(result["students"])
    told = f"right answers changed by {_told(result['answers'])}, step error by {_told(result['steps'])}"
    if n < SEEDS:
        sentence = f"Of {n} students of other training seeds, {told}: too few to say how seeds spread."
    else:
        sentence = f"Distilling {result['before']} anew from {n} training seeds, {told}."
    reading = Markup(
        "Each row is a student taught the same examples from another <dfn>training seed</dfn>: another order "
        "of the examples. The interval of the mean is for other questions <em>and</em> other seeds, each "
        "row’s own for other questions alone."
    )
    limits = Markup(
        "Another base or other examples: those are the same in every row. What the page says about the "
        "inside is about the headline’s student alone."
    )
    part = Part("seeds", sentence, figures.seeds(result))
    return Section("seeds", "Do other training seeds show it?", (part,), reading, limits)


def _told(over: Any) -> str:
    low, high = (number(over[end]) for end in ("smallest", "largest"))
    if low is None or high is None:
        return points(over["mean"])
    return f"{points(over['mean'])} (single students {signed(100 * low)} to {signed(100 * high)})"
