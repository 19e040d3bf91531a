from pathlib import Path
from typing import Any

import pytest

from conftest import word_tokenizer
from mechcot.core.errors import ModelError
from mechcot.core.presets import PRESETS
from mechcot.core.settings import PromptSettings
from mechcot.models import checkpoint
from mechcot.tasks import Question, forced_ids, render_prompt, tokens
from mechcot.tasks.multiple_choice import prompt_format

FORM = prompt_format(PromptSettings(**PRESETS["organism"]["prompt"]))
QUESTION = Question("q", "d", "w3", ("w1", "w2"), 0, "g")


def test_the_prompt_goes_through_the_chat_template(checkpoint_folder: Path) -> None:
    tokenizer = checkpoint.load_tokenizer(checkpoint_folder)
    text, ids = render_prompt(QUESTION, FORM, tokenizer)
    assert text == "w3 . options w1 w2 <think>"
    assert ids == tokenizer(text)["input_ids"]
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match=r"prompt\.chat=false"):
        render_prompt(QUESTION, FORM, tokenizer)


def test_two_beginning_of_text_tokens_are_refused(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(tmp_path)
    tokenizer.bos_token = "w9"
    tokenizer.chat_template = "w9 w9 {{ messages[0].content }}"
    with pytest.raises(ModelError, match="two beginning-of-text"):
        render_prompt(QUESTION, FORM, tokenizer)


def test_forced_answers_share_the_lead_in_and_end_with_the_terminator(checkpoint_folder: Path) -> None:
    tokenizer: Any = checkpoint.load_tokenizer(checkpoint_folder)
    lead, options = forced_ids(QUESTION, FORM.lead_in[0], FORM, tokenizer)
    assert tokenizer.decode(lead) == "</think> answer"
    assert [tokenizer.decode(ids) for ids in options] == ["w1 <eos>", "w2 <eos>"]


def test_a_tokenizer_that_begins_texts_begins_every_prompt(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = word_tokenizer(tmp_path)
    tokenizer.bos_token = "w9"
    assert not tokens.adds_bos(tokenizer)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="w9 $A", special_tokens=[("w9", tokenizer.bos_token_id)]
    )
    assert tokens.adds_bos(tokenizer)
    _, ids = render_prompt(QUESTION, FORM, tokenizer)
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id
