import contextlib
import copy
import errno
import fcntl
import inspect
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mechcot.core import config, files, records
from mechcot.core.errors import ConfigError, DataError, StudyError
from mechcot.core.manifest import load_manifest, save_manifest
from mechcot.study.folder import Study
from mechcot.study.writing import create_or_open, locked


def _make(path: Path, *overrides: str, restarting: bool = False) -> Study:
    return create_or_open(
        path, config.resolve(preset="organism-small", overrides=overrides), restarting=restarting
    )


def _done(path: Path, *stages: str) -> None:
    record = {"key": "", "version": 1, "settings": {}, "inputs": {}, "outside": {}, "outputs": {}}
    save_manifest(path, load_manifest(path) | {"stages": dict.fromkeys(stages, record)})


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
    with pytest.raises(StudyError, match=r"study\.yaml has changed since.*--config .*study\.yaml"):
        Study.open(study.path)
    (study.path / "manifest.json").unlink()  # as an earlier version left it
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


HOLD = """
import sys, time
from pathlib import Path
from mechcot.study.writing import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("gone", ["work/lock", "work"])
def test_a_lock_whose_file_was_deleted_still_excludes(tmp_path: Path, gone: str) -> None:
    study = _make(tmp_path / "s").path
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(study)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        files.remove(study / gone)
        with pytest.raises(StudyError, match="in use by process"), locked(study):
            pass
    finally:
        other.kill()
        other.communicate()
    with locked(study):
        pass


def test_a_study_whose_manifest_is_gone_is_not_made_again_without_a_word(tmp_path: Path) -> None:
    study = _make(tmp_path / "s").path
    (study / "manifest.json").unlink()
    _make(study)  # killed before its first manifest: nothing was made
    (study / "questions.parquet").write_bytes(b"x")
    (study / "manifest.json").unlink()
    for restarting in (False, True):
        with pytest.raises(
            StudyError, match=r"manifest\.json: is missing, and so is what tells .* questions"
        ):
            _make(study, restarting=restarting)
    assert not (study / "manifest.json").exists()


def test_a_full_disk_does_not_keep_a_study_from_being_locked(tmp_path: Path) -> None:
    study, limits = tmp_path / "s", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with locked(study), pytest.raises(StudyError, match=r"in use by process \?"), locked(study):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_where_folders_cannot_be_locked_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock

    def no_folders(descriptor: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", no_folders)
    study = _make(tmp_path / "s").path
    with locked(study), pytest.raises(StudyError, match=f"in use by process {os.getpid()}"), locked(study):
        pass


def test_a_refused_run_leaves_everything_as_it_was(tmp_path: Path) -> None:
    from mechcot.pipeline.run import run

    study = _make(tmp_path / "s").path
    before = {p: p.read_bytes() for p in study.iterdir() if p.is_file()}
    with locked(study), pytest.raises(StudyError, match="in use by process"):
        run(study, overrides=("analysis.bootstrap=777",), progress=False)
    assert {p: p.read_bytes() for p in study.iterdir() if p.is_file()} == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(StudyError, match="not empty and no study"):
        run(tmp_path / "notes", progress=False)
    assert os.listdir(tmp_path / "notes") == ["mine.txt"]
    with pytest.raises(ConfigError):
        run(tmp_path / "new", overrides=("no.such=1",), progress=False)
    assert not (tmp_path / "new").exists()


def test_a_table_of_another_arm_is_named_by_row_and_value(tmp_path: Path) -> None:
    study = _make(tmp_path / "s")
    row = {"qid": "q", "arm": "base", "cid": 0, "sid": 0, "instrument": "i", "label": "correct", "reason": ""}
    path = study.arm_path("base") / "verdicts" / "mine.parquet"
    records.write_table(path, [row, row | {"sid": 1, "arm": "terse"}], records.VERDICTS)
    with pytest.raises(DataError, match=r"mine\.parquet: row 2: arm is 'terse'.*that of 'base' belongs"):
        study.verdicts("base", "mine")


def test_settings_are_recorded_and_a_kill_between_leaves_them_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = _make(tmp_path / "s")
    writes: list[str] = []

    def write(path: Path, text: str) -> None:
        if len(writes) == stop:
            raise KeyboardInterrupt
        writes.append(path.name)
        real(path, text)

    real = files.write_text
    for stop in range(4):
        writes.clear()
        monkeypatch.setattr(files, "write_text", write)
        with contextlib.suppress(KeyboardInterrupt):
            _make(study.path, f"analysis.bootstrap={700 + stop}")
        monkeypatch.setattr(files, "write_text", real)
        assert Study.open(study.path).settings.analysis.bootstrap in (500, 699 + stop, 700 + stop)
    assert writes == ["manifest.json", "study.yaml", "manifest.json"]


def test_analyses_are_methods_that_completion_and_help_find(study: Study) -> None:
    from mechcot.analyses.registry import ANALYSES

    assert {analysis.name for analysis in ANALYSES} <= set(dir(study))
    assert {"traces", "steps", "verdicts", "summary"} <= set(dir(study))
    assert inspect.getdoc(study.audit) == "What happened to the steps."
    assert list(inspect.signature(study.commitment).parameters) == ["author", "reader", "lead_in", "by"]
    assert study.commitment().to_json() == study.commitment("distilled", "distilled").to_json()
    with pytest.raises(AttributeError, match=r"a study has no 'mood'; its analyses are in dir\(study\)"):
        study.mood()
    assert copy.deepcopy(study).path == study.path
