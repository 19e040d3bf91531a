"""A study without weights out of other tools' logs: answers and audit work; the rest says what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from called import called
from log_cases import QUESTIONS, harness_row, inspect_log, lines, reply, sample, written
from mechcot import Study
from mechcot.core import config
from mechcot.core.errors import AnalysisError, ConfigError, DataError, UsageError
from mechcot.core.files import read_json
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.imported import import_arms

ARMS = ("base", "distilled")
QUIET = {
    "overrides": ("analysis={bootstrap: 100, permutations: 0, folds: 2, traces_shown: 2}",),
    "progress": False,
}


def logs(folder: Path, epochs: int = 2, **changed: Any) -> dict[str, Path]:
    """A log of Inspect an arm, all questions."""
    return {
        arm: inspect_log(
            folder / f"{arm}.eval",
            [sample(i, written(arm, i, e), e) for i in range(8) for e in range(1, epochs + 1)],
            **{"temperature": 0.7, **changed.get(arm, {})},
        )
        for arm in ARMS
    }


def judged_by_table(study: Study, path: Path) -> str:
    """Verdicts for every step, the later arm's second steps wrong; the setting that names them."""
    steps = pd.concat([study.steps(arm) for arm in ARMS])
    wrong = (steps.arm == "distilled") & (steps.sid == 1) & (steps.qid != "q3")
    steps.assign(label=wrong.map({True: "erroneous", False: "correct"}))[
        ["qid", "arm", "cid", "sid", "label"]
    ].to_csv(path, index=False)
    return f"judge={{kind: table, path: {path}}}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("imported")
    files = logs(folder, distilled={"temperature": 1.0, "max_tokens": 9})
    named = ("import", folder / "study", *(f"--arm={arm}={file}" for arm, file in files.items()), "--quiet")
    refused = called(*named)
    assert refused.returncode != 0
    assert (
        "contrast: 'base' (base.eval) and 'distilled' (distilled.eval) were not asked alike: temperature: "
        "0.7 and 1.0. Compare" in refused.stderr
    )
    assert "--set 'contrast.differs=[temperature]'" in refused.stderr
    assert "max_new_tokens" not in refused.stderr.split("error:")[-1]  # one file alone tells it
    assert not (folder / "study").exists()
    done = called(*named, "--set", "contrast.differs=[temperature]")
    assert done.returncode == 0, done.stderr
    assert "'base' and 'distilled' were not asked alike: temperature: 0.7 and 1.0" in done.stderr
    assert f"Next: mechcot run {folder / 'study'} judges them (kimi)" in done.stdout
    study = Study.open(folder / "study")
    override = judged_by_table(study, folder / "verdicts.csv")
    return pipeline.run(study.path, overrides=(override, *QUIET["overrides"]), progress=False)


def test_answers_and_audit_are_those_of_the_texts(made: Study) -> None:
    asked = [(i, one["gold"], epoch) for i, one in enumerate(QUESTIONS) for epoch in (1, 2)]
    right = {arm: sum(f"({gold})" in written(arm, i, e) for i, gold, e in asked) / 16 for arm in ARMS}
    answers, audit = made.result("answers"), made.result("audit")
    assert {
        arm: answers[role]["accuracy"] for arm, role in zip(ARMS, ("before", "after"), strict=True)
    } == right
    assert right["distilled"] == 1
    assert audit["after"]["error_rate"]["estimate"] == pytest.approx(14 / 32)
    assert audit["before"]["error_rate"]["estimate"] == 0
    traces = made.traces("base")
    assert set(traces.finish_reason) == {"stop"}
    one = traces.iloc[0]
    assert len(one.token_ids) == len(one.text.split()) == len(one.token_start)
    assert "".join(one.text[a:b] for a, b in zip(one.token_start, one.token_end, strict=True)) == one.text


def test_what_needs_weights_says_so_and_runs_nothing(made: Study, tmp_path: Path) -> None:
    stages = read_json(made.path / "manifest.json")["stages"]
    assert not [name for name in stages if name.startswith(("read-", "prompts", "sample-"))]
    for name in ("commitment", "probe"):
        told = made.result(name)
        assert "all arms of the study are given as traces" in json.dumps(told)
    with pytest.raises(AnalysisError, match=r"needs a model's weights.*arms\.NAME\.model"):
        made.commitment()
    with pytest.raises(ConfigError, match=r"handover: this needs a model's weights"):
        pipeline.hand_over(made.path, progress=False)
    for command in (
        ("read",),
        ("probe",),
        ("hedge",),
        ("read", "--dry-run"),
        ("handover", "--dry-run"),
        ("commitment", "--steps", "swaps"),
        ("commitment", "--steps", "knockouts", "--dry-run"),
        ("weights",),
        ("knowledge",),
    ):
        done = called(command[0], made.path, *command[1:], "--quiet")
        assert done.returncode != 0
        assert "needs a model's weights" in done.stderr, (command, done.stderr)
        assert "Traceback" not in done.stderr
    assert called("verify", made.path).returncode == 0
    assert called("plan", made.path).returncode == 0


def test_what_was_not_asked_for_want_of_weights_is_said_once(made: Study) -> None:
    page = made.report.read_text()
    assert page.count("make a study whose arms name the checkpoints") == 1
    assert "what needs them was not asked: commitment, hedge, probe, knowledge." in page
    assert "one training run" not in page
    told = called("run", made.path).stdout
    assert told.count("needs a model's weights") == 1
    assert "not known: commitment, hedge, probe, knowledge, knowledge, selected on error (this needs" in told
    listed = called("show", made.path).stdout
    assert listed.count("needs a model's weights") == 1
    assert "Not here: commitment, hedge, probe, knowledge: this needs a model's weights" in listed


def test_the_report_says_how_the_arms_were_made(made: Study) -> None:
    page = made.report.read_text()
    assert page.count("a model&#39;s weights, and all arms") == 1  # said once for all that it leaves open
    assert "not known: see “What could not be asked”" in page
    assert "<h2>What could not be asked</h2>" in page
    for words in (
        "Arms given as traces",
        "mockllm/model",
        "Inspect",
        "Arms that were not asked alike",
        "Two imported logs:",
        "base (base.eval, written by Inspect, model mockllm/model)",
        "0.7",
    ):
        assert words in page, words
    told = read_json(made.path / "parity.json")
    assert told["given"]["base"] | {"stated": 0} == {
        "file": "base.eval", "written_by": "Inspect", "model": "mockllm/model", "n_traces": 16,
        "n_questions": 8, "samples": [2, 2], "stated": 0,
    }  # fmt: skip
    assert [one["what"] for one in told["differs"]["contrast"]] == ["temperature", "max_new_tokens"]


def test_its_cards_say_how_the_arms_were_asked(made: Study, tmp_path: Path) -> None:
    assert called("export", made.path, "--card", tmp_path).returncode == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| base was asked | model mockllm/model, Inspect, temperature 0.7 |" in card
    assert "| contrast: not asked alike | temperature: 0.7 before, 1.0 after |" in card
    assert "library_name" not in card
    assert "probe: this needs a model's weights" in card


def test_the_same_study_comes_without_torch(tmp_path: Path) -> None:
    files = logs(tmp_path, epochs=1)
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'datasets', 'tokenizers', 'trl'): sys.modules[name] = None\n"
        "from mechcot.cli import main\n"
        "main()"
    )
    arms = [f"--arm={arm}={file}" for arm, file in files.items()]
    done = subprocess.run(
        [sys.executable, "-c", code, "import", tmp_path / "study", *arms, "--quiet"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_failed_samples_leave_a_question_out_of_both_arms(tmp_path: Path) -> None:
    files = logs(tmp_path, epochs=1)
    failed = sample(3, "", error={"message": "no reply", "traceback": ""})
    rows = [sample(i, written("distilled", i)) for i in range(8) if i not in (3, 5)]
    inspect_log(files["distilled"], [*rows, failed])
    with pytest.raises(DataError, match=r"lacks 1 \(first 'q5'\) of the 8 in .*on_bad_row=skip"):
        import_arms(tmp_path / "study", files, progress=False)
    inspect_log(files["distilled"], [*rows, failed, sample(5, "a")])
    with pytest.raises(DataError, match=r"samples/q3_epoch_1\.json: question 'q3': it failed: no reply"):
        import_arms(tmp_path / "study", files, progress=False)
    assert not list(tmp_path.glob("*study*"))  # the same command may be given again
    inspect_log(files["distilled"], [*rows, failed])
    study = import_arms(tmp_path / "study", files, overrides=("questions.on_bad_row=skip",), progress=False)
    assert list(study.questions().qid) == ["q0", "q1", "q2", "q4", "q6", "q7"]
    told = read_json(study.path / "skipped.json")
    assert [row["row"] for row in told["skipped"]] == [4, 6]
    assert "no reply" in told["skipped"][0]["why"]
    assert len(study.traces("base")) == 6


def test_samples_of_the_harness_and_open_questions(tmp_path: Path) -> None:
    rows = {arm: [harness_row(i, [written(arm, i)]) for i in range(8)] for arm in ARMS}
    files = {arm: lines(tmp_path / f"{arm}.jsonl", own) for arm, own in rows.items()}
    study = import_arms(tmp_path / "study", files, progress=False)
    assert study.answers().after.accuracy == 1
    for arm, own in rows.items():
        for i, row in enumerate(own):
            row |= {
                "doc": {"question": f"What is {i} and 1?"},
                "target": str(i + 1),
                "resps": [[f"{i} + 1 = {i + 1}.\n\nThe answer is {i + 1}."]],
            }
        lines(files[arm], own)
    again = import_arms(tmp_path / "open", files, progress=False)
    assert again.settings.open_questions
    assert again.answers().after.accuracy == 1


def test_a_batch_needs_a_file_of_questions(tmp_path: Path) -> None:
    files = {
        arm: lines(tmp_path / f"{arm}.jsonl", [reply(f"q{i}", [written(arm, i)]) for i in range(8)])
        for arm in ARMS
    }
    with pytest.raises(DataError, match=r"no file holds the questions.*--questions FILE"):
        import_arms(tmp_path / "study", files, progress=False)
    asked = pd.DataFrame(QUESTIONS).rename(columns={"id": "qid", "stem": "question", "gold": "answer"})
    asked.to_parquet(tmp_path / "questions.parquet")
    study = import_arms(
        tmp_path / "study", files, questions=tmp_path / "questions.parquet", judge="local", progress=False
    )
    assert study.answers().after.accuracy == 1
    assert study.settings.judge.path == "local"
    with pytest.raises(UsageError, match=r"is a study already.*arms\.NAME\.traces=FILE"):
        import_arms(tmp_path / "study", files, progress=False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--arm", "base=a.eval"), "a study compares two arms"),
        (("--arm", "base"), "--arm takes NAME=FILE"),
        (("--arm", "a=x.eval", "--arm", "a=y.eval"), "'a' is named twice"),
    ],
)
def test_wrong_arms_are_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = called("import", tmp_path / "study", *arguments)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "study").exists()


def test_logs_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    files = logs(tmp_path, epochs=1)
    rows = [sample(i, written("distilled", i)) for i in range(8)]
    other = [*rows[:7], sample(7, "a", id="q9")]
    inspect_log(files["distilled"], other)
    with pytest.raises(DataError) as error:
        import_arms(tmp_path / "study", files, progress=False)
    assert "has 1 questions more (first 'q9') and lacks 1 (first 'q7') of the 8 in" in str(error.value)
    inspect_log(files["distilled"], [*rows[:7], sample(7, "a", input="Which bone?")])
    with pytest.raises(
        DataError, match=r"samples/q7_epoch_1\.json: question 'q7' is 'Which bone\?' here and"
    ):
        import_arms(tmp_path / "study", files, progress=False)
    inspect_log(files["base"], [sample(i, "a", target="") for i in range(8)])
    inspect_log(files["distilled"], [sample(i, "a", target="") for i in range(8)])
    with pytest.raises(DataError, match=r"samples/q0_epoch_1\.json: question 'q0' says no right answer"):
        import_arms(tmp_path / "study", files, progress=False)
    with pytest.raises(DataError, match=r"gone\.eval"):
        import_arms(
            tmp_path / "study", {"base": files["base"], "distilled": tmp_path / "gone.eval"}, progress=False
        )


def test_arms_with_other_numbers_of_answers_are_refused(tmp_path: Path) -> None:
    files = logs(tmp_path, epochs=2)
    inspect_log(files["distilled"], [sample(i, "a") for i in range(8)])
    with pytest.raises(DataError, match=r"distilled\.eval: answers to question 'q0': 1, to most .*: 2"):
        import_arms(tmp_path / "study", files, progress=False)
    rows = [[reply(f"q{i}", [written("base", i)]) for i in range(n)] for n in (8, 7)]
    pair = {arm: lines(tmp_path / f"{arm}.jsonl", own) for arm, own in zip(ARMS, rows, strict=True)}
    asked = pd.DataFrame(QUESTIONS).rename(columns={"id": "qid", "stem": "question", "gold": "answer"})
    asked.to_parquet(tmp_path / "questions.parquet")
    with pytest.raises(DataError, match=r"answers to question 'q7': 0.*on_bad_row=skip"):
        import_arms(tmp_path / "study", pair, questions=tmp_path / "questions.parquet", progress=False)
    skip = ("questions.on_bad_row=skip",)
    study = import_arms(
        tmp_path / "study", pair, questions=tmp_path / "questions.parquet", overrides=skip, progress=False
    )
    assert len(study.questions()) == 7


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("handover={}", "handover: this needs"),
        ("sampling.greedy=true", "sampling.greedy: this needs"),
        ("reading.readers=[base]", "reading.readers: this needs"),
        ("knowledge.pairs=p.csv", "knowledge.pairs: this needs"),
    ],
)
def test_settings_that_ask_something_of_weights_are_refused(override: str, says: str) -> None:
    base = {
        "preset": "models",
        "questions": {"path": "q.jsonl"},
        "arms": {arm: {"traces": f"{arm}.jsonl"} for arm in ARMS},
        "judge": {"kind": "llm", "path": "kimi"},
    }
    assert config.resolve(base=base).given
    with pytest.raises(ConfigError, match=says):
        config.resolve(base=base, overrides=(override,))
