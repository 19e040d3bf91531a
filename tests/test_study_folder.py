import copy
import inspect
import os
from pathlib import Path

import pytest

from mechcot.core import config, files, records
from mechcot.core.errors import ConfigError, DataError, StudyError
from mechcot.study.folder import Study, create_or_open, locked


def _make(path: Path, *overrides: str, restarting: bool = False) -> Study:
    return create_or_open(
        path, config.resolve(preset="organism-small", overrides=overrides), restarting=restarting
    )


def _done(path: Path, *stages: str) -> None:
    manifest = {"format": "mechcot-study/1", "versions": {}, "stages": {name: {} for name in stages}}
    files.write_json(path / "manifest.json", manifest)


def test_a_new_study_writes_its_resolved_settings_and_opens_again(tmp_path: Path) -> None:
    made = _make(tmp_path / "s")
    assert Study.open(tmp_path / "s").settings == made.settings
    assert "not finished" in repr(made)


def test_frozen_settings_are_refused_by_key_old_and_new(tmp_path: Path) -> None:
    _make(tmp_path / "s")
    _done(tmp_path / "s", "questions", "sample-base")
    with pytest.raises(StudyError, match=r"sampling\.samples: was 4, now 5(.|\n)*--restart-from"):
        _make(tmp_path / "s", "sampling.samples=5")
    assert Study.open(tmp_path / "s").settings.sampling.samples == 4
    restarting = _make(tmp_path / "s", "sampling.samples=5", restarting=True)
    assert Study.open(tmp_path / "s").settings.sampling.samples == 4  # until the stages agree
    restarting.save_settings()
    assert Study.open(tmp_path / "s").settings.sampling.samples == 5


def test_settings_that_nothing_done_depends_on_may_still_be_mended(tmp_path: Path) -> None:
    """A wrong file name, found in the first stage, must not cost the folder its name."""
    _make(tmp_path / "s")
    _make(tmp_path / "s", "organism.layers=3")
    _done(tmp_path / "s", "questions")
    _make(tmp_path / "s", "organism.layers=3", "sampling.samples=5", "prompt.chat=false")
    opened = Study.open(tmp_path / "s").settings
    assert (opened.sampling.samples, opened.prompt.chat) == (5, False)
    with pytest.raises(StudyError, match=r"organism\.layers: was 3, now 2"):
        _make(tmp_path / "s", "sampling.samples=5", "prompt.chat=false")


def test_questions_of_a_domain_that_is_not_there_are_refused_by_name(tmp_path: Path) -> None:
    study = _make(tmp_path / "s")
    row = {"qid": "a", "domain": "d", "stem": "?", "options": ["x", "y"], "gold": 0, "group": "a"}
    records.write_table(study.path / "questions.parquet", [{**row, "stratum": ""}], records.QUESTIONS)
    assert len(study.questions("d")) == 1
    with pytest.raises(DataError, match=r"no question of the domain 'e'; there are: d.*contrast\.domain"):
        study.questions("e")


def test_analysis_settings_may_change(tmp_path: Path) -> None:
    _make(tmp_path / "s")
    _make(tmp_path / "s", "analysis.bootstrap=777")
    assert Study.open(tmp_path / "s").settings.analysis.bootstrap == 777


def test_what_is_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is no study"):
        Study.open(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StudyError, match="not empty and no study"):
        _make(tmp_path)
    with pytest.raises(StudyError, match="is a file"):
        _make(tmp_path / "notes.txt")
    study = _make(tmp_path / "s")
    with pytest.raises(StudyError, match="no arm 'nobody'"):
        study.traces("nobody")
    with pytest.raises(DataError, match=r"traces\.parquet does not exist.*mechcot run .*damaged"):
        study.traces("base")
    with open(study.path / "study.yaml", "a") as sink:
        sink.write("old: 1\n")
    with pytest.raises(ConfigError, match=r"s/study\.yaml: 'old' is no setting"):
        Study.open(study.path)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    # Root may write anywhere; below a file nobody may.
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        _make(tmp_path / "file" / "s")


def test_a_study_in_use_is_refused_with_the_process(tmp_path: Path) -> None:
    _make(tmp_path / "s")
    refused = pytest.raises(StudyError, match=f"in use by process {os.getpid()}")
    with locked(tmp_path / "s"), refused, locked(tmp_path / "s"):
        pass
    with locked(tmp_path / "s"):  # free again
        pass


def test_analyses_are_methods_that_completion_and_help_find(study: Study) -> None:
    from mechcot.analyses.registry import ANALYSES

    assert {analysis.name for analysis in ANALYSES} <= set(dir(study))
    assert {"traces", "steps", "verdicts", "summary"} <= set(dir(study))
    assert inspect.getdoc(study.audit) == "What happened to the steps."
    assert list(inspect.signature(study.commitment).parameters) == ["author", "reader"]
    assert study.commitment().to_json() == study.commitment("distilled", "distilled").to_json()
    with pytest.raises(AttributeError, match=r"a study has no 'mood'; its analyses are in dir\(study\)"):
        study.mood()
    assert copy.deepcopy(study).path == study.path
