import os
from pathlib import Path

import pytest

from mechcot.core import config, files, records
from mechcot.core.errors import DataError, MechcotError
from mechcot.judging.judge_file import read_judge


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, {"b": float("nan")})
    with pytest.raises(TypeError), files.whole(path) as sink:
        sink.write("half")  # type: ignore[arg-type]
    assert files.read_json(path) == {"b": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_digest_sees_names_contents_and_not_dot_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("1")
    first = files.digest(tmp_path)
    (tmp_path / ".hidden").write_text("x")
    assert files.digest(tmp_path) == first
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    renamed = files.digest(tmp_path)
    (tmp_path / "sub" / "b").write_text("2")
    assert len({first, renamed, files.digest(tmp_path)}) == 3


def test_unreadable_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.json"):
        files.read_json(tmp_path / "nothing.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r"bad\.json"):
        files.read_json(tmp_path / "bad.json")


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


def _not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe secret")


def _with_nul(path: Path) -> None:
    path.write_bytes(b"a\0secret")


def _deep(path: Path) -> None:
    path.write_text("[" * 20_000 + "]" * 20_000)


READERS = {
    "json": files.read_json,
    "jsonl": records.read_any,
    "csv": records.read_any,
    "parquet": records.read_any,
    "table.parquet": records.read_table,
    "yaml": config.read_yaml,
    "judge.yaml": read_judge,
}


@pytest.mark.parametrize("made", [_folder, _pipe, _link_to_nothing, _not_text, _with_nul, _deep])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_such_file_is_one_line_that_names_it(tmp_path: Path, name: str, made) -> None:
    path = tmp_path / f"a.{name}"
    made(path)
    if name == "csv" and made in (_with_nul, _deep):
        READERS[name](path)  # one column of one long name
        return
    with pytest.raises(MechcotError, match=str(path)) as caught:
        READERS[name](path)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"a.{name}"
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(MechcotError, match=rf"{path}.*[Pp]ermission"):
        READERS[name](path)


def test_a_name_that_no_path_can_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: embedded null"):
        files.read_text(tmp_path / "a\0b")


def test_a_text_that_no_file_can_hold_is_no_table(tmp_path: Path) -> None:
    row = {
        "qid": "q",
        "arm": "a",
        "cid": 0,
        "sid": 0,
        "instrument": "i",
        "label": "correct",
        "reason": "\ud800",
    }
    with pytest.raises(DataError, match=r"t\.parquet: a value does not fit"):
        records.write_table(tmp_path / "t.parquet", [row], records.VERDICTS)
    assert not os.listdir(tmp_path)
