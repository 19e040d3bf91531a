"""A sheet as people get it: a page that works by keyboard and on paper, and a table for spreadsheets.

Everything on it may have been written by a model: it is escaped on the page, and kept from being a
formula in the table.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from mechcot.analyses.handed_out.page import standing_alone
from mechcot.tasks.base import LETTERS

VERDICTS = {
    "correct": "everything the step claims is true and fits what the question says",
    "erroneous": "at least one claim is false, misreports the question, or does not follow from what it is "
    "drawn from",
    "cannot tell": "the step claims something, but you cannot decide it",
    "no claim": "the step claims nothing: it announces what comes next, asks, or fills",
}
"""What people may say of a step, keys 1 to 4, and when."""
GUESSES = ("before", "after", "unsure")
"""Which model wrote it, by a person's guess: the one before training, after, or no idea."""
COLUMNS = ("sheet", "item", "verdict", "guess", "comment")
"""The columns that are read back."""
_CELL_LIMIT = 32_000  # a spreadsheet's cell holds 32,767 characters and spills what is over


@dataclass(frozen=True)
class Item:
    """What is shown of a step.

    Attributes:
        name: its id on the sheet.
        stem: the question.
        options: its options.
        right: the right option; None: not shown.
        previous: the steps of its trace before it.
        text: the step.
        complete: whether it ends by itself; False: the token limit cut it.
    """

    name: str
    stem: str
    options: tuple[str, ...]
    right: int | None
    previous: tuple[str, ...]
    text: str
    complete: bool


def sheet_html(sheet: str, items: list[Item]) -> str:
    """The page: self-contained, no network, the same for the same items.

    Args:
        sheet: its name.
        items: in the order in which they are judged.
    """
    return standing_alone(
        "mechcot.analyses.sheet",
        "sheet",
        sheet=sheet,
        items=items,
        verdicts=VERDICTS,
        guesses={"before": "B", "after": "A", "unsure": "U"},
        letters=LETTERS,
    )


def sheet_csv(sheet: str, items: list[Item]) -> str:
    """The table: UTF-8 with a byte order mark, `verdict`, `guess` and `comment` empty.

    Args:
        sheet: its name.
        items: in the order in which they are judged.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n")
    right_answer = ["right answer"] if any(item.right is not None for item in items) else []
    shown = ["item", "question", "options", *right_answer, "steps before", "step"]
    writer.writerow([*shown, "verdict", "guess", "comment", "sheet"])
    for item in items:
        options = [f"({LETTERS[i]}) {text}" for i, text in enumerate(item.options)]
        right = [] if item.right is None else [options[item.right]]
        step = item.text if item.complete else f"{item.text} (cut off)"
        texts = [item.stem, "\n".join(options), *right, "\n".join(item.previous), step]
        writer.writerow([item.name, *(_cell(text) for text in texts), "", "", "", sheet])
    return "\ufeff" + sink.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula, within what its cells hold."""
    text = text.replace("\0", "\ufffd")
    if len(text) > _CELL_LIMIT:
        text = text[:_CELL_LIMIT] + " ... (cut here: the whole text stands in sheet.html)"
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text
