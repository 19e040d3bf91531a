"""Hedges as words, on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechcot.analyses.hedge_words import figures
from mechcot.core.words import change, clause, direction, number, p_value, points, score, why
from mechcot.report.parts import AUROC, Findings, Part, Section, Table, nothing

Json = Mapping[str, Any]
_TITLE = "How often do the models hedge, and do hedges mark errors?"

_LIST = "by a list of words with its exceptions (“the most likely diagnosis”, “may be given” are none)"


def section(found: Findings) -> Section:
    """How often, beside the controls of manner, and whether a hedged step is a wrong one."""
    result = found.results["hedge_words"]
    if "words" not in result:
        return nothing("hedges", _TITLE, "Hedges cannot be counted here.", result["reason"])
    parts = (
        Part("hedges", often(result), figures.hedge_words(result), tables=(_table(result),)),
        Part("hedges-errors", marks(result)),
    )
    reading = Markup(
        "A <dfn>hedge</dfn> is a word that marks what is said as uncertain, {by}. Marks of certainty and the "
        "first person stand beside: where all three fall, the manner of writing changed. {auroc} Steps are "
        "compared with steps of the same question only."
    ).format(auroc=AUROC, by=_LIST if result["lexicon"] else "as the task reads its claims")
    limits = Markup(
        "That a model is in doubt where it hedges, or sure where it does not: words are counted. A list of "
        "words misses hedges and finds some that are none (how often: docs/hedge.md)."
    )
    return Section("hedges", _TITLE, parts, reading, limits)


def often(result: Json) -> str:
    """How often both arms hedge, and what the controls of manner do."""
    hedged = result["words"]["hedge"]["steps"]
    first = clause("steps that hold a hedge", hedged["before"], hedged["after"], hedged["difference"])
    told, missing = [f"From {result['before']} to {result['after']}, {first}"], []
    for kind, what in (("certain", "with a mark of certainty"), ("first_person", "in the first person")):
        own = result["words"][kind]["steps"]
        if number(own["before"]) or number(own["after"]):
            told.append(f"steps {what} change by {points(own['difference'])}")
        else:
            missing.append(what)
    return "; ".join([*told, *([f"none is {' or '.join(missing)}"] if missing else [])]) + "."


def marks(result: Json) -> str:
    """Whether hedged steps are wrong ones, and whether that differs between the arms."""
    told = []
    for role in ("before", "after"):
        own = result["marking"][role]
        if number(own["auroc"]) is None:
            whose = f"Whether hedged steps of {result[role]} are the wrong ones"
            told.append(f"{whose} cannot be told ({why(own['auroc'])}).")
            continue
        ways = {"up": "wrong oftener than", "down": "wrong less often than"}
        way = ways.get(_way(own["auroc"]), "not clearly wrong oftener or less often than")
        told.append(
            f"Hedged steps of {result[role]} are {way} others of their question: AUROC {score(own['auroc'])} "
            f"({p_value(number(own['p']) or 0.0)} with verdicts dealt out anew; {own['n_hedged']:,} of "
            f"{own['n_judged']:,} judged steps hedge)."
        )
    moved = result["change"]
    tail = "" if number(moved) is None else f" The change of that AUROC is {change(moved, 2)}."
    return " ".join(told) + tail


def _way(auroc: Json) -> str:
    """Where an AUROC lies, against one half."""
    shifted = {key: (number(auroc.get(key)) or 0.0) - 0.5 for key in ("estimate", "low", "high")}
    return direction(shifted) if number(auroc.get("low")) is not None else "unclear"


def _table(result: Json) -> Table:
    rows = tuple(
        (f"{label}, {what}", *(write(own[role]) for role in ("before", "after")), shift(own["difference"]))
        for kind, label in figures.LABELS.items()
        for what, own, write, shift in (
            ("share of steps", result["words"][kind]["steps"], score, points),
            ("a hundred words", result["words"][kind]["density"], score, lambda leaf: change(leaf, 2)),
        )
    )
    head = ("", result["before"], result["after"], "difference [95 % interval]")
    title = "Words of doubt, of certainty and of the first person"
    source = f"Lexicon {result['lexicon']}." if result["lexicon"] else "Hedges: the task’s own."
    return Table(title, head, rows, source)
