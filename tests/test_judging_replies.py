"""What is read of a reply: the one object in it, whatever stands round it, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.asking.replies import WRAPPERS, read_object
from mechcot.judging.prompt import read_reply

LABELS = ("correct", "erroneous", "abstain", "not_checkable")
GOOD = '{"reason": "b", "label": "correct"}'
OTHER = '{"reason": "b", "label": "erroneous"}'

WRAPPED = [
    GOOD,
    f"```json\n{GOOD}\n```",
    f"```JSON\n{GOOD}\n```",
    f"```\n{GOOD}\n```",
    f"```json {GOOD} ```",
    f"````json\n{GOOD}\n````",
    f"~~~json\n{GOOD}\n~~~",
    f"```json\n{GOOD}",
    f"{GOOD}\n```",
    f"`{GOOD}`",
    f"json\n{GOOD}",
    f"\ufeff{GOOD}",
    f"\u200b{GOOD}\u2060\n",
    f"{GOOD}<|im_end|>",
    f"{GOOD}</s>",
    f"{GOOD}\n<|eot_id|>\n<|end_of_text|>",
    f"{GOOD}<end_of_turn>\n",
    f"[THINK]hm[/THINK]{GOOD}",
    f"<think>hm</think>\n\n{GOOD}",
    f"hm</think>{GOOD}",
    f"<thinking>hm</thinking>{GOOD}",
    f"<seed:think>hm</seed:think>{GOOD}",
    f"\u25c1think\u25b7hm\u25c1/think\u25b7{GOOD}",
    f"<think>a {OTHER} would be hasty</think>```json\n{GOOD}\n```<|im_end|>",
    f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>",
    f"<|channel|>final <|constrain|>json<|message|>{GOOD}",
    f"analysishm {OTHER} no.assistantfinal{GOOD}",
    f"<json>{GOOD}</json>",
    f"<answer>\n```json\n{GOOD}\n```\n</answer>",
    '{"reason": "a\nb", "label": "correct"}',
    '{"reason": "a\tb", "label": "correct"}',
    '{"reason": "b", "label": "correct",}',
    '{"reason": "b", "label": "correct",\n}',
    "{'reason': 'b', 'label': 'correct'}",
    '{"reason": "it says </think> and ```", "label": "correct"}',
    '{"reason": "one {\\"label\\": \\"erroneous\\"} inside a text", "label": "correct"}',
    f"<|im_start|>assistant\n{GOOD}<|im_end|>",
    f"<|start_header_id|>assistant<|end_header_id|>\n\n{GOOD}<|eot_id|>",
    f"<start_of_turn>model\n{GOOD}<end_of_turn>",
    f"<\uff5cAssistant\uff5c>{GOOD}",
    f"<|START_THINKING|>x<|END_THINKING|><|START_RESPONSE|>{GOOD}<|END_RESPONSE|>",
]


@pytest.mark.parametrize("reply", WRAPPED)
def test_one_object_is_read_through_its_wrappers(reply: str) -> None:
    found = read_reply(reply, LABELS)
    assert found is not None
    assert found.label == "correct"


UNREADABLE = [
    "",
    "correct",
    "null",
    "[]",
    f"[{GOOD}]",
    f"<|im_start|>user\n{GOOD}<|im_end|>",
    f"<|begin_of_thought|>{GOOD}",
    json.dumps(GOOD),
    f"{OTHER}{GOOD}",
    f"{OTHER}\n{GOOD}",
    f"[{OTHER}, {GOOD}]",
    f"```json\n{OTHER}\n```\n```json\n{GOOD}\n```",
    f"Here it is: {GOOD}",
    f"{GOOD} I hope that helps.",
    f"a</think>{OTHER}</think>{GOOD}",
    f"<think>hm {GOOD}",
    f"<|channel|>final<|message|>{OTHER}<|channel|>final<|message|>{GOOD}",
    f"<json>{OTHER}</json><json>{GOOD}</json>",
    '{"label": "erroneous", "reason": "x", "label": "correct", "reason": "y"}',
    '{"label": "erroneous", "label": "correct", "reason": "y",}',
    "{'label': 'erroneous', 'label': 'correct', 'reason': 'y'}",
    '{"reason": "b", "label": "correct", "label": "correct"}',
    '{"reason": "b", "label": "correct"',
    '{"reason": "b", "label": "corr',
    '{"reason": "b", "label": "Right"}',
    '{"reason": "b", "label": "correct", "sure": true}',
    '{"reason": 1, "label": "correct"}',
    '{"label": "correct"}',
    '{"reason": "\\ud83d", "label": "correct"}',
    "[" * 100_000,
    "{'a':" * 10_000,
]


@pytest.mark.parametrize("reply", UNREADABLE, ids=lambda text: text[:40])
def test_what_is_not_one_object_is_not_read(reply: str) -> None:
    assert read_reply(reply, LABELS) is None


@given(st.text(), st.text(), st.sampled_from(LABELS))
def test_an_object_alone_is_read_as_it_is(reason: str, more: str, label: str) -> None:
    written = {"reason": reason + more, "label": label}
    for ascii_only in (True, False):
        assert read_object(json.dumps(written, ensure_ascii=ascii_only)) == written


@given(st.text(max_size=200))
def test_any_text_is_read_or_not_and_never_fails(text: str) -> None:
    read_object(text)
    for wrapper in WRAPPERS:
        inside = wrapper(text)
        assert inside is None or (len(inside) < len(text) and inside in text)
