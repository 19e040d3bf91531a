"""Further judges, controls of a judge and a sheet for people that a study's settings name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from judging_cases import KEY, by_text, judge_file
from loopback import Loopback
from mechcot import Study
from mechcot.analyses.judge_controls import Wanted, run_judge_controls
from mechcot.analyses.judge_controls.study_report import results_of
from mechcot.core.config import resolve
from mechcot.core.errors import ConfigError, StudyError
from mechcot.core.files import digest, read_json
from mechcot.core.judging_settings import ControlsOfJudge, SheetSettings
from mechcot.core.manifest import verify
from mechcot.core.stages import run_stages, versions
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.further import judge_study
from mechcot.pipeline.plan import plan_stages
from mechcot.pipeline.settings import settings_in
from mechcot.study.folder import recorded
from written_study import written_study


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return written_study(tmp_path_factory.mktemp("written") / "study").path


@pytest.fixture
def folder(written, tmp_path):
    shutil.copytree(written, tmp_path / "study")
    return tmp_path / "study"


def named(folder, url, **changes):
    """A study with the exact judge, whose settings name another one, its controls and a sheet."""
    file = judge_file(folder.parent, url, price_in=1.0, price_out=1.0, **changes)
    more = {
        "panel": (str(file),),
        "judge_controls": ControlsOfJudge(judge=str(file), only=("answer-blind",), questions=3),
        "sheet": SheetSettings(steps=24, repeat=4),
    }
    study = Study(folder, Study.open(folder).settings.model_copy(update=more))
    study.save_settings()
    kinds = ("judge", "sheet")
    return study, [
        stage for stage in pipeline.stages_of(study, progress=False) if stage.name.startswith(kinds)
    ]


def test_what_the_settings_name_is_made_as_the_commands_make_it(folder):
    with Loopback(by_text) as server:
        study, stages = named(folder, server.url)
        assert [stage.name for stage in stages] == ["judge", "judge-judge", "judge_controls-judge", "sheet"]
        planned = {row.what: row for row in plan_stages(folder, stages).rows}
        n_steps = sum(len(study.steps(arm)) for arm in study.settings.arms)
        assert planned["judge-judge"].n == n_steps
        assert planned["judge-judge"].calls > 0 < planned["judge_controls-judge"].calls
        run_stages(folder, stages, versions())
        sent = len(server.calls)
        assert study.instruments() == ["exact", "judge"]
        assert [one.instrument for one in study.panel().judges] == ["exact", "judge"]
        assert list(results_of(study)) == ["judge"]
        key, filled = digest(folder / "sheet" / "key.json"), (folder / "sheet" / "sheet.csv").read_bytes()
        assert read_json(folder / "sheet" / "key.json")["instruments"] == ["exact", "judge"]
        assert filled.count(b"\r\n") == 1 + 24 + 4
        # The commands find it done.
        file = study.settings.panel[0]
        assert judge_study(folder, file, progress=False).instrument == "judge"
        wanted = Wanted(judge_file=file, only=("answer-blind",), questions=3)
        run_judge_controls(folder, wanted, progress=False)
        assert len(server.calls) == sent
        assert set(recorded(folder)) == {"judge"}
        assert {row.state for row in plan_stages(folder, stages).rows} == {"cached"}
        assert verify(folder) == []
        # Another judge is judged with; the sheet that people have is not made again.
        _, stages = named(folder, server.url, temperature=0.5)
        with pytest.raises(StudyError, match=r"stage sheet of this study is done and .*judge\.parquet"):
            run_stages(folder, stages, versions())
    assert digest(folder / "sheet" / "key.json") == key
    assert (folder / "sheet" / "sheet.csv").read_bytes() == filled


def test_one_instrument_is_one_judge_of_the_panel_whoever_asked_for_it(folder):
    with Loopback(by_text) as server:
        file = judge_file(folder.parent, server.url)
        by_command = judge_study(folder, file, progress=False).instrument
        study, stages = named(folder, server.url)
        sent = len(server.calls)
        run_stages(folder, stages[:2], versions())
        assert len(server.calls) == sent
    assert set(recorded(folder)) == {"judge", by_command}
    assert study.instruments() == ["exact", "judge"]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("panel=[a/one.yaml, b/one.yaml]", r"panel: the verdicts of 'b/one\.yaml' would be called 'one'"),
        ("panel=[llm]", "would be called 'llm', which is taken"),
    ],
)
def test_judges_that_would_be_taken_for_one_another_are_refused(setting, says):
    with pytest.raises(ConfigError, match=says):
        resolve(preset="organism-small", overrides=(setting,))


def test_a_table_of_verdicts_is_not_asked_again():
    table = ("judge={kind: table, path: verdicts.csv}", "judge_controls={}")
    with pytest.raises(ConfigError, match=r"judge_controls\.judge: the study's verdicts are a table"):
        resolve(preset="organism-small", overrides=table)


# --- where the files of servers lie ----------------------------------------------------------------


def settings_file(folder: Path, **more: object) -> Path:
    own = {
        "questions": {"path": "questions.jsonl"},
        "arms": {"base": {"model": "a/b"}, "distilled": {"model": "c/d", "server": "servers/own.yaml"}},
        "judge": {"kind": "llm", "path": "kimi"},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(own | more))
    return folder / "study.yaml"


def located(file: Path):
    return settings_in(file.parent / "new", file, None, None, ())


def test_a_server_file_is_looked_for_beside_the_settings_then_where_one_works(tmp_path, monkeypatch):
    beside, work = tmp_path / "beside", tmp_path / "work"
    for folder in (beside / "servers", work / "servers"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(work)
    file = settings_file(beside)
    missing = (
        rf"arms\.distilled\.server: .* neither beside the settings \({beside}/servers/own\.yaml\) nor .*"
    )
    with pytest.raises(ConfigError, match=rf"{missing}\({work}/servers/own\.yaml\)"):
        located(file)
    (work / "servers" / "own.yaml").write_text("")
    assert located(file).arms["distilled"].server == "servers/own.yaml"
    (beside / "servers" / "own.yaml").write_text("")
    assert located(file).arms["distilled"].server == str(beside / "servers" / "own.yaml")
    monkeypatch.chdir(beside)
    assert located(file).arms["distilled"].server == "servers/own.yaml"
    assert located(file).judge.path == "kimi"
    with pytest.raises(ConfigError, match=r"panel: there is no file 'nobody'.*comes with mechcot: kimi"):
        located(settings_file(beside, panel=["nobody"]))
