"""One part of the instrument at a time: shown or said where it was not, left out where it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mechcot.analyses.judge_controls.control import (
    Control,
    Items,
    Setup,
    sampled_steps,
    with_changes,
    with_field,
)
from mechcot.judging.judge_file import RULES, Judge, Rule


@dataclass(frozen=True)
class Factor:
    """One thing that an instrument has or lacks.

    Attributes:
        what: it is.
        has: whether a judge has it.
        switched: the judge with it, or without it if it has it.
        ours: it is a part of mechcot's own instructions.
        title: of its row in tables.
    """

    what: str
    has: Callable[[Judge], bool]
    switched: Callable[[Judge], Judge]
    ours: bool
    title: str


def _field(name: str, what: str, title: str) -> Factor:
    def has(judge: Judge) -> bool:
        return bool(getattr(judge.fields, name))

    return Factor(what, has, lambda judge: with_field(judge, **{name: not has(judge)}), False, title)


def _rule(name: Rule, what: str, title: str) -> Factor:
    def switched(judge: Judge) -> Judge:
        rules = tuple(rule for rule in RULES if (rule in judge.rules) != (rule == name))
        return with_changes(judge, rules=rules)

    return Factor(what, lambda judge: name in judge.rules, switched, True, title)


def _examples(judge: Judge) -> Judge:
    return with_changes(judge, examples=not judge.examples)


def _label(judge: Judge) -> Judge:
    rest = tuple(label for label in judge.labels if label != "not_checkable")
    return with_changes(judge, labels=rest if len(rest) < len(judge.labels) else (*rest, "not_checkable"))


FACTORS = {
    "gold": _field("gold", "the right answer", "right answer"),
    "options": _field("options", "the options", "options"),
    "question": _field("question", "the question", "question"),
    "previous": _field("previous", "the steps before", "previous steps"),
    "examples": Factor("the examples", lambda judge: judge.examples, _examples, True, "examples"),
    "tone": _rule("tone", "the rule on tone", "rule on tone"),
    "alternatives": _rule("alternatives", "the rule on options that are weighed", "rule on alternatives"),
    "answer-use": _rule("answer", "the rule on the use of the right answer", "rule on use of the answer"),
    "partial": _rule("partial", "the rule on unfinished steps", "rule on partly right steps"),
    "labels": Factor(
        "the label not_checkable",
        lambda judge: "not_checkable" in judge.labels,
        _label,
        False,
        "label not_checkable",
    ),
}
"""Things that are switched one by one, by the name that follows `factor:`."""


def _control(name: str, factor: Factor) -> Control:
    def items(setup: Setup) -> Items:
        lost = setup.judge is not None and factor.has(setup.judge)
        return replace(sampled_steps(setup), changes=f"{factor.what}: {'left out' if lost else 'added'}")

    def against(setup: Setup) -> str:
        if factor.ours and setup.judge is not None and setup.judge.prompt is not None:
            return f"the judge file has a prompt of its own: {factor.what} is no part of it"
        return ""

    return Control(
        f"factor:{name}",
        f"{factor.title} switched",
        f"{factor.what}: left out, or added where the judge file leaves it out",
        changes=factor.switched,
        items=items,
        against=against,
        family="factor",
    )


SWITCHED = tuple(_control(name, factor) for name, factor in FACTORS.items())
"""A control for each factor."""
