from pathlib import Path
from typing import Any

import pytest

from conftest import word_tokenizer
from mechcot.core import remade
from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.core.work import done_by
from mechcot.sampling import Completion, Prompt, token_offsets, trace_rows, traces
from mechcot.steps.table import token_span
from mechcot.tasks import Question
from mechcot.tasks.multiple_choice import prompt_format

FORM = prompt_format(PromptSettings(**PRESETS["organism"]["prompt"]))


def _byte_level(tmp_path: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<eos>"]
    )
    inner.train_from_iterator(["the patient has a fever . the answer is"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>")


def test_offsets_of_the_tokenizers_own_tokens(tmp_path: Path) -> None:
    tokenizer = _byte_level(tmp_path)
    text = "the patient é 中 has"
    ids = tokenizer(text)["input_ids"]
    spans = token_offsets(tokenizer, ids, text)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)


def test_offsets_of_tokens_the_tokenizer_would_not_choose(tmp_path: Path) -> None:
    tokenizer = _byte_level(tmp_path)
    text = "the 中 fever"
    alphabet = tokenizer.get_vocab()
    ids = [
        i
        for piece in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        for i in (alphabet[c] for c in piece[0])
    ]
    assert ids != tokenizer(text)["input_ids"]
    spans = token_offsets(tokenizer, ids, text)
    assert [text[a:b] for a, b in spans if b > a] == list(text)
    assert "".join(text[a:b] for a, b in spans) == text
    # The three bytes of one character: the last one spans it.
    assert [text[a:b] for a, b in spans][4:7] == ["", "", "中"]


def test_blanks_that_a_tokenizer_leaves_out_of_its_spans_are_of_the_token_that_holds_them(
    tmp_path: Path,
) -> None:
    from tokenizers import processors

    tokenizer = _byte_level(tmp_path)
    inner = tokenizer.backend_tokenizer
    inner.add_tokens([".\n\n"])
    inner.post_processor = processors.ByteLevel(trim_offsets=True)
    text = "the patient has.\n\n the fever"
    ids = tokenizer(text)["input_ids"]
    assert any(tokenizer.decode([token]) == ".\n\n" for token in ids)
    trimmed = [tuple(span) for span in tokenizer(text, return_offsets_mapping=True)["offset_mapping"]]
    spans = token_offsets(tokenizer, ids, text)
    assert spans != trimmed
    assert "".join(text[a:b] for a, b in spans) == text
    assert [text[a:b] for a, b in spans] == [tokenizer.decode([token]) for token in ids]
    step_end = text.index(".") + 1
    assert token_span(text, *zip(*spans, strict=True), 0, step_end)[2]  # it straddles, as it is
    plain = _byte_level(tmp_path)
    assert token_offsets(plain, plain("the fever")["input_ids"], "the fever")[-1][1] == 9


@pytest.mark.parametrize(("finish", "answer", "rule"), [("stop", 1, "strict"), ("length", -1, "truncated")])
def test_a_trace_row(tmp_path: Path, finish: str, answer: int, rule: str) -> None:
    tokenizer = word_tokenizer(tmp_path)
    ids = tokenizer("w3 . </think> answer w2")["input_ids"] + ([1] if finish == "stop" else [])
    question = Question("q", "d", "s", ("w1", "w2"), 0, "g")
    row = trace_rows(
        [Completion("q", 0, ids, finish, -1.0)], [Prompt("q", (7, 8))], {"q": question}, FORM, tokenizer, "a"
    )[0]
    assert row["text"] == "w3 . </think> answer w2"
    assert (row["answer"], row["answer_rule"]) == (answer, rule)
    assert len(row["token_start"]) == len(ids)
    assert row["reasoning_end"] == 5


class ByBytes:
    """An engine that does the tasks last first, of what it gets as bytes, as a worker does."""

    def do(self, function: Any, tasks: Any, resources: Any, save: Any, keep: Any) -> None:
        for task in reversed(tasks):
            apart, shared, own = remade.unpacked(remade.packed((function, resources, task)))
            keep(task, apart(shared, own))

    def rest(self) -> None:
        """Nothing is kept."""


def test_rows_made_in_pieces_by_workers_are_those_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = word_tokenizer(tmp_path)
    ids = tokenizer("w3 . </think> answer w2")["input_ids"]
    done = [Completion(f"q{i // 3}", i % 3, ids[: 2 + i], "length", -float(i)) for i in range(5)]
    questions = {f"q{i}": Question(f"q{i}", "d", "s", ("w1", "w2"), 0, "g") for i in range(2)}
    given = (done, [Prompt("q0", (7, 8)), Prompt("q1", (9,))], questions, FORM, tokenizer, "a")
    whole = trace_rows(*given)
    monkeypatch.setattr(traces, "PIECE", 2)
    assert trace_rows(*given) == whole
    with done_by(ByBytes()):
        assert trace_rows(*given) == whole
    assert [row["cid"] for row in whole] == [0, 1, 2, 0, 1]
