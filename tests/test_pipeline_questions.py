"""The stage that asks: what it leaves out is recorded, and what it was before a setting came it still is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import save_checkpoint
from mechcot.core import config
from mechcot.core.errors import DataError, StudyError
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.stages import run_stages, versions
from mechcot.pipeline.questions import question_stages
from mechcot.study.folder import Study
from mechcot.study.writing import create_or_open

ROWS = [
    {"qid": "a", "question": "Which?", "options": ["x", "y"], "answer": "B"},
    {"qid": "b", "question": "Which?", "options": ["x", "x"], "answer": "A"},
]
REAL = Path(__file__).parents[2] / "shared" / "real"


def _asked(tmp_path: Path, rows: list[dict[str, Any]], *overrides: str) -> Study:
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return _study(tmp_path / "study", tmp_path / "q.jsonl", *overrides)


def _study(folder: Path, source: Path, *overrides: str) -> Study:
    base = {
        "preset": "models",
        "questions": {"path": str(source)},
        "arms": {
            name: {"model": str(save_checkpoint(folder.parent / name))} for name in ("base", "distilled")
        },
        "judge": {"kind": "table", "path": "none.csv"},
    }
    settings = config.resolve(base=base, overrides=overrides)
    study = create_or_open(folder, settings, restarting=False)
    run_stages(folder, question_stages(study, False), versions())
    return study


def test_rows_left_out_stand_in_the_study_and_its_manifest(tmp_path: Path) -> None:
    study = _asked(tmp_path, ROWS, "questions.on_bad_row=skip")
    assert study.questions().qid.tolist() == ["a"]
    found = json.loads((study.path / "skipped.json").read_text())
    assert (found["rows"], found["questions"], found["n_skipped"]) == (2, 1, 1)
    assert found["skipped"] == [{"row": 2, "why": "two options have the same text: ['x', 'x']"}]
    assert found["qids"] == ["b"]
    assert "skipped.json" in load_manifest(study.path)["stages"]["questions"]["outputs"]
    (study.path / "skipped.json").write_text("{}")
    assert verify(study.path) == ["skipped.json (stage questions): has changed since it was written"]


def test_a_bad_row_stops_the_study_by_default(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"q\.jsonl, row 2: two options have the same text"):
        _asked(tmp_path, ROWS)


def test_settings_that_came_later_leave_older_studies_as_they_are(tmp_path: Path) -> None:
    study = _asked(tmp_path, ROWS[:1])
    recorded = load_manifest(study.path)["stages"]["questions"]
    assert set(recorded["settings"]) == {"path", "split", "columns", "limit"}
    assert list(recorded["outputs"]) == ["questions.parquet"]
    with pytest.raises(StudyError, match=r"questions\.on_bad_row: was 'refuse', now 'skip'"):
        _asked(tmp_path, ROWS[:1], "questions.on_bad_row=skip")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there: real questions are not tried")
@pytest.mark.parametrize(("name", "asked", "skipped"), [("medqa", 60, []), ("medmcqa", 60, [3])])
def test_real_questions_are_asked(tmp_path: Path, name: str, asked: int, skipped: list[int]) -> None:
    """As people have them; a row of MedMCQA repeats an option."""
    source = REAL / f"questions_{name}.jsonl"
    study = _study(tmp_path / "s", source, "questions.columns.gold=answer_idx", "questions.on_bad_row=skip")
    table = study.questions()
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    by_id = {row["qid"]: row for row in rows}
    assert len(table) == asked
    for row in table.itertuples():
        assert row.options[row.gold] == by_id[row.qid]["options"][by_id[row.qid]["answer_idx"]]
    left_out = json.loads((study.path / "skipped.json").read_text())["skipped"]
    assert [row["row"] for row in left_out] == skipped
