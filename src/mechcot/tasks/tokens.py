"""What a tokenizer does to texts: the beginning-of-text token, decoding, and what sequences share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


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
