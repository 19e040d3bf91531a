"""Whether the rules and a judge read the same answers, on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.core.words import percent, points, score
from mechcot.report.parts import Findings, Part, Table


def agreement(found: Findings) -> Part:
    """How far both readings agree, and the change of right answers by each."""
    result = found.results["answer_agreement"]
    if "arms" not in result:
        return Part("answer-agreement", "The answers were read by the rules alone.", reason=result["reason"])
    arms = [result["arms"][when] for when in ("before", "after")]
    told = " and ".join(
        f"{percent(own['agreement'])} of {_replied(own):,} traces of {own['arm']}" for own in arms
    )
    sentence = (
        f"The rules and a language model that reads the answers too agree on {told}; right answers of "
        f"single traces change by {points(result['delta_rules'])} by the rules and by "
        f"{points(result['delta_judge'])} by the model."
    )
    return Part("answer-agreement", sentence, tables=(_table(found, arms), *_disagreements(arms)))


def _replied(arm: Mapping[str, Any]) -> int:
    kinds = ("n_same", "n_differ", "n_rules_only", "n_judge_only", "n_neither")
    return sum(arm[kind] for kind in kinds)


_COUNTS = {
    "n_same": "both read the same option",
    "n_differ": "both read an option, and not the same",
    "n_rules_only": "the rules alone read one",
    "n_judge_only": "the model alone reads one",
    "n_neither": "neither reads one",
    "n_judge_ambiguous": "of those without one by the model: it calls them ambiguous",
    "n_not_asked": "cut or empty: not asked about",
    "n_failed": "calls that failed",
}
_RATES = {
    "agreement": "same, or neither",
    "rules_confirmed": "of the rules’ answers, read the same by the model",
    "judge_confirmed": "of the model’s answers, read the same by the rules",
    "accuracy_rules": "right answers by the rules",
    "accuracy_judge": "right answers by the model",
}


def _table(found: Findings, arms: list[Mapping[str, Any]]) -> Table:
    counts = [(label, *(f"{own[key]:,}" for own in arms)) for key, label in _COUNTS.items()]
    rates = [(label, *(score(own[key]) for own in arms)) for key, label in _RATES.items()]
    note = (
        f"Instrument: {found.results['answer_agreement']['instrument']} (instruments/answers.json). It is "
        "shown the options and the text, not the question and not which option is right. Intervals resample "
        "questions."
    )
    head = ("traces", found.before, found.after)
    return Table("Answers by the rules and by a language model", head, (*counts, *rates), note)


def _disagreements(arms: list[Mapping[str, Any]]) -> tuple[Table, ...]:
    rows = tuple(
        (
            own["arm"],
            f"{one['qid']}, {one['cid']}",
            f"{one['rules'] or 'none'} ({one['rule']})",
            one["judge"],
            one["end"],
        )
        for own in arms
        for one in own["disagreements"]
    )
    head = ("arm", "question, sample", "by the rules", "by the model", "its last words")
    return (Table("Answers that are read differently", head, rows),) if rows else ()
