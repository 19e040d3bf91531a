"""What a study will take, told before anything is spent: every stage, and what is unknown said to be so."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from called import called
from judging_cases import judge_file
from mechcot import Study
from mechcot.cli import app
from mechcot.core import files
from mechcot.core.errors import DataError, StudyError, UsageError
from mechcot.core.manifest import load_manifest
from mechcot.core.plan import Expense, Plan
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.analyses import plan_probe
from mechcot.pipeline.further import price

NOBODY = "http://127.0.0.1:9"


def rows(plan: Plan) -> dict[str, Expense]:
    return {row.what: row for row in plan.rows}


def states(plan: Plan) -> dict[str, str]:
    return {row.what: row.state for row in plan.rows}


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_study_that_is_not_there_is_planned_stage_by_stage_and_nothing_is_made(
    study: Study, tmp_path: Path
) -> None:
    plan = pipeline.plan(tmp_path / "new", preset="organism-small", seed=3)
    assert not any(tmp_path.iterdir())
    assert [row.what for row in plan.rows] == [stage.name for stage in pipeline.stages_of(study)]
    assert {row.what for row in plan.rows} == load_manifest(study.path)["stages"].keys()
    assert {row.state for row in plan.rows} == {"to do"}
    found = rows(plan)
    assert found["questions"].n == len(study.questions())
    assert found["sample-base"].n == len(study.traces("base"))
    settings = study.settings
    assert found["sample-base"].tokens_out == len(study.traces("base")) * settings.sampling.max_new_tokens
    told = files.read_json(study.reading_path("base") / "reading.json")
    assert found["read-base-by-base"].n == told["traces"]
    assert found["distill-terse"].n == settings.organism.teacher_traces * 2  # type: ignore[union-attr]
    for name, amount in (("read-base-by-base", "tokens_in"), ("judge", "n"), ("probe", "n")):
        assert getattr(found[name], amount) is None, name
        assert found[name].to_json()[amount]["reason"]
    assert plan.total.tokens_in is None
    assert "unknown of judge: the steps of base, distilled, terse are not there yet" in plan.text()


def test_a_finished_study_has_nothing_to_do(study: Study) -> None:
    before = stamps(study.path)
    plan = pipeline.plan(study.path)
    assert set(states(plan).values()) == {"cached"}
    total = plan.total
    assert (total.n, total.calls, total.tokens_in, total.seconds, total.money) == (0, 0, 0, 0, 0)
    assert stamps(study.path) == before


def test_a_plan_foretells_what_the_run_then_does(study: Study, tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study.path, copy, ignore=shutil.ignore_patterns("work"))
    plan = pipeline.plan(copy, overrides=("reading.layers=[1]",))
    to_do = {name for name, state in states(plan).items() if state == "to do"}
    # The report's key holds all settings.
    assert to_do == {name for name in states(plan) if name.startswith("read-")}
    assert {name for name, state in states(plan).items() if state == "if changed"} == {
        "commitment", "hedge", "probe", "knowledge", "report"
    }  # fmt: skip
    pipeline.read(copy, overrides=("reading.layers=[1]",), progress=False)
    for author, reader in (("base", "base"), ("base", "distilled"), ("distilled", "base")):
        row, folder = rows(plan)[f"read-{author}-by-{reader}"], copy / "readings" / author / reader
        told = files.read_json(folder / "reading.json")
        assert (row.n, row.tokens_in) == (told["traces"], told["tree_tokens"])
        shards = (folder / "activations").glob("*.safetensors")
        assert row.disk == pytest.approx(sum(file.stat().st_size for file in shards), rel=0.05)


def test_restarting_plans_that_stage_and_all_after_it(study: Study) -> None:
    plan = pipeline.plan(study.path, restart_from="judge")
    found = states(plan)
    names = [*found]
    assert {found[name] for name in names[: names.index("judge")]} == {"cached"}
    assert {found[name] for name in names[names.index("judge") :]} == {"to do"}
    assert rows(plan)["judge"].n == sum(len(study.steps(arm)) for arm in study.settings.arms)
    assert rows(plan)["judge"].seconds == load_manifest(study.path)["stages"]["judge"]["seconds"]
    assert "counted on what is there now" in plan.text()
    with pytest.raises(UsageError, match="no stage 'sleep' to restart from"):
        pipeline.plan(study.path, restart_from="sleep")


def test_what_a_run_would_refuse_a_plan_refuses(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="was made with other settings"):
        pipeline.plan(study.path, overrides=("sampling.samples=9",))
    (tmp_path / "other").write_text("x")
    with pytest.raises(StudyError, match="is not empty and no study"):
        pipeline.plan(tmp_path)
    settings = {
        "questions": {"path": str(tmp_path / "none.csv")},
        "judge": {"kind": "table", "path": "v.csv"},
    }
    settings["arms"] = {"base": {"model": str(tmp_path)}, "distilled": {"model": str(tmp_path)}}  # type: ignore[dict-item]
    (tmp_path / "study.yaml.in").write_text(yaml.safe_dump(settings))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="does not exist"):
        pipeline.plan(tmp_path / "study.yaml.in")


def test_money_is_known_by_the_judge_files_prices_or_unknown_and_never_nought(
    study: Study, tmp_path: Path
) -> None:
    steps = sum(len(study.steps(arm)) for arm in study.settings.arms)
    free = judge_file(tmp_path, NOBODY)
    llm = ("judge.kind=llm", f"judge.path={free}")
    row = rows(pipeline.plan(study.path, overrides=llm))["judge"]
    assert (row.n, row.money) == (steps, None)
    assert row.calls is not None
    assert 0 < row.calls <= steps
    assert "price_in" in row.reason
    judge_file(tmp_path, NOBODY, price_in=1.0, price_out=2.0, max_tokens=100)
    plan = pipeline.plan(study.path, overrides=llm)
    row = rows(plan)["judge"]
    assert row.tokens_out == 100 * row.calls  # type: ignore[operator]
    assert row.money == pytest.approx((row.tokens_in + 2 * row.tokens_out) / 1e6)  # type: ignore[operator]
    assert plan.total.money == row.money
    further = price(study.path, free)
    assert further.rows == (row,)
    new = rows(pipeline.plan(tmp_path / "new", preset="organism-small", overrides=llm))["judge"]
    assert (new.n, new.calls, new.tokens_in, new.money) == (None,) * 4


def test_traces_that_are_given_are_counted_in_their_file(study: Study, tmp_path: Path) -> None:
    asked = study.questions()
    rows_given = [{"qid": qid, "text": "x . </think> answer y"} for qid in asked.qid for _ in range(3)]
    (tmp_path / "given.jsonl").write_text("\n".join(map(json.dumps, rows_given)))
    given = f"arms.teacher={{traces: {tmp_path / 'given.jsonl'}}}"
    plan = pipeline.plan(tmp_path / "new", preset="organism-small", seed=3, overrides=(given,))
    found = rows(plan)
    assert found["given-teacher"].n == found["steps-teacher"].n == 3 * len(asked)
    clinical = int((asked.domain == "clinical").sum())
    assert found["read-teacher-by-base"].n == clinical * study.settings.reading.traces_per_question
    (tmp_path / "given.jsonl").write_text('{"qid": "nobody", "text": "x"}')
    with pytest.raises(DataError, match="the study has no question 'nobody'"):
        pipeline.plan(tmp_path / "new", preset="organism-small", seed=3, overrides=(given,))


def test_a_probe_is_planned_by_its_fits(study: Study) -> None:
    plan = plan_probe(study.path, None, None, None)
    row = plan.rows[0]
    assert row.what == "probe distilled read by distilled"
    assert row.seconds is not None
    assert row.memory is not None
    assert (row.seconds > 0, row.memory > 0) == (True, True)
    assert row.tokens_in is None
    assert "an ablation reads the traces 22 times" in plan.text()
    of_run = rows(pipeline.plan(study.path, restart_from="probe"))["probe"]
    told = [
        files.read_json(study.reading_path(arm) / "reading.json")["bare_tokens"]
        for arm in ("base", "distilled")
    ]
    assert of_run.tokens_in == sum(told)
    assert of_run.n is not None
    assert row.n is not None
    assert of_run.n > row.n


def test_the_command_plans_a_study_and_a_settings_file_and_says_json(study: Study, tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["plan", str(study.path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.splitlines()[1].split()[:2] == ["questions", "cached"]
    file = tmp_path / "settings.yaml"
    file.write_text("preset: organism-small\nseed: 3\n")
    of_file = runner.invoke(app, ["plan", str(file), "--json"], catch_exceptions=False)
    dry = ["run", str(tmp_path / "new"), "--config", str(file), "--dry-run", "--json"]
    told = json.loads(of_file.output)
    assert told.pop("estimate")["constants"]
    assert told == json.loads(runner.invoke(app, dry, catch_exceptions=False).output)
    assert sorted(tmp_path.iterdir()) == [file]
    probe = runner.invoke(app, ["probe", str(study.path), "--dry-run", "--json"], catch_exceptions=False)
    assert json.loads(probe.output)["rows"][0]["unit"] == "fits"
    assert not (study.path / "probes").exists()


@pytest.mark.parametrize(
    "command",
    [
        "run {} --set reading.layers=[1]", "read {}", "handover {}", "knowledge {}", "weights {}",
        "commitment {} --steps swaps", "commitment {} --steps knockouts", "probe {}", "judge-controls {}",
        "judge {} --judge kimi", "judge-controls {} --judge kimi --only answer-blind",
        "sheet draw {} --steps 20",
    ],
)  # fmt: skip
def test_every_dry_run_says_what_time_it_takes_or_why_not(command: str, study: Study) -> None:
    before = stamps(study.path)
    done = called(*command.format(study.path).split(), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\bseconds\b|\b[tT]ime\b", done.stdout)
    assert {path: at for path, at in stamps(study.path).items() if path.name != "digests.json"} == {
        path: at for path, at in before.items() if path.name != "digests.json"
    }


def test_what_is_done_says_what_it_took_and_counts_for_nothing(study: Study) -> None:
    recorded = load_manifest(study.path)["stages"]
    plan = pipeline.plan(study.path)
    assert {row.what: row.seconds for row in plan.rows} == {n: r["seconds"] for n, r in recorded.items()}
    assert plan.total.seconds == 0
    assert "Seconds of what is cached are those that it took" in plan.text()
    assert "time is not foretold" not in plan.text()


def test_what_never_ran_is_foretold_at_the_pace_of_its_own_models(study: Study, tmp_path: Path) -> None:
    recorded = load_manifest(study.path)["stages"]
    tokens = sum(int(study.traces(arm).token_ids.map(len).sum()) for arm in study.settings.arms)
    writing = tokens / sum(recorded[f"sample-{arm}"]["seconds"] for arm in study.settings.arms)
    own = study.settings.readings()
    told = [files.read_json(study.reading_path(*pair) / "reading.json")["tree_tokens"] for pair in own]
    reading = sum(told) / sum(recorded[f"read-{a}-by-{r}"]["seconds"] for a, r in own)
    row = rows(pipeline.plan_handover(study.path))["handover-by-base"]
    assert row.seconds == pytest.approx(row.tokens_in / reading + row.tokens_out / writing)  # type: ignore[operator]
    new = pipeline.plan(tmp_path / "new", preset="organism-small", seed=3)
    assert all(row.seconds is not None for row in new.rows)
    assert "Seconds of what has never run: by the cost model" in new.text()
