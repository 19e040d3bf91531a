"""Open questions from the file to the report: loaded, asked, voted on, forced, judged."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import save_checkpoint
from judging_cases import KEY, LABELS, by_text, judge_file
from loopback import Loopback
from mechcot import Study
from mechcot.core import config, records
from mechcot.core.cause_settings import CauseSettings
from mechcot.core.errors import ConfigError, DataError
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.core.question_settings import QuestionSettings
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import Item, messages, options_text
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.causes import cause_stages
from mechcot.pipeline.greedy import greedy_stages
from mechcot.pipeline.handover import handover_stages
from mechcot.sampling.votes import vote
from mechcot.tasks import question_of
from mechcot.tasks.multiple_choice import prompt_format
from mechcot.tasks.questions import load_questions

REAL = Path(__file__).parents[2] / "shared" / "real"
FORM = prompt_format(PromptSettings.model_validate(PRESETS["open"]["prompt"]))


def _row(qid: str, gold: str) -> dict[str, Any]:
    fixed = {"domain": "all", "stem": "How many?", "gold": 0, "group": qid, "stratum": "", "open": True}
    return {"qid": qid, "options": [gold], "accepted": [gold], **fixed}


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("Janet has 3 * 6 = <<3*6=18>>18 eggs.\n#### 18", "18"),
        ("#### 1,000", "1,000"),
        ("Paris", "Paris"),
        (18, "18"),
        (1.5, "1.5"),
        (["Paris"], "Paris"),
    ],
)
def test_the_right_answer_of_an_open_question(tmp_path: Path, answer: object, gold: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "How many?", "answer": answer}))
    table = load_questions(QuestionSettings.model_validate({"path": str(path), "columns": {"options": None}}))
    assert (table.options[0], table.gold[0], bool(table.open[0])) == ([gold], 0, True)
    records.write_table(tmp_path / "q.parquet", table, records.OPEN_QUESTIONS)


@pytest.mark.parametrize("answer", ["", " ", None, "so it is\n####", [], ["x", ""], True, {"value": "x"}])
def test_an_open_question_without_an_answer_is_named(tmp_path: Path, answer: object) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "How many?", "answer": answer}))
    with pytest.raises(DataError, match=r"q\.jsonl, row 1: the gold answer"):
        load_questions(QuestionSettings.model_validate({"path": str(path), "columns": {"options": None}}))


def test_a_list_of_right_answers_is_any_of_them_once_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "Who?", "answer": ["J. Smith", "John Smith", "Smith"]}))
    asked: dict[str, Any] = {"path": str(path), "columns": {"options": None}}
    with pytest.raises(DataError, match=r"row 1: the gold answer holds 3 texts: .*gold_is=any"):
        load_questions(QuestionSettings.model_validate(asked))
    table = load_questions(QuestionSettings.model_validate(asked | {"gold_is": "any"}))
    assert (table.options[0], table.accepted[0]) == (["J. Smith"], ["J. Smith", "John Smith", "Smith"])
    texts = (
        "It is he. The answer is smith.",
        "It is he. The answer is Jones.",
        "So: the answer is John Smith",
    )
    found, (voted,) = vote(table, [pd.DataFrame([_trace("q00001", text) for text in texts])], FORM)
    assert (found.options[0], voted.answer.tolist()) == (["J. Smith", "Jones"], [0, 1, 0])


def test_a_list_of_right_answers_is_one_that_names_all_once_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    asked: dict[str, Any] = {"path": str(path), "columns": {"options": None}}

    def load(*answers: object, **more: str) -> pd.DataFrame:
        path.write_text("\n".join(json.dumps({"question": "Which?", "answer": one}) for one in answers))
        return load_questions(QuestionSettings.model_validate(asked | more))

    with pytest.raises(DataError, match=r"questions\.gold_is=all"):
        load(["iron", "zinc"])
    table = load(["iron", "zinc"], "liver", gold_is="all")
    assert [list(texts) for texts in table.accepted] == [["iron; zinc"], ["liver"]]
    with pytest.raises(DataError, match="holds ';'"):
        load(["a; b", "c"], gold_is="all")
    with pytest.raises(DataError, match="names a text twice"):
        load(["Iron", "iron."], gold_is="all")
    texts = ("The answer is zinc and iron.", "The answer is iron.", "The answer is iron, zinc.")
    traces = pd.DataFrame([_trace("q00001", text) for text in texts])
    found, (voted,) = vote(table[:1], [traces], replace(FORM, items=True))
    assert (found.options[0], voted.answer.tolist()) == (["iron; zinc", "iron"], [0, 1, 0])


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there: real questions are not tried")
def test_real_open_questions_are_loaded() -> None:
    path = REAL / "questions_gsm8k.jsonl"
    table = load_questions(QuestionSettings.model_validate({"path": str(path), "columns": {"options": None}}))
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [o[0] for o in table.options] == [row["answer"].split("#### ")[1].strip() for row in rows]


# --- the prompt -----------------------------------------------------------------------------------


def test_the_prompt_shows_no_options_and_the_pattern_reads_what_it_asks_for() -> None:
    table = pd.DataFrame([_row("q", "18")])
    asked = FORM.render(question_of(next(records.rows(table))))
    assert asked == "How many?\n\nThink step by step, then end with: The answer is X."
    texts = ("He has 3 * 6.\n\nThe answer is 18.", "The answer is $17", asked)
    found, (voted,) = vote(table, [pd.DataFrame([_trace("q", text) for text in texts])], FORM)
    assert (found.options[0], voted.answer.tolist()) == (["18", "17"], [0, 1, -1])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("preset: models\nquestions: {path: q, columns: {options: null}}", "no options and no letters"),
        (
            'preset: open\nquestions: {path: q}\nprompt: {question: "{stem} {options}"}',
            "no options and no letters",
        ),
        ("preset: open\nquestions: {path: q}\nprompt: {answer_form: letter}", "no options and no letters"),
        ('questions: {path: q}\nprompt: {question: "{stem}"}', "must hold the slots"),
        ("preset: open\nquestions: {path: q, gold_is: label}", "their gold is no label"),
        ("questions: {path: q, gold_is: any}", "any is of open questions"),
    ],
)
def test_a_prompt_that_does_not_fit_its_questions_is_refused(text: str, says: str, tmp_path: Path) -> None:
    arms = "arms: {base: {model: a}, distilled: {model: b}}\njudge: {kind: table, path: v.csv}"
    (tmp_path / "study.yaml").write_text(f"{text}\n{arms}")
    with pytest.raises(ConfigError, match=says):
        config.resolve(file=tmp_path / "study.yaml")


# --- votes ------------------------------------------------------------------------------------------


def _trace(qid: str, text: str, reason: str = "stop") -> dict[str, object]:
    return {"qid": qid, "text": text, "finish_reason": reason, "answer": -1}


def test_the_options_are_the_gold_and_the_distinct_answers_voted_for() -> None:
    questions = pd.DataFrame([_row("a", "18"), _row("b", "Paris")])
    said = ["18", "18.0", "$18", "17", "18 dollars", "17.", "a dozen"]
    first = [_trace("a", f"Some words.\n\nThe answer is {text}") for text in said]
    first += [_trace("a", "I do not know."), _trace("a", "The answer is 5.", "length")]
    second = [_trace("b", f"Some words.\n\nThe answer is {text}.") for text in ("paris", "Lyon", "PARIS")]
    second += [_trace("a", "Some words.\n\nThe answer is 17.")]
    found, (one, two) = vote(questions, [pd.DataFrame(first), pd.DataFrame(second)], FORM)
    assert found.options.tolist() == [["18", "17", "a dozen"], ["Paris", "Lyon"]]
    assert one.answer.tolist() == [0, 0, 0, 1, 0, 1, 2, -1, -1]
    assert two.answer.tolist() == [0, 1, 0, 1]
    again, voted = vote(questions, [pd.DataFrame(first), pd.DataFrame(second)], FORM)
    assert again.equals(found)
    assert voted[0].equals(one)


# --- a study ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two random checkpoints and a file of traces answer twelve open questions."""
    folder = tmp_path_factory.mktemp("open")
    base, student = save_checkpoint(folder / "base"), save_checkpoint(folder / "student", seed=11)
    rows = [{"qid": f"n{i}", "question": f"w{i} w{i + 1}", "answer": f"w3 #### w{i}"} for i in range(12)]
    (folder / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = [
        {"qid": f"n{i}", "text": f"w1 w2 . w{i} . answer w{i + (cid == 1)}"}
        for i in range(12)
        for cid in range(3)
    ]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, given)))
    (folder / "study.yaml").write_text(
        f"""
preset: open
questions: {{path: {folder}/q.jsonl}}
arms:
  base: {{model: {base}}}
  distilled: {{model: {student}}}
  teacher: {{traces: {folder}/t.jsonl}}
prompt:
  question: "{{stem}} ."
  answer_pattern: 'answer (?P<answer>\\S+)'
  lead_in: [". answer "]
  terminator: null
sampling: {{samples: 3, max_new_tokens: 40}}
judge: {{kind: table, path: {folder}/verdicts.csv}}
reading: {{permutations: 2}}
analysis: {{bootstrap: 200, permutations: 2}}
threads: 1
"""
    )
    path = folder / "out"
    with pytest.raises(DataError, match=r"verdicts\.csv"):
        pipeline.run(path, config=folder / "study.yaml", progress=False)
    tables = [pd.read_parquet(path / "arms" / a / "steps.parquet") for a in ("base", "distilled", "teacher")]
    verdicts = pd.concat(tables)[["qid", "arm", "cid", "sid", "text"]]
    verdicts["label"] = ["erroneous" if len(text) % 3 == 0 else "correct" for text in verdicts.text]
    verdicts.drop(columns="text").to_csv(folder / "verdicts.csv", index=False)
    return pipeline.run(path, config=folder / "study.yaml", progress=False)


def test_an_open_question_s_options_are_what_the_arms_voted_for(study: Study) -> None:
    questions = study.questions().set_index("qid")
    assert questions.open.all()
    assert [options[0] for options in questions.options] == [f"w{i}" for i in range(12)]
    given: dict[str, set[str]] = {qid: set() for qid in questions.index}
    for arm in study.settings.arms:
        for row in study.traces(arm).itertuples():
            said = row.text[row.answer_start : row.answer_end]
            if row.answer >= 0:
                given[row.qid].add(said)
                assert questions.options[row.qid][row.answer] == said
    for qid, row in questions.iterrows():
        assert set(row.options) == given[str(qid)] | {row.options[0]}
        assert len(set(row.options)) == len(row.options)
    teacher = study.traces("teacher")
    assert (teacher.answer == 0).tolist() == (teacher.cid != 1).tolist()


def test_answers_are_forced_over_them(study: Study) -> None:
    questions = study.questions().set_index("qid")
    for author in study.settings.authors():
        forced = study.forced(author, "base")
        assert len(forced) > 0
        assert set(forced.permutation) == {0}  # the prompt shows no options: there is no other order
        for row in forced.itertuples():
            assert len(row.p) == len(questions.options[row.qid])
            assert np.sum(row.p) == pytest.approx(1, abs=1e-5)


def test_the_study_goes_through_to_its_report(study: Study) -> None:
    answers = study.summary()["answers"]
    for arm in ("base", "distilled"):
        assert answers[arm]["accuracy"] == pytest.approx((study.traces(arm).answer == 0).mean())
    assert study.report.read_text().startswith("<!doctype html>")
    assert verify(study.path) == []
    stages = list(load_manifest(study.path)["stages"])
    assert {"votes", "sample-base", "given-teacher"} <= set(stages)


def test_it_is_found_done_and_votes_are_counted_again_from_where_it_is_told(study: Study) -> None:
    before = load_manifest(study.path)["stages"]["votes"]
    pipeline.run(study.path, progress=False)
    assert load_manifest(study.path)["stages"]["votes"] == before
    again = pipeline.run(study.path, restart_from="votes", progress=False)
    after = load_manifest(again.path)["stages"]["votes"]
    assert after["outputs"] == before["outputs"]


def test_a_judge_is_shown_the_right_answer_and_no_others(study: Study) -> None:
    question = question_of(next(records.rows(study.questions())))
    judge = Judge(base_url="http://127.0.0.1:9/v1", model="m", api_key_env=None)
    shown = messages(Item(question, "A step."), judge, 0)[1]["content"]
    assert "[[OPTIONS" not in shown
    assert "]]\nw0\n[[END ANSWER" in shown
    assert len(question.options) > 1
    assert options_text(replace(question, open=False)).startswith("(A) w0\n(B) ")


def test_greedy_traces_and_a_hand_over_are_judged_by_a_model(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two checkpoints, open questions, a judge behind HTTP: what no checker of a task stands behind."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    path = tmp_path / "study"
    shutil.copytree(study.path, path, ignore=shutil.ignore_patterns("readings", "work"))
    with Loopback(by_text) as server:
        judge = {"kind": "llm", "path": str(judge_file(tmp_path, server.url))}
        settings = study.settings.model_dump(mode="json")
        settings |= {"judge": settings["judge"] | judge, "handover": {"prefixes": 4}}
        settings["sampling"]["greedy"] = True
        own = Study(path, type(study.settings).model_validate(settings))
        for stage in (*greedy_stages(own, False), *handover_stages(own, False)):
            stage.run(path / "work" / stage.name)
        asked = {call.step for call in server.calls if not call.is_check}
    for arm in ("base", "distilled"):
        traces, steps, verdicts = (own.greedy_table(arm, name) for name in ("traces", "steps", "verdicts"))
        assert len(traces) == len(study.questions()) == 12
        whole = steps.complete.to_numpy()  # one that the limit cut is not asked about
        assert set(steps.text[whole]) <= asked
        assert [by_label(text) for text in steps.text[whole]] == verdicts.label[whole].tolist()
    found = own.handover()
    assert found.n_prefixes == {"base": 4, "distilled": 4}
    free = [one for one in found.outcomes if one.form == "free"]
    assert sum(one.n for one in free) == 2 * 2 * 4 * (own.settings.handover.samples + 1)
    assert all(one.step == one.correct + one.erroneous + one.abstain + one.not_checkable for one in free)
    assert "reads no claims" in found.terms[0].knowledge.reason
    assert "written by distilled" in found.text()


def test_steps_of_open_questions_are_changed_and_written_anew(study: Study, tmp_path: Path) -> None:
    """No checker, no options, and answers that are mostly none: each is counted."""
    path = tmp_path / "study"
    shutil.copytree(study.path, path, ignore=shutil.ignore_patterns("readings", "work"))
    asked = {"causes": CauseSettings(traces=20, regenerated=3, questions=6)}
    own = Study(path, study.settings.model_copy(update=asked))
    for stage in cause_stages(own, False):
        stage.run(path / "work" / stage.name)
    found = own.causes()
    assert found.swapped == "steps of other traces"
    for arm, n, left in zip(("base", "distilled"), found.traces, found.left_out, strict=True):
        traces = own.traces(arm)
        whole = traces[traces.answer_rule != "truncated"]
        assert left["cut by the token limit"] == len(traces) - len(whole)
        assert n <= (whole.answer >= 0).sum()
    assert found.text()


def by_label(text: str) -> str:
    """What the judge of `by_text` says of a step."""
    return LABELS[hashlib.sha256(text.encode()).digest()[0] % 4]
