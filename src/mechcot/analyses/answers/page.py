"""The answers on the page: the vote and its calibration."""

from __future__ import annotations

from typing import Any

from mechcot.core.words import DIFFERENCE, change, counted, number, p_value, percent, points, signed, why
from mechcot.report.parts import Findings, Part, Table


def calibration(found: Findings) -> Part:
    """Whether the vote knows how sure it may be, and the exact test of its change."""
    answers = found.results["answers"]
    test = answers["mcnemar"]
    sentence = (
        f"The vote of all {answers['before']['k']} traces, a tie being no win, gains {test['gained']} and "
        f"loses {test['lost']} of {answers['before']['n_questions']} questions (exact McNemar test, "
        f"{p_value(test['p_value'])}). {_calibrated(answers)}."
    )
    if found.settings.open_questions:
        sentence = f"The questions are open: the options are the answers that the arms gave. {sentence}"
    tables = (votes(found), single_traces(found), rules(found), *unread(found))
    return Part("calibration", sentence, tables=tables)


def _calibrated(answers: dict[str, Any]) -> str:
    """How sure the votes are beside how often they are right, or why that cannot be said."""
    before, after = answers["before"], answers["after"]
    if number(answers["delta_gap"]) is None:
        return f"Whether the vote knows how sure it may be is not known: {why(answers['delta_gap'])}"
    return (
        f"The winner’s share of the votes is off by {percent(before['ece'])} on average before and "
        f"{percent(after['ece'])} after. It is {_sureness(before)} before and {_sureness(after)} after, a "
        f"change of {points(answers['delta_gap'])}"
    )


def _sureness(arm: Any) -> str:
    """How much too sure the vote is, in words."""
    gap = number(arm["gap"]) or 0.0
    return f"{percent(abs(gap))} too {'sure' if gap >= 0 else 'unsure'}"


_MEASURES = {
    "accuracy": "right answers, single traces",
    "sc": "right answers, by vote",
    "ece": "calibration error, bins of equal width",
    "ece_equal_mass": "calibration error, bins of equal size",
    "ece_squared": "squared calibration error, without the bias of noise",
    "gap": "vote share minus share right",
    "slope": "slope of right on vote share (1: calibrated)",
    "brier": "Brier score of the vote share",
}


def single_traces(found: Findings) -> Table:
    """Pairs of traces by which of the two is right, and the test that takes questions as clusters."""
    answers = found.results["answers"]
    test, k = answers["mcnemar_traces"], answers["before"]["k"]
    cells = {
        "both": f"right in {found.before} and {found.after}",
        "gained": f"right in {found.after} alone",
        "lost": f"right in {found.before} alone",
        "neither": "wrong in both",
    }
    p = number(test["p_value"])
    note = (
        f"Of all pairs of a trace of {found.before} and one of {found.after} on one of "
        f"{counted(test['n_questions'], 'question')}, {counted(k, 'trace')} each. That single traces are "
        "right as often in both "
        + (
            f"cannot be tested: {why(test['p_value'])}."
            if p is None
            else f"is tested with questions as clusters (McNemar’s test in Obuchowski’s form): {p_value(p)}."
        )
    )
    rows = tuple((label, percent(test[name])) for name, label in cells.items())
    return Table("Single traces gained and lost", ("pairs of traces", "share"), rows, note)


def rules(found: Findings) -> Table:
    """Which rule read each arm's answers off: two arms read by different luck are seen here."""
    arms = [found.results["answers"][when]["rules"] for when in ("before", "after")]
    names = sorted({*arms[0], *arms[1]})
    rows = tuple((name, *(percent(own.get(name, 0.0)) for own in arms)) for name in names)
    note = "Shares of all traces. “strict” is the form that the prompt asks for; the others: docs/answers.md."
    return Table(
        "How answers were read off", ("rule, or why there is none", found.before, found.after), rows, note
    )


def unread(found: Findings) -> tuple[Table, ...]:
    """How some traces end whose answer no rule could read."""
    answers = found.results["answers"]
    rows = tuple(
        (name, f"{one['qid']}, {one['cid']}", one["why"], one["end"])
        for when, name in (("before", found.before), ("after", found.after))
        for one in answers[when]["unread"]
    )
    head = ("arm", "question, sample", "why", "its last words")
    return (Table("Traces without an answer", head, rows),) if rows else ()


def votes(found: Findings) -> Table:
    """The vote's measures of both arms."""
    answers = found.results["answers"]
    rows: list[tuple[str, ...]] = []
    for name, label in _MEASURES.items():
        write = percent if name in ("accuracy", "sc") else _decimal
        ends = (write(answers[when][name]) for when in ("before", "after"))
        delta = answers[f"delta_{name}"]
        told = points(delta) if name in ("accuracy", "sc") else change(delta, 3)
        rows.append((label, *ends, told))
    curves = [answers[when]["sc_at_k"] for when in ("before", "after")]
    sizes = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k <= min(map(len, curves))]
    rows += [(f"right answers, vote of {k}", *(percent(curve[k - 1]) for curve in curves), "") for k in sizes]
    note = (
        f"{answers['before']['n_questions']} questions. A vote of k is the exact mean over all ways to take "
        f"k of the {answers['before']['k']} traces. A trace without an answer votes for “no answer”, which "
        "can win and is never right. Whether calibration changed is read off vote share minus share right "
        "and off the slope: an interval of a calibration error would not cover."
    )
    if found.settings.open_questions:
        note += (
            " The questions are open and show no options: what is voted for are the right answer and every "
            "other answer that a trace of any arm gives, told apart by value."
        )
    return Table(
        "The vote and its calibration", ("", found.before, found.after, DIFFERENCE), tuple(rows), note
    )


def _decimal(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else signed(value, 3).lstrip("+")


def counts(found: Findings) -> list[tuple[str, ...]]:
    """For the table of counts: what was asked, and traces without an answer."""
    arms = [found.results["answers"][when] for when in ("before", "after")]
    return [
        ("questions", *(f"{arm['n_questions']:,}" for arm in arms)),
        ("traces a question", *(f"{arm['k']:,}" for arm in arms)),
        ("traces without an answer", *(percent(arm["share_no_answer"]) for arm in arms)),
        ("traces cut by the token limit", *(percent(arm["share_truncated"]) for arm in arms)),
        (
            "right answers by vote, traces with an answer alone",
            *(percent(arm["answered_only"].get("sc")) for arm in arms),
        ),
    ]
