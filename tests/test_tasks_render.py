from pathlib import Path
from typing import Any

import pytest

from conftest import word_tokenizer
from mechcot.core.errors import ModelError
from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.models import checkpoint
from mechcot.tasks import Question, forced_ids, render_prompt, tokens
from mechcot.tasks.multiple_choice import prompt_format
from mechcot.tasks.render import check_thinking

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


SHOTS = {"shots": [{"question": "w5 w6", "solution": "w7 </think> answer w5"}]}


def _form(**settings: Any) -> Any:
    return prompt_format(PromptSettings(**{**PRESETS["organism"]["prompt"], **settings}))


def test_worked_questions_and_a_system_message_stand_before_the_question(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(tmp_path)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    text, _ = render_prompt(QUESTION, _form(**SHOTS, system="w8"), tokenizer)
    assert text == (
        "[system] w8\n[user] w5 w6\n[assistant] w7 </think> answer w5\n[user] w3 . options w1 w2\n[assistant]"
    )
    text, _ = render_prompt(QUESTION, _form(**SHOTS, chat=False), tokenizer)
    assert text == "w5 w6\n\nw7 </think> answer w5\n\nw3 . options w1 w2"


@pytest.mark.parametrize(
    ("template", "settings", "lost"),
    [
        ("{{ messages[0].content }}", SHOTS, "turn 1 \\(assistant\\)"),
        ("{{ messages[-1].content }}", {"system": "w8"}, "the system message"),
        # as templates do that keep earlier reasoning out of the prompt
        ("{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}", SHOTS, "turn 1"),
    ],
)
def test_a_template_that_drops_a_turn_is_refused(
    template: str, settings: dict, lost: str, tmp_path: Path
) -> None:
    tokenizer = word_tokenizer(tmp_path)
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=f"leaves out or changes {lost}"):
        render_prompt(QUESTION, _form(**settings), tokenizer)


def test_a_plain_text_has_no_system_message() -> None:
    with pytest.raises(ValueError, match="system: a plain text has none"):
        PromptSettings(chat=False, system="w8")


def test_what_is_not_used_leaves_older_studies_as_they_are() -> None:
    assert {"system", "shots"} & PromptSettings().basis().keys() == set()
    assert PromptSettings(**SHOTS).basis()["shots"] == SHOTS["shots"]


def test_a_switch_for_thinking_that_the_template_lacks_is_refused(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(tmp_path)
    check_thinking(QUESTION, _form(), tokenizer)  # nothing is asked for
    with pytest.raises(ModelError, match=r"has no switch for thinking .*prompt\.thinking=null"):
        check_thinking(QUESTION, _form(thinking=False), tokenizer)
    tokenizer.chat_template += "{% if not enable_thinking %}</think>{% endif %}"
    check_thinking(QUESTION, _form(thinking=False), tokenizer)
