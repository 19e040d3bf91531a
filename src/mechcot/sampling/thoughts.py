"""Reasoning that a server hands over in a field of its own, put back where the model wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechcot.asking.bodies import REASONING
from mechcot.asking.choices import Choice

_REASONED, _SAID = "\ue000reasoned\ue000", "\ue000said\ue000"
_OPENING, _CLOSING = "<think>\n", "\n</think>\n\n"


@dataclass(frozen=True)
class Thoughts:
    """What a completion has around its reasoning.

    Attributes:
        opening: before it; "" where the prompt ends with it.
        closing: between it and the answer.
    """

    opening: str
    closing: str


def thoughts_of(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], prompt: str, extra: Mapping[str, Any]
) -> Thoughts:
    """How an arm's own chat template writes reasoning behind a prompt.

    Where it writes none there, `<think>` and `</think>` on lines of their own.

    Args:
        tokenizer: of the arm.
        messages: of a prompt; none for a plain text.
        prompt: the same, rendered, up to where the model goes on.
        extra: variables of the template, and another template if there is one (`render.template_words`).
    """
    plain = Thoughts("" if prompt.rstrip().endswith(_OPENING.strip()) else _OPENING, _CLOSING)
    if not messages or not (extra.get("chat_template") or tokenizer.chat_template):
        return plain
    turn = {"role": "assistant", "content": _SAID, **dict.fromkeys(REASONING, _REASONED)}
    try:
        whole = tokenizer.apply_chat_template([*messages, turn], tokenize=False, **extra)
    except Exception:  # a template is a program: one that knows no such turn may raise anything
        return plain
    reasoned, said = whole.find(_REASONED), whole.find(_SAID)
    if not whole.startswith(prompt) or not len(prompt) <= reasoned < said:
        return plain
    return Thoughts(whole[len(prompt) : reasoned], whole[reasoned + len(_REASONED) : said])


def joined(choice: Choice, thoughts: Thoughts) -> str:
    """A choice's text as the model wrote it: reasoning, its marks, and what follows.

    Some servers strip blanks beside the marks and some do not: those that are there are kept. A mark behind
    reasoning that nothing follows is not written, as the model may not have come to it.
    """
    if choice.reasoning is None:
        return choice.text
    reasoning, opening, closing = choice.reasoning, thoughts.opening, thoughts.closing
    text = (opening.rstrip() if reasoning[:1].isspace() else opening) + reasoning
    if not choice.text.strip():
        return text
    if reasoning[-1:].isspace():
        closing = closing.lstrip()
    return text + (closing.rstrip() if choice.text[:1].isspace() else closing) + choice.text
