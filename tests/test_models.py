from pathlib import Path
from typing import Any

import pytest

from conftest import save_checkpoint, tiny_model, word_tokenizer
from mechcot import models
from mechcot.config import ArmSettings, PromptSettings
from mechcot.errors import ModelError
from mechcot.presets import PRESETS
from mechcot.tasks import Question
from mechcot.tasks.multiple_choice import prompt_format

FORM = prompt_format(PromptSettings(**PRESETS["organism"]["prompt"]))
QUESTION = Question("q", "d", "w3", ("w1", "w2"), 0, "g")


def test_a_folder_loads_in_eval_mode_with_its_ends_and_context(checkpoint_folder: Path) -> None:
    loaded = models.load(ArmSettings(model=str(checkpoint_folder)), device="cpu")
    assert not loaded.model.training
    assert loaded.eos_ids == (1,)
    assert loaded.context == 128


def test_a_checkpoint_without_tokenizer_or_config_is_named(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match=r"bare: holds no tokenizer.*save_pretrained"):
        models.load(ArmSettings(model=str(tmp_path / "bare")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        models.local_folder(str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="no such folder"):
        models.local_folder(str(tmp_path / "none"))


def test_a_missing_pad_token_is_no_error(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c")
    tokenizer = word_tokenizer(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert models.load(ArmSettings(model=str(folder))).tokenizer.pad_token is None


def test_the_prompt_goes_through_the_chat_template(checkpoint_folder: Path) -> None:
    tokenizer = models.load_tokenizer(checkpoint_folder)
    text, ids = models.render_prompt(QUESTION, FORM, tokenizer)
    assert text == "w3 . options w1 w2 <think>"
    assert ids == tokenizer(text)["input_ids"]
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match=r"prompt\.chat=false"):
        models.render_prompt(QUESTION, FORM, tokenizer)


def test_two_beginning_of_text_tokens_are_refused(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(tmp_path)
    tokenizer.bos_token = "w9"
    tokenizer.chat_template = "w9 w9 {{ messages[0].content }}"
    with pytest.raises(ModelError, match="two beginning-of-text"):
        models.render_prompt(QUESTION, FORM, tokenizer)


def test_forced_answers_share_the_lead_in_and_end_with_the_terminator(checkpoint_folder: Path) -> None:
    tokenizer: Any = models.load_tokenizer(checkpoint_folder)
    lead, options = models.forced_ids(QUESTION, FORM.lead_in[0], FORM, tokenizer)
    assert tokenizer.decode(lead) == "</think> answer"
    assert [tokenizer.decode(ids) for ids in options] == ["w1 <eos>", "w2 <eos>"]


def test_a_tokenizer_that_begins_texts_begins_every_prompt(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = word_tokenizer(tmp_path)
    tokenizer.bos_token = "w9"
    assert not models.adds_bos(tokenizer)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="w9 $A", special_tokens=[("w9", tokenizer.bos_token_id)]
    )
    assert models.adds_bos(tokenizer)
    _, ids = models.render_prompt(QUESTION, FORM, tokenizer)
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id
