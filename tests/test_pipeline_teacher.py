"""A study whose student learns from a teacher: from questions over chains and examples to its traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from conftest import ROOT, save_checkpoint
from judging_cases import KEY
from loopback import Answer, Call, Loopback
from mechcot import Study
from mechcot.cli.commands import app
from mechcot.core import config
from mechcot.core.errors import ConfigError, DataError, StudyError, UsageError
from mechcot.core.files import read_json
from mechcot.core.manifest import load_manifest, verify
from mechcot.distill.teacher_file import read_teacher
from mechcot.pipeline import run as pipeline
from mechcot.steps.of_study import task_of
from mechcot.tasks import question_of, render_prompt


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


TRAIN = [
    {"qid": f"t{i}", "question": f"w{i} w{i + 1}", "options": [f"w{20 + i}", f"w{40 + i}"], "answer": "A"}
    for i in range(8)
]
TEST = [
    {"qid": "q0", "question": "w50 w51", "options": ["w1", "w2"], "answer": "A"},
    {"qid": "q1", "question": "W3  W4", "options": ["w9", "w10"], "answer": "B"},  # t3's words
]
PROMPT = {
    "question": "{stem} . {options}",
    "option": "{text}",
    "separator": " ",
    "answer_pattern": r"answer (?P<answer>\S+)",
    "answer_form": "text",
    "lead_in": [" answer "],
    "terminator": None,
}


def says(call: Call) -> str:
    """The teacher: right from the first, from the second attempt, or once it is shown the answer."""
    (stem,), (options,) = call.parts("QUESTION"), call.parts("OPTIONS")
    number, attempt = int(stem.split()[0][1:]), call.body["seed"]
    right = number < 5 or (number < 7 and attempt > 1) or bool(call.parts("ANSWER"))
    letter = options.splitlines()[0 if right else 1].split()[1]
    return f"w{number} w{attempt + 10} . answer {letter}"


def settings_of(folder: Path, teacher: dict[str, Any], **more: Any) -> Path:
    base = folder / "base"
    if not base.exists():
        save_checkpoint(base)
    lines(folder / "train.jsonl", TRAIN)
    lines(folder / "test.jsonl", TEST)
    own = {
        "questions": {"path": str(folder / "test.jsonl")},
        "teacher": {"questions": {"path": str(folder / "train.jsonl")}, **teacher},
        "examples": {"right": {}, "bare": {"reasoning": "none", "match": "right", "by": "tokens"}},
        "prompt": PROMPT,
        "arms": {
            "base": {"model": str(base)},
            "distilled": {
                "distill": {
                    "base": "base",
                    "examples": "right",
                    "train": {"device": "cpu", "epochs": 1, "warmup_steps": 0},
                }
            },
        },
        "sampling": {"samples": 1, "max_new_tokens": 3},
        "judge": {"kind": "table", "path": str(folder / "none.csv")},
        "threads": 1,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(own | more))
    return folder / "study.yaml"


def teacher_file(folder: Path, url: str, **changes: Any) -> Path:
    own = {"base_url": url, "model": "asked", "api_key_env": "TEACHER_KEY", "seed": 0, "max_tokens": 50}
    (folder / "teacher.yaml").write_text(yaml.safe_dump(own | {"price_in": 1.0, "price_out": 2.0} | changes))
    return folder / "teacher.yaml"


def test_from_a_teacher_to_a_student_s_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    out = tmp_path / "out"
    with Loopback(lambda call: Answer(says(call))) as server:
        file = teacher_file(tmp_path, server.url)
        study_yaml = settings_of(
            tmp_path, {"server": str(file), "hint_after": 3, "attempts": 4, "distinct": 1}
        )
        planned = {row.what: row for row in pipeline.plan(out, config=study_yaml).rows}
        assert (planned["teacher"].n, planned["teacher"].calls, planned["teacher"].tokens_out) == (
            7,
            28,
            1400,
        )
        assert planned["teacher"].money == pytest.approx((planned["teacher"].tokens_in + 2 * 1400) / 1e6)
        assert "1 of 8 questions leak" in planned["teacher"].note
        assert planned["examples"].n is None is planned["distill-distilled"].n
        done = CliRunner().invoke(app, ["teacher", str(out), "--config", str(study_yaml), "--quiet"])
        assert done.exit_code == 0, done.output
        assert "20 chains for 7 questions: 13 right, 7 wrong" in done.output
        sent = len(server.calls)
        with pytest.raises(DataError, match=r"none\.csv"):
            pipeline.run(out, progress=False)
        assert len(server.calls) == sent
        teacher_file(tmp_path, server.url, price_in=5.0, concurrency=1)  # decides nothing
        with pytest.raises(DataError, match=r"none\.csv"):
            pipeline.run(out, progress=False)
        teacher_file(tmp_path, server.url, temperature=0.2)
        with pytest.raises(StudyError, match="stage teacher of this study is done and its settings were"):
            pipeline.run(out, progress=False)
    study = Study(out, config.resolve(base=config.read_yaml(out / "study.yaml")))
    _look_at_chains(study)
    _look_at_examples(study)
    assert len(study.traces("distilled")) == 2
    assert verify(out) == []
    kept = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]


def _look_at_chains(study: Study) -> None:
    leakage = read_json(study.path / "teacher" / "leakage.json")
    assert [(leak["qid"], leak["test_qid"], leak["how"]) for leak in leakage["left_out"]] == [
        ("t3", "q1", "words")
    ]
    rows = pd.read_parquet(study.path / "teacher" / "traces.parquet")
    found = rows.groupby("qid").agg(n=("kept", "size"), kept=("kept", "sum"), hinted=("hinted", "sum"))
    assert "t3" not in found.index
    assert found.loc[["t0", "t5", "t7"]].values.tolist() == [[2, 2, 0], [4, 2, 0], [4, 1, 1]]
    about = read_json(study.path / "teacher" / "about.json")
    assert about["outcomes"] | {"right": 0, "wrong": 0} == dict.fromkeys(about["outcomes"], 0)
    assert (about["n_kept"], about["n_kept_hinted"], about["model"]) == (13, 1, "asked")
    assert about["usage"]["replies"] == len(rows)


def _look_at_examples(study: Study) -> None:
    right = pd.read_parquet(study.path / "examples" / "right.parquet")
    bare = pd.read_parquet(study.path / "examples" / "bare.parquet")
    report = read_json(study.path / "examples" / "report.json")
    asked = {
        row.qid: question_of(row)
        for row in pd.read_parquet(study.path / "teacher/questions.parquet").itertuples()
    }
    from mechcot.models.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(Path(study.settings.arms["base"].model or ""))
    for row in right.itertuples():
        assert row.prompt == render_prompt(asked[row.qid], task_of(study).format, tokenizer)[0]
        assert row.completion[row.answer_start :] == f"answer {asked[row.qid].options[0]}"
    assert report["examples"]["right"]["n_examples"] == len(right) == 12
    assert report["examples"]["right"]["left_out"]["hinted"] == 1
    assert 0 <= right.n_tokens.sum() - bare.n_tokens.sum() < bare.n_tokens.max()
    masks = report["students"]["distilled"]
    assert masks["n_rows"] == 12
    assert masks["tokens"]["prompt"]["trained"] == 0
    assert masks["tokens"]["end"] == {"trained": 12, "all": 12}
    assert masks["tokens"]["answer"] == {"trained": 24, "all": 24}
    text = (study.path / "examples" / "masks" / "distilled.txt").read_text()
    assert "end of text trained: yes, in all 12 rows" in text
    assert masks["digest"] in text


GIVEN = [
    {"qid": "t0", "text": "w1 w2 . answer w20", "hinted": True, "attempt": 3},
    {"qid": "t0", "text": "w5 w6 . answer w20 <eos>", "hinted": None, "attempt": None},
    {"qid": "t1", "text": "w1 . answer w41"},
    {"qid": "t2", "text": "w1 . answer", "finish_reason": "length"},
    {"qid": "t3", "text": "w1 . answer w23"},
    {"qid": "t4", "text": "w7 w8 . answer w24", "hinted": False},
]


def test_chains_that_somebody_has_are_graded_as_a_server_s(tmp_path: Path) -> None:
    given = lines(tmp_path / "given.jsonl", GIVEN)
    study_yaml = settings_of(tmp_path, {"traces": str(given)})
    rows = pipeline.plan_teaching(tmp_path / "out", config=study_yaml).rows
    assert [row.n for row in rows if row.what == "teacher"] == [6]
    study = pipeline.teach(tmp_path / "out", config=study_yaml, progress=False)
    rows = pd.read_parquet(study.path / "teacher" / "traces.parquet")
    columns = ["qid", "cid", "attempt", "hinted", "outcome", "kept"]
    assert rows[columns].values.tolist() == [
        ["t0", 0, 3, True, "right", True],
        ["t0", 1, 2, False, "right", True],
        ["t1", 0, 1, False, "wrong", False],
        ["t2", 0, 1, False, "cut", False],
        ["t4", 0, 1, False, "right", True],
    ]
    assert rows.completion_tokens.isna().all()
    found = pd.read_parquet(study.path / "examples" / "right.parquet")
    assert found.completion.tolist() == ["w5 w6 . answer w20", "w7 w8 . answer w24"]
    before = load_manifest(study.path)["stages"]
    more = ("examples.mixed={reasoning: shuffled}",)
    pipeline.teach(study.path, overrides=more, progress=False)
    after = load_manifest(study.path)["stages"]
    assert after["teacher"] == before["teacher"]
    assert (
        after["examples"]["outputs"].items()
        >= {
            name: digest
            for name, digest in before["examples"]["outputs"].items()
            if name != "examples/report.json"
        }.items()
    )


def test_open_questions_are_taught_in_the_words_of_their_gold(tmp_path: Path) -> None:
    given = lines(
        tmp_path / "given.jsonl",
        [{"qid": "t0", "text": "w1 w2 . answer w21"}, {"qid": "t1", "text": "w1 . answer w30"}],
    )
    columns = {"columns": {"options": None}, "gold_is": "any"}
    lines(tmp_path / "open.jsonl", [{"qid": "q", "question": "w9 w8", "answer": ["w7"]}])
    asked = [{"qid": f"t{i}", "question": f"w{i}", "answer": [f"w{20 + i}", f"w{21 + i}"]} for i in range(2)]
    lines(tmp_path / "asked.jsonl", asked)
    study_yaml = settings_of(
        tmp_path,
        {"traces": str(given), "questions": {"path": str(tmp_path / "asked.jsonl"), **columns}},
        questions={"path": str(tmp_path / "open.jsonl"), **columns},
        prompt={**PROMPT, "question": "{stem} ."},
        preset="open",
    )
    study = pipeline.teach(tmp_path / "out", config=study_yaml, progress=False)
    rows = pd.read_parquet(study.path / "teacher" / "traces.parquet")
    assert rows.outcome.tolist() == ["right", "wrong"]
    found = pd.read_parquet(study.path / "examples" / "right.parquet")
    assert found.completion.tolist() == ["w1 w2 . answer w20"]
    assert found.prompt.tolist() == ["w0 . <think>"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [{"qid": "t0", "text": "w1", "hinted": "perhaps"}],
            r"row 1: hinted is 'perhaps'; expected true or false",
        ),
        ([{"qid": "t0", "text": "w1", "attempt": 0}], r"row 1: attempt is 0; expected a whole number from 1"),
        ([{"qid": "zz", "text": "w1"}], r"row 1: the study has no question 'zz'"),
        ([{"qid": "t1", "text": "answer w41"}], r"given\.jsonl: of 1 chains none is right \(1 wrong\)"),
        ([{"qid": "t3", "text": "answer w23"}], r"given\.jsonl: there is no chain at all for the teacher's"),
        (
            [{"qid": "t0", "text": "answer w20"}],
            r"examples\.right: of 1 kept chains none is left: 1 no_reasoning",
        ),
    ],
)
def test_chains_that_will_not_do_are_refused(rows: list[dict[str, Any]], says: str, tmp_path: Path) -> None:
    given = lines(tmp_path / "given.jsonl", rows)
    with pytest.raises(DataError, match=says):
        pipeline.teach(tmp_path / "out", config=settings_of(tmp_path, {"traces": str(given)}), progress=False)


def test_what_the_student_could_not_be_read_by_is_refused_before_it_is_paid_for(tmp_path: Path) -> None:
    with Loopback(lambda call: Answer(says(call))) as server:
        file = teacher_file(tmp_path, server.url, api_key_env=None)
        wrong = settings_of(tmp_path, {"server": str(file)}, prompt=PROMPT | {"reasoning_end": "</think>"})
        with pytest.raises(
            DataError, match=r"ends with 'The question .* answer w20' .* read no such answer off"
        ):
            pipeline.teach(tmp_path / "out", config=wrong, progress=False)
        leaking = settings_of(tmp_path, {"server": str(file)})
        lines(tmp_path / "train.jsonl", TEST)
        with pytest.raises(DataError, match=r"train\.jsonl: all 2 questions of the teacher stand among"):
            pipeline.teach(tmp_path / "out2", config=leaking, progress=False)
        assert not server.calls


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("teacher.traces=x.jsonl", "teacher: give either `server` or `traces`"),
        ("teacher.attempts=1", "teacher: attempts is 1 and chains is 2"),
        ("teacher=null", "examples: they are made of a teacher's chains"),
        ("teacher.questions.columns.options=null", "they are open, the study's own have options"),
        ("examples.bare.match=none", "examples.bare.match: 'none' is none of the examples"),
        (
            "examples.right.match=bare",
            "examples.bare.match: 'right' is none of the examples that match no others: there is none",
        ),
        ("examples.right.by=tokens", "by: says what is made equal"),
        ("examples.rich={}", "'rich' cannot name examples"),
        ("arms.distilled.distill.examples=rich", "'rich' is of the organism's teacher"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(override: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(ConfigError) as error:
        config.resolve(file=settings_of(tmp_path, {"server": "teacher.yaml"}), overrides=(override,))
    assert says in str(error.value)


def test_the_organism_keeps_its_teacher(tmp_path: Path) -> None:
    teacher = "teacher={server: t.yaml, questions: {path: q.jsonl}}"
    with pytest.raises(ConfigError, match="the organism has a teacher of its own"):
        config.resolve(overrides=(teacher,))
    with pytest.raises(UsageError, match="the settings name no teacher"):
        pipeline.plan_teaching(tmp_path / "out")


def test_the_example_files_are_settings() -> None:
    found = config.resolve(file=ROOT / "examples" / "study-teacher.yaml")
    assert found.teacher is not None
    assert (
        read_teacher(ROOT / "examples" / (found.teacher.server or ""), found.teacher.attempts).role
        == "teacher"
    )
    assert found.arms["answer-only"].distill is not None
    assert found.made_here(found.arms["answer-only"].distill.examples)
