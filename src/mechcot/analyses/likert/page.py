"""A participant's form: one page that stands alone, for keyboard and phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mechcot.analyses.handed_out.page import standing_alone
from mechcot.analyses.likert.scales import CHECK, POINTS, STATEMENTS
from mechcot.tasks.base import LETTERS

COLUMNS = ("form", "participant", "item", "consent", *STATEMENTS, "check")
"""The columns of an export, one row an item."""


@dataclass(frozen=True)
class Shown:
    """What is shown of a trace.

    Attributes:
        name: its id on the forms.
        stem: the question.
        options: its options; of an open question none.
        reasoning: the completion up to where it stops reasoning and answers; all of it where it only answers.
        answer: the answer that was read off it.
        check: the right answer of the attention check beside it; 0: there is none.
    """

    name: str
    stem: str
    options: tuple[str, ...]
    reasoning: str
    answer: str
    check: int = 0


def form_html(form: str, participant: str, items: Sequence[Shown], consent: Sequence[str]) -> str:
    """The page: self-contained, no network, the same for the same items.

    Args:
        form: name of the study of ratings.
        participant: the participant's id.
        items: in order.
        consent: paragraphs that the participant agrees to.
    """
    lines = [[*((name, said) for name, said in STATEMENTS.items()), *_check(item.check)] for item in items]
    return standing_alone(
        "mechcot.analyses.likert",
        "form",
        form=form,
        participant=participant,
        items=list(zip(items, lines, strict=True)),
        consent=consent,
        points=POINTS,
        letters=LETTERS,
        columns=",".join(COLUMNS),
    )


def _check(value: int) -> list[tuple[str, str]]:
    return [("check", CHECK.format(value=value))] if value else []
