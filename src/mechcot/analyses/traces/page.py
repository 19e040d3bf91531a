"""Whether right traces go with right answers, on the page and at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechcot.analyses.traces import figures
from mechcot.analyses.traces.analysis import hurts, tied
from mechcot.core.words import change, counted, listed, number, percent, plain_signs, points, wrapped
from mechcot.report.parts import Findings, Part, Section, Table, nothing

Json = Mapping[str, Any]
_TITLE = "Do right traces go with right answers?"
_READING = (
    "A rule takes every question apart into <dfn>sub-steps</dfn> whose right value is known. A trace is "
    "right where all of them are; each is read against its own question, by id. That both are right is a "
    "share of all traces, and small wherever either is rare; how they go together is in right answers of "
    "right traces against those of others, and in <dfn>phi</dfn>, 0 for nothing and 1 for always. A trace "
    "<dfn>leads</dfn> to the answer that its own sub-steps name, right or wrong."
)
_LIMITS = (
    "A cause: what makes a question easy makes both right, and a trace that names the answer ties both by "
    "construction. Answers behind traces that were put there are the test of that. “Does not hurt” and "
    "“loosely tied” are said against margins that the settings fix, by one-sided 95 % limits, and of these "
    "questions."
)


def section(found: Findings) -> Section:
    """Traces and answers of every arm."""
    result = found.results["trace_checks"]
    if "domains" not in result:
        return nothing(
            "traces", _TITLE, "Whether traces and answers go together is not known.", result["reason"]
        )
    parts = [
        Part("traces", _tied(result), figures.traces(result), tables=_tables(result)),
        Part("sub-steps", _parts(result), figures.sub_steps(result), tables=(_sub_steps(result),)),
    ]
    if result.get("forced"):
        parts.append(
            Part("forced-traces", _behind(result), figures.forced(result), tables=(_forced(result),))
        )
    return Section("traces", _TITLE, tuple(parts), Markup(_READING), Markup(_LIMITS))


# --- sentences --------------------------------------------------------------------------------------

_TIES = {
    "loosely": "loosely tied (phi below {loose:g})",
    "yes": "tied (phi above {loose:g})",
    "open": "not clearly tied or loose",
}
_HURTS = {
    "no": "does not hurt by {margin:.0f} points",
    "yes": "hurts",
    "open": "may hurt or not",
}


def _tied(result: Json) -> str:
    told = []
    for name, arm in figures.own_domain(result)["arms"].items():
        if number(arm["phi"]) is not None:
            verdict = _TIES[tied(arm, result["loose"])].format(loose=result["loose"])
            told.append(f"{name} {verdict}: phi {change(arm['phi'], 2)}")
    first = f"Right traces and right answers are, in {'; '.join(told)}." if told else "No arm has both kinds."
    return " ".join([first, *_compared(result), *_shuffled(result)])


def _compared(result: Json) -> list[str]:
    told = [
        f"{name} {_HURTS[hurts(own, result['margin'])].format(margin=100 * result['margin'])} "
        f"({points(own['accuracy'])})"
        for name, own in figures.own_domain(result)["against"].items()
    ]
    return [f"In right answers against {result['against']}: {listed(told)}."] if told else []


def _shuffled(result: Json) -> list[str]:
    return [
        f"Ids of {name} may be shuffled: {arm['n_elsewhere']:,} traces fit another question, not their own."
        for name, arm in figures.own_domain(result)["arms"].items()
        if arm["elsewhere_suspect"]
    ]


def _parts(result: Json) -> str:
    told = []
    for name, arm in figures.own_domain(result)["arms"].items():
        shares = [f"{step} {percent(own['correct'])}" for step, own in arm["sub_steps"].items()]
        if shares:
            told.append(f"{name}: {listed(shares)}")
    return f"Sub-steps that are right, in {'; '.join(told)}." if told else "No trace could be read."


def _behind(result: Json) -> str:
    told = [
        f"{one['arm']} follows it in {percent(one['follows'])} and stays right in {percent(one['right'])}"
        for one in result["forced"]
        if one["trace"] == "incorrect"
    ]
    return f"Behind a trace whose every sub-step is wrong, {listed(told)}."


# --- tables -----------------------------------------------------------------------------------------


def _tables(result: Json) -> tuple[Table, ...]:
    return _arms(result), _cells(result), *((_against(result),) if _has_against(result) else ())


def _has_against(result: Json) -> bool:
    return any(domain["against"] for domain in result["domains"].values())


def _rows(result: Json) -> list[tuple[str, Json]]:
    many = len(result["domains"]) > 1
    return [
        (f"{name}, {domain}" if many else name, arm)
        for domain, own in result["domains"].items()
        for name, arm in own["arms"].items()
    ]


def _arms(result: Json) -> Table:
    rows = []
    for name, arm in _rows(result):
        ties = (change(arm[key], 2) for key in ("phi", "log_odds_ratio", "log_mantel_haenszel"))
        shares = ("accuracy", "trace_correct", "joint", "right_if_correct", "right_if_not")
        rows.append(
            (
                name,
                *(percent(arm[key]) for key in shares),
                *ties,
                percent(arm["follows"]),
                f"{arm['n_leading']:,}",
            )
        )
    head = (
        "", "right answers", "right traces", "both", "right | trace right", "right | trace not", "phi",
        "log odds ratio", "the same within categories", "answer follows trace", "traces that lead",
    )  # fmt: skip
    note = (
        "“Both” is a share of all traces that could be read. Categories of questions: the odds ratio of "
        "Mantel and Haenszel. Traces that lead to an answer and have one are what “follows” is of."
    )
    return Table("Traces and answers", head, tuple(rows), note)


def _cells(result: Json) -> Table:
    rows = [
        (
            name,
            *(f"{arm['counts'][cell]:,}" for cell in ("both", "trace_only", "answer_only", "neither")),
            f"{arm['n_unevaluable']:,}",
            f"{arm['n_no_answer']:,}",
            percent(arm["holds_answer"]),
            f"{arm['n_elsewhere']:,}",
        )
        for name, arm in _rows(result)
    ]
    head = (
        "", "both right", "trace alone", "answer alone", "neither", "unreadable", "no answer",
        "trace names the answer", "fits another question",
    )  # fmt: skip
    left = result["n_unreadable"]
    note = f"{counted(left, 'question')} could not be taken apart and are left out." if left else ""
    return Table("Traces by what is right", head, tuple(rows), note)


def _against(result: Json) -> Table:
    rows = [
        (
            f"{name}, {domain}" if domain else name,
            points(own["accuracy"]),
            points(own["limit"]),
            points(own["trace_correct"]),
            _HURTS[hurts(own, result["margin"])].format(margin=100 * result["margin"]),
        )
        for domain, one in result["domains"].items()
        for name, own in one["against"].items()
    ]
    head = ("", "right answers", "one-sided 95 % limits", "right traces", "said of it")
    return Table(f"Against {result['against']}", head, tuple(rows))


def _sub_steps(result: Json) -> Table:
    rows = [
        (
            f"{name}: {step}",
            f"{own['n']:,}",
            *(
                percent(own[key])
                for key in ("correct", "wrong", "missing", "right_if_correct", "right_if_wrong")
            ),
        )
        for name, arm in _rows(result)
        for step, own in arm["sub_steps"].items()
    ]
    head = ("", "traces", "right", "wrong", "missing", "right answer | right", "right answer | wrong")
    return Table("Sub-steps", head, tuple(rows))


def _forced(result: Json) -> Table:
    rows = [
        (
            f"{one['arm']}: {one['trace']}",
            f"{one['n']:,}",
            f"{one['n_other_answer']:,}",
            *(percent(one[key]) for key in ("right", "follows", "other", "none")),
        )
        for one in result["forced"]
    ]
    head = (
        "behind", "answers", "trace leads elsewhere", "right", "follows the trace", "neither", "no answer"
    )  # fmt: skip
    return Table("Answers behind traces that were put there", head, tuple(rows))


def terminal_text(result: Any) -> str:
    """The result for a terminal."""
    found = result.to_json()
    tables = [*_tables(found), _sub_steps(found), *((_forced(found),) if found.get("forced") else ())]
    return "\n\n".join([wrapped(plain_signs(_tied(found))), *(table.text() for table in tables)])
