import os
from pathlib import Path

import pytest

from mechcot.core import files
from mechcot.core.errors import DataError


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
