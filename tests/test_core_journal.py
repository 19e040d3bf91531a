import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.core.journal import Journal


def test_entries_come_back_and_go_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"a": "ä\n"})
    journal.close()
    again = Journal(tmp_path / "j.jsonl")
    again.append({"a": 2})
    again.close()
    assert Journal(tmp_path / "j.jsonl").entries == [{"a": "ä\n"}, {"a": 2}]


@given(cut=st.integers(0, 60))
def test_a_kill_in_the_middle_of_a_line_loses_at_most_that_line(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    journal = Journal(path)
    for number in range(5):
        journal.append({"n": number})
    journal.close()
    whole = path.read_bytes()
    kept = whole[: min(cut, len(whole))]
    path.write_bytes(kept)
    again = Journal(path)
    assert [entry["n"] for entry in again.entries] == list(range(kept.count(b"\n")))
    again.append({"n": "next"})
    again.close()
    assert Journal(path).entries[-1] == {"n": "next"}


def _written(path: Path) -> bytes:
    journal = Journal(path)
    for number in range(4):
        journal.keep(f"k{number}", {"text": f"ä{number}", "sum": -1.25 * number})
    journal.close()
    return path.read_bytes()


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_and_what_follows_is_done_again(
    place: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    data = bytearray(_written(path))
    at = int(place * len(data))
    line = bytes(data[:at]).count(b"\n")
    data[at] ^= 1 << bit
    path.write_bytes(data)
    again = Journal(path)
    assert list(again.results) == [f"k{number}" for number in range(line)]
    again.keep("k9", 9)
    again.close()
    assert list(Journal(path).results) == [*(f"k{number}" for number in range(line)), "k9"]


def test_a_damaged_line_is_told_of_and_a_kill_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j.jsonl"
    data = _written(path)
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        path.write_bytes(data[:-3])
        Journal(path).close()
        assert caplog.text == ""
        path.write_bytes(data.replace(b"-1.25", b"-1.35"))
        Journal(path).close()
    assert f"{path}: line 2 is damaged; it and the 2 after it are done again" in caplog.text


def test_a_journal_of_an_earlier_version_is_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(json.dumps({"task": "k0", "result": "a\tb"}) + "\n")
    journal = Journal(path)
    journal.keep("k1", 1)
    journal.close()
    assert Journal(path).results == {"k0": "a\tb", "k1": 1}
