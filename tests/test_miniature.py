"""Whole studies in miniature: every stage of a settings file, real HTTP, and nothing of it empty."""

from __future__ import annotations

import json
import random
import re
import runpy
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from judging_cases import judge_file
from mechcot import Study
from mechcot.asking.session import Session
from mechcot.cli.commands import app
from mechcot.core.config import resolve
from mechcot.core.errors import AnalysisError, ConfigError, UsageError
from mechcot.core.files import read_json
from mechcot.core.manifest import verify
from mechcot.core.question_settings import QuestionSettings
from mechcot.judging.claim_swaps import Asked, swap_claims
from mechcot.judging.judge_file import read_judge
from mechcot.judging.kinds import kinds_by_llm
from mechcot.pipeline.miniature import lore, run
from mechcot.pipeline.miniature.lore import cases, holds, student_chain
from mechcot.pipeline.miniature.questions import n_options, paired, write_questions
from mechcot.pipeline.miniature.servers import Servers
from mechcot.pipeline.miniature.settings import MOST
from mechcot.tasks import Question
from mechcot.tasks.kinds import KINDS

EXAMPLES = Path(__file__).parent.parent / "examples"


# --- a study ---------------------------------------------------------------------------------------


def test_a_published_study_runs_in_miniature(miniature: Path) -> None:
    """The shared one (conftest.py); notebooks/07 goes on with it."""
    study = Study.open(miniature)
    assert study.settings.miniature
    assert verify(miniature) == []
    counts = {(one.arm, one.what): one.n for one in run.counts(study)}
    assert min(counts.values()) > 0
    assert {what for _, what in counts} >= {"answers", "steps", "traces that lock before the answer"}
    assert len(study.questions()) == 20
    about = read_json(miniature / "teacher" / "about.json")
    assert about["outcomes"]["wrong"] > 0 < about["n_kept_hinted"] < about["n_kept"]
    assert about["usage"]["replies"] == about["n_chains"]
    page = study.report.read_text()
    assert "A miniature." in page
    assert "says nothing of any model" in page


def test_it_goes_on_where_it_stopped_and_asks_nothing_twice(miniature: Path, examples_cache: Path) -> None:
    before = (miniature / "manifest.json").read_bytes()
    done = CliRunner().invoke(
        app,
        ["run", str(miniature), "--config", str(EXAMPLES / "medqa-qwen3-1.7b.yaml"), "--miniature", "--json"],
    )
    assert done.exit_code == 0, (done.output, done.exception)
    told = json.loads(done.stdout)
    assert (told["asked"], told["checkpoints"]) == ({}, 0.0)
    assert Path(told["cache"]).is_relative_to(examples_cache)
    assert (miniature / "manifest.json").read_bytes() == before
    assert "arms.base.model" in {change[0] for change in told["changed"]}


def test_what_comes_out_empty_is_an_error(miniature: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.open(miniature)
    none = study.verdicts("distilled").assign(label="abstain")
    monkeypatch.setattr(study, "verdicts", lambda arm, name=None: none)
    with pytest.raises(AnalysisError, match="came out empty: base has no steps called right or wrong by llm"):
        run.counts(study)


@pytest.mark.slow
def test_open_questions_run_in_miniature(tmp_path: Path, examples_cache: Path) -> None:
    """All examples: `python scripts/miniature.py`."""
    done = run.run_miniature(tmp_path / "study", EXAMPLES / "gsm8k-qwen3-8b.yaml", progress=False)
    assert min(one.n for one in done.counts) > 0
    assert verify(tmp_path / "study") == []
    assert "A miniature: it shows that the settings run" in done.text()


def test_the_page_quotes_what_was_measured() -> None:
    script = runpy.run_path(str(EXAMPLES.parent / "scripts" / "miniature.py"))
    told = json.loads(script["NUMBERS"].read_text())
    assert script["table"](told) in script["PAGE"].read_text()
    for one in told["examples"].values():
        assert sum(script["by_kind"](one["processor"]).values()) == pytest.approx(
            sum(one["processor"].values())
        )
        assert min(n for _, _, n in one["counts"]) > 0


# --- its parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 4, 5])
def test_questions_of_study_and_teacher_are_apart_and_have_their_answers(n: int) -> None:
    test, train = lore.cases(n)
    assert (len(test), len(train)) == (20, 24)
    assert not {case.stem for case in test} & {case.stem for case in train}
    for case in (*test, *train):
        assert len(case.options) == n
        if n:
            assert case.options.count(case.gold) == 1
            assert lore.DRUGS[case.about[0]] == case.gold
        else:
            boxes, each, gone = map(int, case.about)
            assert case.gold == str(boxes * each - gone)


@pytest.mark.parametrize(
    ("step", "true"),
    [
        ("Blue nails perhaps points to velmia.", True),
        ("Blue nails points to orrisis.", False),
        ("Velmia may respond to carpolin.", True),
        ("For velmia one would give dexamur.", False),
        ("Velmia responds to carpolin. Orrisis responds to carpolin.", False),
        ("Look first at what was found.", None),
        ("4 boxes of 3 perhaps hold 12.", True),
        ("With 3 in each box, 4 boxes of 3 make 13 in all.", False),
        ("Taking 2 from that, 12 less 2 leaves 10.", True),
        ("By the way, half of 12 is 7.", False),
    ],
)
def test_what_a_step_claims_is_looked_up(step: str, true: bool | None) -> None:
    assert lore.holds(step) is true


@pytest.mark.parametrize(
    "asked",
    [
        {"set": "medqa"},
        {"set": "medmcqa"},
        {"set": "arc-challenge"},
        {"set": "gsm8k"},
        {"set": "mmlu-pro"},
        {"path": "mine.csv", "columns": {"qid": None, "options": ["a", "b", "c"]}, "gold_is": "number"},
        {"path": "mine.csv", "columns": {"options": None, "domain": "field"}, "gold_is": "any"},
    ],
)
def test_questions_are_written_in_the_form_that_the_settings_tell_of(asked: dict, tmp_path: Path) -> None:
    settings = QuestionSettings.model_validate(asked)
    cases, _ = lore.cases(n_options(settings))
    written = write_questions(tmp_path / "questions.jsonl", cases, settings, "medicine")
    found = paired(written, cases)
    assert len(found) == 20
    for question, case in found:
        assert question.options[question.gold] == case.gold
        assert question.open is not bool(case.options)
        assert question.domain == ("medicine" if settings.columns.domain else question.domain)


def ask(url: str, body: bytes) -> tuple[int, dict]:
    request = urllib.request.Request(f"{url}/chat/completions", body)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_loopback_speaks_http_and_refuses_what_it_does_not_know() -> None:
    with Servers({}, 0) as servers:
        status, answer = ask(servers.url, b"{")
        assert (status, list(answer)) == (400, ["error"])
        chat = [{"role": "system", "content": ""}, {"role": "user", "content": "[[X t]]\na\n[[END X t]]"}]
        assert ask(servers.url, json.dumps({"model": "m", "messages": chat}).encode())[0] == 400
        assert ask(servers.url + "/other", b"{}")[0] == 404
        with pytest.raises(UsageError, match=f"port {servers.port}, at which this miniature"):
            Servers({}, servers.port)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("arms.given={traces: mine.jsonl}", r"arms\.given\.traces names a file"),
        ("judge={kind: table, path: verdicts.csv}", r"judge\.path names a file"),
        ("knowledge.pairs=pairs.csv", r"knowledge\.pairs names a file"),
        ("questions={set: pubmedqa}", "share the options yes, no, maybe"),
    ],
)
def test_settings_that_a_miniature_cannot_follow_are_refused(setting: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        run.run_miniature(tmp_path / "new", EXAMPLES / "medqa-qwen3-1.7b.yaml", overrides=(setting,))
    assert not (tmp_path / "new" / "study.yaml").exists()


def test_a_miniature_is_of_a_settings_file(tmp_path: Path) -> None:
    for words in ([], ["--config", str(EXAMPLES / "medqa-qwen3-1.7b.yaml"), "--dry-run"]):
        done = CliRunner().invoke(app, ["run", str(tmp_path / "new"), "--miniature", *words])
        assert isinstance(done.exception, UsageError)
    (tmp_path / "organism.yaml").write_text("preset: organism-small\n")
    with pytest.raises(ConfigError, match="the organism is a miniature already"):
        run.run_miniature(tmp_path / "new", tmp_path / "organism.yaml")


def test_the_servers_of_a_miniature_name_kinds_and_swap_claims(tmp_path: Path) -> None:
    (known, _), rng = cases(4), random.Random(0)
    steps = [
        (case, text)
        for case in known
        for text in re.split(r"(?<=\.) ", student_chain(case, rng).reasoning)
        if holds(text) is not None
    ]
    items = [
        Asked(Question("q", "", case.stem, case.options, case.options.index(case.gold), "q"), text,
              "correct" if holds(text) else "erroneous")
        for case, text in steps
    ]  # fmt: skip
    with Servers({case.stem: case for case in known}, 0) as server:
        file = judge_file(tmp_path, server.url, api_key_env=None)
        session = Session(read_judge(file), tmp_path / "calls", 0, progress=False)
        found = swap_claims(items, session, session)
        table = pd.DataFrame([{"qid": "q", "arm": "a", "cid": 0, "sid": n, "text": text}
                              for n, (_, text) in enumerate(steps)])  # fmt: skip
        named = kinds_by_llm(table, {"q": items[0].question}, session)
    used = [row for row in found.rows if not row.refused]
    assert len(used) > len(items)
    assert all(holds(row.text) is (row.wanted == "correct") for row in used)
    assert set(named.kinds) <= set(KINDS)
    assert {"kind", "swap", "swap check"} <= server.asked.keys()


def test_what_is_made_small_is_a_setting() -> None:
    more = ("handover", "causes", "weights", "steering", "localisation", "judge_controls", "sheet")
    full = resolve(file=EXAMPLES / "medqa-qwen3-8b.yaml", overrides=tuple(f"{one}={{}}" for one in more))
    for key in MOST:
        section, _, name = key.partition(".")
        assert name in full.model_dump()[section], key
