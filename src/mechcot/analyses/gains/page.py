"""Which questions were gained, and what their steps did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechcot import plots
from mechcot.core.words import NBSP, direction, number, percent, points, signed, why
from mechcot.report.parts import Findings, Part, Section, Table

_INTERVAL = "difference [95 % interval]"


def gained(found: Findings) -> Section:
    """Where the vote changed, and whether the questions gained are those whose steps got worse."""
    result, title = found.results["margins"], "Are the questions gained the ones whose steps got worse?"
    tables = (_votes(found),)
    if "transitions" not in result:
        part = Part("gains", "Gains cannot be told by margin.", reason=result["reason"])
        return Section("gains", title, (part, _calibration(found, tables)), Markup(), Markup())
    reading = Markup(
        "The <dfn>margin</dfn> of a question is how far the right answer leads the strongest other one in a "
        "vote, in shares of the vote; below 0 it is behind. Votes are noisy, and the same luck would be in "
        "the margin and in the change: so one half of the traces says where a question stood, the other half "
        "whether it was gained, and the steps that are counted are those of traces that did not vote."
    )
    limits = Markup(
        "That the steps of a question gained are why it was gained. Votes here are of {half} traces, not of "
        "all {k}, so the gain is not the headline’s. Questions that both models find easy have little room "
        "for either."
    ).format(half=result["half"], k=result["k"])
    parts = (_margins(result), _joined(found, result), _calibration(found, tables))
    return Section("gains", title, parts, reading, limits)


def _margins(result: Mapping[str, Any]) -> Part:
    gain, loss = (sum(one[key] for one in result["bins"]) for key in ("gained", "lost"))
    near = result["boundary"][-1]
    share = number(near["share"])
    told = (
        "nothing is gained."
        if share is None
        else f"{percent(share)} of the gain comes from questions at most {near['distance']:g} below a tie"
        + ("." if number(near["null"]) is None else f", {percent(near['null'])} if both models were alike.")
    )
    sentence = (
        f"A vote of {result['half']} traces gains {gain:.1f} of {result['n_questions']} questions and loses "
        f"{loss:.1f}; {told}"
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
    note = (
        f"In brackets: what {result['null_draws']} deals of the same traces to two equal models gain and "
        f"lose, with the middle 95{NBSP}%. Of the change of the vote ({points(split['total'])}), "
        f"{points(split['gold_share'])} come from more votes for the right answer and "
        f"{points(split['concentration'])} from the wrong votes standing together less or more."
    )
    head = ("margin before", "questions", "gained (if alike)", "lost (if alike)", _INTERVAL)
    return Part("gains", sentence, plots.gains(result), tables=(Table("By margin", head, rows, note),))


def _edge(value: float) -> str:
    return f"{value:+g}".replace("-", "−")


def _joined(found: Findings, result: Mapping[str, Any]) -> Part:
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
    head = ("questions", "number", f"wrong steps, {found.before}", f"wrong steps, {found.after}", _INTERVAL)
    table = Table("Wrong steps by what became of the vote", head, tuple(rows))
    return Part("joined", sentence, plots.error_by_transition(result), tables=(table,))


def _calibration(found: Findings, tables: tuple[Table, ...]) -> Part:
    answers = found.results["answers"]
    test = answers["mcnemar"]
    sentence = (
        f"The vote of all {answers['before']['k']} traces, a tie being no win, gains {test['gained']} and "
        f"loses {test['lost']} of {answers['before']['n_questions']} questions (exact McNemar test, "
        f"{_small(test['p_value'])}); the winner’s share of the votes is off by "
        f"{percent(answers['before']['ece'])} on average before and {percent(answers['after']['ece'])} after."
    )
    return Part("calibration", sentence, tables=tables)


def _small(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


_MEASURES = {
    "accuracy": "right answers, single traces",
    "sc": "right answers, by vote",
    "ece": "calibration error, bins of equal width",
    "ece_equal_mass": "calibration error, bins of equal size",
    "ece_debiased": "calibration error, without the bias of noise",
    "brier": "Brier score of the vote share",
}


def _votes(found: Findings) -> Table:
    answers = found.results["answers"]
    rows: list[tuple[str, ...]] = []
    for name, label in _MEASURES.items():
        write = percent if name in ("accuracy", "sc") else _decimal
        ends = (write(answers[when][name]) for when in ("before", "after"))
        delta = answers[f"delta_{name}"]
        told = points(delta) if name in ("accuracy", "sc") else _change(delta)
        rows.append((label, *ends, told))
    curves = [answers[when]["sc_at_k"] for when in ("before", "after")]
    sizes = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k <= min(map(len, curves))]
    rows += [(f"right answers, vote of {k}", *(percent(curve[k - 1]) for curve in curves), "") for k in sizes]
    note = (
        f"{answers['before']['n_questions']} questions. A vote of k is the exact mean over all ways to take "
        f"k of the {answers['before']['k']} traces. A trace without an answer votes for “no answer”, which "
        "can win and is never right."
    )
    return Table(
        "The vote and its calibration", ("", found.before, found.after, _INTERVAL), tuple(rows), note
    )


def _decimal(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else signed(value, 3).lstrip("+")


def _change(leaf: Any) -> str:
    value = number(leaf)
    if value is None:
        return f"not known: {why(leaf)}"
    low, high = (number(leaf[end]) for end in ("low", "high"))
    between = "" if low is None or high is None else f" [{signed(low, 3)},{NBSP}{signed(high, 3)}]"
    return f"{signed(value, 3)}{between}"
