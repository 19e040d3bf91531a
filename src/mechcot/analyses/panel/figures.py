"""Figures of a panel of judges."""

from __future__ import annotations

import plotly.graph_objects as go

from mechcot.report.figures import (
    AFTER,
    INK,
    Json,
    blank,
    estimates,
    rows_axis,
    rows_margin,
    wrap,
    zero_line,
)


def judges(panel: Json, *, title: str | None = None) -> go.Figure:
    """The change of the step error as each judge of a panel sees it.

    Args:
        panel: `PanelResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    found = panel["judges"]
    labels = [wrap(name, 20) for name in found]
    caption = (
        "After minus before, with 95 % intervals over questions. Judged steps: "
        + "; ".join(
            f"{name} {_judged(one, 'before'):,} → {_judged(one, 'after'):,}" for name, one in found.items()
        )
        + "."
    )
    statement = title or "The change of the step error, judge by judge"
    figure = blank(statement, caption, height=46 * len(labels) + 20, left=rows_margin(labels), legend=False)
    leaves = [one["delta"] for one in found.values()]
    estimates(figure, leaves, [AFTER, *[INK] * (len(leaves) - 1)], labels)
    zero_line(figure)
    rows_axis(figure, labels)
    return figure.update_xaxes(tickformat="+", title_text="change, percentage points", rangemode="tozero")


def _judged(judge: Json, when: str) -> int:
    return int(judge["counts"][when]["correct"] + judge["counts"][when]["erroneous"])
