from pathlib import Path

import numpy as np
import pytest

from mechcot.core import files, stages
from mechcot.core.errors import MechcotError, StudyError, UsageError
from mechcot.core.stages import Stage, forget_from, run_stages, states_of, verify


def _stage(
    root: Path, ran: list[str], name: str, inputs: tuple[str, ...] = (), *, version: int = 1, **more: object
) -> Stage:
    def run(work: Path) -> None:
        ran.append(name)
        text = "+".join((root / i).read_text() for i in inputs) + name + str(more.get("settings", ""))
        files.write_text(root / f"{name}.txt", text)

    keys = {"settings": {}, "frozen": False, "outside": ()} | more
    return Stage(name, version, inputs=inputs, outputs=(f"{name}.txt",), run=run, **keys)  # type: ignore[arg-type]


def test_a_stage_runs_once_and_again_when_what_it_reads_changes(tmp_path: Path) -> None:
    ran: list[str] = []

    def both(value: int) -> list[Stage]:
        first = _stage(tmp_path, ran, "a", settings={"v": value})
        return [first, _stage(tmp_path, ran, "b", ("a.txt",))]

    run_stages(tmp_path, both(1), {})
    run_stages(tmp_path, both(1), {})
    assert ran == ["a", "b"]
    run_stages(tmp_path, both(2), {})
    assert ran == ["a", "b", "a", "b"]
    assert not (tmp_path / "work" / "a").exists()


def test_a_missing_output_is_made_again(tmp_path: Path) -> None:
    ran: list[str] = []
    run_stages(tmp_path, [_stage(tmp_path, ran, "a")], {})
    (tmp_path / "a.txt").unlink()
    run_stages(tmp_path, [_stage(tmp_path, ran, "a")], {})
    assert ran == ["a", "a"]


def test_a_frozen_stage_refuses_changed_settings_and_files_by_name(tmp_path: Path) -> None:
    ran: list[str] = []
    outside = tmp_path / "questions.csv"
    outside.write_text("1")

    def frozen(value: int, version: int = 1) -> list[Stage]:
        return [
            _stage(
                tmp_path, ran, "a", frozen=True, settings={"v": value}, outside=(outside,), version=version
            )
        ]

    run_stages(tmp_path, frozen(1), {})
    with pytest.raises(StudyError, match=r"\{'v': 1\}, now they are \{'v': 2\}.*--restart-from a"):
        run_stages(tmp_path, frozen(2), {})
    with pytest.raises(StudyError, match="version 1 -> 2"):
        run_stages(tmp_path, frozen(1, version=2), {})
    outside.write_text("2")
    with pytest.raises(StudyError, match=r"questions\.csv changed since"):
        run_stages(tmp_path, frozen(1), {})
    forget_from(tmp_path, frozen(1), "a")
    run_stages(tmp_path, frozen(1), {})
    assert ran == ["a", "a"]


def test_restarting_from_an_unknown_stage_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are: a"):
        forget_from(tmp_path, [_stage(tmp_path, [], "a")], "b")


def test_work_in_flight_of_other_settings_is_not_continued(tmp_path: Path) -> None:
    left = tmp_path / "work" / "a" / "journal"

    def crash(work: Path) -> None:
        left.write_text("half")
        raise RuntimeError

    broken = Stage("a", 1, {"v": 1}, (), ("a.txt",), crash)
    with pytest.raises(RuntimeError):
        run_stages(tmp_path, [broken], {})
    seen: list[bool] = []

    def look(work: Path) -> None:
        seen.append(left.exists())
        files.write_text(tmp_path / "a.txt", "done")

    with pytest.raises(RuntimeError):
        run_stages(tmp_path, [Stage("a", 1, {"v": 1}, (), ("a.txt",), crash)], {})
    run_stages(tmp_path, [Stage("a", 1, {"v": 1}, (), ("a.txt",), look)], {})
    files.remove(tmp_path / "a.txt")
    with pytest.raises(RuntimeError):
        run_stages(tmp_path, [Stage("a", 1, {"v": 1}, (), ("a.txt",), crash)], {})
    run_stages(tmp_path, [Stage("a", 1, {"v": 2}, (), ("a.txt",), look)], {})
    assert seen == [True, False]


def test_a_full_disk_is_one_message_that_names_stage_and_file(tmp_path: Path) -> None:
    def full(work: Path) -> None:
        raise OSError(28, "No space left on device", "big.parquet")

    with pytest.raises(StudyError, match=r"stage a of .*big\.parquet: No space left on device"):
        run_stages(tmp_path, [Stage("a", 1, {}, (), ("a.txt",), full)], {})

    def full_for_tensors(work: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(3)}, tmp_path / "none" / "a.safetensors")

    with pytest.raises(StudyError, match=r"stage a of .*os error 2"):
        run_stages(tmp_path, [Stage("a", 1, {}, (), ("a.txt",), full_for_tensors)], {})
    with pytest.raises(MechcotError, match=r"without writing a\.txt"):
        run_stages(tmp_path, [Stage("a", 1, {}, (), ("a.txt",), lambda work: None)], {})


def test_verify_names_changed_and_missing_files(tmp_path: Path) -> None:
    run_stages(tmp_path, [_stage(tmp_path, [], "a"), _stage(tmp_path, [], "b")], {})
    assert verify(tmp_path) == []
    (tmp_path / "a.txt").write_text("other")
    (tmp_path / "b.txt").unlink()
    assert [line.split(":")[0] for line in verify(tmp_path)] == ["a.txt (stage a)", "b.txt (stage b)"]


def test_a_foreign_manifest_is_refused(tmp_path: Path) -> None:
    files.write_json(tmp_path / stages.MANIFEST, {"format": "other/9"})
    with pytest.raises(StudyError, match="other/9"):
        run_stages(tmp_path, [], {})


def test_the_states_foretell_what_runs(tmp_path: Path) -> None:
    ran: list[str] = []

    def three(value: int, **more: object) -> list[Stage]:
        first = _stage(tmp_path, ran, "a", settings={"v": value}, **more)
        second = _stage(tmp_path, ran, "b", ("a.txt",))
        return [first, second, _stage(tmp_path, ran, "c")]

    assert states_of(tmp_path, three(1)) == ["to do"] * 3
    run_stages(tmp_path, three(1), {})
    assert states_of(tmp_path, three(1)) == ["cached"] * 3
    assert states_of(tmp_path, three(2)) == ["to do", "if changed", "cached"]
    assert states_of(tmp_path, three(1), "b") == ["cached", "to do", "to do"]
    (tmp_path / "b.txt").unlink()
    assert states_of(tmp_path, three(1)) == ["cached", "to do", "cached"]
    with pytest.raises(StudyError, match="--restart-from a"):
        states_of(tmp_path, three(2, frozen=True))
    assert states_of(tmp_path, three(2, frozen=True), "a") == ["to do"] * 3
    assert ran == ["a", "b", "c"]
