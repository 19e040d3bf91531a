"""Figures of a probe: beside what it has to beat, by place, against its nulls, and what it is good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    BEFORE,
    DARK,
    INK,
    NULL,
    PALE,
    Json,
    band,
    blank,
    esc,
    rows_axis,
    rows_margin,
    tint,
    triple,
    whisker,
    wrap,
)

RULES = {
    "end": "last token of the step",
    "mean": "mean of its tokens",
    "start": "first token",
    "before": "token before the step",
    "decision": "token before a hedge's place",
}
"""Position rules in words; others stand under their own name."""


def probe_bars(report: Json, *, colour: str = AFTER, title: str | None = None) -> go.Figure:
    """The probe, and what simpler knowledge scores on the same folds.

    Args:
        report: `ProbeReport.to_json()`; parts that it lacks are left out.
        colour: of the arm whose steps are scored.
        title: a statement in place of the report's own verdict.
    """
    pale = tint(colour, 0.6)
    entries = [("probe (nested)", report["auroc"], colour)]
    entries += [(f"probe, within one {name}", leaf, pale) for name, leaf in report["within"].items()]
    parts = {
        "probe, confounds removed": ("beyond", "residualised"),
        "probe, subjects held out": ("subjects", "auroc"),
        "probe, fewer steps at random": ("subjects", "thinned"),
        "mass-mean probe": ("mass_mean",),
    }
    for name, (first, *rest) in parts.items():
        if first in report:
            entries.append((name, report[first][rest[0]] if rest else report[first], pale))
    entries += [(row["label"], row["auroc"], NULL) for row in report["baselines"].values()]
    if "stack" in report:
        entries.append(("all of these and the probe", report["stack"]["with_probe"], colour))
    entries = [entry for entry in entries if triple(entry[1])[0] is not None]
    labels = [wrap(name, 19) for name, _, _ in entries]
    caption = (
        f"{report['n_steps']} steps ({report['n_errors']} with the label 1) of {report['n_questions']} "
        f"questions, {report['n_folds']} folds that share no question and no group. 0.5: chance. Whiskers: "
        "95 % intervals over questions, the fitted probes held fixed."
    )
    figure = blank(
        title or report["verdict"],
        caption,
        height=42 * len(entries) + 20,
        left=rows_margin(labels),
        legend=False,
    )
    for row, (name, leaf, tone) in enumerate(entries):
        mid, low, high = triple(leaf)
        ends = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
        figure.add_scatter(
            x=[mid],
            y=[row],
            error_x=whisker([mid], [low], [high]),
            mode="markers",
            marker={"color": tone, "size": 11},
            showlegend=False,
            hovertemplate=f"{esc(name)}: AUROC %{{x:.3f}}{ends}<extra></extra>",
        )
    figure.add_vline(x=0.5, line={"color": NULL, "width": 1, "dash": "dot"})
    rows_axis(figure, labels)
    return figure.update_xaxes(title_text="AUROC", tickformat=".2f")


def probe_by_layer(
    reports: Mapping[str, Json], *, colours: Sequence[str] = (BEFORE, AFTER), title: str | None = None
) -> go.Figure:
    """The probe by layer on its own test folds, with the nested estimate as a line.

    Args:
        reports: arm name to `ProbeReport.to_json()`.
        colours: one an arm.
        title: a statement in place of the default one.
    """
    best = {
        name: max(report["by_layer"], key=lambda row: triple(row["auroc"])[0] or 0.0)
        for name, report in reports.items()
    }
    statement = title or "Where the probe reads best: " + ", ".join(
        f"layer {row['layer']} in {name}" for name, row in best.items()
    )
    caption = (
        "Points: each layer on the test folds; picking the best of them is optimistic. Dashed: the nested "
        "estimate, layer and penalty chosen inside. "
        + "; ".join(
            f"{name}: {r['n_steps']} steps of {r['n_questions']} questions" for name, r in reports.items()
        )
        + "."
    )
    figure = blank(statement, caption)
    for (name, report), colour in zip(reports.items(), colours, strict=False):
        x = [row["layer"] for row in report["by_layer"]]
        leaves = [triple(row["auroc"]) for row in report["by_layer"]]
        band(figure, x, [leaf[1] for leaf in leaves], [leaf[2] for leaf in leaves], colour)
        figure.add_scatter(
            x=x,
            y=[leaf[0] for leaf in leaves],
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            name=esc(name),
            hovertemplate=f"{esc(name)}, layer %{{x}}: %{{y:.3f}}<extra></extra>",
        )
        figure.add_hline(y=triple(report["auroc"])[0], line={"color": colour, "width": 1.4, "dash": "dash"})
    figure.add_hline(y=0.5, line={"color": NULL, "width": 1, "dash": "dot"})
    figure.update_yaxes(title_text="AUROC", tickformat=".2f")
    return figure.update_xaxes(title_text="layer (0: embedding)", dtick=1)


def probe_map(report: Json, *, colour: str = AFTER, title: str | None = None) -> go.Figure:
    """Layer by position rule: where in the model and in the step the label can be read.

    Args:
        report: `ProbeReport.to_json()`.
        colour: of the arm whose steps are scored.
        title: a statement in place of the one read off the numbers.
    """
    leaves = {(row["rule"], row["layer"]): row["auroc"] for row in report["map"]}
    cells = {key: triple(leaf) for key, leaf in leaves.items()}
    rules = list(dict.fromkeys(rule for rule, _ in cells))
    layers = sorted({layer for _, layer in cells})
    names = [wrap(RULES.get(rule, rule), 19) for rule in rules]
    z = [[cells.get((rule, layer), (None,))[0] for layer in layers] for rule in rules]
    known = {key: leaf[0] for key, leaf in cells.items() if leaf[0] is not None}
    statement = title or "No layer can be scored"
    if known and title is None:
        rule, layer = max(known, key=lambda key: known[key])
        where = f"layer {layer}, {RULES.get(rule, rule)}"
        statement = f"Read best at {where}: {known[rule, layer]:.2f}, picked after looking"
    own = (report["rule"], report["layer"])
    caption = (
        "AUROC of each layer and position rule on the same test folds, penalty chosen inside. The best of "
        f"them is optimistic; the nested estimate is {said(report['auroc'])}. Framed: the choice of most "
        f"folds, layer {own[1]}, {RULES.get(own[0], own[0])}."
    )
    figure = blank(statement, caption, height=54 * len(rules) + 10, left=rows_margin(names), legend=False)
    hover = [
        [
            f"{esc(RULES.get(rule, rule))}, layer {layer}: {said(leaves.get((rule, layer)), 3, ends=True)}"
            for layer in layers
        ]
        for rule in rules
    ]
    written = len(layers) <= 12
    heat(
        figure,
        z,
        names,
        [str(layer) for layer in layers],
        hover,
        colour=colour,
        showscale=not written,
        colorbar={"thickness": 10, "tickformat": ".2f", "outlinewidth": 0},
        text=[["" if value is None else f"{value:.2f}" for value in row] for row in z] if written else None,
        texttemplate="%{text}" if written else None,
    )
    if own in cells:
        x, y = layers.index(own[1]), rules.index(own[0])
        figure.add_shape(
            type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line={"color": INK, "width": 2.5}
        )
    return figure.update_xaxes(title_text="layer (0: embedding)", type="category", showgrid=False)


def heat(
    figure: go.Figure,
    z: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    hover: Sequence[Sequence[str]],
    *,
    colour: str,
    **more: Any,
) -> None:
    """Add AUROCs as a heat map from 0.5 on, named rows from the top."""
    figure.add_heatmap(
        z=z,
        x=columns,
        y=list(range(len(rows))),
        zmin=0.5,
        zmax=max([0.6, *(value for row in z for value in row if value is not None)]),
        colorscale=[[0, PALE], [1, colour]],
        textfont={"color": DARK},
        xgap=2,
        ygap=2,
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        **more,
    )
    rows_axis(figure, rows)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5])


def said(leaf: object, digits: int = 2, *, ends: bool = False) -> str:
    """A leaf in decimals, with its interval where asked."""
    mid, low, high = triple(leaf)
    if mid is None:
        return "not known"
    known = ends and low is not None and high is not None
    return f"{mid:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if known else "")
