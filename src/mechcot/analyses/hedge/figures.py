"""Figures of the hedge direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go

from mechcot.analyses.claimed import CLAIMS
from mechcot.analyses.hedge.origin import MATTERS, NOTHING, ORIGINS
from mechcot.core.words import score
from mechcot.report.charts import Axis, Mark, Row, auroc, row_chart
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, NULL, Json, tint, triple


def hedge_by_layer(result: Json, *, title: str | None = None) -> go.Figure:
    """What a hedge direction tells at each layer, over the band that random directions give.

    Args:
        result: `HedgeResult.to_json()`, `HedgeProjection.to_json()`, or `HedgeFindings.to_json()`, whose
            first part is drawn.
        title: a statement in place of the one read off the numbers.
    """
    result = result.get("before", result)
    unit = result.get("unit", CLAIMS)
    if "fitted_on" in result:
        source, colour = result["fitted_on"], AFTER
        what = f"wrong from right among what {result['arm']} asserts"
        counts = f"{result['n_errors']} erroneous and {result['n_correct']} correct asserted {unit}"
    else:
        source, colour = result["arm"], BEFORE
        what = f"{unit} it will hedge from {unit} it will assert"
        counts = (
            f"{result['n_hedged']} hedged and {result['n_asserted']} asserted {unit}, halves held out in turn"
        )
    caption = (
        f"{counts}; {result['n_questions']} questions. Grey: 95 % of random directions. "
        f"Band: 95 % interval over questions. Pairs within one kind of {unit.removesuffix('s')} only."
    )
    rows = result["by_layer"]
    layers = [row["layer"] for row in rows]
    lines: list[Line] = [
        Line(layers, [row["random"] for row in rows], NULL, "95 % of random directions", mode="none"),
        Line(layers, [row["auroc"] for row in rows], colour, "the direction", "layer %{x}: AUROC %{y:.3f}"),
    ]
    beside = [row for row in rows if "frequency" in row]
    if beside:
        at, found = [row["layer"] for row in beside], [row["frequency"] for row in beside]
        alone = [triple(one["alone"])[0] for one in found]
        inside = [triple(one["inside"])[0] for one in found]
        lines += [
            Line(at, alone, NULL, "frequency alone", "frequency alone: %{y:.3f}", "lines", "dot"),
            Line(
                at,
                inside,
                tint(colour, 0.5),
                "subjects met as often",
                "layer %{x}, subjects met as often: %{y:.3f}",
                "lines",
                "longdashdot",
            ),
        ]
    return line_chart(
        title or _hedge_statement(rows, source, what, unit),
        caption,
        lines,
        Axis("layer (0: embedding)", step=max(1, len(layers) // 8)),
        auroc([leaf for line in lines for leaf in line.values], "AUROC within kind"),
    )


def origin(result: Json, *, title: str | None = None) -> go.Figure:
    """What hedges follow: how seldom a fact was met, its subject, or neither.

    Args:
        result: `HedgeOrigin.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows = [
        Row(
            what.replace(", ", ",\n"),
            [
                Mark(
                    result[name],
                    BEFORE if name == result["decided_by"] else NULL,
                    f"AUROC {score(result[name])}",
                    "decides" if name == result["decided_by"] else "does not decide",
                )
            ],
        )
        for name, what in ORIGINS.items()
    ]
    caption = (
        f"{result['n_claims']:,} claims about {result['n_subjects']:,} subjects; pairs of a hedged and an "
        "asserted claim of one kind. Bars: 95 % intervals, subjects left out in turn. All of it right of "
        f"{MATTERS}: it tells something; left of {NOTHING}: nothing to speak of. In colour: which decides."
    )
    x = replace(
        auroc([result[name] for name in ORIGINS], "AUROC of a hedge"),
        region=(MATTERS, NOTHING, tint(NULL, 0.18)),
    )
    return row_chart(title or f"What hedges follow: {result['answer']}", caption, rows, x)


def _hedge_statement(rows: Sequence[Json], source: str, what: str, unit: str) -> str:
    """What the best layer allows to be said; being the best of several, it is called "up to"."""
    subject = f"The hedge direction of {source}"
    known = [(*triple(row["auroc"]), row) for row in rows if triple(row["auroc"])[0] is not None]
    if not known:
        return f"Too few {unit} to say whether the hedge direction of {source} tells {what}"
    best, low, _, row = max(known, key=lambda item: item[0] or 0.0)
    beyond = (row["random"] or {}).get("high")
    if low is None or low <= 0.5 or (beyond is not None and (best or 0.0) <= beyond):
        return f"{subject} does not tell {what} better than chance: AUROC {best:.2f} at best"
    return f"{subject} tells {what}: AUROC up to {best:.2f} (layer {row['layer']})"
