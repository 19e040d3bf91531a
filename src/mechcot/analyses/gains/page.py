"""Which questions were gained, and what their steps did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.analyses.gains import figures
from mechcot.core.words import DIFFERENCE, NBSP, direction, number, parts_in_points, percent, points, why
from mechcot.report.parts import Findings, Part, Table


def by_margin(result: Mapping[str, Any]) -> Part:
    """Where the vote changed, by the margin before."""
    gain, loss = (sum(one[key] for one in result["bins"]) for key in ("gained", "lost"))
    near = result["boundary"][-1]
    share = number(near["share"])
    told = (
        "Nothing is gained."
        if share is None
        else f"{percent(share)} of the gain comes from questions at most {near['distance']:g} below a tie"
        + ("." if number(near["null"]) is None else f", {percent(near['null'])} if both models were alike.")
    )
    sentence = (
        f"A vote of {result['half']} traces gains {gain:.1f} of {result['n_questions']} questions and loses "
        f"{loss:.1f}. {told}"
    )
    rows = tuple(
        (
            f"{_edge(one['low'])} to {_edge(one['high'])}",
            f"{one['n']:.1f}",
            *(
                f"{one[key]:.1f} ({one[f'null_{key}']:.1f} [{one[f'null_{key}_range'][0]:.1f}, "
                f"{one[f'null_{key}_range'][1]:.1f}])"
                for key in ("gained", "lost")
            ),
            points(one["change"]),
        )
        for one in result["bins"]
    )
    split = result["split"]
    more, together = parts_in_points([split["gold_share"], split["concentration"]])
    note = (
        f"In brackets: what {result['null_draws']} deals of the same traces to two equal models gain and "
        f"lose, with the middle 95{NBSP}%. Of the change of the vote ({points(split['total'])}), "
        f"{more} come from more votes for the right answer and "
        f"{together} from the wrong votes standing together less or more."
    )
    head = ("margin before", "questions", "gained (if alike)", "lost (if alike)", DIFFERENCE)
    return Part("gains", sentence, figures.gains(result), tables=(Table("By margin", head, rows, note),))


def _edge(value: float) -> str:
    return f"{value:+g}".replace("-", "−")


def joined(found: Findings, result: Mapping[str, Any]) -> Part:
    """Whether the steps of the questions gained got worse."""
    contrast, moved = result["gained_minus_kept"], result["transitions"]
    if number(contrast) is None:
        return Part("joined", "Gained and kept questions cannot be compared.", reason=why(contrast))
    change = number(moved["gained"]["change"]) or 0.0
    lead = {
        "up": "They are: steps of questions gained moved towards error more than those of questions kept",
        "down": "They are not: steps of questions gained moved towards error less than those of questions "
        "kept",
    }.get(direction(contrast), "That cannot be told: gained and kept questions do not differ clearly")
    if direction(contrast) == "up" and change <= 0:
        lead = "No step error rose there: it fell less on questions gained than on questions kept"
    sentence = (
        f"{lead} ({points(contrast)}). On questions gained, wrong steps change by "
        f"{points(moved['gained']['change'])}; on those right before and after by "
        f"{points(moved['kept_right']['change'])}, on those wrong both times by "
        f"{points(moved['kept_wrong']['change'])}."
    )
    names = {
        "gained": "gained",
        "lost": "lost",
        "kept_right": "right before and after",
        "kept_wrong": "wrong before and after",
    }
    rows = [
        (
            label,
            f"{moved[name]['n']:.1f}",
            *(percent(moved[name][f"error_{when}"]) for when in ("before", "after")),
            points(moved[name]["change"]),
        )
        for name, label in names.items()
    ]
    for name, label in (("kept", "kept"), ("kept_right", "kept right"), ("kept_wrong", "kept wrong")):
        rows.append((f"gained minus {label}", "", "", "", points(result[f"gained_minus_{name}"])))
    head = ("questions", "number", f"wrong steps, {found.before}", f"wrong steps, {found.after}", DIFFERENCE)
    table = Table("Wrong steps by what became of the vote", head, tuple(rows))
    return Part("joined", sentence, figures.error_by_transition(result), tables=(table,))


def gains(found: Findings) -> tuple[Part, ...]:
    """Where the vote changed, and what the steps did there."""
    result = found.results["gains"]
    if "transitions" not in result:
        return (Part("gains", "Gains cannot be told by margin.", reason=result["reason"]),)
    return by_margin(result), joined(found, result)
