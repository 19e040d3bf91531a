"""A server's texts as completions: reasoning put back, ends found again as sampling here finds them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import WORDS, word_tokenizer
from mechcot.asking.bodies import Trouble
from mechcot.asking.choices import Choice, choices_of, read_choices
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.sampling.sampler import _append, _Row
from mechcot.sampling.stops import kept_of, stop_of
from mechcot.sampling.thoughts import Thoughts, joined, thoughts_of
from mechcot.tasks.tokens import decode
from test_serving import byte_tokenizer

TURNS = (
    "{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}{% if m.reasoning_content %}"
    "<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{% endif %}{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{{ opened }}{% endif %}"
)
OTHER_MARKS = TURNS.replace("<think>\n", "[THINK]").replace("\n</think>\n\n", "[/THINK]")
MESSAGES = [{"role": "user", "content": "Why?"}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return byte_tokenizer(tmp_path_factory.mktemp("bytes"))


def thoughts(tokenizer: Any, template: str | None) -> tuple[Thoughts, str]:
    tokenizer.chat_template = template
    prompt = "Why?"
    if template:
        prompt = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    return thoughts_of(tokenizer, MESSAGES if template else (), prompt, {}), prompt


@pytest.mark.parametrize(
    ("template", "opening", "closing"),
    [
        (TURNS, "<think>\n", "\n</think>\n\n"),
        (TURNS.replace("{{ opened }}", "<think>\n"), "", "\n</think>\n\n"),  # the prompt opens the thought
        (TURNS.replace("{{ opened }}", "<think>\n\n</think>\n\n"), "<think>\n", "\n</think>\n\n"),
        (OTHER_MARKS, "[THINK]", "[/THINK]"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ", "<think>\n", None),
        (
            "{{ messages[0].content + (messages[1].nothing.at_all if messages|length > 1 else '') }}",
            "<think>\n",
            None,
        ),
        (None, "<think>\n", None),
    ],
)
def test_reasoning_is_written_as_the_arm_s_own_template_writes_it(
    template: str | None, opening: str, closing: str | None, tokenizer: Any
) -> None:
    found, _ = thoughts(tokenizer, template)
    assert found == Thoughts(opening, "\n</think>\n\n" if closing is None else closing)


words = st.text("ab .\n", min_size=1).filter(str.strip)


@given(reasoning=words, answer=words, marks=st.sampled_from([TURNS, OTHER_MARKS]))
def test_what_a_model_wrote_is_found_again_whether_or_not_a_server_strips_it(
    tokenizer: Any, reasoning: str, answer: str, marks: str
) -> None:
    found, prompt = thoughts(tokenizer, marks)
    turn = {"role": "assistant", "content": answer.strip(), "reasoning_content": reasoning.strip()}
    whole = tokenizer.apply_chat_template([*MESSAGES, turn], tokenize=False)
    wrote = whole[len(prompt) :].removesuffix("\n")
    head, _, tail = wrote.partition(found.closing.strip())
    inside = head.removeprefix(found.opening.strip())
    # As vLLM parts a text at its marks, and as SGLang does and takes off the blanks beside them.
    assert joined(Choice(tail, inside, "stop"), found) == wrote
    assert joined(Choice(tail.strip(), inside.strip(), "stop"), found) == wrote


def test_a_mark_that_the_model_may_not_have_written_is_not_written() -> None:
    marks = Thoughts("<think>\n", "\n</think>\n\n")
    assert joined(Choice("", "so", "length"), marks) == "<think>\nso"
    assert joined(Choice(" \n", "so", "stop"), marks) == "<think>\nso"
    assert joined(Choice("so", None, "stop"), marks) == "so"
    assert joined(Choice("then", "\n\n", "stop"), marks) == "<think>\n\n</think>\n\nthen"


tokens = st.lists(st.integers(2, len(WORDS) - 1), max_size=30)


@given(ids=tokens, marks=st.sets(st.sampled_from(["w1", "w2 w3", "answer", "<think>"]), min_size=1))
def test_a_whole_text_ends_where_it_would_have_been_stopped(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], marks: set[str]
) -> None:
    tokenizer = _words(tmp_path_factory)
    settings = SamplingSettings(stop=tuple(sorted(marks)), stop_at_answer=False)
    stop = stop_of(settings, {}, None, tokenizer)  # type: ignore[arg-type]  # no answer is read
    row = _Row("q", 0, [], [])
    for token in ids:  # as the sampler does, token by token
        if row.tokens and row.tokens[-1] == 1:
            break
        _append(row, token, 0.0, (1,), stop)
    kept = kept_of(stop, "q", ids)
    assert row.tokens == (ids if kept is None else [*ids[:kept], 1])
    text = decode(tokenizer, ids)
    begun = re.match(f"(?:{'|'.join(sorted(marks))})*", text)
    assert begun is not None
    assert (kept is None) == (not any(mark in text[begun.end() :] for mark in marks))


_KEPT: list[Any] = []


def _words(factory: pytest.TempPathFactory) -> Any:
    if not _KEPT:
        _KEPT.append(word_tokenizer(Path(factory.mktemp("words"))))
    return _KEPT[0]


def body(*choices: dict[str, Any], **more: Any) -> str:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return json.dumps({"model": "m", "choices": list(choices), "usage": usage, **more})


def test_choices_are_read_in_their_order_with_what_each_server_calls_things() -> None:
    listed = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.25}]}
    reply = read_choices(
        body(
            {"index": 1, "message": {"content": "two", "reasoning": "r"}, "finish_reason": "length"},
            {"index": 0, "message": {"content": [{"type": "text", "text": "one"}]}, "logprobs": listed,
             "finish_reason": "stop"},
        )
    )  # fmt: skip
    assert not isinstance(reply, Trouble)
    assert (reply.returned_model, reply.prompt_tokens, reply.completion_tokens) == ("m", 7, 3)
    assert choices_of(reply) == [
        Choice("one", None, "stop", -1.75, (-0.5, -1.25)),
        Choice("two", "r", "length", None, ()),
    ]
    plain = read_choices(
        body({"text": "so", "logprobs": {"token_logprobs": [-1.0, -2.0]}, "finish_reason": "stop"})
    )
    assert not isinstance(plain, Trouble)
    assert choices_of(plain) == [Choice("so", None, "stop", -3.0, (-1.0, -2.0))]
    bare = read_choices(
        body({"message": {"content": "so", "reasoning_content": ""}, "finish_reason": "stop"})
    )
    assert not isinstance(bare, Trouble)
    assert choices_of(bare)[0].reasoning is None
    half = read_choices(body({"message": {"content": "a\ud800b"}, "finish_reason": "stop"}))
    assert not isinstance(half, Trouble)
    assert choices_of(half)[0].text.encode()  # a file can take it


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "text", "index", "logprobs", "token_logprobs", "logprob",
             "error", "refusal", "reasoning", "usage", "finish_reason", "model"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=14,
)  # fmt: skip


@given(json_values | st.builds(lambda c: {"choices": c}, st.lists(json_values, min_size=1, max_size=3)))
def test_no_body_breaks_the_reading(value: Any) -> None:
    found = read_choices(json.dumps(value))
    if not isinstance(found, Trouble):
        assert all(isinstance(choice, Choice) for choice in choices_of(found))


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", body(), body({"message": None}), body({"message": {"content": None}}), body({}),
     json.dumps({"error": {"message": "no", "code": 404}})],
)  # fmt: skip
def test_what_is_no_completion_is_trouble(text: str) -> None:
    assert isinstance(read_choices(text), Trouble)
