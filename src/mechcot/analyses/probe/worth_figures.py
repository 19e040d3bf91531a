"""Figures of what a probe is good for: against its nulls, as a probability, for abstaining, elsewhere."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.analyses.probe.figures import heat, said
from mechcot.report.figures import (
    AFTER,
    BEFORE,
    NULL,
    TEACHER,
    Json,
    band,
    blank,
    esc,
    finite,
    percent,
    rows_margin,
    triple,
    whisker,
    wrap,
)

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
    figure = blank(statement, caption, height=240)
    for key, null in shown.items():
        figure.add_histogram(
            x=null["values"],
            name=key,
            marker_color=_NULLS[key],
            opacity=0.6,
            nbinsx=40,
            hovertemplate=f"{key}: %{{y}} draws at %{{x}}<extra></extra>",
        )
    if observed is not None:
        figure.add_vline(x=observed, line={"color": colour, "width": 2.5})
        figure.add_annotation(
            x=observed,
            y=1,
            yref="paper",
            text=f"true labels {observed:.3f}",
            showarrow=False,
            xanchor="right",
            xshift=-5,
            font={"color": colour},
        )
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(title_text="draws")
    return figure.update_xaxes(title_text="AUROC of the best layer", tickformat=".3f", nticks=6)


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
        f"At {percent(row['at'])} false alarms it finds {percent(triple(row['recall'])[0], 1)}"
        for row in metrics["recalls"]
    )
    caption = (
        f"{sum(row['n_steps'] for row in bins)} steps in {len(bins)} bins of about equally many. On the grey "
        "line the "
        f"probability is the share. Whiskers: 95 % intervals over questions. {recalls}. Average precision "
        f"{said(metrics['average_precision'])} (chance {said(metrics['chance_precision'])})."
    )
    figure = blank(statement, caption, legend=False)
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": NULL, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    leaves = [triple(row["observed"]) for row in bins]
    mids, lows, highs = zip(*leaves, strict=True) if leaves else ((), (), ())
    figure.add_scatter(
        x=[row["predicted"] for row in bins],
        y=mids,
        error_y=whisker(mids, lows, highs),
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"size": 9},
        showlegend=False,
        customdata=[row["n_steps"] for row in bins],
        hovertemplate="said %{x:.0%}, found %{y:.0%} (%{customdata} steps)<extra></extra>",
    )
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%", title_text="steps with the label")
    return figure.update_xaxes(range=[0, 1.03], tickformat=".0%", title_text="probability by the probe")


_RISK = {
    "probe_max": (AFTER, "solid"),
    "probe_mean": (AFTER, "dash"),
    "entropy": (BEFORE, "solid"),
    "length": (BEFORE, "dot"),
    "vote_share": (TEACHER, "solid"),
    "random": (NULL, "solid"),
    "oracle": (NULL, "dot"),
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
        or f"Error rate over all shares kept: probe {percent(areas.get('probe_max'), 1)}"
        + "".join(
            f", {name} {percent(areas[key], 1)}"
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
    figure = blank(statement, caption, height=340)
    figure.update_layout(legend={"y": 1.0}, margin={"t": figure.layout.margin.t + 44})
    for rule in part["rules"]:
        colour, dash = _RISK[rule["name"]]
        leaves = [triple(point) for point in rule["curve"]]
        if rule["name"] == "probe_max":
            band(figure, use["coverages"], [leaf[1] for leaf in leaves], [leaf[2] for leaf in leaves], colour)
        figure.add_scatter(
            x=use["coverages"],
            y=[leaf[0] for leaf in leaves],
            mode="lines",
            line={"color": colour, "width": 2.2, "dash": dash},
            name=esc(rule["label"]),
            hovertemplate=f"{esc(rule['label'])}: %{{y:.1%}} of %{{x:.0%}} kept<extra></extra>",
        )
    figure.update_yaxes(rangemode="tozero", tickformat=".0%", title_text="error rate among the kept")
    return figure.update_xaxes(tickformat=".0%", title_text="share of the traces kept")


def probe_transfer(transfer: Json, *, title: str | None = None) -> go.Figure:
    """The matrix of training side by test side.

    Args:
        transfer: `TransferResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    sides = [row["side"] for row in transfer["training"]]
    cells = {(cell["train"], cell["test"]): cell for cell in transfer["cells"]}
    names = [wrap(side, 19) for side in sides]
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
    figure = blank(statement, caption, height=62 * len(sides) + 10, left=rows_margin(names), legend=False)
    cell = {key: {name: said(row[name]) for name in ("auroc", "matched")} for key, row in cells.items()}
    hover = {
        (a, b): f"{esc(a)} on {esc(b)}: {said(row['auroc'], 3, ends=True)}; matched "
        f"{said(row['matched'], 3, ends=True)}; minus {esc(b)}'s own {said(row['minus_own'], 3, ends=True)}"
        for (a, b), row in cells.items()
    }
    heat(
        figure,
        z,
        names,
        [str(number) for number in range(len(sides))],
        [[hover[a, b] for b in sides] for a in sides],
        colour=AFTER,
        showscale=False,
        text=[[f"{cell[a, b]['auroc']}<br>({cell[a, b]['matched']})" for b in sides] for a in sides],
        texttemplate="%{text}",
    )
    return figure.update_xaxes(
        tickvals=[str(number) for number in range(len(sides))],
        ticktext=[wrap(side, 14) for side in sides],
        tickangle=0,
        title_text="",
        type="category",
        showgrid=False,
    )
