"""Figures of what a probe is good for: against its nulls, as a probability, for abstaining, elsewhere."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.analyses.probe.figures import said
from mechcot.core.words import percent
from mechcot.report.areas import Cell, Draws, heat_map, histogram
from mechcot.report.charts import Axis
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, NULL, TEACHER, Json, finite, triple

_NULLS = {"permuted": BEFORE, "redrawn": NULL}


def probe_null(nulls: Json, *, colour: str = AFTER, title: str | None = None) -> go.Figure:
    """What the best layer scores when labels say nothing beyond position, length, kind and question.

    Args:
        nulls: `Nulls.to_json()`.
        colour: of the arm whose steps are scored.
        title: a statement in place of the one read off the numbers.
    """
    kinds = {
        "redrawn": "labels redrawn given question, position, length and kind",
        "permuted": "labels permuted inside question, position and kind",
    }
    shown = {key: nulls[key] for key in kinds if nulls[key].get("values")}
    p = {key: finite(triple(null["p"])[0]) for key, null in shown.items()}
    observed = triple(nulls["redrawn"]["observed"])[0]
    statement = title or (
        "Chance of an AUROC as high, were the labels only place, kind and question: "
        + "; ".join(
            f"p {'not known' if value is None else f'{value:.3f}'} ({key})" for key, value in p.items()
        )
    )
    caption = (
        "Largest AUROC over all layers of a probe at one fixed penalty, on the same folds: the line on the "
        "true labels, grey and blue on labels that could have been. "
        + "; ".join(
            f"{kinds[key]}: {null['draws']} draws, {null['n_permutable_steps']} steps can change"
            for key, null in shown.items()
        )
        + "."
    )
    groups = [Draws(null["values"], _NULLS[key], key) for key, null in shown.items()]
    return histogram(statement, caption, groups, Axis("AUROC of the best layer", ".3f"), observed, colour)


def probe_calibration(metrics: Json, *, colour: str = AFTER, title: str | None = None) -> go.Figure:
    """What the probe's probabilities say, and the share that has the label.

    Args:
        metrics: `Metrics.to_json()`.
        colour: of the arm whose steps are scored.
        title: a statement in place of the one read off the numbers.
    """
    bins = metrics["calibration"]
    brier, base = triple(metrics["brier"])[0], finite(metrics["brier_prevalence"])
    statement = title or (
        f"Squared error of its probabilities {said(brier, 3)}; always saying the share of errors gives "
        f"{said(base, 3)}"
    )
    recalls = "; ".join(
        f"At {percent(row['at'], 0)} false alarms it finds {percent(row['recall'])}"
        for row in metrics["recalls"]
    )
    caption = (
        f"{sum(row['n_steps'] for row in bins)} steps in {len(bins)} bins of about equally many. On the grey "
        "line the "
        f"probability is the share. Whiskers: 95 % intervals over questions. {recalls}. Average precision "
        f"{said(metrics['average_precision'])} (chance {said(metrics['chance_precision'])})."
    )
    hovers = [
        f"said {percent(row['predicted'], 0)}, found {percent(row['observed'], 0)} ({row['n_steps']} steps)"
        for row in bins
    ]
    x, y = ([row[key] for row in bins] for key in ("predicted", "observed"))
    return line_chart(
        statement,
        caption,
        [Line(x, y, colour, hover=hovers, whiskers=True)],
        Axis("probability by the probe", ".0%", ends=(0, 1.03)),
        Axis("steps with the label", ".0%", ends=(0, 1.03)),
        diagonal=True,
    )


_RISK = {
    "probe_max": (AFTER, "solid"),
    "probe_mean": (AFTER, "longdash"),
    "entropy": (BEFORE, "dash"),
    "length": (BEFORE, "dot"),
    "vote_share": (TEACHER, "dashdot"),
    "random": (NULL, "longdashdot"),
    "oracle": (NULL, "2px,6px"),
}


def probe_risk(use: Json, *, outcome: str = "wrong_answer", title: str | None = None) -> go.Figure:
    """Risk-coverage: the share in error among the traces kept, when the riskiest are left out.

    Args:
        use: `UseResult.to_json()`.
        outcome: key of its `abstain`.
        title: a statement in place of the one read off the numbers.
    """
    part = use["abstain"][outcome]
    areas = {rule["name"]: triple(rule["value"])[0] for rule in part["rules"]}
    statement = (
        title
        or f"Error rate over all shares kept: probe {percent(areas.get('probe_max'))}"
        + "".join(
            f", {name} {percent(areas[key])}"
            for key, name in (("entropy", "entropy"), ("vote_share", "vote share"))
            if key in areas
        )
    )
    bad = "a wrong or missing answer" if outcome == "wrong_answer" else "an erroneous step"
    caption = (
        f"{part['n_traces']} traces of {part['n_questions']} questions, {part['n_bad']} with {bad}. From "
        "the right to the left the riskiest traces are left out, a like share of each fold. Band: 95 % "
        "interval over questions of the probe's highest step. The oracle knows the outcome."
    )
    lines = []
    for rule in part["rules"]:
        colour, dash = _RISK[rule["name"]]
        curve = (
            rule["curve"] if rule["name"] == "probe_max" else [triple(point)[0] for point in rule["curve"]]
        )
        hover = f"{rule['label']}: %{{y:.1%}} of %{{x:.0%}} kept"
        lines.append(Line(use["coverages"], curve, colour, rule["label"], hover, "lines", dash))
    return line_chart(
        statement,
        caption,
        lines,
        Axis("share of the traces kept", ".0%"),
        Axis("error rate among the kept", ".0%", zero=True),
    )


def probe_transfer(transfer: Json, *, title: str | None = None) -> go.Figure:
    """The matrix of training side by test side.

    Args:
        transfer: `TransferResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    sides = [row["side"] for row in transfer["training"]]
    cells = {(cell["train"], cell["test"]): cell for cell in transfer["cells"]}
    z = [[triple(cells[a, b]["auroc"])[0] for b in sides] for a in sides]
    known = [(i == j, value) for i, row in enumerate(z) for j, value in enumerate(row) if value is not None]
    own, moved = ([value for home, value in known if home is at_home] for at_home in (True, False))
    statement = title or (
        f"Carried over, a probe scores {min(moved):.2f} to {max(moved):.2f}; at home {min(own):.2f} to "
        f"{max(own):.2f}"
        if moved and own
        else "Whether a probe carries over cannot be said"
    )
    caption = (
        "AUROC on the steps of the column by probes trained on the steps of the row; "
        f"{transfer['n_questions']} questions, {transfer['n_folds']} folds, no question trained and tested "
        "on. In brackets: the same within kind and step index, by weights that both sides share, so that "
        "the mix of kinds does not move it."
    )
    drawn = [[_transferred(cells[a, b]) for b in sides] for a in sides]
    return heat_map(statement, caption, sides, sides, drawn, AFTER)


def _transferred(cell: Json) -> Cell:
    auroc, matched, minus = (said(cell[key], 3, ends=True) for key in ("auroc", "matched", "minus_own"))
    hover = (
        f"{cell['train']} on {cell['test']}: {auroc}; matched {matched}; minus {cell['test']}'s own {minus}"
    )
    return Cell(cell["auroc"], f"{said(cell['auroc'])}\n({said(cell['matched'])})", hover)
