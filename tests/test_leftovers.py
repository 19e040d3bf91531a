"""What a test leaves behind is ended and told."""

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from leftovers import none_left

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# A shell between: the child of a child, whose parent is gone by then.
NESTED = ["sh", "-c", f"{sys.executable} -c 'import time; time.sleep(600)' & wait"]


@pytest.mark.parametrize("command", [SLEEP, NESTED])
def test_a_process_is_ended_and_told(command):
    with pytest.raises(AssertionError, match="left the process "), none_left():
        child = subprocess.Popen(command)
    assert child.poll() is not None


def test_it_is_ended_also_when_the_test_itself_fails():
    def fails():
        with none_left():
            children.append(subprocess.Popen(SLEEP))
            raise RuntimeError("the test's own")

    children = []
    with pytest.raises(RuntimeError, match="the test's own"):
        fails()
    assert children[0].poll() is not None


def test_an_open_port_and_a_file_are_told(tmp_path):
    with socket.socket() as server:
        block = none_left()
        block.__enter__()
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(AssertionError, match="left the open port"):
            block.__exit__(None, None, None)
    with pytest.raises(AssertionError, match=f"left {tmp_path / 'a'} behind"), none_left(tmp_path):
        (tmp_path / "a").write_text("")
    with pytest.raises(AssertionError, match="mechcot-left"), none_left():
        left = Path(tempfile.mkdtemp(prefix="mechcot-left"))
    left.rmdir()


def test_what_ended_in_time_is_nothing_left(tmp_path):
    with none_left(tmp_path):
        subprocess.run([sys.executable, "-c", ""], check=True)
        (tmp_path / "a").write_text("")
        (tmp_path / "a").unlink()
