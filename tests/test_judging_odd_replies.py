"""Replies and bodies as servers and models get them wrong: read rightly or not at all, never wrongly."""

from __future__ import annotations

import json

import pytest

from mechcot.asking.bodies import Trouble, read_body
from mechcot.asking.replies import Reply
from mechcot.judging.prompt import read_reply

LABELS = ("correct", "erroneous", "abstain", "not_checkable")
GOOD = '{"reason": "r", "label": "correct"}'
OTHER = '{"reason": "r", "label": "erroneous"}'

UNREAD = [
    f"assistant\n\n{OTHER}\n\nassistant\n\n{GOOD}",
    f"user\n\n{GOOD}",
    f"Here it is:\n```json\n{GOOD}\n```",
    f"{GOOD}\nHope it helps",
    f"{GOOD}\n{OTHER}",
    f"{GOOD}{GOOD}",
    f"[{GOOD}]",
    f'{{"verdict": {GOOD}}}',
    json.dumps(GOOD),
    '{"label": "erroneous", "reason": "r", "label": "correct"}',
    "{'label': 'erroneous', 'reason': 'r', 'label': 'correct'}",
    '{"reason": "r", "label": "correct", "label ": "erroneous"}',
    '{"reason": "r", "label": "correct", "confidence": 1}',
    "{\u201creason\u201d: \u201cr\u201d, \u201clabel\u201d: \u201ccorrect\u201d}",
    '{"reason": "r", // fine\n"label": "correct"}',
    '{"reason": NaN, "label": "correct"}',
    '{"reason": "r", "label": "correct", "x": Infinity}',
    '{"reason": 5, "label": "correct"}',
    '{"reason": null, "label": "correct"}',
    "{'reason': None, 'label': 'correct'}",
    '{"reason": "r", "label": "Correct"}',
    '{"reason": "r", "label": "CORRECT"}',
    '{"reason": "r", "label": " correct "}',
    '{"reason": "r", "label": "richtig"}',
    '{"reason": "r", "label": ["correct"]}',
    '{"reason": "r", "label": {"value": "correct"}}',
    '{"reason": "r", "label": null}',
    '{"reason": "r", "label": "correct|erroneous"}',
    '{"reason": "r", "label": "corr\u200bect"}',
    '{"reason": "r", "label": "\u0441orrect"}',
    '{"Reason": "r", "Label": "correct"}',
    '{"reason": "r"}',
    '{"reason": "r", "label": "corr',
    '{"reason": "r", "label": "correct"',
    '{"reason": "\\ud800", "label": "correct"}',
    '{reason: "r", label: "correct"}',
    '{\\"reason\\": \\"r\\", \\"label\\": \\"correct\\"}',
    '{"reason": "r", "label": "correct",,}',
    '{"reason": "r", "label": "correct", "n": ' + "9" * 6000 + "}",
    '{"a":' * 5000 + "1" + "}" * 5000,
    "[" * 100_000,
    "{'reason': __import__('os').getcwd(), 'label': 'correct'}",
    "{'correct'}",
    "reason: r\nlabel: correct",
    f"<think>hm {GOOD}",
    f'<tool_call>{{"name": "f", "arguments": {GOOD}}}</tool_call>',
    f"**{GOOD}**",
    f"> {GOOD}",
    "null",
    "true",
    "",
]
READ = [
    f"<|begin_of_box|>{GOOD}<|end_of_box|>",
    f"assistant\n\n{GOOD}",
    f"<think>hm {OTHER}</think>\n```json\n{GOOD}\n```",
    f"<|channel|>analysis<|message|>{OTHER}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}",
    '{"reason": "a\nb", "label": "correct"}',
    '{"reason": "a\x00b\x1b[31m", "label": "correct"}',
    '{"reason": "<script>", "label": "\\u0063orrect"}',
    "{'reason': \"it's\", 'label': 'correct',}",
    GOOD.replace(", ", ",\n\n"),
]


@pytest.mark.parametrize("reply", UNREAD, ids=lambda reply: ascii(reply[:40]))
def test_what_is_not_the_one_object_asked_for_is_no_verdict(reply: str) -> None:
    assert read_reply(reply, LABELS) is None


@pytest.mark.parametrize("reply", READ, ids=lambda reply: ascii(reply[:40]))
def test_the_one_object_is_read(reply: str) -> None:
    verdict = read_reply(reply, LABELS)
    assert verdict is not None
    assert verdict.label == "correct"
    assert "\x00" not in verdict.reason


def _body(content: object, message: dict[str, object] | None = None, **more: object) -> str:
    choice = {
        "message": {"role": "assistant", "content": content, **(message or {})},
        "finish_reason": "stop",
    }
    return json.dumps({"choices": [choice], "model": "m", "usage": {}, **more})


CALL = {"name": "verdict", "arguments": OTHER}
STREAM = [{"choices": [{"delta": {"content": piece}}]} for piece in (GOOD[:12], GOOD[12:])]
BODIES: list[tuple[str, str | int | None]] = [
    ("data: " + _body(GOOD) + "\n\ndata: [DONE]\n", None),
    ("".join(f"data: {json.dumps(piece)}\n\n" for piece in STREAM), None),
    (": PROCESSING\n\n" + _body(GOOD), None),
    ("<html><body>502 Bad Gateway</body></html>", None),
    ("", None),
    ("\x00", None),
    ("[" * 200_000, None),
    ('{"choices": ' + "9" * 6000 + "}", None),
    (json.dumps({"choices": []}), None),
    (json.dumps({"choices": None}), None),
    (json.dumps({"choices": {"0": 1}}), None),
    (json.dumps({"choices": ["x"]}), None),
    (json.dumps({"choices": [{"text": GOOD}]}), None),
    (json.dumps({"choices": [{"message": None}]}), None),
    (json.dumps({"output": [{"content": [{"type": "output_text", "text": GOOD}]}]}), None),
    (json.dumps({"candidates": [{"content": {"parts": [{"text": GOOD}]}}]}), None),
    (_body(5), None),
    (_body(True), None),
    (json.dumps({"error": {"message": "overloaded", "code": 529}}), 529),
    (json.dumps({"error": {"message": "m", "code": "\u00b2"}}), 503),
    (json.dumps({"error": {"message": "m", "code": "9" * 5000}}), 503),
    (json.dumps({"error": "rate limit"}), 429),
    (json.dumps({"detail": [{"loc": ["body"], "msg": "field required"}]}), 503),
    (_body(GOOD, error={"message": "late"}), 503),
    (_body(None, {"tool_calls": [{"type": "function", "function": CALL}]}), ""),
    (_body(None, {"function_call": CALL}), ""),
    (_body(None, {"refusal": "I cannot"}), "I cannot"),
    (_body(None, {"reasoning": GOOD}), GOOD),
    (_body("", {"reasoning": "long thoughts"}), "long thoughts"),
    (_body([{"type": "thinking", "thinking": OTHER}, {"type": "text", "text": GOOD}]), GOOD),
    (_body([{"type": "image_url"}]), ""),
    (_body([[GOOD]]), ""),
    (_body(GOOD, usage={"prompt_tokens": "9" * 5000, "completion_tokens": 7}), GOOD),
    (_body(GOOD, usage={"prompt_tokens": "\u00b2", "completion_tokens": 7}), GOOD),
    (_body(GOOD, usage={"prompt_tokens": -5, "completion_tokens": 7}), GOOD),
    (_body(GOOD, usage={"prompt_tokens": float("inf"), "completion_tokens": 7}), GOOD),
    (_body(GOOD, usage={"prompt_tokens": 10**400, "completion_tokens": 7}), GOOD),
    (_body(GOOD, usage=[1]), GOOD),
]


@pytest.mark.parametrize(("body", "says"), BODIES, ids=lambda value: ascii(str(value)[:50]))
def test_a_body_is_a_reply_or_says_what_is_wrong(body: str, says: str | int | None) -> None:
    found = read_body(body)
    if isinstance(says, str):
        assert isinstance(found, Reply)
        assert found.text == says
        assert (found.prompt_tokens, found.completion_tokens) == (0, 0)  # none of them counts
    else:
        assert isinstance(found, Trouble)
        assert found.status == says
