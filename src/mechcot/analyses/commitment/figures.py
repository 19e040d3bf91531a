"""Figures of what happened inside: commitment, hedging, knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    BEFORE,
    Json,
    band,
    blank,
    covers_zero,
    esc,
    percent,
    points,
    triple,
    whisker,
    wrap,
)


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
    shares = {name: triple(result["locked_at_prompt"])[0] for name, result in results.items()}
    statement = title or "Settled before the first word: " + ", ".join(
        f"{percent(share)} of {name} traces" for name, share in shares.items()
    )
    counts = "; ".join(
        f"{name}: {r['n_traces']} traces of {r['n_questions']} questions" for name, r in results.items()
    )
    caption = (
        f"{counts}. Locked: the forced answer equals the trace's own at every later prefix. "
        "Steps up to the one that states the answer; the gap to 100 % at the right never locks. "
        "Bands: 95 % intervals over questions."
    )
    figure = blank(statement, caption)
    for (name, result), colour in zip(results.items(), colours, strict=False):
        rows = result["by_fraction" if by == "fraction" else "by_step"]
        x = [row["fraction" if by == "fraction" else "k"] for row in rows]
        band(figure, x, [row["low"] for row in rows], [row["high"] for row in rows], colour)
        never = percent(triple(result["never_share"])[0])
        figure.add_scatter(
            x=x,
            y=[row["locked_share"] for row in rows],
            mode="lines",
            line={"color": colour, "width": 2.5},
            name=f"{esc(name)} (never: {never})",
            hovertemplate=f"{esc(name)}: %{{y:.1%}} locked<extra></extra>",
        )
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%", title_text="traces locked")
    if by == "fraction":
        return figure.update_xaxes(tickformat=".0%", title_text="share of the steps read")
    longest = max(len(result["by_step"]) for result in results.values())
    return figure.update_xaxes(title_text="steps read (0: the prompt alone)", dtick=max(1, longest // 10))


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
    figure = blank(statement, caption, height=260)
    for author, colour in ((before, BEFORE), (after, AFTER)):
        cells = [triple(values["cells"][author][name]) for name in (before, after)]
        mids, lows, highs = zip(*cells, strict=True)
        figure.add_scatter(
            x=[f"read by {esc(before)}", f"read by {esc(after)}"],
            y=mids,
            error_y=whisker(mids, lows, highs),
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            marker={"size": 9},
            name=f"text of {esc(author)}",
            hovertemplate="%{x}: %{y:.1%}<extra></extra>",
        )
    figure.update_xaxes(range=[-0.4, 1.4])
    return figure.update_yaxes(tickformat=".0%", title_text=wrap(cross["labels"][measure], 26))


def _cross_statement(values: Json) -> str:
    """Which of text and reader moves the forced answer, as far as their intervals allow."""
    effects = {"the text": values["effect_text"], "the reader": values["effect_reader"]}
    clear = {name: leaf for name, leaf in effects.items() if not covers_zero(leaf)}
    if not clear:
        return "Neither the text nor the reader clearly moves the forced answer"
    name = max(clear, key=lambda key: abs(triple(clear[key])[0] or 0.0))
    more = "both move it, most of all" if len(clear) == 2 else "what moves it is"
    return f"The forced answer: {more} {name}, {points(clear[name])}"
