"""Figures of what happened inside: commitment, hedging, knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from mechcot.core.words import direction, number, percent, points
from mechcot.report.charts import Axis, Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, Json


def commitment_curves(
    results: Mapping[str, Json],
    *,
    colours: Sequence[str] = (BEFORE, AFTER),
    by: str = "fraction",
    title: str | None = None,
) -> go.Figure:
    """Share of all traces that are locked, along the trace; the plateau is what ever locks.

    Args:
        results: arm name to `CommitmentResult.to_json()`, before first.
        colours: one an arm.
        by: "fraction" of the trace's steps, or "step".
        title: a statement in place of the one read off the numbers.
    """
    shares = {name: result["locked_at_prompt"] for name, result in results.items()}
    statement = title or "Settled before the first word: " + ", ".join(
        f"{percent(share, 0)} of {name} traces" for name, share in shares.items()
    )
    counts = "; ".join(
        f"{name}: {r['n_traces']} traces of {r['n_questions']} questions" for name, r in results.items()
    )
    caption = (
        f"{counts}. Locked: the forced answer equals the trace's own at every later prefix. "
        "Steps up to the one that states the answer; the gap to 100 % at the right never locks. "
        "Bands: 95 % intervals over questions."
    )
    rows_of, place = ("by_fraction", "fraction") if by == "fraction" else ("by_step", "k")
    lines = [
        Line(
            [row[place] for row in result[rows_of]],
            [{**row, "estimate": row["locked_share"]} for row in result[rows_of]],
            colour,
            f"{name} (never: {percent(result['never_share'], 0)})",
            f"{name}: %{{y:.1%}} locked",
            mode="lines",
        )
        for (name, result), colour in zip(results.items(), colours, strict=False)
    ]
    x = Axis("share of the steps read", ".0%")
    if by != "fraction":
        longest = max(len(result["by_step"]) for result in results.values())
        x = Axis("steps read (0: the prompt alone)", step=max(1, longest // 10))
    return line_chart(statement, caption, lines, x, Axis("traces locked", ".0%", ends=(0, 1.02)))


def commitment_curve(result: Json) -> go.Figure:
    """The curve of one author's traces under one reader.

    Args:
        result: `CommitmentResult.to_json()`.
    """
    return commitment_curves({result["author"]: result}, colours=(AFTER,))


def commitment_two_by_two(cross: Json, *, measure: str = "mean_p_own", title: str | None = None) -> go.Figure:
    """Who wrote the text, and who reads it: one line an author over the two readers.

    Args:
        cross: `TwoByTwo.to_json()`.
        measure: which of its measures to show.
        title: a statement in place of the one read off the numbers.
    """
    before, after, values = cross["before"], cross["after"], cross["measures"][measure]
    statement = title or _cross_statement(values)
    caption = (
        f"{cross['n_questions']} questions. Text: {points(values['effect_text'])}; reader: "
        f"{points(values['effect_reader'])}; interaction: {points(values['interaction'])}. "
        "95 % intervals over questions."
    )
    lines = [
        Line(
            [f"read by {reader}" for reader in (before, after)],
            [values["cells"][author][reader] for reader in (before, after)],
            colour,
            f"text of {author}",
            "%{x}: %{y:.1%}",
            whiskers=True,
        )
        for author, colour in ((before, BEFORE), (after, AFTER))
    ]
    y = Axis(cross["labels"][measure], ".0%")
    return line_chart(statement, caption, lines, Axis(ends=(-0.4, 1.4)), y, height=260)


def _cross_statement(values: Json) -> str:
    """Which of text and reader moves the forced answer, as far as their intervals allow."""
    effects = {"the text": values["effect_text"], "the reader": values["effect_reader"]}
    clear = {name: leaf for name, leaf in effects.items() if direction(leaf) in ("up", "down")}
    if not clear:
        return "Neither the text nor the reader clearly moves the forced answer"
    name = max(clear, key=lambda key: abs(number(clear[key]) or 0.0))
    more = "both move it, most of all" if len(clear) == 2 else "what moves it is"
    return f"The forced answer: {more} {name}, {points(clear[name])}"
