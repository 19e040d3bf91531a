"""Whether a student is taught on the prompts that it will be asked with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.tasks import PromptFormat, Question, render_prompt
from mechcot.tasks.tokens import shared_prefix

_STEM, _FIRST, _LAST = "\ue000stem\ue000", "\ue000first\ue000", "\ue000last\ue000"
_SHOWN = 60


def check_prompts(
    examples: pd.DataFrame,
    questions: Mapping[str, Question],
    form: PromptFormat,
    tokenizer: Any,
    source: Path,
) -> None:
    """Refuse examples whose prompts are not put as the study puts its questions.

    The example of a question of the study (by its `qid`) must have that question's own prompt. Any other
    must have the same words and blanks around its text and its options.

    Args:
        examples: columns as in `records.EXAMPLES`.
        questions: of the study, by id.
        form: how they are put.
        tokenizer: of the student's base.
        source: the examples file, for messages.

    Raises:
        DataError: with file, row and the first difference.
        ModelError: the format wants a chat template and the tokenizer has none.
    """
    frame = _frame(next(iter(questions.values())), form, tokenizer)
    wrong = []
    for number, row in enumerate(records.rows(examples), start=1):
        found = _bare(row.prompt, tokenizer)
        if row.qid in questions:
            wanted = _bare(render_prompt(questions[row.qid], form, tokenizer)[0], tokenizer)
            why = "" if found == wanted else _difference(found, wanted)
        else:
            why = frame.misfit(found)
        if why:
            wrong.append(f"row {number}, example '{row.eid}': {why}")
    if wrong:
        raise DataError(
            f"{source}: the prompts of {len(wrong)} of {len(examples)} examples are not put as this study "
            f"puts its questions. First {wrong[0]}. A student would be taught on one prompt and asked with "
            "another: write the examples' prompts as the study does, or set prompt.question, prompt.option, "
            "prompt.separator and prompt.chat as the examples have it"
        )


class _Frame:
    """What stands around the text and the options of every question."""

    def __init__(self, text: str) -> None:
        """Take a prompt whose text and two options are marked."""
        places = sorted((text.find(mark), mark) for mark in (_STEM, _FIRST, _LAST) if mark in text)
        pieces, at = [], 0
        for start, mark in places:
            pieces.append(text[at:start])
            at = start + len(mark)
        self.pieces = (*pieces, text[at:])
        # Blanks beside a text may be its own, line ends are the format's. More options are in the last text.
        inside = r" *\S(?:.*\S)? *"
        self.whole = re.compile(inside.join(map(re.escape, self.pieces)), re.DOTALL)

    def misfit(self, found: str) -> str:
        """How a prompt differs from the frame; "" where it fits."""
        if self.whole.fullmatch(found):
            return ""
        head, *_, tail = self.pieces
        if not found.startswith(head):
            return _difference(found, head)
        if not found.endswith(tail):
            return f"it ends with {found[-len(tail) - 10 :]!r}, the study's prompts end with {tail!r}"
        between = ", ".join(repr(piece) for piece in self.pieces[1:])
        return f"around its texts it lacks what the study's prompts have there, in this order: {between}"


def _frame(question: Question, form: PromptFormat, tokenizer: Any) -> _Frame:
    probe = Question("", "", _STEM, (_FIRST, _LAST), 0, "", open=question.open)
    return _Frame(_bare(render_prompt(probe, form, tokenizer)[0], tokenizer))


def _bare(prompt: str, tokenizer: Any) -> str:
    """A prompt without the beginning-of-text mark, which is put first where it is missing."""
    return prompt.removeprefix(tokenizer.bos_token) if tokenizer.bos_token else prompt


def _difference(found: str, wanted: str) -> str:
    at = shared_prefix([found, wanted])
    return (
        f"from character {at} on its prompt has {found[at : at + _SHOWN]!r}, the study's has "
        f"{wanted[at : at + _SHOWN]!r}"
    )
