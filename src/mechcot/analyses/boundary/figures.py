"""The change of wrong steps against the change of right answers, a point a contrast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from mechcot.core.words import number, points
from mechcot.report.charts import POINTS
from mechcot.report.figures import AFTER, BEFORE, NULL, TEACHER, Json
from mechcot.report.plane import Spot, plane_chart

_COLOURS = {"split": AFTER, "no split": TEACHER, "answers do not rise": BEFORE, "open": NULL}
_TURNS = np.linspace(0, 2 * np.pi, 73)


def boundary(result: Json, *, title: str | None = None) -> go.Figure:
    """Every contrast with the ellipse of its two changes.

    Args:
        result: `BoundaryResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    drawn = result["points"]
    counts = {name: sum(one["reads"] == name for one in drawn.values()) for name in _COLOURS}
    told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    caption = (
        "After minus before, in percentage points, with 95 % ellipses over questions. No split: right "
        f"answers rise and wrong steps rise by less than {100 * result['margin']:g} points (dotted)."
    )
    spots = []
    for name, one in drawn.items():
        x, y = number(one["answers"]), number(one["steps"])
        if x is not None and y is not None:
            both = f"answers {points(one['answers'])}, wrong steps {points(one['steps'])}"
            said = f"{name}: {both}; {one['reads']}"
            spots.append(Spot(name, x, y, _ellipse(x, y, one), _COLOURS[one["reads"]], said, one["reads"]))
    return plane_chart(
        title or f"Of {len(drawn)} contrasts: {told}",
        caption,
        spots,
        replace(POINTS, title="change of right answers, points"),
        replace(POINTS, title="change of wrong steps, points"),
        levels=(result["margin"],),
    )


def _ellipse(x: float, y: float, one: Json) -> np.ndarray:
    """The 95 % ellipse [2, turns] of two changes (Hotelling's T squared), questions being the units."""
    from scipy.special import fdtri

    first, second, both = one["covariance"]
    n = one["n_questions"]
    scale = np.sqrt(2 * (n - 1) / (n - 2) * fdtri(2, n - 2, 0.95)) if n > 2 else 0.0
    values, vectors = np.linalg.eigh(np.array([[first, both], [both, second]]))
    circle = np.sqrt(np.maximum(values, 0))[:, None] * np.stack([np.cos(_TURNS), np.sin(_TURNS)])
    around: np.ndarray = np.array([[x], [y]]) + scale * (vectors @ circle)
    return around
