"""Invented questions of CoTempQA's form: facts with dates, an event, and who or what was at the same time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from mechcot.tasks.base import Question

_FIRST = ("Ada", "Bela", "Cyra", "Dov", "Edda", "Falk", "Gale", "Hedi", "Ivo", "Jana", "Kolja", "Luca")
_LAST = ("Marsh", "Nolde, 1st Earl of Ost", "Oren", "Pahl", "Quist", "Rahn", "Sorg", "Thiel", "Ude", "Vahl")
_WHERE = ("Acme", "Bolt and Sons", "Cray, Dunn", "Elm House", "Fjord Works", "Gamma", "Halma", "Iris")
_MORE = ("Jura", "Kestrel, North", "Lumen", "Mirabel", "Nimbus", "Orion", "Pike's", "Quarry")
_PLACES = _WHERE + _MORE
_SPANS = {
    "equal": [(1950, 1959)],
    "during": [(1952, 1955)],
    "overlap": [(1956, 1963), (1945, 1953)],
    "mix": [(1950, 1959), (1952, 1955), (1956, 1963)],
}
"""Of an event from 1950 to 1959: when those of a class are."""


def cotemp_row(relation: str, number: int) -> dict[str, Any]:
    """A row with the set's own columns; every third is about who, not where."""
    rng = random.Random(f"{relation} {number}")
    person = f"{rng.choice(_FIRST)} {rng.choice(_LAST)} {number} {relation}"
    about_who = number % 3 == 0
    named, *others = rng.sample(_PLACES, 8)
    if about_who:
        place = named
        named, *others = (
            f"{rng.choice(_FIRST)} of {where} {number} {relation}" for where in (named, *others)
        )

    def fact(one: str, first: int, last: int) -> str:
        months = "" if rng.random() < 0.5 else "May 2, "
        who, what = (one, f"{place} {number} {relation}") if about_who else (person, one)
        when = f"from {months}{first} to {last}" if relation != "equal" else f"from {first} to {last}"
        return f"{who} works for {what} {when.replace('May 2, ', '') if relation != 'equal' else when}."

    spans = _SPANS[relation]
    n = len(spans) if relation == "mix" else rng.randint(1, len(spans))
    answers = others[:n]
    facts = [fact(named, 1950, 1959), *(fact(one, *span) for one, span in zip(answers, spans, strict=False))]
    facts += [fact(one, year, year + 3) for one, year in zip(others[n:], range(1970, 2010, 5), strict=False)]
    rng.shuffle(facts)
    if about_who:
        where = f"{place} {number} {relation}"
        question = f"While {named} was working for {where}, who also worked for {where} at that time?"
    else:
        question = f"While {person} was working for {named}, which employer did {person} work for as well?"
    return {
        "index": number,
        "triple_element": "S2_R1_O1" if about_who else "S1_R1_O2",
        "question": question,
        "facts": facts,
        "answer": answers,
    }


def cotemp_question(facts: Sequence[str], asked: str, answer: Sequence[str], **more: Any) -> Question:
    """A question as a study holds it."""
    given: dict[str, Any] = {"qid": "q", "domain": "all", "group": "q", **more}
    stem = "\n".join(facts) + f"\n\n{asked}"
    return Question(stem=stem, options=("; ".join(answer),), gold=0, open=True, **given)


def cotemp_questions(relation: str, n: int) -> list[Question]:
    """Questions of one class."""
    made = []
    for number in range(n):
        row = cotemp_row(relation, number)
        qid = f"{relation}-{number}"
        made.append(
            cotemp_question(row["facts"], row["question"], row["answer"], qid=qid, domain=relation, group=qid)
        )
    return made
