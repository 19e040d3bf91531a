"""Figures of commitment: curves along the trace, and whose text and whose weights move it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle

import plotly.graph_objects as go

from mechcot.analyses.commitment.curve_tables import AT, BY, CURVES
from mechcot.analyses.commitment.locks import MATCHED
from mechcot.analyses.commitment.measures import MEASURES
from mechcot.core.errors import UsageError
from mechcot.core.words import direction, number, percent, points
from mechcot.report.charts import POINTS, Axis, Mark, Row, row_chart
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, NULL, TEACHER, Json, tint
from mechcot.report.palette import of_arm

_MORE = (BEFORE, AFTER, TEACHER, NULL)
"""Colours of results in order; beyond them, the same with other dashes."""
_DASHES = ("solid", "dash", "dot")
_AGAIN = ("longdash", "longdashdot", "9px,2px")
"""Dashes that no colour has of itself."""
_TITLES = {
    "locked_share": Axis("traces locked", ".0%", ends=(0, 1.02)),
    "p_own": Axis("P(the trace's own answer)", ".0%", ends=(0, 1.02)),
    "p_gold": Axis("P(the right answer)", ".0%", ends=(0, 1.02)),
    "margin": Axis("margin of the first choice", ".0%", ends=(0, 1.02)),
    "entropy": Axis("entropy of the options, nats", zero=True),
}
_PLACES = {
    "step": Axis("steps read (0: the prompt alone)"),
    "share": Axis("share of the steps read", ".0%"),
    "token": Axis("tokens of the trace read"),
}


def commitment_curves(
    results: Mapping[str, Json],
    *,
    colours: Sequence[str] = (),
    by: str = "share",
    measure: str = "locked_share",
    answers: Sequence[str] = (),
    title: str | None = None,
) -> go.Figure:
    """A curve along the trace for each result, of as many as are given.

    Args:
        results: names to `CommitmentResult.to_json()`, before first.
        colours: one a result; none: those of `hues`.
        by: "step", "share" (of the trace's steps) or "token".
        measure: "locked_share" of all traces, whose plateau is what ever locks, or "p_own", "p_gold",
            "entropy", "margin" of the traces that still run.
        answers: "right" and "wrong" for curves of such traces alone, dashed from the second on; none: of all.
        title: a statement in place of the one read off the numbers.

    Raises:
        UsageError: no such measure or `by`, or more colours are needed than are given.
    """
    _check(by, measure, colours, len(results))
    colours = colours or [*hues(results).values()]
    lines, empty = [], []
    for place, (name, result) in enumerate(results.items()):
        colour = colours[place]
        for nth, kind in enumerate(answers or ("",)):
            rows = (result["by_answer"].get(kind, {}) if kind else result).get(BY[by], [])
            rows = [row for row in rows if row.get(measure) is not None]
            called = f"{name}, {kind}" if kind else name
            if not rows:
                empty.append(called)
                continue
            again = place // len(_MORE)
            if answers:
                dash = _DASHES[max(nth, again) % len(_DASHES)]
            else:
                dash = _AGAIN[(again - 1) % len(_AGAIN)] if again else ""
            lines.append(_line(called, rows, (colour, dash), by, measure))
    caption = _caption(results, by, measure, answers)
    caption += f" Not drawn, nothing to show: {', '.join(empty)}." if empty else ""
    statement = title or _statement(results, measure)
    return line_chart(statement, caption, lines, _place(lines, by), _TITLES[measure])


def _check(by: str, measure: str, colours: Sequence[str], n: int) -> None:
    for what, value, known in (("by", by, _PLACES), ("measure", measure, _TITLES)):
        if value not in known:
            raise UsageError(f"{what}: expected one of {', '.join(known)}, got {value!r}")
    if colours and len(colours) < n:
        raise UsageError(
            f"colours: {n} results need {n} colours, got {len(colours)}; give none for the usual"
        )


def _line(name: str, rows: Sequence[Json], look: tuple[str, str], by: str, measure: str) -> Line:
    low, high = CURVES[measure]
    values = [{"estimate": row[measure], "low": row[low], "high": row[high]} for row in rows]
    said = "%{y:.2f}" if measure == "entropy" else "%{y:.1%}"
    said += " locked" if measure == "locked_share" else ""
    where = {"step": "after %{x} steps", "share": "at %{x:.0%} of the steps", "token": "after %{x} tokens"}[
        by
    ]
    hover = f"{name}: {said} {where}"
    hovers = [f"{hover} ({row['n_p']} traces still run)" for row in rows]
    return Line(
        [row[AT[by]] for row in rows],
        values,
        look[0],
        name,
        hover if measure == "locked_share" else _filled(hovers, rows, by, measure),
        mode="lines",
        dash=look[1],
    )


def _filled(hovers: Sequence[str], rows: Sequence[Json], by: str, measure: str) -> list[str]:
    """Hovers that differ from point to point, their numbers put in."""
    pairs = zip(hovers, rows, strict=True)
    return [
        text.replace("%{y:.2f}", f"{row[measure]:.2f}")
        .replace("%{y:.1%}", f"{100 * row[measure]:.1f} %")
        .replace("%{x:.0%}", f"{100 * row[AT[by]]:.0f} %")
        .replace("%{x}", str(row[AT[by]]))
        for text, row in pairs
    ]


def _place(lines: Sequence[Line], by: str) -> Axis:
    axis = _PLACES[by]
    if by != "step":
        return axis
    longest = max((len(line.x) for line in lines), default=1)
    return replace(axis, step=max(1, longest // 10))


def _statement(results: Mapping[str, Json], measure: str) -> str:
    if measure != "locked_share":
        told = {"p_own": "own answer", "p_gold": "right answer", "entropy": "entropy", "margin": "margin"}
        return f"The {told[measure]} along the trace"
    shares = {name: result["locked_at_prompt"] for name, result in results.items()}
    return "Traces settled before the first word: " + ", ".join(
        f"{percent(share, 0)} ({name})" for name, share in shares.items()
    )


def _caption(results: Mapping[str, Json], by: str, measure: str, answers: Sequence[str]) -> str:
    counts = "; ".join(
        f"{name}: "
        + _counted([(kind, r["by_answer"][kind]) for kind in answers if kind in r["by_answer"]] or [("", r)])
        for name, r in results.items()
    )
    if measure == "locked_share":
        never = ", ".join(f"{percent(r['never_share'], 0)} ({name})" for name, r in results.items())
        said = (
            f"Locked: the forced answer equals the trace's own at every later prefix; never: {never}. "
            "Steps up to the one that states the answer."
        )
    else:
        said = "Steps up to the one that states the answer; a trace counts as long as it runs."
    leak = " A share is known only once a trace has ended." if by == "share" else ""
    return f"{counts}. {said}{leak} Bands: 95 % intervals over questions, point by point."


def _counted(parts: Sequence[tuple[str, Json]]) -> str:
    return ", ".join(
        f"{r['n_traces']} {kind + ' ' if kind else ''}traces of {r['n_questions']} questions"
        for kind, r in parts
    )


def hues(results: Mapping[str, Json], told: Json | None = None) -> dict[str, str]:
    """A colour a result: that of its author or, where several have one author, of its reader; else in order.

    Args:
        results: names to `CommitmentResult.to_json()`, with the colours of their study's arms or without.
        told: what holds these colours for all of them.
    """
    for role in ("author", "reader"):
        arms = [result.get(role) for result in results.values()]
        known = [of_arm(told or own, arm, "") for own, arm in zip(results.values(), arms, strict=True)]
        if len(set(arms)) == len(arms) and all(known):
            return dict(zip(results, known, strict=True))
    return dict(zip(results, cycle(_MORE), strict=False))


def commitment_curve(result: Json) -> go.Figure:
    """The curve of one author's traces under one reader.

    Args:
        result: `CommitmentResult.to_json()`.
    """
    colour = of_arm(result, result["author"], AFTER)
    return commitment_curves({result["author"]: result}, colours=(colour,), by=result["by"])


def comparison_forest(found: Json, *, title: str | None = None) -> go.Figure:
    """What differs between two readings: the shares and probabilities of a `CommitmentComparison.to_json()`.

    Args:
        found: the differences.
        title: a statement in place of the one read off the numbers.
    """
    before, after = found["before"], found["after"]
    at_prompt = points(found["differences"]["agrees_at_prompt"])
    statement = title or f"Own answer at the prompt, {after} minus {before}: {at_prompt}"
    names = [
        name
        for name, measure in MEASURES.items()
        if measure.unit in ("share", "p") and not measure.short.startswith(" ")
    ]
    paler = tint(AFTER, 0.6)
    rows = []
    for name in names:
        leaves = [(found["differences"][name], AFTER, "all prefixes of a trace")]
        leaves.append((found["matched"].get(name), paler, f"{MATCHED} prefixes of each"))
        says = MEASURES[name].says
        rows.append(Row(says, [Mark(leaf, hue, f"{says}: {points(leaf)}", how) for leaf, hue, how in leaves]))
    caption = (
        f"{found['n_questions']} questions, paired; 95 % intervals over questions. Over all its prefixes a "
        "longer trace locks less often for its length alone. Steps and tokens: to_frame()."
    )
    return row_chart(statement, caption, rows, POINTS, apart=0.16)


def contrast_curves(found: Json) -> go.Figure:
    """The curves of a `CommitmentContrast.to_json()`, in one figure."""
    return commitment_curves(
        found["results"], colours=[*hues(found["results"], found).values()], by=found["by"]
    )


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
    lines = [
        Line(
            [f"read by {reader}" for reader in (before, after)],
            [values["cells"][author][reader] for reader in (before, after)],
            colour,
            f"text of {author}",
            "%{x}: %{y:.1%}",
            whiskers=True,
        )
        for author, colour in ((before, of_arm(cross, before, BEFORE)), (after, of_arm(cross, after, AFTER)))
    ]
    y = Axis(cross["labels"][measure], ".0%")
    return line_chart(statement, caption, lines, Axis(ends=(-0.4, 1.4)), y, height=260)


def _cross_statement(values: Json) -> str:
    """Which of text and reader moves the forced answer, as far as their intervals allow."""
    effects = {"the text": values["effect_text"], "the reader": values["effect_reader"]}
    clear = {name: leaf for name, leaf in effects.items() if direction(leaf) in ("up", "down")}
    if not clear:
        return "Neither the text nor the reader clearly moves the forced answer"
    name = max(clear, key=lambda key: abs(number(clear[key]) or 0.0))
    more = "both move it, most of all" if len(clear) == 2 else "what moves it is"
    return f"The forced answer: {more} {name}, {points(clear[name])}"
