from pathlib import Path
from typing import Any

import pytest

from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.teacher import examples
from mechcot.tasks.organism.tokenizer import build_tokenizer, prompt_text, vocabulary
from mechcot.tasks.organism.world import build_world

SETTINGS = OrganismSettings(diseases=30, chain_nodes=12)
WORLD = build_world(SETTINGS, 7)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder: Path = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(WORLD).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_vocabulary_is_the_tokenizers(tokenizer: Any) -> None:
    assert {word: i for i, word in enumerate(vocabulary(WORLD))} == tokenizer.get_vocab()
    assert len(tokenizer) == len(vocabulary(WORLD))
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<pad>", "<eos>")


def test_every_training_text_survives_the_round_trip(tokenizer: Any) -> None:
    for row in examples(WORLD, "rich", SETTINGS, 7, 50).itertuples():
        for text in (row.prompt, row.completion):
            ids = tokenizer(text)["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert len(ids) == len(text.split())
            for skip in (False, True):
                assert tokenizer.decode(ids, skip_special_tokens=skip) == text


def test_decoding_any_ids_and_encoding_again_gives_them_back(tokenizer: Any) -> None:
    ids = list(range(len(tokenizer)))
    assert tokenizer(tokenizer.decode(ids))["input_ids"] == ids


def test_offsets_are_the_words(tokenizer: Any) -> None:
    text = f"this suggests {WORLD.diseases[3]} . </think> answer {WORLD.drugs[3]}"
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert [text[start:end] for start, end in spans] == text.split()


def test_thinking_marks_split_off_without_blanks(tokenizer: Any) -> None:
    glued = tokenizer("<think>this .</think>answer")["input_ids"]
    assert glued == tokenizer("<think> this . </think> answer")["input_ids"]


def test_template_opens_the_reasoning(tokenizer: Any) -> None:
    turn = [{"role": "user", "content": "trace x ."}]
    rendered = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert rendered == prompt_text("trace x .") == "trace x . <think>"
    whole = [*turn, {"role": "assistant", "content": "x . </think> answer x"}]
    text = tokenizer.apply_chat_template(whole, tokenize=False)
    assert text == "trace x . <think> x . </think> answer x <eos>"


def test_unknown_words_are_unknown_tokens(tokenizer: Any) -> None:
    assert tokenizer("strange")["input_ids"] == [tokenizer.unk_token_id]
