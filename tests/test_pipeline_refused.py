"""A setting that is refused, by whatever and however late, leaves the study as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from called import called
from judging_cases import KEY, judge_file
from mechcot import Study
from mechcot.core import config
from mechcot.core.errors import DataError, JudgeError, MechcotError, ServerRefused
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.stages import Stage, run_stages
from mechcot.pipeline import run as pipeline
from mechcot.study.writing import create_or_open, unless_refused

NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def copied(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy for all refusals: none of them may change it."""
    copy = tmp_path_factory.mktemp("refused") / "study"
    shutil.copytree(study.path, copy, ignore=shutil.ignore_patterns("work"))
    return copy


@pytest.mark.parametrize(
    ("call", "says", "late"),
    [
        (["run", "{study}", "--set", "reading.layers=[99]"], "99", "reading.layers"),
        (["read", "{study}", "--layer", "99"], "99", "reading.layers"),
        (["run", "{study}", "--set", "judge={{kind: llm, path: none.yaml}}"], "none.yaml", ""),
        (
            ["run", "{study}", "--set", "judge={{kind: llm, path: {dead}}}"],
            "127.0.0.1:9",
            "judge.kind, judge.path",
        ),
        (["run", "{study}", "--set", "contrast.domain=nowhere"], "nowhere", "contrast.domain"),
        (["handover", "{study}", "--judge", "none.yaml"], "none.yaml", ""),
        (["knowledge", "{study}", "--pairs", "none.csv"], "knowledge.pairs: the organism's world", ""),
    ],
)
def test_what_a_stage_refuses_is_not_kept(
    call: list[str], says: str, late: str, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    dead = judge_file(tmp_path, f"http://{NOBODY}", max_retries=0)
    before, stages = (copied / "study.yaml").read_bytes(), load_manifest(copied)["stages"]
    done = called(*(word.format(study=copied, dead=dead) for word in call), "--quiet")
    assert done.returncode in (1, 2), done.stderr
    assert says in done.stderr
    told = f"\n{copied / 'study.yaml'} is as it was; not kept: {late}\n"
    assert done.stderr.endswith(told) if late else "\n" not in done.stderr.strip()
    assert (copied / "study.yaml").read_bytes() == before
    assert load_manifest(copied)["stages"] == stages
    assert verify(copied) == []


def test_a_new_study_that_is_refused_before_anything_is_made_leaves_no_folder(tmp_path: Path) -> None:
    settings = {
        "questions": {"path": str(tmp_path / "none.csv")},
        "judge": {"kind": "table", "path": "v.csv"},
        "arms": {name: {"model": str(tmp_path)} for name in ("base", "distilled")},
    }
    (tmp_path / "config.json").write_text("{}")
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings))
    with pytest.raises(DataError, match=r"none\.csv"):
        pipeline.run(tmp_path / "new" / "study", config=file, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "new", "settings.yaml"]
    assert not any((tmp_path / "new").iterdir())


def _study(root: Path, *overrides: str) -> Study:
    return create_or_open(
        root, config.resolve(preset="organism-small", overrides=overrides), restarting=False
    )


def _run(root: Path, stages: list[Stage], *overrides: str) -> None:
    with unless_refused(root, stages):
        run_stages(_study(root, *overrides).path, stages, {})


def _stage(root: Path, name: str, error: Exception | None = None, *, settings: int = 0) -> Stage:
    def run(work: Path) -> None:
        if error is not None:
            raise error
        (root / f"{name}.txt").write_text(str(settings))

    return Stage(name, 1, {"v": settings}, (), (f"{name}.txt",), run, frozen=name == "frozen")


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (DataError("layer 99 is not there"), False),
        (MemoryError(), False),
        (ServerRefused("nobody answers"), False),
        (JudgeError("the budget is 1, 1 is spent; what was paid for is kept"), True),
        (OSError(28, "No space left on device", "a"), True),
    ],
)
def test_work_that_goes_on_when_it_is_run_again_keeps_its_settings(
    error: Exception, kept: bool, tmp_path: Path
) -> None:
    _study(tmp_path)
    before = (tmp_path / "study.yaml").read_text()
    with pytest.raises((MechcotError, MemoryError)):
        _run(tmp_path, [_stage(tmp_path, "a", error)], "reading.layers=[1]")
    assert (Study.open(tmp_path).settings.reading.layers == (1,)) == kept
    assert ((tmp_path / "study.yaml").read_text() != before) == kept
    plans = load_manifest(tmp_path)["registered"]["plans"]
    assert len(plans) == 1


def test_what_was_made_once_for_all_on_the_way_keeps_the_settings_that_made_it(tmp_path: Path) -> None:
    _study(tmp_path)
    stages = [_stage(tmp_path, "frozen", settings=8), _stage(tmp_path, "b", DataError("no"))]
    with pytest.raises(DataError) as raised:
        _run(tmp_path, stages, "sampling.samples=8")
    assert not hasattr(raised.value, "__notes__")
    assert Study.open(tmp_path).settings.sampling.samples == 8


def test_a_stage_that_fails_before_it_writes_stays_done_as_it_was(tmp_path: Path) -> None:
    run_stages(tmp_path, [_stage(tmp_path, "a", settings=1)], {})
    record = load_manifest(tmp_path)["stages"]["a"]
    with pytest.raises(DataError):
        run_stages(tmp_path, [_stage(tmp_path, "a", DataError("no"), settings=2)], {})
    assert load_manifest(tmp_path)["stages"]["a"] == record
