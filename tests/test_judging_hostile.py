"""Judges that misbehave: a call has an end, no redirect is followed, no key is left, no verdict is lost."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from judging_cases import by_text, judgement, steps_of
from loopback import Answer, Loopback
from mechcot.asking import exchange, redaction
from mechcot.core.errors import JudgeError
from mechcot.core.text import escaped

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from hostile_judges import HOSTILE, KEY, STEPS, WAYS, Way, _large, _said, outcome, table

ENDS = {"redirect": "redirects to collector.invalid (HTTP 307); redirects are not followed"}
ENDS["redirect at the start"] = "redirects to collector.invalid (HTTP 302); redirects are not followed"
ENDS["key echo, 401"] = "did not accept the key"
ENDS["key echo, redirect"] = "redirects to an address that cannot be read (HTTP 307)"
READ = {"control characters": "\\x1b[2J\\x07fine\\u202e"}
READ |= dict.fromkeys(("key echo, verdict", "key echo, escaped"), "[key] QmVhcmVyIH[key]m [key]")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)


@pytest.mark.parametrize("name", WAYS)
def test_a_hostile_judge_loses_no_verdict_and_leaves_no_key(name, tmp_path):
    way = WAYS[name]
    found = outcome(way, tmp_path)
    assert (found.lost, found.leaks, found.after) == ([], [], STEPS)
    assert found.seconds < 20
    if name in ENDS:
        assert ENDS[name] in found.said[0]
        assert found.verdicts == 0
    elif way.always and name not in READ:
        assert (found.verdicts, len(found.said)) == (STEPS - HOSTILE, 1)
    else:
        assert (found.verdicts, found.said) == (STEPS, [])
    if name in READ:
        assert found.reasons[:HOSTILE] == [READ[name]] * HOSTILE
    assert all(escaped(text) == text for text in (*found.said, *found.reasons))
    assert f"| {name} | {way.what} | {found.verdicts} |" in table({name: found})


def test_the_suite_sees_a_verdict_that_is_lost_and_a_key_that_is_left(tmp_path):
    leaking = Way(
        "the key as a reason", _said(f'{{"reason": "{KEY[::-1]}", "label": "correct"}}'), always=True
    )
    found = outcome(leaking, tmp_path)
    assert found.leaks == []
    (tmp_path / "left").write_text(f"said {KEY}")
    again = outcome(Way("100 MB", _large), tmp_path)
    assert again.leaks == ["left"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_nowhere(tmp_path, status):
    with Loopback(by_text) as other:
        for target, named in ((f"{other.url}/chat/completions", "127.0.0.1"), ("/elsewhere", "of its own")):
            sent = Answer(status=status, body=b"{}", headers={"Location": target})
            with Loopback(by_text, check=lambda call, sent=sent: sent) as server:
                with pytest.raises(JudgeError, match=rf"redirects to .*{named}.* \(HTTP {status}\)"):
                    judgement(tmp_path, server, steps_of(["a"]))
                assert len(server.checks) == 1
        assert (other.calls, other.checks) == ([], [])


def test_a_key_is_found_in_the_escapes_of_a_reply():
    key = "sk-live/1234567890abcdef"
    redact = redaction.redactor(key)
    for said in (
        key.replace("/", "\\/"),
        "".join(f"\\u{ord(letter):04x}" for letter in key),
        f"\\u0073{key[1:]}",
    ):
        assert redact(f'{{"reason": "{said}"}}') == '{"reason": "[key]"}'
    for said in ("\\u0041 \\/ \\n \\u12", "\\ud800", "plain"):  # a reply without it stays as it is
        assert redact(said) == said


def test_a_hostile_host_is_not_shown_as_it_is(tmp_path):
    target = f"http://{KEY}.evil.example\x1b[2J/"
    sent = Answer(status=302, body=b"{}", headers={"Location": target})
    with Loopback(by_text, check=lambda call: sent) as server, pytest.raises(JudgeError) as refused:
        judgement(tmp_path, server, steps_of(["a"]))
    assert KEY not in str(refused.value)
    assert escaped(str(refused.value)) == str(refused.value)


def test_what_is_in_flight_when_a_run_fails_is_kept(tmp_path):
    """A verdict that comes after the error that ends the run is not asked for again."""

    def script(call):
        if call.step == "refused":
            return Answer(status=401, body=b"{}", delay=0.2)
        answer = by_text(call)
        answer.delay = 0.8
        return answer

    steps = steps_of(["refused", *(f"claim {i}" for i in range(7))])
    with Loopback(script) as server:
        with pytest.raises(JudgeError, match="did not accept the key"):
            judgement(tmp_path, server, steps, concurrency=8)
        assert len(server.calls) == 8
        server.script = by_text
        done = judgement(tmp_path, server, steps, concurrency=8)
        assert [call.step for call in server.calls[8:]] == ["refused"]
    assert len(done.rows) == 8


_PARTS = [
    "Mon",
    "Jan",
    "99",
    "-5",
    "1e9",
    "2200000000",
    "00:00",
    "+9999",
    "GMT",
    ",",
    ":",
    "inf",
    "nan",
    "gzip",
]


@example("JAN 2200000000 0 0:0", b"")
@given(st.text() | st.lists(st.sampled_from(_PARTS)).map(" ".join), st.binary())
def test_no_header_is_worse_than_none(value, body):
    waited = exchange._seconds(value)
    assert waited is None or waited >= 0
    assert isinstance(exchange._host(value), str)
    for encoding in (value, "gzip", "GZIP", ""):
        with suppress(exchange._UnreadableBody):
            assert isinstance(exchange._decoded(body, encoding, 2**20), bytes)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x00\x07\x1b[0m\x7f\x9b", r"\x00\x07\x1b[0m\x7f\x9b"),
        ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("\ud800", r"\ud800"),
        ("line\n\tnext \u200d \u00e9 \U0001f600", "line\n\tnext \u200d \u00e9 \U0001f600"),
    ],
)
def test_what_is_not_seen_is_escaped(text, shown):
    assert escaped(text) == shown
    assert escaped(shown) == shown
