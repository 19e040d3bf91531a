"""Bodies of chat completions: replies wherever they stand, errors that come with a 200, counts and none."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judging_cases import KEY, by_text, judge_file, judgement, questions, steps_of
from loopback import Answer, Loopback, verdict
from mechcot.asking.bodies import Trouble, read_body
from mechcot.asking.replies import Reply
from mechcot.asking.session import Session
from mechcot.asking.spending import Ledger
from mechcot.core.errors import JudgeError
from mechcot.judging.judge_file import read_judge
from mechcot.judging.llm import judge_by_llm

GOOD = '{"reason": "b", "label": "correct"}'
USAGE = {"prompt_tokens": 100, "completion_tokens": 10}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)


def body(message, finish="stop", usage=USAGE, **more):
    choice = {"message": message, "finish_reason": finish}
    return {"model": "m", "choices": [choice], "usage": usage, **more}


def raw(found):
    return Answer(body=json.dumps(found).encode())


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}

MESSAGES = [
    {"content": GOOD},
    {"content": [THINKING, {"type": "text", "text": GOOD}]},
    {"content": [{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": GOOD}]},
    {"content": [{"type": "text", "text": GOOD[:9]}, {"type": "text", "text": GOOD[9:]}]},
    {"content": [GOOD]},
    {"content": json.loads(GOOD)},
    {"content": None, "reasoning_content": GOOD},
    {"content": "", "reasoning": GOOD},
    {"content": "\n", "reasoning_content": f"hm</think>{GOOD}"},
    {"reasoning_content": GOOD},
    {"content": GOOD, "reasoning_content": "hm"},
]


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_a_reply_is_read_wherever_the_server_puts_it(tmp_path, message):
    with Loopback(lambda call: raw(body(message)), check=lambda call: FORCED) as server:
        done = judgement(tmp_path, server, steps_of(["a"]))
    assert done.rows[0]["label"] == "correct"
    assert not done.about["faults"]


FORCED = Answer('{"word": "forced"}', model="m")


@pytest.mark.parametrize("finish", [{"type": "stop", "matched": 151645}, {"reason": "stop"}, "stop", None, 0])
def test_the_reason_for_an_end_may_be_an_object(finish):
    found = read_body(json.dumps(body({"content": GOOD}, finish)))
    assert isinstance(found, Reply)
    assert found.text == GOOD
    assert found.finish_reason in ("stop", "", "0")


def test_a_cut_reply_is_known_by_an_object_as_well(tmp_path):
    cut = raw(body({"content": '{"reason": "th'}, {"type": "length", "length": 400}))
    with Loopback(lambda call: cut, check=lambda call: FORCED) as server:
        done = judgement(tmp_path, server, steps_of(["a"]), max_failure_share=1)
    assert done.rows[0]["reason"] == "unreadable twice: cut at max_tokens"


def test_a_refusal_may_be_a_part():
    found = read_body(json.dumps(body({"content": [{"type": "refusal", "refusal": "no"}]})))
    assert (found.text, found.finish_reason) == ("no", "refusal")


# --- errors in a body of 200 ------------------------------------------------------------------

ERRORS = [
    ({"error": {"message": "overloaded", "code": 503}}, "server_error"),
    ({"choices": None, "error": {"code": 502, "message": "upstream"}}, "server_error"),
    ({"choices": [], "error": {"message": "busy", "type": "overloaded_error"}}, "server_error"),
    ({"error": "overloaded"}, "server_error"),
    ({"error": {"message": "slow down", "code": "429"}}, "rate_limited"),
    ({"error": {"message": "slow down", "type": "rate_limit_error"}}, "rate_limited"),
    ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, "rate_limited"),
    ({"object": "error", "message": "engine dead", "code": 500}, "server_error"),
    ({"detail": "temporarily unavailable"}, "server_error"),
    (
        body({"content": ""}, "error") | {"choices": [{"error": {"code": 502, "message": "x"}}]},
        "server_error",
    ),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=str)
def test_an_error_in_a_body_of_200_is_waited_out(tmp_path, error, kind):
    seen = []

    def script(call):
        seen.append(call)
        return raw(error) if len(seen) <= 2 else by_text(call)

    with Loopback(script) as server:
        done = judgement(tmp_path, server, steps_of(["a"]))
    assert done.rows[0]["reason"] == "of a"
    assert done.about["faults"] == {kind: 2}


def test_it_is_waited_for_as_long_as_the_server_asks(tmp_path):
    def script(call):
        answer = raw({"error": {"message": "slow down", "code": 429}})
        answer.headers = {"Retry-After": "1"}
        return answer if len(server.calls) == 1 else by_text(call)

    with Loopback(script) as server:
        judgement(tmp_path, server, steps_of(["a"]))
        assert server.calls[1].at - server.calls[0].at >= 0.95


def test_the_message_of_an_error_is_kept_without_the_key(tmp_path):
    error = {"error": {"message": f"upstream of {KEY} is gone", "code": 502}}
    with Loopback(lambda call: raw(error)) as server:
        done = judgement(tmp_path, server, steps_of(["a"]), max_retries=0, max_failure_share=1)
    assert done.rows[0]["label"] == "api_failure"
    assert "HTTP 502: an error in a body of 200: upstream of [key] is gone" in done.rows[0]["reason"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ({"error": {"message": "no such key", "code": 401}}, "did not accept the key"),
        ({"error": {"message": "x", "type": "authentication_error"}}, "did not accept the key"),
        ({"error": {"message": "x", "code": "model_not_found"}}, "does not know the address or the model"),
    ],
)
def test_an_error_that_no_wait_mends_ends_it(tmp_path, error, says):
    with Loopback(by_text, check=lambda call: raw(error)) as server:
        with pytest.raises(JudgeError, match=says):
            judgement(tmp_path, server, steps_of(["a"]))
        assert len(server.checks) == 1


def test_an_error_about_the_content_is_not_asked_again(tmp_path):
    error = {"error": {"message": "too long", "code": 400}}
    with Loopback(lambda call: raw(error)) as server:
        done = judgement(tmp_path, server, steps_of(["a"]), max_failure_share=1)
        assert len(server.calls) == 1
    assert "too long" in done.rows[0]["reason"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "error", "usage", "text", "type", "code", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_body_is_worse_than_trouble(value):
    assert isinstance(read_body(json.dumps(value)), Reply | Trouble)


@pytest.mark.parametrize(
    "text", ["", "<html>", "[" * 100_000, '{"choices": [{"mess', '{"choices": [1]}', '{"choices": [{}]}']
)
def test_what_is_no_completion_says_no_error(text):
    found = read_body(text)
    assert isinstance(found, Trouble)
    assert found.status is None


# --- money --------------------------------------------------------------------------------------

COUNTED = [
    {"prompt_tokens": 100, "completion_tokens": 10},
    {"prompt_tokens": "100", "completion_tokens": "10"},
    {"prompt_tokens": 100.0, "completion_tokens": 10.0},
    {"input_tokens": 100, "output_tokens": 10},
]
UNCOUNTED = [
    None,
    {},
    {"prompt_tokens": 0, "completion_tokens": 0},
    {"prompt_tokens": None, "completion_tokens": 10},
    {"prompt_tokens": 100},
    {"prompt_tokens": "many", "completion_tokens": 10},
    {"prompt_tokens": -1, "completion_tokens": 10},
    {"prompt_tokens": True, "completion_tokens": True},
    [],
    "none",
]
PRICES = {"price_in": 1.0, "price_out": 1.0}


@pytest.mark.parametrize("usage", COUNTED, ids=str)
def test_what_is_counted_has_a_cost(tmp_path, usage):
    with Loopback(
        lambda call: raw(body({"content": GOOD}, usage=usage)), check=lambda call: FORCED
    ) as server:
        done = judgement(tmp_path, server, steps_of(["a"]), **PRICES)
    assert done.about["usage"]["cost"] == pytest.approx(110 / 1e6)
    assert done.about["usage"]["uncounted"] == 0


@pytest.mark.parametrize("usage", UNCOUNTED, ids=str)
def test_what_is_not_counted_has_no_cost(tmp_path, usage, caplog):
    """Not 0.00: unknown, wherever it is said; the budget is kept by the dearest that it may have been."""
    caplog.set_level(logging.INFO)
    bodies = {"a": body({"content": GOOD}, usage=usage), "b": body({"content": GOOD})}
    with Loopback(lambda call: raw(bodies[call.step]), check=lambda call: FORCED) as server:
        done = judgement(tmp_path, server, steps_of(["a", "b"]), **PRICES)
        used = done.about["usage"]
        assert (used["cost"], used["uncounted"], used["replies"]) == (None, 1, 2)
        assert (used["prompt_tokens"], used["completion_tokens"]) == (100, 10)
        assert "cost unknown: the server did not count 1 of the replies" in caplog.text
        assert "cost 0.00" not in caplog.text
        assert judgement(tmp_path, server, steps_of(["a", "b"]), **PRICES).about["usage"] == used
        with pytest.raises(JudgeError, match=r"the budget is 0\.0003"):  # far over what a counted call takes
            judgement(tmp_path, server, steps_of(["a", "b", "c"]), budget=0.0003, **PRICES)


def test_a_ledger_says_how_many_replies_it_could_not_count(tmp_path):
    ledger = Ledger()
    answers = {"a": verdict("correct"), "b": raw(body({"content": GOOD}, usage={}) | {"model": "fixture-1"})}
    with Loopback(lambda call: answers[call.step]) as server:
        path = judge_file(tmp_path, server.url, **PRICES)
        session = Session(read_judge(path), tmp_path / "work", 0, ledger=ledger, progress=False)
        judge_by_llm(steps_of(["a", "b"]), questions("q0"), session, name="j")
    assert ledger.uncounted == 1
