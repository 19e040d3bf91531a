"""The worked example of docs/architecture.md: an analysis is added by its folder and a line."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from documentation import ROOT
from mechcot import Study
from mechcot.analyses import registry
from mechcot.cli import app
from mechcot.core.handover_settings import HandoverSettings
from mechcot.core.manifest import load_manifest
from mechcot.pipeline import run as pipeline
from test_report_page import Page

FILES = ("analyses/unanimity/analysis.py", "analyses/unanimity/page.py")


@pytest.fixture
def added(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The page's two files in a room of that name, its line in the registry, and a study made with them."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    blocks = {re.match(r"# (\S+)", code)[1]: code for code in re.findall(r"```python\n(.*?)```", page, re.S)}
    room = tmp_path / "unanimity"
    room.mkdir()
    for name in FILES:
        (room / Path(name).name).write_text(blocks[name])
    import mechcot.analyses

    monkeypatch.setattr(mechcot.analyses, "__path__", [*mechcot.analyses.__path__, str(tmp_path)])
    space: dict[str, object] = {}
    exec(
        blocks["analyses/registry.py"], {"Analysis": registry.Analysis, "ANALYSES": registry.ANALYSES}, space
    )
    monkeypatch.setattr(registry, "ANALYSES", space["ANALYSES"])
    shutil.copytree(study.path, tmp_path / "study", ignore=shutil.ignore_patterns("work"))
    yield pipeline.run(tmp_path / "study", progress=False)
    for name in [name for name in sys.modules if name.startswith("mechcot.analyses.unanimity")]:
        del sys.modules[name]


def test_it_has_its_stage_its_result_its_method_its_lines_and_its_section(added: Study) -> None:
    assert load_manifest(added.path)["stages"]["unanimity"]["outputs"].keys() == {"results/unanimity.json"}
    stored = added.result("unanimity")
    assert "unanimity" in dir(added)
    assert inspect.getdoc(added.unanimity) == "How many questions all traces of an arm agree on."
    result = added.unanimity()
    assert result.to_json() == stored
    traces = added.traces("distilled")
    asked = traces[traces.qid.isin(added.questions("clinical").qid)]
    agreed = asked.groupby("qid").answer.agg(lambda votes: votes.nunique() == 1 and votes.iloc[0] >= 0)
    assert stored["after"] == pytest.approx(agreed.mean())
    assert stored["difference"]["low"] <= stored["difference"]["estimate"] <= stored["difference"]["high"]
    assert added.summary()["unanimity"] == {"base": stored["before"], "distilled": stored["after"]}
    section = Page(added.report.read_text(encoding="utf-8")).text["unanimity"]
    assert "Do the traces of a question agree?" in section
    assert f"{stored['n_questions']} questions" in section


def test_the_command_shows_it(added: Study) -> None:
    runner = CliRunner()
    listed = runner.invoke(app, ["show", str(added.path)])
    assert re.search(r"unanimity +How many questions all traces of an arm agree on", listed.output)
    lines, _, _ = listed.output.partition("\n\n")
    assert lines.count("\n") + 1 == len(registry.shown_in(added.settings))
    one = runner.invoke(app, ["show", str(added.path), "unanimity"])
    assert one.exit_code == 0, one.output
    assert "before" in one.output
    as_json = runner.invoke(app, ["show", str(added.path), "unanimity", "--json"])
    assert json.loads(as_json.output) == added.result("unanimity")


def test_the_list_says_what_the_settings_ask_for_and_nothing_made(study: Study, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(study.path, tmp_path / "asked"))
    asked = study.settings.model_copy(update={"handover": HandoverSettings()})
    Study(folder, asked).save_settings()
    done = CliRunner().invoke(app, ["show", str(folder)])
    assert done.exit_code == 0, done.exception
    (line,) = [line for line in done.output.splitlines() if line.startswith("handover ")]
    assert line.endswith("(not here)")
    assert "Not here: handover: not made yet; mechcot run" in done.output
    told = json.loads(CliRunner().invoke(app, ["show", str(folder), "--json"]).output)
    assert "not made yet" in told["handover"]["reason"]
    assert CliRunner().invoke(app, ["show", str(folder), "handover"]).exit_code == 1


def test_every_analysis_can_be_shown_and_an_unknown_one_is_named(study: Study) -> None:
    runner = CliRunner()
    for name in registry.results():
        if name != "probe" and "reason" not in study.result(name):  # a probe takes a while
            done = runner.invoke(app, ["show", str(study.path), name])
            assert done.exit_code == 0, (name, done.output, done.exception)
            assert done.output.strip()
    both = runner.invoke(app, ["show", str(study.path), "commitment"]).output
    assert "base" in both
    assert "distilled" in both
    wrong = runner.invoke(app, ["show", str(study.path), "mood"])
    assert "there is no analysis 'mood'; there are: answers, audit" in str(wrong.exception)
