"""Figures of what happened inside: commitment, hedging, knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    BEFORE,
    NULL,
    TEACHER,
    Json,
    band,
    blank,
    covers_zero,
    esc,
    percent,
    points,
    rows_axis,
    rows_margin,
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


def hedge_by_layer(result: Json, *, title: str | None = None) -> go.Figure:
    """What a hedge direction tells at each layer, over the band that random directions give.

    Args:
        result: `HedgeResult.to_json()` or `HedgeProjection.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    if "fitted_on" in result:
        source, colour = result["fitted_on"], AFTER
        what = f"wrong from right among what {result['arm']} asserts"
        counts = f"{result['n_errors']} erroneous and {result['n_correct']} correct asserted claims"
    else:
        source, colour = result["arm"], BEFORE
        what = "claims it will hedge from claims it will assert"
        counts = (
            f"{result['n_hedged']} hedged and {result['n_asserted']} asserted claims, halves held out in turn"
        )
    caption = (
        f"{counts}; {result['n_questions']} questions. Grey: 95 % of random directions. "
        "Band: 95 % interval over questions. Pairs within one kind of claim only."
    )
    rows = result["by_layer"]
    leaves = [triple(row["auroc"]) for row in rows]
    figure = blank(title or _hedge_statement(rows, source, what), caption, legend=False)
    x = [row["layer"] for row in rows]
    nulls = [row["random"] or {} for row in rows]
    band(figure, x, [null.get("low") for null in nulls], [null.get("high") for null in nulls], NULL)
    figure.add_hline(y=0.5, line={"color": NULL, "width": 1, "dash": "dot"})
    band(figure, x, [leaf[1] for leaf in leaves], [leaf[2] for leaf in leaves], colour)
    figure.add_scatter(
        x=x,
        y=[leaf[0] for leaf in leaves],
        mode="lines+markers",
        line={"color": colour, "width": 2.5},
        showlegend=False,
        hovertemplate="layer %{x}: AUROC %{y:.3f}<extra></extra>",
    )
    figure.update_yaxes(title_text="AUROC within kind", tickformat=".2f")
    return figure.update_xaxes(title_text="layer (0: embedding)", dtick=max(1, len(x) // 8))


def _hedge_statement(rows: Sequence[Json], source: str, what: str) -> str:
    """What the best layer allows to be said; being the best of several, it is called "up to"."""
    subject = f"The hedge direction of {source}"
    known = [(*triple(row["auroc"]), row) for row in rows if triple(row["auroc"])[0] is not None]
    if not known:
        return f"Too few claims to say whether the hedge direction of {source} tells {what}"
    best, low, _, row = max(known, key=lambda item: item[0] or 0.0)
    beyond = (row["random"] or {}).get("high")
    if low is None or low <= 0.5 or (beyond is not None and (best or 0.0) <= beyond):
        return f"{subject} does not tell {what} better than chance: AUROC {best:.2f} at best"
    return f"{subject} tells {what}: AUROC up to {best:.2f} (layer {row['layer']})"


_KNOWLEDGE = {"knew": "#a069b4", "forgot": "#c2940e", "learned": TEACHER, "never_knew": NULL}


def knowledge_bars(result: Json, *, title: str | None = None) -> go.Figure:
    """What both models knew where the distilled model wrote an error.

    Args:
        result: `KnowledgeResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows = [
        ("all errors", result["errors"]),
        *result["errors_by_relation"].items(),
        ("all claims", result["claims"]),
    ]
    labels = [f"{wrap(name, 19)}<br>{row['n_claims']}" for name, row in rows]
    errors = result["errors"]
    knew, forgot, never = (
        percent(triple(errors["shares"][name])[0]) for name in ("knew", "forgot", "never_knew")
    )
    statement = title or (
        f"Of the errors that {result['author']} asserts, {result['before']} never knew the truth of {never}; "
        f"{forgot} were forgotten; {knew} both still know"
    )
    caption = (
        f"{errors['n_claims']} erroneous asserted claims of {errors['n_questions']} questions. "
        "Known: a true object is the model's first choice at that place. Under each name: claims."
    )
    figure = blank(statement, caption, height=42 * len(rows) + 20, left=rows_margin(labels))
    for name, colour in _KNOWLEDGE.items():
        x = [triple(row["shares"].get(name))[0] for _, row in rows]
        if any(value is not None for value in x):
            figure.add_bar(
                x=x,
                y=list(range(len(rows))),
                orientation="h",
                name=name.replace("_", " "),
                marker_color=colour,
                hovertemplate=f"{name.replace('_', ' ')}: %{{x:.1%}}<extra></extra>",
            )
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    rows_axis(figure, labels)
    return figure.update_xaxes(range=[0, 1], tickformat=".0%", title_text="share of claims")
