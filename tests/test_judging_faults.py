"""A server with every fault there is: no verdict is lost, each fault is counted, no key is left behind."""

import json
import logging
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from judging_cases import KEY, by_text, judge_file, judgement, planned, questions, steps_of
from loopback import Answer, Loopback, verdict
from mechcot.asking.dialects import WALK
from mechcot.core.errors import JudgeError
from mechcot.judging.instrument import instrument_digest
from mechcot.judging.judge_file import read_judge


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)


def test_every_fault_is_counted_and_costs_no_verdict(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"error": {"message": f"no: {KEY}", "authorization": f"Bearer {KEY}"}}).encode()
    first = {
        "busy": (Answer(status=429, body=echo, headers={"Retry-After": "0.1"}), "rate_limited"),
        "broken": (Answer(status=500, body=echo), "server_error"),
        "gateway": (Answer(status=502, body=b"<html>"), "server_error"),
        "slow": (Answer("late", delay=1.5), "timeout"),
        "reset": (Answer(reset=True), "connection"),
        "half a body": (Answer(body=b'{"choices": [{"mess'), "no_completion"),
        "half a verdict": (Answer('{"reason": "the li', finish_reason="length"), "unreadable"),
        "other label": (verdict("wrong"), "unreadable"),
        "empty": (Answer(""), "unreadable"),
        "refuses": (Answer(None, refusal=f"no, {KEY}"), "refusal"),
        "other model": (verdict("correct", model="fixture-2"), "other_model"),
    }
    seen = Counter()

    def script(call):
        seen[call.step] += 1
        if seen[call.step] == 1 and call.step in first:
            return first[call.step][0]
        return by_text(call)

    texts = [*first, *(f"claim {i}" for i in range(20))]
    with Loopback(script) as server:
        done = judgement(tmp_path, server, steps_of(texts), timeout=1.0, concurrency=16)
    assert [row["reason"] for row in done.rows] == [f"of {text}" for text in texts]
    assert seen == {text: 2 if text in first else 1 for text in texts}
    assert done.about["faults"] == Counter(kind for _, kind in first.values())
    assert done.about["api_failures"] == 0
    said = caplog.text + "".join(str(vars(record)) for record in caplog.records) + str(done)
    assert KEY not in said
    assert "1 refusal" in caplog.text
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes(), file


def test_a_key_in_the_body_of_a_refused_start_is_nowhere(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    refusal = Answer(status=401, body=json.dumps({"error": {"message": f"Incorrect key: {KEY}"}}).encode())
    with Loopback(by_text, check=lambda call: refusal) as server:
        with pytest.raises(JudgeError, match=r"start-up.* did not accept the key.*JUDGE_KEY") as caught:
            judgement(tmp_path, server, steps_of(["a"]))
        assert not server.calls
        assert server.checks[0].headers["authorization"] == f"Bearer {KEY}"
    error = caught.value
    assert error.__cause__ is None
    assert KEY not in f"{error!r} {error.__context__!r} {caplog.text}"
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and KEY.encode() in f.read_bytes()]


def test_failures_above_the_allowed_share_fail_the_run_and_those_below_do_not(tmp_path):
    def script(call):
        return Answer(status=400, body=b"{}") if call.step == "mute" else by_text(call)

    with Loopback(script) as server:
        enough = steps_of(["mute", *(f"claim {i}" for i in range(199))])
        done = judgement(tmp_path, server, enough)  # 1 of 200 is the 0.5 % that is allowed
        assert done.rows[0]["label"] == "api_failure"
        assert done.about["api_failures"] == 1
        with pytest.raises(JudgeError, match="1 of 199 steps got no verdict: 1 api_failure, 0 parse_failure"):
            judgement(tmp_path, server, enough.iloc[:199])


@pytest.mark.parametrize("dated", [False, True])
def test_a_rate_limit_holds_back_every_call(tmp_path, dated):
    refused, at = [], []

    def script(call):
        if not refused:
            refused.append(time.monotonic())
            wait = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if dated else "1"
            return Answer(status=429, body=b"{}", headers={"Retry-After": wait})
        at.append(time.monotonic() - refused[0])
        return by_text(call)

    with Loopback(script) as server:
        judgement(tmp_path, server, steps_of([f"claim {i}" for i in range(8)]), concurrency=1)
    assert len(at) == 8
    assert min(at) >= 0.95


def test_a_wait_longer_than_ten_minutes_is_not_waited_for(tmp_path):
    with Loopback(lambda call: Answer(status=429, body=b"{}", headers={"Retry-After": "3600"})) as server:
        done = judgement(tmp_path, server, steps_of(["a"]), max_failure_share=1)
        assert len(server.calls) == 1
    assert done.rows[0]["label"] == "api_failure"


# --- which model answers ----------------------------------------------------------------------


def test_a_server_that_changes_its_model_is_another_judge(tmp_path):
    now = ["m-1"]

    def answer(call):
        return Answer('{"word": "free"}', model=now[0]) if call.is_check else verdict("correct", model=now[0])

    def script(call):
        if len(server.calls) == 11:
            now[0] = "m-2"
        return answer(call)

    steps = steps_of([f"claim {i}" for i in range(80)])
    with Loopback(script, check=answer) as server:
        with pytest.raises(JudgeError, match=r"answered as 'm-2', not as 'm-1'.*run again to go on"):
            judgement(tmp_path, server, steps, concurrency=1)
        sent = len(server.calls)
        assert sent == 10 + 16 * 2  # each call once more, then 16 in a row are enough
        done = judgement(tmp_path, server, steps, concurrency=1)
        # Replies that the new model gave in the first run are its own, and not asked for again.
        assert len(server.calls) - sent == 80 - 16
        judge = read_judge(tmp_path / "judge.yaml")
        assert done.instrument == f"judge-{instrument_digest(judge, 'm-2')[:8]}"
        assert done.instrument != f"judge-{instrument_digest(judge, 'm-1')[:8]}"
        now[0] = "m-1"
        left = planned(tmp_path / "judge.yaml", tmp_path / "work", steps, questions("q0"))
        assert left.calls == 0


def test_a_model_that_comes_back_is_asked_nothing_twice(tmp_path):
    now = ["m-2"]

    def answer(call):
        return Answer('{"word": "free"}', model=now[0]) if call.is_check else verdict("correct", model=now[0])

    steps = steps_of([f"claim {i}" for i in range(5)])
    with Loopback(answer, check=answer) as server:
        first = judgement(tmp_path, server, steps)
        now[0] = "m-1"
        judgement(tmp_path, server, steps_of(["other"]))
        now[0] = "m-2"
        sent = len(server.calls)
        # As far as was known m-1 answers, of which nothing is kept; the start-up call finds m-2.
        assert judgement(tmp_path, server, steps).rows == first.rows
        assert len(server.calls) == sent


# --- the start-up call ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "form", "found"),
    [
        ('{"word": "forced"}', "json_schema", True),
        ('{"word": "free"}', "json_schema", False),
        ("I will", "json_schema", False),
        ('{"word": "free"}', "json_object", None),
        ('{"word": "free"}', "none", None),
    ],
)
def test_whether_the_server_enforces_a_schema_is_found_and_told(tmp_path, said, form, found, caplog):
    with Loopback(by_text, check=lambda call: Answer(said)) as server:
        done = judgement(tmp_path, server, steps_of(["a"]), response_format=form)
        assert len(server.checks) == (len(WALK) if found is False else 1)
    assert done.about["server_enforces_schema"] is found
    assert ("does not enforce" in caplog.text) == (found is False)
    judge = read_judge(tmp_path / "judge.yaml")
    assert done.about["digest"] == instrument_digest(judge, "fixture-1")
    sent = server.checks[0].body.get("response_format", {}).get("type")
    assert sent == (None if form == "none" else form)


def test_a_server_that_does_not_enforce_a_schema_is_told_of_once(tmp_path, caplog):
    with Loopback(by_text, check=lambda call: Answer('{"word": "free"}')) as server:
        for text in "abc":
            judgement(tmp_path, server, steps_of([text]))
        assert len(server.checks) == len(WALK) + 2  # what was settled on is asked about again
    assert caplog.text.count("does not enforce") == 1


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("json_schema", r"unsupported; the server was asked in every way \(json_schema, .*, none\)"),
        ("json_object", r"unsupported.*write json_schema or none into the judge file"),
    ],
)
def test_a_server_that_refuses_every_start_up_call_says_why(tmp_path, form, says):
    refusal = Answer(status=400, body=b'{"error": {"message": "response_format unsupported"}}')
    with Loopback(by_text, check=lambda call: refusal) as server:
        with pytest.raises(JudgeError, match=says):
            judgement(tmp_path, server, steps_of(["a"]), response_format=form)
        assert not server.calls


# --- samples ----------------------------------------------------------------------------------


def test_a_further_sample_is_asked_for_with_a_seed_of_its_own(tmp_path):
    with Loopback(by_text) as server:
        for sample in (0, 1, 1):
            judgement(tmp_path, server, steps_of(["a", "b"]), sample=sample, seed=7)
        assert Counter(call.body["seed"] for call in server.calls) == {7: 2, 8: 2}


def test_the_judge_file_holds_no_key_and_makes_the_same_sidecar_every_time(tmp_path):
    with Loopback(by_text) as server:
        first = judgement(tmp_path, server, steps_of(["a"]))
        again = judgement(tmp_path, server, steps_of(["a"]))
        assert len(server.calls) == 1
    assert first == again
    assert judge_file(tmp_path, "http://127.0.0.1:9/v1").read_text().count("JUDGE_KEY") == 1
    assert "JUDGE_KEY" not in json.dumps(first.about)
    assert first.about["usage"] == {
        "steps_asked": 1,
        "calls": 1,
        "replies": 1,
        "uncounted": 0,
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "cost": None,
    }
