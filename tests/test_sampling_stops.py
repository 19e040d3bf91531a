"""Completions that go on after their answer: where they are stopped, and what is kept of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiny_model, word_tokenizer
from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.checkpoint import Checkpoint
from mechcot.sampling import Prompt, sample, stop_of
from mechcot.tasks import Question, finished_at
from mechcot.tasks.answers.read import reading_of
from mechcot.tasks.answers.turns import turn_marks
from mechcot.tasks.multiple_choice import prompt_format
from mechcot.tasks.organism.checker import FORMAT

QUESTION = Question("q", "d", "s", ("heparin", "aspirin"), 0, "g")
FORM = prompt_format(PromptSettings())
REASONED = "The man has a clot in his leg and it is growing fast.\n"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<eos>"]
    )
    inner.train_from_iterator(["the answer is .\n\n Question"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>")


def _written(tokenizer: Any, text: str, settings: SamplingSettings, form: Any = FORM) -> str | None:
    """What is kept of a text that is written token by token; None: it is never stopped."""
    stop = stop_of(settings, {"q": QUESTION}, form, tokenizer)
    ids = tokenizer(text)["input_ids"]
    for count in range(1, len(ids) + 1):
        kept = stop("q", ids[:count]) if stop else None
        if kept is not None:
            return str(tokenizer.decode(ids[:kept]))
    return None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"{REASONED}The answer is (B).\nQuestion 2 of 3: a man\n", f"{REASONED}The answer is (B)."),
        (f"{REASONED}The answer is (B).\n\nQuestion 2", f"{REASONED}The answer is (B)."),
        # Another way to answer counts once another question begins.
        (f"{REASONED}Answer: B\n\nQuestion 2:\n", f"{REASONED}Answer: B"),
        (f"{REASONED}Answer: B\n\nThis is because\n", None),
        # It may explain an answer that it gives first.
        (f"The answer is (B).\n{REASONED}{REASONED}", None),
        (f"{REASONED}The answer is (B).", None),
        (f"{REASONED}If he is allergic, the answer is (B).\nElse not.\n", None),
    ],
)
def test_a_completion_stops_once_it_has_answered(tokenizer: Any, text: str, kept: str | None) -> None:
    got = _written(tokenizer, text, SamplingSettings())
    assert (got.rstrip() if got else got) == kept
    assert _written(tokenizer, text, SamplingSettings(stop_at_answer=False)) is None


def test_stop_strings_are_left_out_with_all_behind_them(tokenizer: Any) -> None:
    settings = SamplingSettings(stop=("###", "\nUser:"), stop_at_answer=False)
    assert _written(tokenizer, "K is low. ### More", settings) == "K is low. "
    assert _written(tokenizer, "K is low.\nUser: and?", settings) == "K is low."
    assert _written(tokenizer, "K is low. ## More", settings) is None


def test_a_text_that_begins_with_stop_strings_is_stopped_by_a_later_one(tokenizer: Any) -> None:
    settings = SamplingSettings(stop=("\n\n", "###"), stop_at_answer=False)
    for begins in ("\n\n", "###", "\n\n### \n", "\n\n\n"):
        assert _written(tokenizer, f"{begins}K is low.\n\nMore", settings) == f"{begins}K is low."
        assert _written(tokenizer, f"{begins}K is low.", settings) is None


def test_the_organism_is_never_stopped(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(tmp_path)
    assert stop_of(SamplingSettings(), {}, FORMAT, tokenizer) is None
    assert PRESETS["organism"]["sampling"].keys().isdisjoint({"stop", "stop_at_answer"})


def test_a_stopped_completion_ends_with_the_end_of_text_and_the_others_stay_as_they_were(
    tmp_path: Path,
) -> None:
    checkpoint = Checkpoint("tiny", tiny_model("qwen3"), None, (1,), 128)
    prompts = [Prompt(f"q{i}", (6 + i, 7, 8)) for i in range(3)]
    settings = SamplingSettings(samples=2, temperature=0.9, max_new_tokens=12, batch_rows=8)

    def stop(qid: str, ids: Any) -> int | None:
        return 3 if qid == "q1" and len(ids) == 5 else None

    keys: dict[str, Any] = {"arm": "a", "seed": 2, "progress": False}
    free = sample(checkpoint, prompts, settings, work=tmp_path / "free", **keys)
    stopped = sample(checkpoint, prompts, settings, work=tmp_path / "stopped", stop=stop, **keys)
    assert any(len(completion.token_ids) >= 5 for completion in free if completion.qid == "q1")
    for before, after in zip(free, stopped, strict=True):
        if before.qid == "q1" and len(before.token_ids) >= 5:
            assert after.token_ids == [*before.token_ids[:3], 1]
            assert after.finish_reason == "stop"
            assert 0 > after.sum_logprob > before.sum_logprob
        else:
            assert after.token_ids == before.token_ids
            assert after.sum_logprob == pytest.approx(before.sum_logprob, abs=1e-4)


lines = st.sampled_from(
    [
        "The answer is (A).",
        "So heparin fits.",
        "Question: and now?",
        "The answer is (B).",
        "",
        "user: more",
        "A)",
    ]
)


@given(st.lists(lines, max_size=9), st.sampled_from(["", "</think>"]))
def test_a_text_without_a_place_where_another_begins_is_its_own(written: list[str], end: str) -> None:
    """So that it need not be read for its answer at every line."""
    text, form = "\n".join(written), replace(FORM, reasoning_end=end)
    found = reading_of(text, QUESTION, form).end
    assert found == len(text) or next(turn_marks(text), None) is not None
    if found < len(text):
        assert finished_at(text, QUESTION, form) == found
