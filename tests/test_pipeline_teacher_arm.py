"""The study's teacher as an arm: asked the study's own questions, its chains cut as a student's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from judging_cases import KEY
from loopback import Answer, Call, Loopback
from mechcot.core import config
from mechcot.core.errors import ConfigError, DataError, JudgeError
from mechcot.core.files import read_json
from mechcot.pipeline import run as pipeline
from mechcot.study.folder import Study
from test_pipeline_teacher import says, settings_of, teacher_file

TEST = ("w50 w51", "W3  W4")


def asked_of_test(call: Call) -> bool:
    return call.parts("QUESTION")[0] in TEST


def writes(call: Call) -> Answer:
    """As for training; of the study's own questions two chains, of one question one is a refusal."""
    if not asked_of_test(call):
        return Answer(says(call))
    assert not call.parts("ANSWER")
    number = call.body["seed"]
    if call.parts("QUESTION")[0] == TEST[1] and number == 0:
        return Answer(None, refusal="I cannot.")
    return Answer(f"w{number} w{number + 1} . answer w2", finish_reason="length" if number == 1 else "stop")


def study_yaml(folder: Path, file: Path, **more: Any) -> Path:
    arms = {
        "base": {"model": str(folder / "base")},
        "distilled": {"model": str(folder / "base")},
        "teacher": {"traces": "teacher"},
    }
    teacher = {"server": str(file), "hint_after": None, "attempts": 2, "distinct": 1} | more.pop(
        "teacher", {}
    )
    sampling = {"samples": 2, "max_new_tokens": 3}
    return settings_of(folder, teacher, arms=arms, sampling=sampling, **more)


def test_the_teacher_s_own_chains_are_an_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    out = tmp_path / "out"
    with Loopback(writes) as server:
        settings = study_yaml(tmp_path, teacher_file(tmp_path, server.url))
        planned = {row.what: row for row in pipeline.plan(out, config=settings).rows}["given-teacher"]
        assert (planned.n, planned.calls, planned.tokens_out) == (4, 4, 200)
        assert planned.money == pytest.approx((planned.tokens_in + 2 * 200) / 1e6)
        with pytest.raises(DataError, match=r"none\.csv"):  # the judge's table, after all texts
            pipeline.run(out, config=settings, progress=False)
        own = [call for call in server.calls if asked_of_test(call)]
        assert len(own) == 4
        with pytest.raises(DataError, match=r"none\.csv"):
            pipeline.run(out, progress=False)
        assert len([call for call in server.calls if asked_of_test(call)]) == 4
    study = Study(out, config.resolve(base=config.read_yaml(out / "study.yaml")))
    rows = study.traces("teacher")
    assert rows[["qid", "cid", "text", "finish_reason", "answer"]].values.tolist() == [
        ["q0", 0, "w0 w1 . answer w2", "stop", 1],
        ["q0", 1, "w1 w2 . answer w2", "length", -1],
        ["q1", 0, "w1 w2 . answer w2", "length", -1],
    ]
    assert list(rows.prompt_ids[0]) == list(study.traces("base").prompt_ids[0])
    assert len(study.steps("teacher")) >= 3
    about = read_json(out / "arms" / "teacher" / "teacher.json")
    assert about["left_out"] == {"refused": 1, "empty": 0, "mark": 0}
    assert about["outcomes"] == {"right": 0, "wrong": 1, "no_answer": 0, "cut": 2, "refused": 1, "empty": 0}
    assert (about["usage"]["calls"], about["samples"]) == (4, 2)
    assert "teacher" in study.settings.authors()
    kept = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]


def test_the_budget_holds_for_chains_and_arm_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    out, prices = tmp_path / "out", {"price_in": 1e4, "price_out": 0.0}
    with Loopback(writes) as server:
        file = teacher_file(tmp_path, server.url, **prices, concurrency=1)
        settings = study_yaml(tmp_path, file, teacher={"budget": 100.0})
        pipeline.teach(out, config=settings, progress=False)
        spent = read_json(out / "teacher" / "about.json")["usage"]["cost"]
        assert spent == 14.0  # 14 calls of 100 tokens at 0.01
        with pytest.raises(JudgeError, match="the budget is 10"):
            pipeline.run(out, overrides=(f"teacher.budget={spent + 10}",), progress=False)
        with pytest.raises(DataError, match=r"none\.csv"):
            pipeline.run(out, overrides=("teacher.budget=500",), progress=False)
        assert len([call for call in server.calls if asked_of_test(call)]) == 4
    assert len(pd.read_parquet(out / "arms" / "teacher" / "traces.parquet")) == 3


@pytest.mark.parametrize(
    ("overrides", "says_so"),
    [
        (
            ("teacher=null", "examples={}"),
            "'teacher' is the study's teacher behind a server, and the study has none",
        ),
        (("teacher.server=null", "teacher.traces=x.jsonl"), "and the study has none (teacher.server)"),
        (("controls.c={after: teacher}",), "controls.c.differs=[prompt"),
        (("contrast.after=teacher",), "contrast.after: the arm 'teacher' is given as traces"),
    ],
)
def test_a_teacher_that_is_no_arm_is_refused(
    overrides: tuple[str, ...], says_so: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve(file=study_yaml(tmp_path, tmp_path / "t.yaml"), overrides=overrides)
    assert says_so in str(error.value)
    declared = ("controls.c={after: teacher, differs: [prompt, temperature, max_new_tokens]}",)
    config.resolve(file=study_yaml(tmp_path, tmp_path / "t.yaml"), overrides=declared)
