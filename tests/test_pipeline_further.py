"""A further judge for a finished study."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from judging_cases import KEY, by_text, judge_file
from loopback import Answer, Loopback
from mechcot import Study
from mechcot.cli.commands import app
from mechcot.core import files, records
from mechcot.core.errors import JudgeError, StudyError
from mechcot.core.judging_settings import JudgeSettings
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.stages import run_stages
from mechcot.pipeline.further import judge_study, price
from mechcot.pipeline.run import stages_of, versions
from mechcot.study.folder import recorded


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)


@pytest.fixture
def small(study, tmp_path):
    """A copy of the shared study, its arms cut down to forty steps each."""
    copy = tmp_path / "study"
    shutil.copytree(study.path / "arms", copy / "arms")
    for name in ("study.yaml", "manifest.json", "questions.parquet"):
        shutil.copy(study.path / name, copy / name)
    manifest = load_manifest(copy)
    stages = {name: record for name, record in manifest["stages"].items() if name.startswith(("steps-", "q"))}
    for arm in study.settings.arms:
        path = copy / "arms" / arm / "steps.parquet"
        records.write_table(path, records.read_table(path, records.STEPS).iloc[:40], records.STEPS)
        stages[f"steps-{arm}"]["outputs"][f"arms/{arm}/steps.parquet"] = files.digest(path)
    files.write_json(copy / "manifest.json", manifest | {"stages": stages})
    return copy


def test_verdicts_stand_beside_the_studys_own_and_are_made_once(small):
    own = {arm: files.digest(small / "arms" / arm / "verdicts" / "exact.parquet") for arm in ("base",)}
    with Loopback(by_text) as server:
        file = judge_file(small.parent, server.url, price_in=1.0, price_out=2.0)
        planned = price(small, file).total
        assert not (small / "work").exists()
        done = judge_study(small, file, budget=5.0, progress=False)
        assert planned.calls == len(server.calls)
        opened = Study.open(small)
        for arm in opened.settings.arms:
            rows = opened.verdicts(arm, done.instrument)
            assert rows[records.STEP_KEY].equals(opened.steps(arm)[records.STEP_KEY])
            assert set(rows.instrument) == {done.instrument}
            assert rows.label.value_counts().to_dict() == {k: n for k, n in done.labels[arm].items() if n}
        assert verify(small) == []
        assert done.about["server_enforces_schema"] is True
        assert recorded(small) == {done.instrument: done.about}
        # Neither the cache of replies nor the server is needed for what is recorded.
        shutil.rmtree(small / "work")
        sent = len(server.calls)
        assert judge_study(small, file, progress=False) == done
        assert (len(server.calls), len(server.checks)) == (sent, 1)
    assert own == {arm: files.digest(small / "arms" / arm / "verdicts" / "exact.parquet") for arm in own}
    for path in small.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
    (small / "arms" / "base" / "verdicts" / f"{done.instrument}.parquet").write_bytes(b"x")
    assert verify(small) == [
        f"arms/base/verdicts/{done.instrument}.parquet (stage judge-{done.instrument}): has changed since it "
        "was written"
    ]


def test_another_field_is_another_instrument_and_both_stay(small):
    with Loopback(by_text) as server:
        names = [
            judge_study(
                small, judge_file(small.parent, server.url, fields={"gold": gold}), progress=False
            ).instrument
            for gold in (True, False)
        ]
    assert len(set(names)) == 2
    assert set(recorded(small)) == set(names)


def test_the_studys_own_judge_describes_itself_beside_its_verdicts(small):
    with Loopback(by_text) as server:
        file = judge_file(small.parent, server.url)
        old = Study.open(small).settings
        judge = JudgeSettings(kind="llm", path=str(file))
        own = Study(small, old.model_copy(update={"judge": judge}))
        own.save_settings()
        (stage,) = [stage for stage in stages_of(own, progress=False) if stage.name == "judge"]
        run_stages(small, [stage], versions())
        sent = len(server.calls)
        about = files.read_json(small / "instruments" / "llm.json")
        further = judge_study(small, file, progress=False)  # a further judge: the same replies
        assert len(server.calls) == sent
    assert about == further.about
    assert set(own.verdicts("base").instrument) == {about["instrument"]}
    assert own.instruments() == ["llm", "exact", further.instrument]
    assert set(recorded(small)) == {further.instrument}
    assert verify(small) == []
    (small / "instruments" / "llm.json").unlink()
    assert verify(small) == ["instruments/llm.json (stage judge): is missing"]


def test_failed_calls_are_sent_again_and_nothing_else(small):
    down = [True]
    text = Study.open(small).steps("base").text.iloc[3]

    def script(call):
        return Answer(status=400, body=b"{}") if down and call.step == text else by_text(call)

    with Loopback(script) as server:
        file = judge_file(small.parent, server.url, max_failure_share=0.5)
        first = judge_study(small, file, progress=False)
        assert first.labels["base"]["api_failure"] > 0
        down.clear()
        sent = len(server.calls)
        second = judge_study(small, file, progress=False)
        assert 0 < len(server.calls) - sent < 10
    assert first.instrument == second.instrument
    assert sum(second.labels[arm]["api_failure"] for arm in second.labels) == 0
    assert verify(small) == []


def test_verdicts_of_steps_that_changed_are_made_again(small):
    with Loopback(by_text) as server:
        file = judge_file(small.parent, server.url)
        done = judge_study(small, file, progress=False)
        path = small / "arms" / "base" / "steps.parquet"
        records.write_table(path, records.read_table(path, records.STEPS).iloc[:30], records.STEPS)
        manifest = load_manifest(small)
        manifest["stages"]["steps-base"]["outputs"]["arms/base/steps.parquet"] = files.digest(path)
        files.write_json(small / "manifest.json", manifest)
        assert recorded(small) == {}
        sent = len(server.calls)
        judge_study(small, file, progress=False)
        assert len(server.calls) == sent
    assert len(Study.open(small).verdicts("base", done.instrument)) == 30


def test_a_study_without_steps_and_a_stopped_run_leave_nothing_behind(small):
    with Loopback(by_text) as server:
        file = judge_file(small.parent, server.url, price_in=100.0, price_out=1000.0, max_tokens=16)
        before = files.digest(small / "manifest.json")
        with pytest.raises(JudgeError, match="larger budget to go on"):
            judge_study(small, file, budget=0.5, progress=False)
        assert files.digest(small / "manifest.json") == before
        assert not (small / "instruments").exists()
        kept = len(server.calls)
        assert kept
        judge_study(small, file, progress=False)
        assert price(small, file).total.answered == len(server.calls)
        manifest = load_manifest(small)
        del manifest["stages"]["steps-base"]
        files.write_json(small / "manifest.json", manifest)
        with pytest.raises(StudyError, match="the arm 'base' has no steps yet"):
            judge_study(small, file, progress=False)


def test_the_command_prices_judges_and_says_json(small):
    def call(*arguments):
        return CliRunner().invoke(app, ["judge", str(small), *arguments], catch_exceptions=False)

    with Loopback(by_text) as server:
        file = str(judge_file(small.parent, server.url, price_in=1.0, price_out=2.0))
        dry = call("--judge", file, "--dry-run")
        assert dry.exit_code == 0
        assert "estimated" in dry.output
        assert "by the judge file's prices" in dry.output
        plan = json.loads(call("--judge", file, "--dry-run", "--json").output)
        assert not server.calls + server.checks
        text = call("--judge", file, "--quiet")
        assert plan["total"]["calls"] == len(server.calls)
        assert "parse_failure" in text.output
        found = json.loads(call("--judge", file, "--json").output)
    assert sum(found["labels"]["base"].values()) == 40
    assert found["instrument"] in text.output
