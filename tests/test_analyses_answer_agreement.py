"""The rules and a judge on the same answers: counted by hand, and through a study to its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from judging_cases import KEY, judge_file
from loopback import Answer, Call, Loopback
from mechcot import Study
from mechcot.analyses import registry
from mechcot.analyses.answer_agreement.analysis import analyse
from mechcot.core import files
from mechcot.core.errors import AnalysisError, ConfigError
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.results import Pair
from mechcot.pipeline import run as pipeline

QUESTIONS = pd.DataFrame({"qid": ["a", "b"], "options": [["x", "y", "z"], ["x", "y", "z"]], "gold": [0, 1]})


def tables(rows: list[tuple[str, int, int, str]], arm: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Traces and their readings from (question, option by the rules, by the judge, its outcome)."""
    keys = [{"qid": qid, "arm": arm, "cid": cid} for cid, (qid, *_) in enumerate(rows)]
    own = [
        {"answer": rules, "answer_rule": "strict" if rules >= 0 else "no_answer", "text": f"end {judge}"}
        for _, rules, judge, _ in rows
    ]
    read = [{"instrument": "answers-1", "outcome": o, "answer": judge} for _, _, judge, o in rows]
    return (
        pd.DataFrame([k | v for k, v in zip(keys, own, strict=True)]),
        pd.DataFrame([k | v for k, v in zip(keys, read, strict=True)]),
    )


BEFORE = [
    ("a", 0, 0, "option"), ("a", 0, 1, "option"), ("a", 1, -1, "none"), ("b", -1, 1, "option"),
    ("b", -1, -1, "ambiguous"), ("b", -1, -1, "not_asked"), ("b", 1, -1, "api_failure"),
]  # fmt: skip
AFTER = [("a", 0, 0, "option"), ("b", 1, 1, "option")]


def found():
    before, after = tables(BEFORE, "base"), tables(AFTER, "student")
    return analyse(QUESTIONS, Pair(before[0], after[0]), Pair(before[1], after[1]))


def test_both_directions_have_their_own_denominators():
    one = found().arms.before
    counts = (one.n_same, one.n_differ, one.n_rules_only, one.n_judge_only, one.n_neither)
    assert counts == (1, 1, 1, 1, 1)
    assert (one.n_traces, one.n_not_asked, one.n_failed, one.n_judge_ambiguous) == (7, 1, 1, 1)
    assert one.agreement.estimate == pytest.approx(2 / 5)  # the same, or neither
    assert one.rules_confirmed.estimate == pytest.approx(1 / 3)  # the failed call is in no rate
    assert one.judge_confirmed.estimate == pytest.approx(1 / 3)
    assert one.accuracy_rules.estimate == pytest.approx(2 / 6)
    assert one.accuracy_judge.estimate == pytest.approx(2 / 6)
    assert one.agreement.n == 2
    assert one.agreement.low is None, "two questions are too few for an interval"


def test_the_change_is_given_by_each_reading():
    result = found()
    assert result.delta_rules.estimate == pytest.approx(1 - 2 / 6)
    assert result.delta_judge.estimate == pytest.approx(1 - 2 / 6)
    assert result.to_json()["arms"]["after"]["agreement"]["estimate"] == 1
    assert found().to_json() == result.to_json()


def test_disagreements_are_shown_of_each_kind():
    shown = found().arms.before.disagreements
    assert [(one.rules, one.judge) for one in shown] == [("x", "y"), ("y", "none"), ("", "y")]


def test_a_trace_without_a_reading_and_two_instruments_are_refused():
    before, after = tables(BEFORE, "base"), tables(AFTER, "student")
    with pytest.raises(AnalysisError, match=r"question 'a', trace 0: its answer was not read"):
        analyse(QUESTIONS, Pair(before[0], after[0]), Pair(before[1][1:], after[1]))
    other = after[1].assign(instrument="answers-2")
    with pytest.raises(AnalysisError, match="2 instruments"):
        analyse(QUESTIONS, Pair(before[0], after[0]), Pair(before[1], other))


# --- a study ------------------------------------------------------------------------------------


def reader(call: Call) -> Answer:
    """Reads "answer WORD" and names the option; what it does not find is none."""
    said = call.parts("TEXT")[0].rpartition("answer ")[2].strip()
    options = [line.partition(") ")[2] for line in call.parts("OPTIONS")[0].split("\n")]
    letter = "ABCDEFGH"[options.index(said)] if said in options else "none"
    return Answer(json.dumps({"reason": said, "answer": letter}))


def test_a_study_is_read_twice_and_says_so(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    shutil.copytree(study.path, tmp_path / "copy", ignore=shutil.ignore_patterns("work"))
    path, before = tmp_path / "copy", load_manifest(study.path)["stages"]
    assert "answer_agreement" not in registry.results(study.settings)
    with pytest.raises(AnalysisError, match=r"answers\.judge"):
        study.answer_agreement()
    with pytest.raises(ConfigError):
        pipeline.plan(path, overrides=(f"answers.judge={tmp_path}/none.yaml",))
    with Loopback(reader) as server:
        wanted = (f"answers.judge={judge_file(tmp_path, server.url, price_in=1.0, price_out=2.0)}",)
        row = next(
            row for row in pipeline.plan(path, overrides=wanted).rows if row.what == "answers-by-judge"
        )
        assert row.state == "to do"
        assert row.money is not None
        assert row.money > 0
        again = pipeline.run(path, overrides=wanted, progress=False)
        sent = len(server.calls)
        assert row.calls == sent
        files.remove(path / "arms" / "base" / "answers.parquet")
        pipeline.run(path, progress=False)
        assert len(server.calls) == sent  # what was paid for is kept
    stages = load_manifest(path)["stages"]
    assert set(stages) - set(before) == {"answers-by-judge", "answer_agreement"}
    changed = {name for name in before if stages[name]["key"] != before[name]["key"]}
    assert changed == {"report"}
    result = again.answer_agreement()
    for arm in result.arms:
        assert arm.agreement.estimate == 1
        table = again.answers_read(arm.arm)
        own = again.traces(arm.arm).set_index(["qid", "cid"]).answer
        asked = table[table.outcome != "not_asked"].set_index(["qid", "cid"]).answer
        assert (own.reindex(asked.index) == asked).all()
    assert result.delta_rules.estimate == pytest.approx(result.delta_judge.estimate)
    assert json.loads(json.dumps(result.to_json())) == again.result("answer_agreement")
    page = again.report.read_text()
    assert "a language model that reads the answers too agree on" in page
    assert verify(path) == []
    assert files.read_json(path / "instruments" / "answers.json")["usage"]["calls"] == sent
    assert not np.isnan(result.arms.before.accuracy_rules.estimate)
