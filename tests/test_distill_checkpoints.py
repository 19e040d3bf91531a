from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mechcot.core.errors import UsageError
from mechcot.distill import checkpoints


def write(work: Path, step: int, *, whole: bool) -> Path:
    folder = work / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "weights").write_text(str(step))
    if whole:
        checkpoints.complete(folder, {"losses": [float(step)]})
    return folder


def test_goes_on_from_the_newest_whole_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mechcot")
    assert checkpoints.open_work(tmp_path, "run") is None
    write(tmp_path, 90, whole=True)
    newer = write(tmp_path, 100, whole=True)
    half = write(tmp_path, 110, whole=False)
    assert checkpoints.open_work(tmp_path, "run") == newer
    assert not half.exists()
    assert "checkpoint-110: was not written to its end" in caplog.text
    assert checkpoints.read_state(newer) == {"losses": [100.0]}


@pytest.mark.parametrize("name", ["weights", checkpoints.COMPLETE])
def test_a_damaged_checkpoint_is_never_gone_on_from(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.open_work(tmp_path, "run")
    folder = write(tmp_path, 90, whole=True)
    whole = (folder / name).read_bytes()
    for place in range(len(whole)):
        for bit in (0, 5):
            assert checkpoints.open_work(tmp_path, "run") == folder
            (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            if checkpoints.open_work(tmp_path, "run") is None:
                assert "checkpoint-90: is damaged: discarded" in caplog.text
                folder = write(tmp_path, 90, whole=True)
            else:  # a blank between the mark's values
                assert checkpoints.read_state(folder) == {"losses": [90.0]}
                (folder / name).write_bytes(whole)


def test_a_checkpoint_of_an_earlier_version_has_no_digest_and_is_taken(tmp_path: Path) -> None:
    checkpoints.open_work(tmp_path, "run")
    folder = write(tmp_path, 90, whole=False)
    (folder / checkpoints.COMPLETE).write_text('{"losses": [90.0]}')
    assert checkpoints.open_work(tmp_path, "run") == folder
    assert checkpoints.read_state(folder) == {"losses": [90.0]}


def test_older_ones_go_only_after_the_mark(tmp_path: Path) -> None:
    old = write(tmp_path, 5, whole=True)
    new = write(tmp_path, 10, whole=False)
    assert old.exists()
    checkpoints.complete(new, {})
    assert not old.exists()
    assert new.exists()


def test_checkpoints_of_another_run_are_discarded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mechcot")
    checkpoints.open_work(tmp_path, "one")
    write(tmp_path, 5, whole=True)
    assert checkpoints.open_work(tmp_path, "two") is None
    assert "other data, settings or versions: discarded" in caplog.text
    assert not (tmp_path / "checkpoint-5").exists()
    assert checkpoints.open_work(tmp_path, "two") is None


def test_checkpoints_that_others_wrote_are_never_touched(tmp_path: Path) -> None:
    folder = write(tmp_path, 5, whole=True)
    with pytest.raises(UsageError, match="they are not touched"):
        checkpoints.open_work(tmp_path, "run")
    assert folder.exists()


def test_a_damaged_record_is_that_of_another_run(tmp_path: Path) -> None:
    checkpoints.open_work(tmp_path, "run")
    write(tmp_path, 5, whole=True)
    (tmp_path / checkpoints.RUN).write_text("{")
    assert checkpoints.open_work(tmp_path, "run") is None
    assert not (tmp_path / "checkpoint-5").exists()


def test_clearing_leaves_foreign_files(tmp_path: Path) -> None:
    work = tmp_path / "work"
    checkpoints.open_work(work, "run")
    write(work, 5, whole=True)
    (work / "notes.txt").write_text("mine")
    checkpoints.clear(work)
    assert [p.name for p in work.iterdir()] == ["notes.txt"]
    (work / "notes.txt").unlink()
    checkpoints.clear(work)
    assert not work.exists()


def test_a_folder_appears_in_place_of_an_older_one(tmp_path: Path) -> None:
    out, beside = tmp_path / "out", tmp_path / ".out.tmp"
    for text in ("first", "second"):
        beside.mkdir()
        (beside / "file").write_text(text)
        checkpoints.appear(beside, out)
        assert (out / "file").read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_fingerprint_depends_on_every_part() -> None:
    a = checkpoints.fingerprint({"x": 1, "y": {"z": [1, 2]}})
    assert a == checkpoints.fingerprint({"y": {"z": [1, 2]}, "x": 1})
    assert a != checkpoints.fingerprint({"x": 1, "y": {"z": [2, 1]}})
