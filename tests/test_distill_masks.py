from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import word_tokenizer
from mechcot.core.errors import DataError, ModelError, TrainingError
from mechcot.core.training_settings import TrainSettings
from mechcot.distill.masks import IGNORED, KINDS, Supervised, mask_report, supervised, trained_tokens

TEXTS = [
    "case w1 w2 . options w3 w4 <think>",
    "review options . this suggests w1 . </think> answer w3",
    "the answer is the answer, and the answer is w4",
] * 3


def byte_tokenizer(*, bos: bool = False) -> Any:
    """A byte-level BPE tokenizer trained on a few lines; with `bos` it opens a text with `<s>`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<eos>", "<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(TEXTS, trainer)
    if bos:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<eos>", **({"bos_token": "<s>"} if bos else {})
    )


@pytest.fixture(scope="module")
def byte_level() -> Any:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def word_level(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return word_tokenizer(tmp_path_factory.mktemp("words"))


def examples(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"eid": f"e{i}", "qid": "", "prompt": p, "completion": c, "answer_start": a}
            for i, (p, c, a) in enumerate(rows)
        ]
    )


def one(tokenizer: Any, prompt: str, completion: str, start: int = -1, **given: Any) -> Any:
    data = supervised(
        examples((prompt, completion, start)), tokenizer, TrainSettings.model_validate(given), context=None
    )
    return data.rows[0]


def texts(tokenizer: Any, row: Any) -> dict[str, str]:
    return {kind: tokenizer.decode(row.input_ids[start:end].tolist()) for kind, start, end in row.spans}


REASONING, ANSWER = "w1 w2 . w3 .", "</think> answer w3"
START = len(REASONING) + 1


def test_word_level_row_is_prompt_reasoning_answer_end(word_level: Any) -> None:
    row = one(word_level, "w5 w6 <think>", f"{REASONING} {ANSWER}", START)
    assert texts(word_level, row) == {
        "prompt": "w5 w6 <think>",
        "reasoning": REASONING,
        "answer": ANSWER,
        "end": "<eos>",
    }
    assert row.labels.tolist() == [IGNORED] * 3 + row.input_ids[3:].tolist()


@pytest.mark.parametrize(
    ("loss_on", "trained"),
    [(("answer",), {"answer"}), (("reasoning",), {"reasoning"}), (("answer", "end"), {"answer", "end"})],
)
@pytest.mark.parametrize("level", ["word_level", "byte_level"])
def test_only_the_named_parts_are_trained(
    level: str, loss_on: tuple[str, ...], trained: set[str], request: pytest.FixtureRequest
) -> None:
    row = one(request.getfixturevalue(level), "w5 <think>", f"{REASONING} {ANSWER}", START, loss_on=loss_on)
    for kind, start, end in row.spans:
        labels, ids = row.labels[start:end], row.input_ids[start:end]
        assert (labels == (ids if kind in trained else IGNORED)).all()
    assert [span.kind for span in row.spans] == list(KINDS)


def test_no_token_merges_across_the_boundary(byte_level: Any) -> None:
    prompt, completion = "the ans", "wer is the answer"
    together = byte_level(prompt + completion, add_special_tokens=False)["input_ids"]
    alone = byte_level(prompt, add_special_tokens=False)["input_ids"]
    assert together[: len(alone)] != alone  # else this text would prove nothing
    row = one(byte_level, prompt, completion)
    assert row.input_ids[: len(alone)].tolist() == alone
    assert texts(byte_level, row)["prompt"] == prompt
    assert texts(byte_level, row)["reasoning"] == completion


def test_a_token_that_straddles_the_answer_start_is_answer(byte_level: Any) -> None:
    completion = "so the answer is w4"
    start = completion.index("nswer")  # inside the token " answer"
    row = one(byte_level, "p", completion, start)
    assert texts(byte_level, row)["reasoning"] == "so the"
    assert texts(byte_level, row)["answer"] == " answer is w4"


def test_an_answer_from_the_first_character_leaves_no_reasoning(word_level: Any) -> None:
    row = one(word_level, "w1", "answer w3", 0)
    assert [span.kind for span in row.spans] == ["prompt", "answer", "end"]


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=20),
    st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=40),
    st.data(),
)
def test_any_text_is_tiled_by_its_spans(prompt: str, completion: str, data: st.DataObject) -> None:
    tokenizer = byte_tokenizer_once()
    start = data.draw(st.integers(-1, len(completion) - 1))
    row = one(tokenizer, prompt, completion, start)
    assert row.spans[0].start == 0
    assert row.spans[-1].end == len(row.input_ids)
    assert all(a.end == b.start for a, b in zip(row.spans, row.spans[1:], strict=False))
    trained = row.labels != IGNORED
    assert (row.labels[trained] == row.input_ids[trained]).all()
    assert not trained[: row.spans[0].end].any()
    assert trained[row.spans[0].end :].all()
    ends = [tokenizer.decode(row.input_ids[s:e].tolist()) for kind, s, e in row.spans if kind != "end"]
    # Characters cut between tokens decode to a replacement mark in parts; whole rows always agree.
    body = row.input_ids[: row.spans[-1].start].tolist()
    assert tokenizer.decode(body) == prompt + completion
    assert len(ends) >= 2


_once: list[Any] = []


def byte_tokenizer_once() -> Any:
    if not _once:
        _once.append(byte_tokenizer())
    return _once[0]


def test_one_beginning_of_text_and_never_two() -> None:
    tokenizer = byte_tokenizer(bos=True)
    bos = tokenizer.bos_token_id
    for prompt in ("case w1", "<s>case w1"):
        ids = one(tokenizer, prompt, "w2").input_ids.tolist()
        assert ids[0] == bos
        assert ids.count(bos) == 1
    with pytest.raises(DataError, match="'e0': its prompt begins with two beginning-of-text tokens"):
        one(tokenizer, "<s><s>case", "w2")


def test_a_tokenizer_that_has_a_bos_but_adds_none_adds_none() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = "<s>"
    assert tokenizer.bos_token_id not in one(tokenizer, "case w1", "w2").input_ids


def test_too_long_rows_are_refused_or_cut_and_counted(word_level: Any) -> None:
    rows = examples(("w1 w2", "w3 w4 w5", -1), ("w1 w2", "w3 w4 w5 w6 w7 w8", -1))
    with pytest.raises(DataError, match=r"'e1' has 9 tokens, max_length allows 7 .*context=64"):
        supervised(rows, word_level, TrainSettings(max_length=7), context=64)
    with pytest.raises(DataError, match=r"'e1' has 9 tokens, the model's context allows 8"):
        supervised(rows, word_level, TrainSettings(max_length=20), context=8)
    data = supervised(rows, word_level, TrainSettings(max_length=7, allow_truncation=True), context=64)
    assert data.n_truncated == 1
    assert [len(row.input_ids) for row in data.rows] == [6, 7]
    assert [span.kind for span in data.rows[1].spans] == ["prompt", "reasoning"]
    report = mask_report(data, word_level)
    assert "truncated: 1 of 2 rows" in report
    assert "end of text trained: NO, only in 1 of 2 rows" in report


def test_a_row_without_a_trained_token_is_an_error(word_level: Any) -> None:
    with pytest.raises(
        TrainingError, match=r"'e0': no token of it would be trained: loss_on is \['answer'\]"
    ):
        one(word_level, "w1", "w2 w3", -1, loss_on=["answer"])
    with pytest.raises(TrainingError, match="no token of it would be trained"):
        one(word_level, "w1 w2 w3", "w2 w3", max_length=3, allow_truncation=True)


def test_texts_that_cannot_be_learned_are_errors(word_level: Any) -> None:
    with pytest.raises(DataError, match="'e0': its completion holds the end of text '<eos>'"):
        one(word_level, "w1", "w2 <eos>")
    with pytest.raises(DataError, match=r"'e0': its completion holds text .* \(token 2 of 2"):
        one(word_level, "w1", "w2 unheard")


def test_a_tokenizer_without_end_of_text_is_an_error() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-text token"):
        one(tokenizer, "a", "b")


def test_digest_is_stable_and_tells_labels_and_boundaries_apart(word_level: Any) -> None:
    rows = [("w1 w2", "w3 w4", 3), ("w1", "w2 w3", -1)]

    def digest(*rows: tuple[str, str, int], **given: Any) -> str:
        made = supervised(examples(*rows), word_level, TrainSettings.model_validate(given), context=None)
        return made.digest

    base = digest(*rows)
    assert base == digest(*rows)
    others = [
        digest(*reversed(rows)),
        digest(*rows, loss_on=["reasoning", "end"]),
        digest(("w1", "w2 w3 w4", -1), rows[1]),
        digest(rows[0]),
    ]
    assert len({base, *others}) == 5


def test_report_shows_counts_and_marks_trained_text(word_level: Any) -> None:
    rows = examples(*[("w5 <think>", f"{REASONING} {ANSWER}", START)] * 4)
    data = supervised(rows, word_level, TrainSettings(loss_on=("answer", "end")), context=None)
    report = mask_report(data, word_level, rows=2)
    assert "4 rows, 44 tokens (longest row 11), 16 trained" in report
    assert "prompt    0 of 8 tokens trained" in report
    assert "answer    12 of 12 tokens trained" in report
    assert "end of text trained: yes, in all 4 rows" in report
    assert f"answer    [[{ANSWER}]]" in report
    assert f"reasoning {REASONING}\n" in report
    assert "end       [[<eos>]]" in report
    assert data.digest in report
    assert "row 2 of 4" in report
    assert "row 3 of 4" not in report
    assert trained_tokens(data) == {"prompt": (0, 8), "reasoning": (0, 20), "answer": (12, 12), "end": (4, 4)}


def test_rows_are_arrays_of_int32(word_level: Any) -> None:
    data = supervised(examples(("w1", "w2", -1)), word_level, TrainSettings(), context=None)
    assert isinstance(data, Supervised)
    assert data.rows[0].input_ids.dtype == np.int32
    assert data.rows[0].labels.dtype == np.int32


def test_the_tokenizer_is_left_as_it_was(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(tmp_path)
    before = (tokenizer.padding_side, tokenizer.pad_token, tokenizer.truncation_side, len(tokenizer))
    one(tokenizer, "w1", "w2")
    after = (tokenizer.padding_side, tokenizer.pad_token, tokenizer.truncation_side, len(tokenizer))
    assert before == after


# --- the seam between prompt and completion -------------------------------------------------------


def sentencepiece(kind: str) -> Any:
    """Tokenizers that begin every text with a blank, in the three ways in which files have it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "<|im_end|>"]
    if kind == "prepend":
        inner = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        inner.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
        inner.decoder = decoders.Sequence(
            [
                decoders.Replace("\u2581", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        special += [f"<0x{n:02X}>" for n in range(256)]
    else:
        inner = Tokenizer(models.BPE(unk_token="<unk>"))
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind)
        inner.decoder = decoders.Metaspace(prepend_scheme=kind)
    lines = ["The answer is (B). It is low. Question: what? Answer: yes\n\n a b|c"] * 50
    inner.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="<|im_end|>", unk_token="<unk>"
    )


SEAMS = [
    ("Question: what?\n", "The answer is (B)."),
    ("Answer:", " The answer is (B)."),
    ("Answer: ", "The answer is (B)."),
    ("Question: what?\nAnswer:\n", "\nIt is low."),
    ("a b|", "It is (B)."),
]


@pytest.mark.parametrize("kind", ["first", "always", "prepend"])
@pytest.mark.parametrize(("prompt", "completion"), SEAMS)
def test_no_blank_is_trained_that_stands_in_neither(kind: str, prompt: str, completion: str) -> None:
    tokenizer = sentencepiece(kind)
    row = one(tokenizer, prompt, completion)
    text = tokenizer.decode(row.input_ids[:-1].tolist(), clean_up_tokenization_spaces=False)
    assert text.lstrip(" ") == prompt + completion
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert row.input_ids[: len(prompt_ids)].tolist() == prompt_ids  # as the student is asked


def test_the_answer_part_is_found_behind_the_seam() -> None:
    tokenizer = sentencepiece("first")
    completion = "It is low. The answer is (B)."
    row = one(tokenizer, "Question: what?\n", completion, completion.index("(B)"))
    assert texts(tokenizer, row)["answer"] == "(B)."


def test_a_seam_that_cannot_be_without_a_blank_is_refused() -> None:
    """A tokenizer that puts a blank before every text and behind every mark there is."""
    from tokenizers.pre_tokenizers import Metaspace, Sequence, Split

    tokenizer = sentencepiece("first")
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [*(Split(mark, "isolated") for mark in "\n:|"), Metaspace(prepend_scheme="always")]
    )
    says = r"'e0': between its prompt 'Question: what\?\\n' and its completion 'The answer is \(B\)"
    with pytest.raises(DataError, match=says):
        one(tokenizer, "Question: what?\n", "The answer is (B).")


# --- marks of chat templates ----------------------------------------------------------------------


MARKS = [
    "<|im_end|>",
    "<|eot_id|>",
    "</s>",
    "<end_of_turn>",
    "<|im_start|>",
    "[/INST]",
    "<|return|>",
    "<turn|>",
]


@pytest.mark.parametrize("mark", [*MARKS, "<\uff5cend\u2581of\u2581sentence\uff5c>"])
@pytest.mark.parametrize("behind", ["", "\n", "\nuser\nnext?"])
def test_a_mark_of_any_chat_template_is_refused_in_a_completion(
    byte_level: Any, mark: str, behind: str
) -> None:
    with pytest.raises(DataError, match="'e0': its completion holds a chat template's mark") as error:
        one(byte_level, "p", f"the answer is w4{mark}{behind}")
    assert mark in str(error.value)
    one(byte_level, f"p{mark}", "the answer is w4")  # a prompt is written by a template


@pytest.mark.parametrize(
    "text", ["a < |b| > c", "x <| f |> y", "<think>w1</think> w4", "[1] <b>w4</b>", "a|b|c"]
)
def test_what_only_looks_like_a_mark_is_trained(byte_level: Any, text: str) -> None:
    assert texts(byte_level, one(byte_level, "p", text))["reasoning"] == text
