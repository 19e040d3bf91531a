import json
import os
from pathlib import Path

import numpy as np
import pytest

from mechcot.core import digests as core_digests
from mechcot.core import files, stages
from mechcot.core.errors import MechcotError, StudyError, UsageError
from mechcot.core.manifest import load_manifest, save_settings, verify
from mechcot.core.stages import Stage, forget_from, run_stages, states_of


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
    save_settings(tmp_path, "seed: 1\n")
    run_stages(tmp_path, [_stage(tmp_path, [], "a"), _stage(tmp_path, [], "b")], {})
    assert verify(tmp_path) == []
    files.write_text(tmp_path / "study.yaml", "seed: 2\n")
    (tmp_path / "a.txt").write_text("other")
    (tmp_path / "b.txt").unlink()
    found = [line.split(":")[0] for line in verify(tmp_path)]
    assert found == ["study.yaml", "a.txt (stage a)", "b.txt (stage b)"]


def test_a_foreign_manifest_is_refused(tmp_path: Path) -> None:
    files.write_json(tmp_path / stages.MANIFEST, {"format": "other/9"})
    with pytest.raises(StudyError, match="other/9"):
        run_stages(tmp_path, [], {})


def test_verify_without_a_manifest_or_with_a_broken_one_fails(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"manifest\.json: is missing"):
        verify(tmp_path)
    run_stages(tmp_path, [_stage(tmp_path, [], "a")], {})
    whole = (tmp_path / stages.MANIFEST).read_text()
    for broken in (whole[:-20], "{}", "[]", whole.replace('"seconds": ', '"seconds": 1'), "[" * 20_000):
        (tmp_path / stages.MANIFEST).write_text(broken)
        with pytest.raises(StudyError, match=r"manifest\.json"):
            verify(tmp_path)
        with pytest.raises(StudyError, match=r"manifest\.json"):
            run_stages(tmp_path, [_stage(tmp_path, [], "a")], {})


def test_outputs_without_a_manifest_are_not_made_again_without_a_word(tmp_path: Path) -> None:
    run_stages(tmp_path, [_stage(tmp_path, [], "a")], {})
    (tmp_path / stages.MANIFEST).unlink()
    with pytest.raises(
        StudyError, match=r"manifest\.json: is missing, and so is what tells .* a\.txt was made"
    ):
        run_stages(tmp_path, [_stage(tmp_path, [], "a")], {})


@pytest.mark.parametrize("settled", [False, True])
def test_a_changed_input_is_refused_also_when_size_and_time_are_as_they_were(
    tmp_path: Path, settled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if settled:
        monkeypatch.setattr(core_digests, "_SETTLED_NS", -1)
    ran: list[str] = []
    pair = [_stage(tmp_path, ran, "a"), _stage(tmp_path, ran, "b", ("a.txt",))]
    run_stages(tmp_path, pair, {})
    was = (tmp_path / "a.txt").stat()
    (tmp_path / "a.txt").write_text("z" * was.st_size)
    os.utime(tmp_path / "a.txt", ns=(was.st_atime_ns, was.st_mtime_ns))
    with pytest.raises(StudyError, match=r"a\.txt \(stage a\) has changed since it was written.*delete it"):
        run_stages(tmp_path, pair, {})
    (tmp_path / "a.txt").unlink()
    run_stages(tmp_path, pair, {})
    assert ran == ["a", "b", "a"]


def test_a_second_run_reads_nothing_again_unless_it_is_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_digests, "_SETTLED_NS", -1)
    (tmp_path / "given.csv").write_text("1")

    def folder(work: Path) -> None:
        for name in ("x", "y"):
            files.write_text(tmp_path / "out" / name, name)

    pair = [
        Stage("f", 1, {}, (), ("out",), folder, outside=(tmp_path / "given.csv",)),
        Stage("b", 1, {}, ("out",), ("b.txt",), lambda _: files.write_text(tmp_path / "b.txt", "b")),
    ]
    run_stages(tmp_path, pair, {})
    read: list[str] = []
    real = files.file_digest
    monkeypatch.setattr(files, "file_digest", lambda path: read.append(path.name) or real(path))
    run_stages(tmp_path, pair, {})
    assert read == []
    run_stages(tmp_path, pair, {}, reread=True)
    assert sorted(set(read)) == ["b.txt", "given.csv", "x", "y"]
    for broken in ("{", "[]", '{"b.txt": 1}', '{"b.txt": [0, 0, 0, 0, "0"]}'):
        (tmp_path / "work" / "digests.json").write_text(broken)
        run_stages(tmp_path, pair, {})
    cached = json.loads((tmp_path / "work" / "digests.json").read_text())
    cached["b.txt"][-1] = "0" * 64  # the cache is damaged, not the file
    files.write_json(tmp_path / "work" / "digests.json", cached)
    run_stages(tmp_path, pair, {})
    assert set(load_manifest(tmp_path)["stages"]["f"]["files"]) == {"out/x", "out/y"}
    (tmp_path / "out" / "z").write_text("more")
    assert [line.split(":")[0] for line in verify(tmp_path) if "yaml" not in line] == ["out (stage f)"]


def test_a_stage_that_is_killed_while_it_is_made_again_is_not_taken_for_damaged(tmp_path: Path) -> None:
    def two(work: Path) -> None:
        files.write_text(tmp_path / "a.txt", str(len(tries)))
        tries.append(1)
        if len(tries) == 2:
            raise KeyboardInterrupt
        files.write_text(tmp_path / "b.txt", "b")

    tries: list[int] = []
    stage = Stage("two", 1, {}, (), ("a.txt", "b.txt"), two)
    run_stages(tmp_path, [stage], {})
    (tmp_path / "b.txt").unlink()
    with pytest.raises(KeyboardInterrupt):
        run_stages(tmp_path, [stage], {})
    run_stages(tmp_path, [stage], {})
    assert len(tries) == 3


def test_an_output_that_another_stage_writes_now_is_not_also_the_old_ones(tmp_path: Path) -> None:
    def write(work: Path) -> None:
        files.write_text(tmp_path / "a.txt", work.name)

    run_stages(tmp_path, [Stage("given", 1, {}, (), ("a.txt",), write)], {})
    run_stages(tmp_path, [Stage("sampled", 1, {}, (), ("a.txt",), write)], {})
    assert load_manifest(tmp_path)["stages"].keys() == {"sampled"}


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


def test_a_damaged_cache_of_digests_does_not_make_a_file_outside_a_changed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_digests, "_SETTLED_NS", -1)
    outside, ran = tmp_path.parent / f"{tmp_path.name}.csv", []
    outside.write_text("1")
    stage = _stage(tmp_path, ran, "a", frozen=True, outside=(outside,))
    run_stages(tmp_path, [stage], {})
    cached = json.loads((tmp_path / "work" / "digests.json").read_text())
    cached[str(outside)][-1] = "0" * 64
    files.write_json(tmp_path / "work" / "digests.json", cached)
    run_stages(tmp_path, [stage], {})
    assert states_of(tmp_path, [stage]) == ["cached"]
    assert ran == ["a"]
    outside.unlink()


def test_a_disk_that_is_full_between_stages_is_one_message_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [_stage(tmp_path, [], "a"), _stage(tmp_path, [], "b")]
    run_stages(tmp_path, pair[:1], {})

    def full(root: Path, manifest: object) -> None:
        raise OSError(28, "No space left on device", str(root / stages.MANIFEST))

    with monkeypatch.context() as patch:
        patch.setattr(stages, "save_manifest", full)
        with pytest.raises(StudyError, match=r"manifest\.json: No space left on device\. Make room"):
            run_stages(tmp_path, pair, {})
    run_stages(tmp_path, pair, {})
    assert verify(tmp_path) == ["study.yaml: is missing"]
