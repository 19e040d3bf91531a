"""Bars on a terminal, lines in a log."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from mechcot.core import progress
from mechcot.core.progress import Progress

WORK = """
import logging, sys
from mechcot.core.progress import Progress
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
with Progress("training", 40, "step", done=4, every=0) as bar:
    for step in range(36):
        bar.update(loss=2.0 - step / 36)
"""


def test_a_log_gets_a_line_at_each_tenth_with_what_is_worth_seeing():
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 9, "a tenth was done before"
    assert lines[0] == "training: 20 % (8 of 40 steps), loss 1.917"
    assert lines[-1] == "training: 100 % (40 of 40 steps), loss 1.028"
    assert "\r" not in done.stderr


def test_a_terminal_gets_a_bar_and_no_lines():
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 120))
    done = subprocess.Popen([sys.executable, "-c", WORK], stderr=follower, stdout=follower)
    os.close(follower)
    said = b""
    try:
        while part := os.read(leader, 4096):
            said += part
    except OSError:  # how Linux says that the other end was closed
        pass
    os.close(leader)
    assert done.wait() == 0
    assert b"100%" in said
    assert b"loss=1.028" in said
    assert b"of 40 steps" not in said


def test_lines_of_quick_work_are_seldom_and_none_where_nothing_is_shown(caplog, monkeypatch):
    with caplog.at_level("INFO", logger="mechcot"):
        with Progress("sampling", 20, "trace") as bar:
            assert list(bar.over(range(20))) == list(range(20))
        assert bar.n == 20
        assert caplog.text == ""
        monkeypatch.setattr(progress, "SELDOM", 0.0)
        with Progress("sampling", 20, "trace", shown=False) as bar:
            bar.update(20)
        assert caplog.text == ""
        with Progress("sampling", 20, "trace") as bar:
            bar.update(13)
            bar.back_to(2, 10)
            bar.update(8)
    assert [line.split("sampling: ")[1] for line in caplog.text.splitlines()] == [
        "65 % (13 of 20 traces)",
        "100 % (10 of 10 traces)",
    ]


@pytest.mark.parametrize("total", [0, 3])
def test_few_pieces_are_counted_too(total, caplog, monkeypatch):
    monkeypatch.setattr(progress, "SELDOM", 0.0)
    with caplog.at_level("INFO", logger="mechcot"), Progress("probe", total, "part") as bar:
        for _ in range(total):
            bar.update()
    assert len(caplog.records) == total


def test_slow_work_is_not_silent_until_a_tenth_is_done(caplog, monkeypatch):
    """A judge that takes a minute for a step: 23 of 225 would be the first line."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with caplog.at_level("INFO", logger="mechcot"), Progress("judging", 225, "call") as bar:
        for _ in range(44):
            now[0] += 60
            bar.update()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "judging: 4 % (10 of 225 calls)",
        "judging: 8 % (20 of 225 calls)",
        "judging: 10 % (23 of 225 calls)",
        "judging: 14 % (33 of 225 calls)",
        "judging: 19 % (43 of 225 calls)",
    ]
