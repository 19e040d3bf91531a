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
