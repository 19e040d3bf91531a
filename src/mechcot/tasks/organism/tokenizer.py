"""The organism's tokenizer: one token a word, in the ordinary Hugging Face format.

`<think>` and `</think>` are added but not special: decoding keeps them, and they split off even
where no blank stands beside them.
"""

from __future__ import annotations

import re
from typing import Any

from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, DRUG_VERBS, FIND, HEDGE, HOP, REV, World

PAD, EOS, UNKNOWN, THINK, END_OF_THINK = "<pad>", "<eos>", "<unk>", "<think>", "</think>"
CONTEXT = 256
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ message['content'] }}"
    "{% else %}{{ ' <think> ' + message['content'] + ' <eos>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' <think>' }}{% endif %}"
)
"""A user turn as it is, then the opening of the reasoning."""


def vocabulary(world: World) -> tuple[str, ...]:
    """Every token of the world in the order of their ids."""
    verbs = (FIND, DRUG, REV, HOP, *DISEASE_VERBS, *DRUG_VERBS)
    grammar = ("case", "trace", "options", "this", "review", "picture", "unclear", "choose", HEDGE)
    words = dict.fromkeys([*grammar, *(word for verb in verbs for word in verb.split())])
    names = (
        *world.diseases,
        *world.findings,
        *world.drugs,
        *world.nodes,
        *(value for values in world.values.values() for value in values),
    )
    return (PAD, EOS, UNKNOWN, THINK, END_OF_THINK, "answer", ".", *words, *names)


def build_tokenizer(world: World) -> Any:
    """The world's `PreTrainedTokenizerFast`; `save_pretrained` writes it for `AutoTokenizer`."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(vocabulary(world))}
    backend = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_tokens([AddedToken(mark, normalized=False) for mark in (THINK, END_OF_THINK)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def prompt_text(user: str) -> str:
    """What the chat template makes of a user's text, without a tokenizer."""
    return f"{user} {THINK}"


def words_of(text: str) -> list[tuple[str, int]]:
    """The words of a text, each with the character where it starts."""
    return [(match.group(), match.start()) for match in re.finditer(r"\S+", text)]
