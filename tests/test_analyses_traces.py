"""Traces and answers together: planted ties and planted shuffles come back, by the file and in a study."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from mechcot.analyses.traces.analysis import CELLS, arm_traces, domain_of, hurts, tied
from mechcot.cli import app
from mechcot.core import records
from mechcot.core.errors import DataError, UsageError
from mechcot.distill.examples import load_examples
from mechcot.distill.trace_types import part
from mechcot.pipeline.traces import Wanted, check_traces, make_traces
from mechcot.tasks.base import Question
from mechcot.tasks.cotemp import CLASSES, VERIFIABLE
from mechcot.tasks.trace_questions import cotemp_files
from mechcot.tasks.trace_table import TraceRow, check_rows, misplaced, read_rows
from mechcot.tasks.verifiable import write_variants
from trace_cases import cotemp_questions, cotemp_row

QUESTIONS = [question for name in CLASSES for question in cotemp_questions(name, 40)]
BY_ID = {question.qid: question for question in QUESTIONS}
WRITTEN, _ = write_variants(VERIFIABLE, QUESTIONS, ["correct", "incorrect", "partial", "shuffled"], 0)


def rows_of(draw: Callable[[random.Random, Question], tuple[str, bool]], seed: int = 0) -> list[TraceRow]:
    """Four traces a question: a type, and whether the answer is right."""
    rng, rows = random.Random(seed), []
    for question in QUESTIONS:
        for cid in range(4):
            name, right = draw(rng, question)
            answer = question.options[0] if right else "nobody"
            rows.append((question.qid, cid, WRITTEN[name][question.qid].reasoning, answer))
    return check_rows(VERIFIABLE, BY_ID, rows)


def tied_rows(p_right: float, p_wrong: float, seed: int = 0) -> list[TraceRow]:
    def draw(rng: random.Random, _: Question) -> tuple[str, bool]:
        name = rng.choice(("correct", "incorrect"))
        return name, rng.random() < (p_right if name == "correct" else p_wrong)

    return rows_of(draw, seed)


def test_a_planted_tie_comes_back_with_its_conditionals_and_not_with_its_joint_share() -> None:
    arm = arm_traces("tied", tied_rows(0.9, 0.3), VERIFIABLE)
    assert arm.right_if_correct.low is not None
    assert arm.right_if_correct.low < 0.9 < arm.right_if_correct.high
    assert arm.right_if_not.low < 0.3 < arm.right_if_not.high
    assert arm.joint.estimate == pytest.approx(0.45, abs=0.06)
    assert arm.phi.low > 0.5
    assert arm.log_mantel_haenszel.low > 2
    assert tied(arm.to_json(), 0.2) == "yes"
    assert sum(arm.counts[cell] for cell in CELLS) == arm.n_traces == 640
    assert arm.n_unevaluable == 0
    assert arm.holds_answer.estimate == arm.trace_correct.estimate


def test_the_same_joint_share_without_a_tie_is_told_apart() -> None:
    arm = arm_traces("loose", tied_rows(0.9, 0.9, 1), VERIFIABLE)
    assert arm.joint.estimate == pytest.approx(0.45, abs=0.06)
    assert abs(arm.phi.estimate) < 0.1
    assert arm.phi.low < 0 < arm.phi.high
    assert tied(arm.to_json(), 0.2) == "loosely"


def test_what_is_easy_in_some_classes_is_no_tie_within_them() -> None:
    def draw(rng: random.Random, question: Question) -> tuple[str, bool]:
        easy = 0.9 if question.domain in ("equal", "mix") else 0.1
        return ("correct" if rng.random() < easy else "incorrect"), rng.random() < easy

    arm = arm_traces("easy", rows_of(draw), VERIFIABLE)
    assert arm.phi.low > 0.4
    assert arm.log_mantel_haenszel.low < 0 < arm.log_mantel_haenszel.high
    assert arm.categories == dict.fromkeys(sorted(CLASSES), 160)


def test_every_sub_step_has_its_own_verdicts() -> None:
    arm = arm_traces("half", rows_of(lambda rng, q: ("partial", True)), VERIFIABLE)
    relation, facts = arm.sub_steps
    assert (relation.correct.estimate, facts.missing.estimate, facts.correct.estimate) == (1.0, 1.0, 0.0)
    assert arm.trace_correct.estimate == 0.0
    assert arm.n_leading == 0
    assert arm.follows.estimate is None


def test_an_answer_that_the_trace_does_not_lead_to_does_not_follow() -> None:
    rows = rows_of(lambda rng, q: ("incorrect", True))
    assert arm_traces("kept", rows, VERIFIABLE).follows.estimate == 0.0
    assert arm_traces("right", rows_of(lambda rng, q: ("correct", True)), VERIFIABLE).follows.estimate == 1.0


def test_non_inferiority_needs_the_whole_interval_above_the_margin() -> None:
    arms = {
        "correct": tied_rows(0.7, 0.7),
        "same": rows_of(lambda rng, q: ("incorrect", rng.random() < 0.75), 1),
        "worse": rows_of(lambda rng, q: ("incorrect", rng.random() < 0.4), 2),
    }
    found = domain_of("", arms, VERIFIABLE, "correct").to_json()["against"]
    assert hurts(found["same"], 0.1) == "no"
    assert hurts(found["worse"], 0.1) == "yes"
    assert hurts(found["same"], 0.0001) in ("no", "open")
    assert found["worse"]["trace_correct"]["high"] < -0.4


# --- ids --------------------------------------------------------------------------------------------


def shuffled_ids(share: float) -> list[tuple[str, int, str, str | None]]:
    own = [(q.qid, 0, WRITTEN["correct"][q.qid].reasoning, q.options[0]) for q in QUESTIONS]
    moved = own[: int(share * len(own))]
    texts = [row[2] for row in (*moved[1:], *moved[:1])]
    return [(q, c, t, a) for (q, c, _, a), t in zip(moved, texts, strict=True)] + own[len(moved) :]


@pytest.mark.parametrize("share", [1.0, 0.33, 0.05])
def test_shuffled_ids_are_counted_and_named(share: float) -> None:
    found = misplaced(VERIFIABLE, check_rows(VERIFIABLE, BY_ID, shuffled_ids(share)))
    assert found.suspect
    assert found.n >= share * len(QUESTIONS) - 1
    assert "trace 0 of question 'equal-0' fits 'equal-1'" in found.named[0]


def test_wrong_traces_are_no_shuffle() -> None:
    for name in ("correct", "incorrect", "partial"):
        rows = rows_of(lambda rng, q, name=name: (name, True))
        assert not misplaced(VERIFIABLE, rows).suspect


# --- files ------------------------------------------------------------------------------------------


def write(path: Path, rows: Sequence[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def files_of(folder: Path, n: int = 12) -> list[Path]:
    return [write(folder / f"{name}.jsonl", [cotemp_row(name, i) for i in range(n)]) for name in CLASSES]


def test_make_and_check_on_files_of_all_classes(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    runner = CliRunner()
    made = runner.invoke(
        app,
        ["traces", "make", "--task", "cotemp", *map(str, files), "--variant",
         "correct,incorrect,answer-only,brief", "--out", str(tmp_path / "out"), "--quiet"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    for name, right in (("correct", 1.0), ("incorrect", 0.0), ("answer-only", None), ("brief", 0.0)):
        path = tmp_path / "out" / f"{name}.parquet"
        examples = load_examples(path)
        assert len(examples) == 48
        assert examples.qid.iloc[0] == "equal-0"
        (arm,) = check_traces("cotemp", path, files).domains[0].arms
        assert arm.accuracy.estimate == 1.0
        assert arm.trace_correct.estimate == right
        assert arm.n_unevaluable == (48 if name == "answer-only" else 0)
    told = runner.invoke(
        app,
        ["traces", "check", "--task", "cotemp", str(tmp_path / "out" / "incorrect.parquet"),
         *(part for file in files for part in ("--questions", str(file)))],
    )  # fmt: skip
    assert told.exit_code == 0
    assert "relation" in told.output
    assert "facts" in told.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["matched_on"] == "questions"
    assert report["variants"]["correct"]["n_questions"] == 48


def test_variants_matched_on_tokens_have_as_many(tmp_path: Path) -> None:
    wanted = Wanted("cotemp", tuple(files_of(tmp_path)), ("correct", "answer-only"), by="tokens")
    done = make_traces(wanted, tmp_path / "out", progress=False)
    tokens = {name: one["n_tokens"] for name, one in done.variants.items()}
    assert 0 <= tokens["correct"] - tokens["answer-only"] < 15
    assert done.variants["answer-only"]["n_examples"] > 2 * done.variants["correct"]["n_examples"]
    assert load_examples(tmp_path / "out" / "answer-only.parquet").eid.is_unique


def test_held_out_questions_share_no_entity_and_no_fact() -> None:
    twins = [replace(q, qid=f"twin-{q.qid}", group=f"twin-{q.qid}") for q in QUESTIONS[:40]]
    parts = part(VERIFIABLE, [*QUESTIONS, *twins], 0.25, 0)
    assert len(parts.held_out) == parts.leakage["n_held_out"] == 50
    assert (parts.leakage["n_fact_met"], parts.leakage["n_entity_met"]) == (0, 0)
    assert parts.leakage["had_they_been_drawn"]["n_fact_met"] > 0
    ids = {q.qid for q in parts.held_out}
    assert all((f"twin-{q.qid}" in ids) == (q.qid in ids) for q in QUESTIONS[:40])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"facts": []}, "row 3.*context"),
        ({"index": 0}, "row 3: the id '0' is already that of row 1"),
        (
            {"facts": ["Ann works for Acme from 1995 to 1990."], "answer": ["Acme"]},
            "row 3.*ends before it begins",
        ),
        ({"answer": ["Nobody"]}, "row 3: the answer 'Nobody' is in none of its facts"),
    ],
)
def test_bad_rows_are_named_or_skipped(tmp_path: Path, change: dict, message: str) -> None:
    rows = [cotemp_row("mix", i) for i in range(5)]
    rows[2] = rows[2] | change
    file = write(tmp_path / "mix.jsonl", rows)
    with pytest.raises(DataError, match=message):
        cotemp_files([file])
    questions, left = cotemp_files([file], skip=True)
    assert len(questions) == 4
    assert list(left) == [f"{file}, row 3"]


def test_traces_of_no_question_or_twice_the_same_are_named() -> None:
    def cut(text: str, question: Question) -> tuple[str, str | None]:
        return text, None

    table = pd.DataFrame({"qid": ["mix-0", "elsewhere"], "text": ["a", "b"]})
    with pytest.raises(DataError, match="out, row 2: there is no question 'elsewhere'"):
        read_rows("out", table, BY_ID, cut)
    table = pd.DataFrame({"qid": ["mix-0", "mix-0"], "text": ["a", "b"], "cid": [1, 1]})
    with pytest.raises(DataError, match="out, row 2: trace 1 of question 'mix-0' is already that of row 1"):
        read_rows("out", table, BY_ID, cut)
    table = pd.DataFrame({"qid": ["mix-0"], "text": [None]})
    with pytest.raises(DataError, match="out, row 1: expected a text"):
        read_rows("out", table, BY_ID, cut)


def test_what_is_asked_wrongly_is_told(tmp_path: Path) -> None:
    files = tuple(files_of(tmp_path, 2))
    for wanted, message in (
        (Wanted("cotemp", files, ("corect",)), "there is no 'corect'"),
        (Wanted("cotemp", files, ("summary",)), "a server writes it; name the traces"),
        (Wanted("organism", files, ("correct",)), "name its folder"),
        (Wanted("babi", files, ("correct",)), "there is no task 'babi'"),
    ):
        with pytest.raises(UsageError, match=message):
            make_traces(wanted, tmp_path / "out", progress=False)
    records.write_table(tmp_path / "t.parquet", [], records.EXAMPLES)
    with pytest.raises(UsageError, match="--questions"):
        check_traces("cotemp", tmp_path / "t.parquet")
