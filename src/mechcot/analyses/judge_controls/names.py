"""Which judge controls there are, and what speaks against one of them in a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mechcot.analyses.judge_controls.sample import Sample
from mechcot.core.errors import UsageError
from mechcot.judging.judge_file import RULES, Judge, Rule
from mechcot.steps import SEGMENTERS

PRIMARY = "primary"
WARM = 0.7
"""Temperature of `again-warm`."""

_EXACT = (PRIMARY, "again", "hedge-flip", "decoy")


def with_changes(judge: Judge, **changes: object) -> Judge:
    """The judge with other settings, which are not checked again."""
    return judge.model_copy(update=changes)


def with_field(judge: Judge, name: str) -> Judge:
    """The judge with one of its fields switched."""
    return with_changes(judge, fields=judge.fields.model_copy(update={name: not getattr(judge.fields, name)}))


def _rule(judge: Judge, name: Rule) -> Judge:
    return with_changes(judge, rules=tuple(rule for rule in RULES if (rule in judge.rules) != (rule == name)))


def _label(judge: Judge) -> Judge:
    rest = tuple(label for label in judge.labels if label != "not_checkable")
    return with_changes(judge, labels=rest if len(rest) < len(judge.labels) else (*rest, "not_checkable"))


@dataclass(frozen=True)
class Factor:
    """One thing that an instrument has or lacks.

    Attributes:
        what: it is.
        has: whether a judge has it.
        switched: the judge with it, or without it if it has it.
        ours: it is a part of mechcot's own instructions.
    """

    what: str
    has: Callable[[Judge], bool]
    switched: Callable[[Judge], Judge]
    ours: bool = False


def _field_factor(name: str, what: str) -> Factor:
    return Factor(
        what, lambda judge: bool(getattr(judge.fields, name)), lambda judge: with_field(judge, name)
    )


def _rule_factor(name: Rule, what: str) -> Factor:
    return Factor(what, lambda judge: name in judge.rules, lambda judge: _rule(judge, name), ours=True)


FACTORS = {
    "gold": _field_factor("gold", "the right answer"),
    "options": _field_factor("options", "the options"),
    "question": _field_factor("question", "the question"),
    "previous": _field_factor("previous", "the steps before"),
    "examples": Factor(
        "the examples",
        lambda judge: judge.examples,
        lambda judge: with_changes(judge, examples=not judge.examples),
        ours=True,
    ),
    "tone": _rule_factor("tone", "the rule on tone"),
    "alternatives": _rule_factor("alternatives", "the rule on options that are weighed"),
    "answer-use": _rule_factor("answer", "the rule on the use of the right answer"),
    "partial": _rule_factor("partial", "the rule on unfinished steps"),
    "labels": Factor("the label not_checkable", lambda judge: "not_checkable" in judge.labels, _label),
}
"""Things that are switched one by one, by the name that follows `factor:`."""


def names(segmenter: str) -> tuple[str, ...]:
    """All controls of a study with this segmenter, in order; the instrument itself first."""
    return (
        *(PRIMARY, "again", "again-warm", "answer-blind"),
        *(f"factor:{name}" for name in FACTORS),
        *(f"segment:{name}" for name in SEGMENTERS if name != segmenter),
        *("tone-swap", "hedge-flip", "decoy", "guess-arm"),
    )


def chosen(only: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The controls that are wanted, the primary always among them.

    Args:
        only: names, or `factor` and `segment` for all of theirs; empty: every control.
        known: all of them.

    Raises:
        UsageError: there is no such control.
    """
    families = {name.partition(":")[0] for name in known if ":" in name}
    unknown = [name for name in only if name not in known and name not in families]
    if unknown:
        raise UsageError(
            f"there is no judge control '{unknown[0]}'; there are: {', '.join(known)}; and "
            f"{' and '.join(sorted(families))} for all of theirs"
        )
    if not only:
        return tuple(known)
    return tuple(name for name in known if name == PRIMARY or name in only or name.partition(":")[0] in only)


def reason_against(name: str, judge: Judge | None, rewriter: Judge | None, sample: Sample) -> str | None:
    """Why a control cannot be judged; None: it can.

    Args:
        name: of the control.
        judge: the primary instrument; None: the exact checker.
        rewriter: who would rewrite steps.
        sample: what would be judged.
    """
    if judge is None:
        if name.startswith("segment:"):
            return "the exact checker reads sentences of its own language: other pieces are no claims"
        return None if name in _EXACT else "the exact checker is shown nothing and told nothing but the step"
    if name == "again-warm" and judge.temperature is None:
        return "the judge file sends no temperature"
    if name == "again-warm" and judge.temperature == WARM:
        return f"the judge's own temperature is {WARM:g}: it is `again`"
    if name.startswith("factor:") and judge.prompt is not None:
        factor = FACTORS[name.partition(":")[2]]
        if factor.ours:
            return f"the judge file has a prompt of its own: {factor.what} is no part of it"
    if name == "tone-swap" and rewriter is None:
        return "no rewriter was named (--rewriter FILE)"
    if name in ("tone-swap", "guess-arm"):
        poor = [arm for arm, steps in sample.manners().items() if len(steps) < 2]
        if poor:
            return f"fewer than 2 different steps show the manner of {' and of '.join(poor)}"
    return None
