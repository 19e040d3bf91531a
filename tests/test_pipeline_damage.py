"""Files of a finished study that are damaged are refused or made again, never used."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mechcot import Study
from mechcot.analyses import sheet
from mechcot.analyses.judge_controls import study_report
from mechcot.analyses.judge_controls.design import Wanted
from mechcot.analyses.judge_controls.run import judge_controls_of, run_judge_controls
from mechcot.analyses.panel.people import people_of
from mechcot.core import files
from mechcot.core.errors import MechcotError, StudyError
from mechcot.core.manifest import verify
from mechcot.pipeline import run as pipeline
from mechcot.steps.of_study import whole_checkpoint
from mechcot.study.writing import locked, write_beside

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from damage import WAYS, damage
from forked import differing, file_digests

CHANGED = r"has changed since it was written: it is damaged, or of another arm or run"


@pytest.fixture
def copied(study: Study, tmp_path: Path) -> Study:
    shutil.copytree(study.path, tmp_path / "copy", ignore=shutil.ignore_patterns("work"))
    return Study.open(tmp_path / "copy")


def _flip(path: Path) -> None:
    """One bit in the middle, the time of modification as it was."""
    was, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


ONE_OF_EACH = (
    "study.yaml",
    "manifest.json",
    "questions.parquet",
    "models/base/model.safetensors",
    "models/distilled/generation_config.json",
    "examples/rich.parquet",
    "arms/base/traces.parquet",
    "arms/distilled/claims.parquet",
    "arms/base/verdicts/exact.parquet",
    "readings/base/distilled/forced.parquet",
    "readings/distilled/base/activations/index.parquet",
    "results/audit.json",
    "summary.json",
    "report.html",
)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_damaged_file_is_refused_or_made_again(copied: Study, tmp_path: Path, name: str) -> None:
    """All files, with what opens them: `python scripts/damage.py`."""
    path, older, wanted = copied.path, tmp_path / "older", file_digests(copied.path)
    (older / name).parent.mkdir(parents=True)
    (older / name).write_bytes((path / name).read_bytes().replace(b"base", b"BASE") + b" ")
    for way in WAYS:
        back = damage(path, name, way, older, tmp_path / "kept")
        if back is None:
            continue
        try:
            problems = verify(path)
        except StudyError as error:
            problems = [str(error)]
        assert any(Path(name).parts[0] in line for line in problems), way
        refused = ""
        try:
            pipeline.run(path, progress=False)
        except MechcotError as error:
            refused = str(error)
            back()
        assert not refused or Path(name).parts[0] in refused, way
        assert differing(file_digests(path), wanted) == [], way
    assert verify(path) == []


@pytest.mark.parametrize("harm", [_flip, Path.unlink])
def test_damaged_weights_are_not_loaded_beside_the_pipeline(
    copied: Study, harm: Callable[[Path], None]
) -> None:
    assert whole_checkpoint(copied, "distilled") == copied.path / "models" / "distilled"
    harm(copied.path / "models" / "distilled" / "generation_config.json")
    with pytest.raises(StudyError, match=rf"models/distilled \(stage distill-distilled\) {CHANGED}"):
        whole_checkpoint(copied, "distilled")
    assert whole_checkpoint(copied, "base") == copied.path / "models" / "base"


def test_damaged_judge_controls_are_not_used(copied: Study) -> None:
    run_judge_controls(copied.path, Wanted(only=("again",)), progress=False)
    folder = copied.path / "judge_controls" / "exact"
    for name in ("items.parquet", "about.json", "result.json"):
        whole = (folder / name).read_bytes()
        _flip(folder / name)
        uses = {
            "items.parquet": lambda: judge_controls_of(copied, "exact"),
            "about.json": lambda: run_judge_controls(copied.path, Wanted(only=("again",)), progress=False),
            "result.json": lambda: study_report.results_of(copied),
        }
        with pytest.raises(StudyError, match=rf"exact/{name} \(stage judge_controls-exact\) {CHANGED}"):
            uses[name]()
        if name == "result.json":
            with pytest.raises(StudyError, match=CHANGED):
                pipeline.run(copied.path, progress=False)
        (folder / name).write_bytes(whole)
    pipeline.run(copied.path, progress=False)


def test_what_people_said_is_recorded_and_not_used_when_it_is_damaged(copied: Study, tmp_path: Path) -> None:
    folder = sheet.write_sheet(copied, sheet.draw_steps(copied, 20, repeat=4), copied.path / "sheet")
    table = pd.read_csv(folder / "sheet.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    table["verdict"] = np.resize(["correct", "erroneous"], len(table))
    table.to_csv(tmp_path / "filled.csv", index=False)
    for _ in range(2):  # imported again, it is recorded again
        result = sheet.read_sheet(copied, tmp_path / "filled.csv", folder / "key.json")
        path = sheet.write_result(copied, result)
        assert verify(copied.path) == []
    pipeline.run(copied.path, progress=False)
    whole = path.read_text()
    path.write_text(whole.replace('"n_answered": ', '"n_answered": 1'))
    assert verify(copied.path) == ["results/sheet.json (stage sheet): has changed since it was written"]
    with pytest.raises(StudyError, match=CHANGED):
        pipeline.run(copied.path, progress=False)
    path.write_text(json.dumps(json.loads(whole)))  # the same said in other bytes
    with pytest.raises(StudyError, match=CHANGED):
        people_of(copied)
    files.remove(path)
    pipeline.run(copied.path, progress=False)


def test_files_beside_the_pipeline_are_verified_and_a_damaged_one_stops_a_run(copied: Study) -> None:
    path, folder = copied.path, copied.path / "probes" / "mine" / "base" / "base"
    texts = {"card.json": "{}", "report.json": "[]"}

    def write() -> None:
        for name, text in texts.items():
            files.write_text(folder / name, text)

    for _ in range(2):  # written again, it is recorded again
        write_beside(folder, tuple(texts), write, kind="probe")
        assert verify(path) == []
        texts["card.json"] = '{"C": 1}'
    pipeline.run(path, progress=False)
    card, report = folder / "card.json", folder / "report.json"
    card.write_text("[]")  # swapped with each other
    report.write_text('{"C": 1}')
    told = "(stage probe-probes-mine-base-base): has changed since it was written"
    assert verify(path) == [f"probes/mine/base/base/{name} {told}" for name in ("card.json", "report.json")]
    with pytest.raises(StudyError, match=r"mine/base/base/card\.json .* has changed .* or delete it"):
        pipeline.run(path, progress=False)
    card.unlink()
    report.unlink()
    pipeline.run(path, progress=False)
    assert [line.endswith("is missing") for line in verify(path)] == [True, True]


def test_a_sheet_and_its_key_are_verified_and_may_be_taken_away(copied: Study) -> None:
    path = copied.path
    folder = sheet.write_sheet(copied, sheet.draw_steps(copied, 20, repeat=4), path / "sheet")
    with open(folder / "sheet.csv", "a") as filled:
        filled.write("\n")
    assert verify(path) == []
    for name in ("key.json", "sheet.html"):
        whole = (folder / name).read_bytes()
        _flip(folder / name)
        assert [line.partition(" ")[0] for line in verify(path)] == [f"sheet/{name}"]
        with pytest.raises(StudyError, match=rf"sheet/{name} .* has changed since it was written"):
            pipeline.run(path, progress=False)
        (folder / name).write_bytes(whole)
    files.remove(folder)
    assert verify(path) == []
    pipeline.run(path, progress=False)


def test_what_is_written_beside_a_study_in_use_stays_and_is_said_to_be_unrecorded(
    copied: Study, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copied.path / "probes" / "mine"
    with locked(copied.path), caplog.at_level("WARNING", logger="mechcot"):
        write_beside(folder, ("a",), lambda: files.write_text(folder / "a", "a"), kind="probe")
    assert (folder / "a").read_text() == "a"
    assert "is in use by process" in caplog.text
    assert verify(copied.path) == []
