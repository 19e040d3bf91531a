"""Servers that hold a reply to a schema each in a way of their own, or in none."""

import json
import logging
import re
import sqlite3

import pytest

from judging_cases import by_text, judge_file, judgement, planned, questions, steps_of
from loopback import Answer, Loopback
from mechcot.asking.cache import CACHE
from mechcot.asking.dialects import DIALECTS, WALK
from mechcot.core.errors import JudgeError
from mechcot.judging.instrument import instrument_digest
from mechcot.judging.judge_file import read_judge

FREE, FORCED = Answer('{"word": "free"}'), Answer('{"word": "forced"}')
REFUSED = Answer(status=400, body=b'{"error": {"message": "extra_forbidden"}}')
FAILED = Answer(
    status=500, body=b'{"error": {"message": "1 validation error", "type": "internal_server_error"}}'
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", "none")


def dialect(body):
    """Which dialect a request speaks, by its fields alone."""
    form = body.get("response_format")
    if form is None:
        own = [name for name in ("structured_outputs", "guided_json") if name in body]
        return own[0] if own else "none"
    return "json_object+schema" if form["type"] == "json_object" and "schema" in form else form["type"]


def server(enforced, others):
    """A server that enforces one dialect; what it says to the others at the start."""

    def check(call):
        spoken = dialect(call.body)
        return FORCED if spoken == enforced else others.get(spoken, FREE)

    def script(call):
        held = dialect(call.body) == enforced
        return by_text(call) if held or enforced == "none" else Answer("I think that it is right.")

    return Loopback(script, check=check)


SERVERS = {
    "OpenAI": ("json_schema", {}),
    "llama-cpp-python": ("json_object+schema", {"json_schema": FAILED}),
    "vLLM": ("structured_outputs", {"json_object+schema": REFUSED}),
    "vLLM before": ("guided_json", {"json_schema": REFUSED, "structured_outputs": REFUSED}),
    "SGLang": ("structural_tag", {"json_schema": FAILED, "guided_json": REFUSED}),
}


@pytest.mark.parametrize("name", SERVERS)
def test_the_dialect_that_is_enforced_is_found_and_used(tmp_path, name, caplog):
    caplog.set_level(logging.INFO)
    enforced, others = SERVERS[name]
    steps = steps_of([f"claim {i}" for i in range(20)])
    with server(enforced, others) as running:
        done = judgement(tmp_path, running, steps)
        assert [row["reason"] for row in done.rows] == [f"of claim {i}" for i in range(20)]
        assert {dialect(call.body) for call in running.calls} == {enforced}
        assert len(running.calls) == 20  # nothing is paid for twice
        assert judgement(tmp_path, running, steps).rows == done.rows
        assert len(running.calls) == 20
        # Another question to the same server begins with the dialect that is known.
        checks = len(running.checks)
        judgement(tmp_path, running, steps_of(["more"]))
        assert [dialect(call.body) for call in running.checks[checks:]] == [enforced]
    assert done.about["dialect"] == enforced
    assert done.about["server_enforces_schema"] is True
    assert done.about["response_format"] == "json_schema"
    assert (f"enforces a JSON schema as '{enforced}'" in caplog.text) == (enforced != "json_schema")


def test_another_dialect_is_another_instrument(tmp_path):
    for enforced in ("json_schema", "guided_json"):
        with server(enforced, {}) as running:
            (tmp_path / enforced).mkdir()
            done = judgement(tmp_path / enforced, running, steps_of(["a"]))
        judge = read_judge(tmp_path / enforced / "judge.yaml")
        assert done.about["digest"] == instrument_digest(judge, "fixture-1", enforced)
    assert instrument_digest(judge, "fixture-1") != instrument_digest(judge, "fixture-1", "guided_json")
    # The file's own dialect is no other than before there were dialects.
    assert instrument_digest(judge, "fixture-1") == instrument_digest(judge, "fixture-1", "json_schema")


@pytest.mark.parametrize(
    ("others", "used"),
    [
        ({}, "json_schema"),  # takes all, does nothing
        (dict.fromkeys(WALK[:-1], REFUSED), "none"),
        ({"json_schema": FAILED, "json_object+schema": REFUSED}, "none"),
    ],
)
def test_a_server_that_enforces_nothing_is_asked_in_words(tmp_path, others, used, caplog):
    with Loopback(by_text, check=lambda call: others.get(dialect(call.body), FREE)) as running:
        done = judgement(tmp_path, running, steps_of(["a", "b"]))
        assert {dialect(call.body) for call in running.calls} == {used}
        assert len({dialect(call.body) for call in running.checks}) == len(WALK)
    assert (done.about["dialect"], done.about["server_enforces_schema"]) == (used, False)
    assert (
        f"does not enforce a JSON schema, in whatever way it is asked to ({', '.join(WALK[:-1])}"
        in caplog.text
    )
    assert f"'{used}' is used" in caplog.text


@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_nobody_may_ask_is_asked_once(tmp_path, status):
    with Loopback(by_text, check=lambda call: Answer(status=status, body=b"{}")) as running:
        with pytest.raises(JudgeError, match="stopped at the start-up call"):
            judgement(tmp_path, running, steps_of(["a"]))
        assert len(running.checks) == 1


def test_a_server_that_is_busy_at_the_start_is_waited_for(tmp_path):
    said = []

    def check(call):
        said.append(dialect(call.body))
        return Answer(status=429, body=b"{}", headers={"Retry-After": "0.1"}) if len(said) == 1 else FORCED

    with Loopback(by_text, check=check) as running:
        assert judgement(tmp_path, running, steps_of(["a"])).about["dialect"] == "json_schema"
    assert said == ["json_schema"] * 2


def test_every_dialect_says_the_schema_or_none_of_it():
    schema = {"type": "object", "properties": {"word": {"enum": ["forced"]}}}
    for name, says in DIALECTS.items():
        body = says("check", schema)
        assert dialect(body) == name
        assert ("forced" in json.dumps(body)) == (name not in ("json_object", "none"))


def test_a_cache_of_before_there_were_dialects_is_read(tmp_path):
    steps = steps_of(["a", "b"])
    with server("json_schema", {}) as running:
        first = judgement(tmp_path, running, steps)
        with sqlite3.connect(tmp_path / "work" / CACHE) as cache:
            for table, column in (("checks", "dialect"), ("checks", "checksum"), ("replies", "checksum")):
                cache.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        cache.close()
        plan = planned(tmp_path / "judge.yaml", tmp_path / "work", steps, questions("q0"))
        assert (plan.calls, plan.cached) == (0, 2)
        assert judgement(tmp_path, running, steps).rows == first.rows
        assert (len(running.calls), len(running.checks)) == (2, 1)


def test_the_plan_knows_the_replies_in_the_dialect_that_they_came_in(tmp_path):
    steps = steps_of(["a", "b"])
    with server("guided_json", {}) as running:
        judgement(tmp_path, running, steps)
    path = judge_file(tmp_path, running.url)
    plan = planned(path, tmp_path / "work", steps_of(["a", "b", "c"]), questions("q0"))
    assert (plan.calls, plan.cached) == (1, 2)


# --- when most replies cannot be read ---------------------------------------------------------


def test_judging_stops_early_when_most_replies_cannot_be_read(tmp_path):
    with Loopback(lambda call: Answer("It is right, I think."), check=lambda call: FREE) as running:
        with pytest.raises(JudgeError) as caught:
            judgement(tmp_path, running, steps_of([f"claim {i}" for i in range(200)]), concurrency=4)
        assert len(running.calls) < 60
    said = str(caught.value)
    assert re.search(
        r"(\d+) of the first \1 replies cannot be read \(not the JSON asked for\), and each", said
    )
    assert "'It is right, I think.'" in said
    assert "enforces no JSON schema: use a larger model, or a server that enforces one" in said
    assert "max_failure_share" in said


@pytest.mark.parametrize(
    ("changes", "answer", "advice"),
    [
        (
            {"response_format": "json_object"},
            Answer("{}"),
            "response_format json_object: json_schema holds replies",
        ),
        ({}, Answer('{"reason": "th', finish_reason="length"), "16 were cut at max_tokens: raise it"),
        ({}, Answer("{}"), "held the start-up call to a schema ('json_schema') and does not hold these"),
    ],
)
def test_the_advice_fits_what_went_wrong(tmp_path, changes, answer, advice):
    steps = steps_of([f"claim {i}" for i in range(40)])
    with Loopback(lambda call: answer) as running, pytest.raises(JudgeError) as caught:
        judgement(tmp_path, running, steps, concurrency=1, **changes)
    assert advice in str(caught.value)


def test_whoever_allows_it_is_not_stopped(tmp_path):
    with Loopback(lambda call: Answer("no")) as running:
        done = judgement(tmp_path, running, steps_of([f"claim {i}" for i in range(40)]), max_failure_share=1)
    assert {row["label"] for row in done.rows} == {"parse_failure"}


def test_some_replies_that_cannot_be_read_stop_nothing(tmp_path):
    def script(call):
        return (
            Answer("no") if call.step in set("02468") and "earlier reply" not in call.user else by_text(call)
        )

    with Loopback(script) as running:
        done = judgement(tmp_path, running, steps_of([str(i) for i in range(40)]), concurrency=1)
    assert done.about["faults"] == {"unreadable": 5}
