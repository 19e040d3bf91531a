"""The worked example of docs/architecture.md: a control of the judge is added by a file and a line."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mechcot.analyses.judge_controls.controls as room
from documentation import ROOT
from judging_cases import KEY, judge_file
from loopback import Loopback, verdict
from mechcot import Study
from mechcot.analyses.judge_controls import Wanted, plan_judge_controls, registry, run_judge_controls
from mechcot.cli import app
from mechcot.core import files, records
from written_study import written_study

FILE, LINE = "analyses/judge_controls/controls/length.py", "analyses/judge_controls/registry.py"


def blocks() -> dict[str, str]:
    page = (ROOT / "docs" / "architecture.md").read_text().partition("### Adding a judge control")[2]
    page = page.partition("\n## ")[0]
    return {re.match(r"# (\S+)", code)[1]: code for code in re.findall(r"```python\n(.*?)```", page, re.S)}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Study:
    return written_study(tmp_path_factory.mktemp("written") / "study")


@pytest.fixture
def study(written: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study, once the page's file lies in the room of the controls and its line stands in the registry."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    own = tmp_path / "controls"
    own.mkdir()
    (own / Path(FILE).name).write_text(blocks()[FILE])
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(own)])
    space: dict[str, object] = {"CONTROLS": registry.CONTROLS}
    exec(blocks()[LINE], space)
    monkeypatch.setattr(registry, "CONTROLS", space["CONTROLS"])
    shutil.copytree(written.path, tmp_path / "study")
    yield Study.open(tmp_path / "study")
    del sys.modules["mechcot.analyses.judge_controls.controls.length"]


def long_is_right(call):
    """Takes for right whatever is said twice."""
    text = call.step
    half = len(text) // 2
    return verdict("correct" if text[:half] == text[half + 1 :] else "erroneous")


def test_two_files_are_all() -> None:
    assert list(blocks()) == [FILE, LINE]


def test_it_is_planned_judged_found_shown_and_resumed(study: Study) -> None:
    with Loopback(long_is_right) as server:
        file = judge_file(study.path.parent, server.url, price_in=1.0, price_out=2.0)
        wanted = Wanted(file, only=("length",), questions=4)
        planned = plan_judge_controls(study.path, wanted)
        assert [row.control for row in planned.controls] == ["primary", "length"]
        assert planned.controls[1].plan.cost > 0
        done = run_judge_controls(study.path, wanted, budget=9.0, progress=False)
        assert len(server.calls) == planned.total.calls
        sent = len(server.calls)
        again = run_judge_controls(study.path, wanted, progress=False)
        assert len(server.calls) == sent
    assert again.result.to_json() == done.result.to_json()
    found = done.result.findings["length"]
    items = records.read_table(done.folder / "items.parquet", records.JUDGE_CONTROLS)
    twice = items[items.control == "length"]
    assert set(twice.label) == {"correct"}
    assert sum(found.n_steps) == len(twice)
    assert [part.estimate for part in (found.shift.before, found.shift.after, found.shift.difference)] == [
        *(-1.0, -1.0, 0.0)
    ]
    kept = files.read_json(done.folder / "result.json")
    assert kept["length"] == found.to_json()
    assert kept["decoys"] == {"value": None, "reason": "no decoys were judged"}
    row = kept["controls"][-1]
    assert (row["control"], row["name"], row["error"]["after"]["estimate"]) == ("length", "said twice", 0)
    assert row["p_family"] == 1  # it moves both arms alike
    assert "erroneous said twice minus once  -100.0 points" in done.text()
    page = (done.folder / "report.html").read_text()
    assert "Said twice, the share of erroneous steps shifts by \N{MINUS SIGN}100.0" in page
    assert "said twice, any verdict" in done.text()  # it repeats the steps one by one: flips are counted


def test_the_exact_checker_leaves_it_out_and_the_command_knows_it(study: Study) -> None:
    def call(*arguments: str):
        return CliRunner().invoke(app, ["judge-controls", str(study.path), *arguments, "--dry-run", "--json"])

    planned = json.loads(call("--only", "length").output)
    why = "the exact checker is shown nothing and told nothing but the step"
    assert f"left out: length: {why}" in planned["notes"]
    assert "guess-arm, length; and factor" in str(call("--only", "lenght").exception)
