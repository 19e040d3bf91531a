"""What the analyses of a study read, and when they run again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from judging_cases import KEY, by_text, judge_file
from loopback import Loopback
from mechcot import Study
from mechcot.analyses.panel.analysis import panel_json
from mechcot.analyses.registry import results
from mechcot.core import files, records
from mechcot.core.manifest import load_manifest
from mechcot.core.stages import forget_from
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.analyses import analysis_stages
from mechcot.pipeline.further import judge_study


@pytest.fixture
def copied(study: Study, tmp_path: Path) -> Study:
    shutil.copytree(study.path, tmp_path / "copy", ignore=shutil.ignore_patterns("work"))
    return Study.open(tmp_path / "copy")


def keys(study: Study) -> dict[str, str]:
    return {name: record["key"] for name, record in load_manifest(study.path)["stages"].items()}


def test_every_analysis_has_its_stage_and_its_place_in_the_report(study: Study) -> None:
    assert tuple(stage.name for stage in analysis_stages(study, False)) == results()
    report = pipeline.stages_of(study)[-1]
    assert {f"results/{name}.json" for name in results()} <= set(report.inputs)


def test_a_further_judge_changes_the_panel_and_the_report_alone(
    copied: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    assert copied.result("panel") == {"reason": "one judge alone has judged these steps"}
    with Loopback(by_text) as server:
        file = judge_file(copied.path.parent, server.url, concurrency=8)
        name = judge_study(copied.path, file, progress=False).instrument
    before = keys(copied)
    pipeline.run(copied.path, progress=False)
    after = keys(copied)
    assert {stage for stage in after if after[stage] != before.get(stage)} == {"panel", "report"}
    found = copied.result("panel")
    assert set(found["judges"]) == {"exact", name}
    assert copied.panel().to_json()["judges"] == found["judges"]
    claim = copied.ledger().to_json()["claims"]["panel"]
    assert claim["estimate"]["estimate"] == found["pooled"]["estimate"]
    assert claim["as_published"].count(" to ") == 1
    assert claim["verdict"] == copied.summary()["ledger"]["panel"] != "not tested here"
    pipeline.run(copied.path, progress=False)
    assert keys(copied) == after
    # Verdicts of steps that are to be made again leave the panel, and every list of instruments.
    assert copied.instruments() == ["exact", name]
    forget_from(copied.path, pipeline.stages_of(copied), "steps-base")
    assert (copied.arm_path("base") / "verdicts" / f"{name}.parquet").exists()
    assert copied.instruments() == []  # the study's own verdicts are gone, and these belong to other steps
    panel = next(stage for stage in analysis_stages(copied, False) if stage.name == "panel")
    assert panel.outside == ()
    assert panel_json(copied) == {"reason": "one judge alone has judged these steps"}


def test_a_file_of_verdicts_put_there_by_hand_is_one_of_the_panel(copied: Study) -> None:
    for arm in copied.settings.arms:
        table = copied.verdicts(arm).assign(instrument="answers")
        records.write_table(copied.arm_path(arm) / "verdicts" / "answers.parquet", table, records.VERDICTS)
    assert copied.instruments() == ["exact", "answers"]
    before = keys(copied)
    pipeline.run(copied.path, progress=False)
    assert {stage for stage, key in keys(copied).items() if key != before[stage]} == {"panel", "report"}
    assert copied.result("panel") == copied.panel().to_json()
    assert set(copied.result("panel")["judges"]) == {"exact", "answers"}


def test_an_imported_sheet_makes_the_report_again_and_nothing_else(copied: Study) -> None:
    before = keys(copied)
    files.write_json(copied.path / "results" / "sheet.json", {"arms": {}, "sources": {}})
    pipeline.run(copied.path, progress=False)
    after = keys(copied)
    assert {stage for stage in after if after[stage] != before[stage]} == {"report"}
    assert "was read against other steps or verdicts" in copied.report.read_text(encoding="utf-8")
