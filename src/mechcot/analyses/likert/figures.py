"""How traces were rated: shares of answers, estimated agreement, and both axes against accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mechcot.analyses.likert.scales import INTERPRETABILITY, LOAD, POINTS, STATEMENTS
from mechcot.core.words import counted, percent, score
from mechcot.report.charts import Axis, Bar, Mark, Row, row_chart
from mechcot.report.figures import ARMS, Json, triple
from mechcot.report.palette import of_arm
from mechcot.report.plane import Spot, plane_chart

ANSWERS = ("#8c4a8f", "#c9a3cc", "#a9adb4", "#8fc3a3", "#2f7d57")
"""From strongly disagree to strongly agree: purple to green, apart for colour-blind readers."""
_PATTERNS = ("x", "/", "", ".", "+")
"""On the bars of the same."""
_SHARE = Axis("share of ratings", ".0%", ends=(0, 1))


def colours(result: Json) -> dict[str, str]:
    """The colour of each trace type: that of its arm in the study."""
    return {
        arm: of_arm(result, arm, default) for arm, default in zip(result["arms"], cycle(ARMS), strict=False)
    }


def ratings(result: Json, *, title: str | None = None) -> go.Figure:
    """Every answer's share on the three scales of interpretability, a bar a trace type.

    Args:
        result: `LikertResult.to_json()`.
        title: a statement in place of the plain one.
    """
    return _stacked(result, INTERPRETABILITY, title or "How traces were rated, scale by scale")


def load(result: Json, *, title: str | None = None) -> go.Figure:
    """The same of cognitive load, where agreement is bad.

    Args:
        result: `LikertResult.to_json()`.
        title: a statement in place of the plain one.
    """
    return _stacked(result, (LOAD,), title or "How much effort following a trace took")


def agreement(result: Json, *, title: str | None = None) -> go.Figure:
    """The estimated probability that somebody agrees, a column a scale.

    Args:
        result: `LikertResult.to_json()`.
        title: a statement in place of the plain one.
    """
    found = {(row["arm"], row["scale"]): row["agree"] for row in result["agree"]}
    colour = colours(result)
    rows = [
        Row(
            arm,
            marks=[
                Mark(
                    found[arm, scale],
                    colour[arm],
                    f"{arm}, {scale}: agrees with probability {score(found[arm, scale])}",
                )
                for scale in STATEMENTS
            ],
        )
        for arm in result["arms"]
    ]
    caption = (
        f"Estimated probability of 4 or 5 with 95 % intervals; {_behind(result)}. Foreseen: predictability; "
        "understood: comprehensibility; follows: faithfulness; effort: load, where agreement is worse. "
        "Cumulative-logit model of each scale; participants and questions are clusters."
    )
    return row_chart(
        title or "How probable it is that somebody agrees",
        caption,
        rows,
        Axis(ticks=".0%", ends=(0, 1)),
        columns=("foreseen", "understood", "follows", "effort"),
    )


def against_accuracy(result: Json, outcome: str, *, title: str | None = None) -> go.Figure:
    """Mean rating against right answers, a point a trace type, in a box of both 95 % intervals.

    Args:
        result: `LikertResult.to_json()`.
        outcome: "interpretability" or "load".
        title: a statement in place of the plain one.
    """
    means = {row["arm"]: row["mean"] for row in result["means"] if row["outcome"] == outcome}
    rates = {row["arm"]: row["rate"] for row in result["accuracy"]}
    colour, spots = colours(result), []
    for arm in result["arms"]:
        x, y = triple(rates[arm]), triple(means[arm])
        if x[0] is None or y[0] is None:
            continue
        said = f"{arm}: {percent(rates[arm])} right, {outcome} {score(means[arm])}"
        spots.append(Spot(arm, x[0], y[0], _box(x, y), colour[arm], said))
    end = "higher is worse" if outcome == LOAD else "higher is better"
    caption = (
        f"Boxes: 95 % intervals of both, over questions (right answers of all the arm’s traces) and over "
        f"participants (ratings of {counted(result['questions'], 'question')}; {_behind(result)})."
    )
    return plane_chart(
        title or f"Right answers and {outcome} by trace type",
        caption,
        spots,
        Axis("right answers", ".0%", ends=(0, 1)),
        Axis(f"mean {outcome}, 1 to 5 ({end})", ends=(0.9, 5.1), step=1),
    )


def _box(x: Sequence[float | None], y: Sequence[float | None]) -> Any:
    """The outline [2, points] of two intervals; a missing end is the estimate."""
    (left, right), (low, high) = (tuple(one[0] if end is None else end for end in one[1:]) for one in (x, y))
    return np.array([[left, right, right, left, left], [low, low, high, high, low]], dtype=np.float64)


def _stacked(result: Json, scales: Sequence[str], title: str) -> go.Figure:
    rows = []
    for scale in scales:
        for row in (one for one in result["counts"] if one["scale"] == scale):
            counts = [row[str(point)] for point in range(1, len(POINTS) + 1)]
            total = max(1, sum(counts))
            bars = [
                Bar(
                    n / total,
                    ANSWERS[i],
                    f"{row['arm']}, {scale}: {n} of {total} “{POINTS[i]}”",
                    POINTS[i],
                    pattern=_PATTERNS[i],
                )
                for i, n in enumerate(counts)
            ]
            rows.append(Row(row["arm"] if len(scales) == 1 else f"{row['arm']}\n{scale}", bars=bars))
    said = "; ".join(f"{scale}: “{STATEMENTS[scale]}”" for scale in scales)
    return row_chart(title, f"{_behind(result)}. {said}", rows, _SHARE, stacked=True)


def _behind(result: Json) -> str:
    """Participants and ratings behind the numbers."""
    kept = sum(row["kept"] for row in result["people"])
    ratings = sum(row["ratings"] for row in result["people"])
    return f"{counted(kept, 'participant')}, {counted(ratings, 'rating')} of four scales"


def shown(result: Json) -> go.Figure:
    """The figure of a result: interpretability against accuracy."""
    return against_accuracy(result, "interpretability")
