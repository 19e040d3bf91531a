"""What a tokenizer does to texts: their beginning, their seam with a prompt, their end, and decoding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

TURN_MARK = re.compile(
    r"<[|\uff5c][^\s<>|\uff5c]{1,40}[|\uff5c]>"  # <|im_end|>, <|eot_id|>, <\uff5cend...\uff5c>
    r"|</s>|<eos>|<bos>|<(?:start|end)_of_turn>|<turn\|>|<\|turn>|\[/?INST\]|<</?SYS>>|<(?:end|begin)_of_(?:text|turn)>"
)
"""Marks by which the chat templates of common families begin and end a turn."""

_THOUGHT = re.compile("think|thought|reason", re.IGNORECASE)
"""Marks around reasoning are a part of a completion, special tokens or not."""

_SEAM = 16  # last tokens of a prompt that a seam is looked at with


def adds_bos(tokenizer: Any) -> bool:
    """Whether a tokenizer itself begins a text with a beginning-of-text token.

    Then every prompt begins with one, chat template or not, in training as in sampling.
    """
    if tokenizer.bos_token_id is None:
        return False
    return bool(tokenizer("a", add_special_tokens=True)["input_ids"][:1] == [tokenizer.bos_token_id])


def shared_prefix(sequences: Sequence[Sequence[Any]]) -> int:
    """How many first items all sequences share."""
    shared = 0
    for items in zip(*sequences, strict=False):
        if any(item != items[0] for item in items):
            break
        shared += 1
    return shared


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of token ids, special tokens kept, nothing tidied."""
    text: str = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


# --- the end --------------------------------------------------------------------------------------


def turn_marks(tokenizer: Any) -> re.Pattern[str]:
    """Finds marks that begin or end a turn: a tokenizer's special tokens, and those of common families.

    A completion holds none: its end is a token of its own, and another turn is not the model's.
    """
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    own = {str(token) for token in (*tokenizer.all_special_tokens, *added)}
    named = [re.escape(mark) for mark in sorted(own, key=len, reverse=True) if not _THOUGHT.search(mark)]
    return re.compile("|".join((*named, TURN_MARK.pattern)))


def without_end(text: str, marks: re.Pattern[str]) -> str | None:
    """A completion without marks of its end; None: more text stands behind one.

    Args:
        text: the completion.
        marks: of turns, from `turn_marks`, or `TURN_MARK` where there is no tokenizer.
    """
    mark = marks.search(text)
    if mark is None:
        return text
    return None if marks.sub("", text[mark.start() :]).strip() else text[: mark.start()].rstrip()


# --- the seam -------------------------------------------------------------------------------------


class Tokens(NamedTuple):
    """A text in tokens.

    Attributes:
        ids: of its tokens.
        spans: the characters of each.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


def continuation(
    tokenizer: Any, prompt: str, prompt_ids: Sequence[int], text: str, alone: Tokens
) -> Tokens | None:
    """The tokens of a text as it follows a prompt, with no blank between them that stands in neither.

    A tokenizer of the SentencePiece kind begins every text with a blank. Behind a prompt it would be a
    blank that a student learns to write, so the text is put into tokens behind something there.

    Args:
        tokenizer: a fast tokenizer.
        prompt: the text before.
        prompt_ids: its tokens.
        text: that follows it.
        alone: its tokens as a text of its own; they are kept where the seam is right.

    Returns:
        None: there are no such tokens.
    """
    if not _knows_blanks(tokenizer) or _joins(tokenizer, prompt_ids, alone.ids, text):
        return alone
    for anchor in dict.fromkeys((prompt, prompt[-1:], "\n", ":", "|")):
        head = tokenizer(anchor, add_special_tokens=False)["input_ids"]
        both = tokenizer(anchor + text, add_special_tokens=False, return_offsets_mapping=True)
        ids = both["input_ids"][len(head) :]
        if both["input_ids"][: len(head)] == head and _joins(tokenizer, prompt_ids, ids, text):
            spans = [
                (max(a - len(anchor), 0), b - len(anchor)) for a, b in both["offset_mapping"][len(head) :]
            ]
            return Tokens(ids, spans)
    return None


def following(tokenizer: Any, text: str) -> list[int]:
    """A text's tokens where it follows another text, with no blank before it that it has not itself."""
    alone, before = (tokenizer(some, add_special_tokens=False)["input_ids"] for some in (text, "."))
    found = continuation(tokenizer, ".", before, text, Tokens(alone, []))
    return list(alone) if found is None else found.ids


def _knows_blanks(tokenizer: Any) -> bool:
    """Whether blanks are a part of tokens at all; one token a word, they are not."""
    one, two = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a a", "a  a"))
    return bool(one != two)


def _joins(tokenizer: Any, prompt_ids: Sequence[int], ids: Sequence[int], text: str) -> bool:
    """Whether tokens behind a prompt read as the text, or as they read alone."""
    before = list(prompt_ids[-_SEAM:])
    head, whole = decode(tokenizer, before), decode(tokenizer, [*before, *ids])
    return whole.startswith(head) and whole[len(head) :] in (text, decode(tokenizer, ids))
