"""What changes first along a training, on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mechcot.analyses.along import figures
from mechcot.analyses.along.counts import MEASURES, SPREAD
from mechcot.analyses.along.wording import share, statement
from mechcot.core.words import bracket, number, percent, points, signed, why
from mechcot.report.parts import Findings, Part, Section, Table

Json = Mapping[str, Any]
_TITLE = "What changes first along the training?"


def section(found: Findings) -> Section:
    """Measures at checkpoints along the training, and the times to half of their changes."""
    result = found.results["along"]
    if "runs" not in result:
        part = Part("along", "", reason=str(result["reason"]))
        return Section("along", _TITLE, (part,), Markup(), Markup())
    reading = Markup(
        "Checkpoints of the student, kept after shares of its training’s steps, are sampled, judged and "
        "read as any arm; each reads its own traces. A line is the share of a measure’s own <dfn>total "
        "change</dfn>, from {} (0) to the student (1), that is behind; the <dfn>time to half</dfn> is where "
        "it first passes a half, between checkpoints by linear interpolation. <dfn>Own answer at the "
        "prompt</dfn>: the model, forced to answer before any step, gives the answer that its trace ends "
        "with; <dfn>locked</dfn>: it does so at {} prefixes spread over the trace, as many for long traces "
        "as for short ones."
    ).format(result["before"], SPREAD)
    limits = Markup(
        "That what changes first causes what changes later. Between two checkpoints nothing was looked at: "
        "times that lie between the same two rest on the straight line drawn there. The intervals of one "
        "training are for other questions, not for another training."
    )
    part = Part("along", statement(result), figures.along(result), tables=tables(result))
    return Section("along", _TITLE, (part,), reading, limits)


def tables(result: Json) -> tuple[Table, ...]:
    """Rates by arm, and the times to half."""
    rates = Table(
        "Along the training",
        ("arm", "share of the steps", *MEASURES.values()),
        tuple(
            (point["arm"], percent(point["share"], 0), *(_rate(point["rates"][name]) for name in MEASURES))
            for run in result["runs"]
            for point in run["points"]
        ),
        f"{result['n_questions']} questions; 95 % intervals over questions",
    )
    times = Table(
        "Half of the total change",
        ("measure", "training", "total change", "time to half", "between checkpoints at"),
        tuple(
            (MEASURES[half["measure"]], run["student"], points(half["total"]), *_time(half))
            for run in result["runs"]
            for half in run["halves"]
        )
        + tuple((MEASURES[half["measure"]], _seeds(result), "", *_time(half)) for half in result["halves"]),
        "in shares of the training’s steps",
    )
    shares = [point["share"] for point in result["runs"][0]["points"]]
    apart = Table(
        "Times to half, second minus first",
        ("first", "second", "training", "difference [95 % interval]"),
        tuple(
            (MEASURES[row["first"]], MEASURES[row["second"]], name, _difference(row, halves, shares))
            for name, rows, halves in [
                *((run["student"], run["apart"], run["halves"]) for run in result["runs"]),
                (_seeds(result), result["apart"], result["halves"]),
            ]
            for row in rows
        ),
        "in points of the training’s steps, each interval at 95 % by itself",
    )
    return rates, times, apart


def terminal_text(result: Any) -> str:
    """For the terminal."""
    told = result.to_json()
    return "\n\n".join([statement(told), *(table.text() for table in tables(told))])


def _seeds(result: Json) -> str:
    return f"{len(result['runs'])} seeds"


def _rate(leaf: Any) -> str:
    return f"{percent(leaf)}{bracket(leaf, lambda end: f'{100 * end:.1f}')}"


def _time(half: Json) -> tuple[str, str]:
    if number(half["time"]) is None:
        return why(half["time"]), ""
    return share(half["time"]), " and ".join(percent(end, 0) for end in half["between"])


def _difference(row: Json, halves: Sequence[Json], shares: Sequence[float]) -> str:
    """A difference of times; one of two between the same checkpoints is of the line drawn there."""
    leaf, ends = row["difference"], {half["measure"]: half["between"] for half in halves}
    value = number(leaf)
    if value is None:
        return why(leaf)
    low, high = ends[row["first"]]
    if ends[row["second"]] == ends[row["first"]] and not any(low < share < high for share in shares):
        return "between the same checkpoints: not told"
    return f"{signed(100 * value, 0)}{bracket(leaf, lambda end: signed(100 * end, 0))}"
