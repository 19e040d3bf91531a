"""Several servers of one model: the least busy is asked, one that fails is set aside and comes back."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from judging_cases import KEY, by_text, judge_file, judged_by, questions, steps_of
from loopback import Answer, Call, Loopback, verdict
from mechcot.asking import addresses
from mechcot.asking.cache import CACHE
from mechcot.core.errors import ConfigError, ServerRefused
from mechcot.judging.judge_file import read_judge

CHILD = """
import sys
from pathlib import Path
from threading import Event
from http.server import ThreadingHTTPServer
import loopback

def script(call):
    Path(sys.argv[2]).touch()
    return loopback.verdict("correct", "of " + call.step, delay=0.02)

class Here(loopback.Loopback):
    allow_reuse_address = True
    def __init__(self, script):
        super().__init__(script)
        if int(sys.argv[1]):
            self.server_close()
            ThreadingHTTPServer.__init__(self, ("127.0.0.1", int(sys.argv[1])), loopback._Handler)

with Here(script) as server:
    print(server.server_address[1], flush=True)
    Event().wait()
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setattr(addresses, "FIRST_PAUSE", 0.1)


def child(flag: Path, port: int = 0) -> tuple[subprocess.Popen[str], int]:
    """A server in a process of its own; `flag` is there once it was asked something."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = [sys.executable, "-c", CHILD, str(port), str(flag)]
    process = subprocess.Popen(run, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def nobody() -> str:
    """An address where nothing listens."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/v1"


def judged(folder: Path, urls: list[str], texts: list[str], **changes: Any) -> Any:
    path = judge_file(folder, urls if len(urls) > 1 else urls[0], **changes)
    return judged_by(path, folder / "work", steps_of(texts), questions("q0"))


def who_answered(folder: Path) -> Counter[str]:
    """Kept replies by the address that gave them."""
    with closing(sqlite3.connect(folder / "work" / CACHE)) as cache:
        return Counter(endpoint for (endpoint,) in cache.execute("SELECT endpoint FROM replies"))


def endpoint(url: str) -> str:
    return url.removeprefix("http://")


def claims(n: int) -> list[str]:
    return [f"claim {i}" for i in range(n)]


# --- one fails --------------------------------------------------------------------------------------


def test_a_server_that_is_killed_loses_no_verdict_and_is_asked_again_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first, second = tmp_path / "first", tmp_path / "second"
    process, port = child(first)
    children, killed = [process], []

    def script(call: Call) -> Answer:
        if len(here.calls) == 20:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed.append(len(here.calls))
            children.append(child(second, port)[0])
        back = not killed or second.exists()  # until the other one was asked again there is no hurry
        return verdict("correct", f"of {call.step}", delay=0.02 if back else 0.2)

    try:
        with Loopback(script) as here:
            other = f"http://127.0.0.1:{port}/v1"
            done = judged(tmp_path, [here.url, other], claims(600), concurrency=8)
    finally:
        for one in children:
            one.kill()
            one.wait()
            assert one.stdout is not None
            one.stdout.close()
    assert killed
    assert second.exists(), "it was asked again"
    assert [row["reason"] for row in done.rows] == [f"of {text}" for text in claims(600)]
    assert {row["label"] for row in done.rows} == {"correct"}
    assert done.about["faults"].keys() == {"connection"}
    assert who_answered(tmp_path).keys() == {endpoint(here.url), endpoint(other)}
    assert f"{endpoint(other)} is set aside and tried again later" in caplog.text
    assert f"{endpoint(other)} answers again" in caplog.text
    assert KEY not in caplog.text
    assert all(call.headers["authorization"] == f"Bearer {KEY}" for call in here.calls)


def test_one_that_answers_with_errors_gets_few_calls_and_the_others_do_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "FIRST_PAUSE", 60.0)
    with (
        Loopback(lambda call: Answer(status=503, body=b"{}")) as ill,
        Loopback(by_text) as well,
        Loopback(by_text) as also,
    ):
        done = judged(tmp_path, [ill.url, well.url, also.url], claims(60), concurrency=4)
    assert {row["label"] for row in done.rows} <= {"correct", "erroneous", "abstain", "not_checkable"}
    assert done.about["faults"] == {"server_error": len(ill.calls)}
    assert 1 <= len(ill.calls) <= 2
    assert len(well.calls) + len(also.calls) == 60


def test_one_that_hangs_is_set_aside_after_its_time(tmp_path: Path) -> None:
    with Loopback(lambda call: Answer("late", delay=3)) as hung, Loopback(by_text) as well:
        since = time.monotonic()
        done = judged(tmp_path, [hung.url, well.url], claims(40), concurrency=4, timeout=1.0)
        assert time.monotonic() - since < 20
    assert done.about["api_failures"] == 0
    assert done.about["faults"] == {"timeout": len(hung.calls)}
    assert len(hung.calls) <= 6


def test_one_that_asks_to_wait_is_left_alone_while_the_other_works(tmp_path: Path) -> None:
    def busy(call: Call) -> Answer:
        return Answer(status=429, body=b"{}", headers={"Retry-After": "30"})

    with Loopback(busy) as one, Loopback(by_text) as two:
        since = time.monotonic()
        done = judged(tmp_path, [one.url, two.url], claims(40), concurrency=4)
        assert time.monotonic() - since < 25
    assert done.about["faults"] == {"rate_limited": len(one.calls)}
    assert 1 <= len(one.calls) <= 2
    assert len(two.calls) == 40


def test_a_call_that_no_address_answers_ends_and_holds_up_no_other(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        return Answer(status=500, body=b"{}") if call.step == "claim 3" else by_text(call)

    with Loopback(script) as one, Loopback(script) as two:
        done = judged(tmp_path, [one.url, two.url], claims(40), max_retries=1, max_failure_share=0.1)
    assert [row["label"] for row in done.rows].count("api_failure") == 1
    assert done.about["faults"] == {"server_error": 3}, "once at each, and one retry"


def test_all_down_is_one_error_that_names_every_address(tmp_path: Path) -> None:
    gone = [nobody(), nobody(), nobody()]
    with pytest.raises(ServerRefused, match="stopped at the start-up call: none of 3 addresses") as caught:
        judged(tmp_path, gone, claims(3), max_retries=0)
    assert all(endpoint(url) in str(caught.value) for url in gone)
    assert "start one of them, or correct base_url of the judge file" in str(caught.value)

    def broken(call: Call) -> Answer:
        return Answer(status=503, body=b"{}")

    with Loopback(broken) as one, Loopback(broken) as two:
        urls = [one.url, two.url]
        with pytest.raises(
            ServerRefused, match="16 calls in a row failed, the last with: none of 2"
        ) as caught:
            judged(tmp_path, urls, claims(40), max_retries=0, concurrency=2)
        assert all(endpoint(url) in str(caught.value) for url in urls)


def test_one_that_is_down_at_the_start_comes_in_later(tmp_path: Path) -> None:
    up: list[float] = []

    def starting(call: Call) -> Answer:
        return Answer('{"word": "forced"}') if up else Answer(status=503, body=b"{}")

    def script(call: Call) -> Answer:
        if len(one.calls) == 10:
            up.append(time.monotonic())
        return verdict("correct", f"of {call.step}", delay=0.02 if two.calls else 0.1)

    with Loopback(script) as one, Loopback(by_text, check=starting) as two:
        done = judged(tmp_path, [one.url, two.url], claims(200), concurrency=4, max_retries=1)
    assert done.about["api_failures"] == 0
    assert two.calls, "it was taken in once it answered"
    assert min(call.at for call in two.calls) > up[0]


# --- who gets how much ------------------------------------------------------------------------------


def test_a_slow_server_gets_fewer_calls(tmp_path: Path) -> None:
    def slow(call: Call) -> Answer:
        return verdict("correct", f"of {call.step}", delay=0.4)

    def quick(call: Call) -> Answer:
        return verdict("correct", f"of {call.step}", delay=0.02)

    with Loopback(slow) as one, Loopback(quick) as two:
        done = judged(tmp_path, [one.url, two.url], claims(80), concurrency=4)
    assert done.about["faults"] == {}
    assert len(one.calls) + len(two.calls) == 80
    assert 2 <= len(one.calls) <= len(two.calls) / 2
    assert max(one.most_in_flight, two.most_in_flight) <= 3, "calls are shared, not piled up"


# --- what is kept -----------------------------------------------------------------------------------


def test_a_reply_counts_whichever_address_gave_it(tmp_path: Path) -> None:
    with Loopback(by_text) as one, Loopback(by_text) as two:
        both = judged(tmp_path, [one.url, two.url], claims(30))
        sent = len(one.calls) + len(two.calls)
        assert who_answered(tmp_path) == {
            endpoint(one.url): len(one.calls),
            endpoint(two.url): len(two.calls),
        }
        assert min(len(one.calls), len(two.calls)) > 0
        for urls in ([one.url], [one.url, nobody()], [one.url, two.url, nobody()]):
            again = judged(tmp_path, urls, claims(30))
            assert again.rows == both.rows
            assert again.about["digest"] == both.about["digest"]
        assert len(one.calls) + len(two.calls) == sent == 30
        assert len(one.checks) == len(two.checks) == 1, "nothing was missing, so nothing was asked"


# --- servers that are not alike ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Answer('{"word": "forced"}', model="fixture-2"), "answers as 'fixture-2', held to a schema"),
        (Answer('{"word": "free"}'), "answers as 'fixture-1', held to no schema"),
    ],
)
def test_servers_of_different_models_are_refused_by_name(tmp_path: Path, other: Answer, said: str) -> None:
    with Loopback(by_text) as one, Loopback(by_text, check=lambda call: other) as two:
        with pytest.raises(ServerRefused, match=f"{endpoint(two.url)} {said}") as caught:
            judged(tmp_path, [one.url, two.url], claims(5))
        assert f"{endpoint(one.url)} answers as 'fixture-1', held to a schema" in str(caught.value)
        assert not one.calls
        assert not two.calls


def test_one_that_comes_back_as_another_model_is_asked_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other: list[int] = []

    def checked(call: Call) -> Answer:
        return Answer('{"word": "forced"}', model="fixture-2" if other else "fixture-1")

    def changed(call: Call) -> Answer:
        other.append(1)
        return verdict("correct", model="fixture-2")

    def steady(call: Call) -> Answer:
        return verdict("correct", f"of {call.step}", delay=0.05)

    with Loopback(changed, check=checked) as one, Loopback(steady) as two:
        done = judged(tmp_path, [one.url, two.url], claims(80), concurrency=2)
    assert [row["reason"] for row in done.rows] == [f"of {text}" for text in claims(80)]
    assert done.about["faults"] == {"other_model": len(one.calls)}
    assert len(one.calls) <= 2
    assert f"{endpoint(one.url)} is asked no more: it answers as 'fixture-2'" in caplog.text


def test_one_that_does_not_take_the_key_is_refused_by_name(tmp_path: Path) -> None:
    refusal = Answer(status=401, body=KEY.encode())
    with Loopback(by_text) as one, Loopback(by_text, check=lambda call: refusal) as two:
        with pytest.raises(ServerRefused, match=f"{endpoint(two.url)} did not accept the key") as caught:
            judged(tmp_path, [one.url, two.url], claims(5))
        assert KEY not in str(caught.value)


# --- the file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "base_url: must be an address such as http://127.0.0.1:8000/v1, or a list of addresses"),
        (7, "base_url: must be an address such as http://127.0.0.1:8000/v1, or a list of addresses"),
        (["http://a/v1", "a/v1"], "base_url: address 2 must be an address such as"),
        (["http://a/v1", "http://A/v1/"], "base_url: names an address twice"),
        (["http://a/v1", "http://me:opensesame@b/v1"], "base_url: address 2 must hold no user, password"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused(tmp_path: Path, given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read_judge(judge_file(tmp_path, given))
    assert "opensesame" not in str(caught.value)


def test_a_list_of_one_is_that_one(tmp_path: Path) -> None:
    alone = read_judge(judge_file(tmp_path, "http://a/v1"))
    assert read_judge(judge_file(tmp_path, ["http://a/v1/"])) == alone
