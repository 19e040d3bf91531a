"""Figures of a probe: beside what it has to beat, by place, against its nulls, and what it is good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import plotly.graph_objects as go

from mechcot.core.words import first_sentence
from mechcot.report.areas import Cell, heat_map
from mechcot.report.charts import Axis, Mark, Row, auroc, row_chart
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, NULL, Json, tint, triple
from mechcot.report.palette import of_arm

RULES = {
    "end": "last token of the step",
    "mean": "mean of its tokens",
    "start": "first token",
    "before": "token before the step",
    "decision": "token before a hedge's place",
}
"""Position rules in words; others stand under their own name."""


def probe_bars(report: Json, *, colour: str | None = None, title: str | None = None) -> go.Figure:
    """The probe, and what simpler knowledge scores on the same folds.

    Args:
        report: `ProbeReport.to_json()`; parts that it lacks are left out.
        colour: of the arm whose steps are scored; None: as its study has it.
        title: a statement in place of the first sentence of the report's verdict.
    """
    colour = colour or of_arm(report, report.get("author"), AFTER)
    pale = tint(colour, 0.6)
    groups = {colour: "probe", pale: "probe, something held fixed", NULL: "without the probe"}
    entries = [("probe", report["auroc"], colour)]
    entries += [
        (f"probe, within one {name} ({report['pairs'][name]:,} pairs)", leaf, pale)
        for name, leaf in report["within"].items()
    ]
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
    caption = (
        f"{report['n_steps']} steps of {report['n_questions']} questions; in {report['n_errors']} of them "
        f"{report['meaning']}. {report['n_folds']} folds that share no question and no group; layer and "
        "penalty chosen without the test questions. 0.5: chance. Whiskers: 95 % intervals over questions, "
        f"the fitted probes held fixed.{_deals(report)}"
    )
    rows = [
        Row(name, [Mark(leaf, tone, f"{name}: AUROC {said(leaf, 3, ends=True)}", groups[tone])])
        for name, leaf, tone in entries
    ]
    axis = auroc([leaf for _, leaf, _ in entries])
    return row_chart(title or first_sentence(report["verdict"])[0], caption, rows, axis)


def _deals(report: Json) -> str:
    """The spread over deals of the folds, as a sentence."""
    if "fold_draws" not in report:
        return ""
    spread = report["fold_draws"]["auroc"]
    return (
        f" On {len(spread['values'])} deals of the folds the probe of most folds scores "
        f"{spread['low']:.3f} to {spread['high']:.3f}: a spread, no interval."
    )


def probe_by_layer(
    reports: Mapping[str, Json], *, colours: Sequence[str] = (), title: str | None = None
) -> go.Figure:
    """The probe by layer on its own test folds, with the nested estimate as a line.

    Args:
        reports: arm name to `ProbeReport.to_json()`.
        colours: one an arm; none: as their study has them.
        title: a statement in place of the default one.
    """
    if not colours:
        defaults = zip(reports.items(), cycle((BEFORE, AFTER)), strict=False)
        colours = [of_arm(report, report.get("author"), default) for (_, report), default in defaults]
    best = {
        name: max(report["by_layer"], key=lambda row: triple(row["auroc"])[0] or 0.0)
        for name, report in reports.items()
    }
    statement = title or "Where the probe reads best: " + ", ".join(
        f"layer {row['layer']} in {name}" for name, row in best.items()
    )
    caption = (
        "Points: each layer on the test folds; picking the best of them is optimistic. Dashed: layer and "
        "penalty chosen without the test questions. Bands: 95 % intervals over questions. "
        + "; ".join(
            f"{name}: {r['n_steps']} steps of {r['n_questions']} questions" for name, r in reports.items()
        )
        + "."
    )
    lines = [
        Line(
            [row["layer"] for row in report["by_layer"]],
            [row["auroc"] for row in report["by_layer"]],
            colour,
            name,
            f"{name}, layer %{{x}}: %{{y:.3f}}",
            level=triple(report["auroc"])[0],
        )
        for (name, report), colour in zip(reports.items(), colours, strict=False)
    ]
    axis = auroc([row["auroc"] for report in reports.values() for row in report["by_layer"]])
    return line_chart(statement, caption, lines, Axis("layer (0: embedding)", step=1), axis)


def probe_map(report: Json, *, colour: str | None = None, title: str | None = None) -> go.Figure:
    """Layer by position rule: where in the model and in the step the label can be read.

    Args:
        report: `ProbeReport.to_json()`.
        colour: of the arm whose steps are scored; None: as its study has it.
        title: a statement in place of the one read off the numbers.
    """
    leaves = {(row["rule"], row["layer"]): row["auroc"] for row in report["map"]}
    cells = {key: triple(leaf) for key, leaf in leaves.items()}
    rules = list(dict.fromkeys(rule for rule, _ in cells))
    layers = sorted({layer for _, layer in cells})
    known = {key: leaf[0] for key, leaf in cells.items() if leaf[0] is not None}
    statement = title or "No layer can be scored"
    if known and title is None:
        rule, layer = max(known, key=lambda key: known[key])
        where = f"layer {layer}, {RULES.get(rule, rule)}"
        statement = f"Read best at {where}: {known[rule, layer]:.2f}, picked after looking"
    own = (report["rule"], report["layer"])
    caption = (
        "AUROC of each layer and position rule on the same test folds, penalty chosen inside. The best of "
        f"them is optimistic; chosen without the test questions it is {said(report['auroc'])}. Framed: the "
        f"choice of most folds, layer {own[1]}, {RULES.get(own[0], own[0])}."
    )
    drawn = []
    for rule in rules:
        name = RULES.get(rule, rule)
        row = [leaves.get((rule, layer)) for layer in layers]
        drawn.append(
            [
                Cell(
                    leaf,
                    "" if triple(leaf)[0] is None else said(leaf),
                    f"{name}, layer {layer}: {said(leaf, 3, ends=True)}",
                    framed=(rule, layer) == own,
                )
                for layer, leaf in zip(layers, row, strict=True)
            ]
        )
    return heat_map(
        statement,
        caption,
        [RULES.get(rule, rule) for rule in rules],
        [str(layer) for layer in layers],
        drawn,
        colour or of_arm(report, report.get("author"), AFTER),
        across="layer (0: embedding)",
    )


def said(leaf: object, digits: int = 2, *, ends: bool = False) -> str:
    """A leaf in decimals, with its interval where asked."""
    mid, low, high = triple(leaf)
    if mid is None:
        return "not known"
    known = ends and low is not None and high is not None
    return f"{mid:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if known else "")
