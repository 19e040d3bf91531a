"""Where an answer is forced after a step that ends inside a token, as ".", newline, newline often is one.

The text asked is the trace up to the end of the step, blanks off, and the lead-in with its own separator,
wherever the step stands. Tokens stay as they were written up to the last whole one before that end; what
is left of the step is put into tokens together with the lead-in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from mechcot.reading.inputs import Seam
from mechcot.tasks import PromptFormat, Question, forced_ids
from mechcot.tasks.tokens import decode, following

Leads = Callable[[str], tuple[tuple[int, ...], ...]]
"""The tokens of each lead-in behind what is left of a step."""


def seams_of(
    tokenizer: Any, text: str, ids: Sequence[int], starts: Sequence[int], steps: Sequence[Any], leads: Leads
) -> dict[int, Seam]:
    """The seams of a trace, by the numbers of its steps; steps that end where a token ends have none.

    Args:
        tokenizer: of author and reader.
        text: the trace.
        ids: its tokens.
        starts: first character of each.
        steps: rows of `records.STEPS`, in order.
        leads: of the trace's question.
    """
    seams = {}
    for number, step in enumerate(steps):
        cut = len(text[: step.char_end].rstrip())
        count, known = whole_tokens(tokenizer, text, ids, starts, cut)
        if count < step.tok_end:
            seams[number] = Seam(count, leads(text[known:cut]))
    return seams


def whole_tokens(
    tokenizer: Any, text: str, ids: Sequence[int], starts: Sequence[int], cut: int
) -> tuple[int, int]:
    """How many of the first tokens lie before a character with all that they say, and how much that is.

    What tokens say is decoded: the spans that tokenizers give leave out blanks, or share a character.
    """
    for count in range(bisect_left(starts, cut), 0, -1):
        said = decode(tokenizer, ids[:count])
        if len(said) <= cut and text.startswith(said):
            return count, len(said)
    return 0, 0


def lead_ids(
    question: Question, form: PromptFormat, tokenizer: Any, rest: str
) -> tuple[tuple[int, ...], ...]:
    """The tokens of each lead-in behind the rest of a step; those of the options stay what they are."""
    found = []
    for lead_in in form.lead_in:
        plain, options = forced_ids(question, lead_in, form, tokenizer)
        ids, others = forced_ids(question, rest + lead_in, form, tokenizer)
        # Without a separator the rest might run into the options; then it is put into tokens by itself.
        found.append(ids if others == options else (*following(tokenizer, rest), *plain))
    return tuple(found)
