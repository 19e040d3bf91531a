"""A judge's accuracy on public step labels: reading them, F1 by hand, a real judge over HTTP, the card."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from called import called
from documentation import ROOT
from judging_cases import judge_file
from log_cases import lines
from loopback import Answer, Loopback, verdict
from mechcot.analyses.judge_accuracy import Labels, Solution, accuracy_of, judge_labels, read_labels
from mechcot.core.errors import AnalysisError, DataError
from mechcot.report.markdown import escaped, fenced

RIGHT, WRONG = "2 + 2 = 4", "2 + 2 = 5"


def processbench(i: int, label: int, n: int = 4, **more: Any) -> dict[str, Any]:
    """A row whose step at `label` is wrong, and what follows it too."""
    steps = [
        f"{RIGHT if label < 0 or k < label else WRONG}, so step {k} of solution {i} holds." for k in range(n)
    ]
    row = {"id": f"gsm8k-{i}", "generator": "m", "problem": f"What is sum {i // 2}?", "steps": steps}
    return row | {"final_answer_correct": label < 0, "label": label} | more


def prm800k(i: int, ratings: list[Any], finish_reason: str = "solution") -> dict[str, Any]:
    steps = [
        {
            "completions": [{"text": f"step {k} of {i}", "rating": rating, "flagged": False}],
            "human_completion": None,
            "chosen_completion": 0 if rating != -1 else None,
        }
        for k, rating in enumerate(ratings)
    ]
    asked = {"problem": f"Problem {i}", "ground_truth_answer": "7"}
    return {"labeler": "x", "question": asked, "label": {"steps": steps, "finish_reason": finish_reason}}


# --- files ----------------------------------------------------------------------------------------


def test_rows_of_processbench_come_from_json_and_json_lines(tmp_path: Path) -> None:
    rows = [processbench(i, label) for i, label in enumerate((-1, 0, 3))]
    found = read_labels(lines(tmp_path / "a.jsonl", rows))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert read_labels(tmp_path / "a.json").solutions == found.solutions
    assert found.form == "ProcessBench"
    assert [one.label for one in found.solutions] == [-1, 0, 3]
    assert [one.known for one in found.solutions] == [(False,) * 4, (True,), (False, False, False, True)]
    assert found.solutions[0].answer is None


def test_rows_of_prm800k_end_at_their_first_wrong_step(tmp_path: Path) -> None:
    human = prm800k(3, [1, None, 1])
    human["label"]["steps"][1] |= {"human_completion": {"text": "by hand"}, "chosen_completion": None}
    rows = [
        prm800k(0, [1, 0, 1]),
        prm800k(1, [1, -1], finish_reason="found_error"),
        prm800k(2, [1, None]),
        human,
        prm800k(4, [1], finish_reason="give_up"),
    ]
    found = read_labels(lines(tmp_path / "p.jsonl", rows))
    assert found.form == "PRM800K"
    assert [(one.name, one.label, len(one.steps)) for one in found.solutions] == [
        ("1", -1, 3), ("2", 1, 2), ("4", -1, 3)
    ]  # fmt: skip
    assert found.solutions[2].steps[1] == "by hand"
    assert found.left_out == {"a step without a rating": 1, "its labelling ended by give_up": 1}
    assert found.solutions[0].answer == "7"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"id": 1, "text": "a"}], "its rows are neither ProcessBench's"),
        ([processbench(0, 4)], "row 1: label is 4; expected the index of the first wrong of its 4 steps"),
        ([processbench(0, 0) | {"label": True}], "row 1: label is True"),
        ([processbench(0, -1, steps=[])], "row 1: has no steps"),
        ([processbench(0, -1, steps=["a", " "])], "row 1: step 1 is empty or no text"),
        ([processbench(0, -1, problem="")], "row 1: the problem is empty"),
        ([processbench(0, -1), processbench(0, 0)], "row 2: the id 'gsm8k-0' stands in row 1 already"),
        ([prm800k(0, [2])], "row 1: the rating of step 0 is 2; expected -1, 0 or 1"),
        ([prm800k(0, [None])], "none of its 1 rows is a labelled solution"),
        ([prm800k(0, [1]) | {"question": "What?"}], "row 1: expected question.problem and label.steps"),
    ],
)
def test_labels_that_cannot_be_used_are_one_message(tmp_path: Path, rows: list[Any], says: str) -> None:
    with pytest.raises(DataError) as error:
        read_labels(lines(tmp_path / "l.jsonl", rows))
    assert says in str(error.value)
    assert str(tmp_path / "l.jsonl") in str(error.value)


# --- numbers --------------------------------------------------------------------------------------


def table(said: dict[str, list[str]]) -> pd.DataFrame:
    rows = [
        {"qid": name, "sid": k, "label": label} for name, own in said.items() for k, label in enumerate(own)
    ]
    return pd.DataFrame(rows)


def test_f1_and_its_halves_are_those_counted_by_hand() -> None:
    labels, said = [], {}
    c, e, a = "correct", "erroneous", "abstain"
    cases = [  # label, what the judge says, and what that counts for
        (1, [c, e, c]),  # found
        (1, [e, e, c]),  # too early
        (1, [c, c, e]),  # too late
        (1, [a, e, c]),  # found behind an abstention
        (-1, [c, c, c]),  # clean
        (-1, [c, a, "not_checkable"]),  # clean
        (-1, [c, c, e]),  # an alarm
        (0, ["api_failure", e, e]),  # no answer
        (2, [e, "parse_failure", e]),  # too early: the failure comes later
    ]
    for i, (label, own) in enumerate(cases):
        labels.append(Solution(f"s{i}", f"p{i}", ("x",) * 3, label))
        said[f"s{i}"] = own
    found = accuracy_of(Labels("l.jsonl", "ProcessBench", tuple(labels), {}), table(said), {}, False)
    f1, first, clean, hit, alarm = found.rates
    assert (first.n, clean.n, f1.n, found.n_failed, found.n_abstained) == (5, 3, 8, 1, 2)
    assert first.share.estimate == pytest.approx(2 / 5)
    assert clean.share.estimate == pytest.approx(2 / 3)
    assert f1.share.estimate == pytest.approx(2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3))
    assert (hit.n, alarm.n) == (5, 4 + 9 + 1)  # first wrong steps; those before one, and of clean solutions
    assert hit.share.estimate == pytest.approx(4 / 5)
    assert alarm.share.estimate == pytest.approx(3 / 14)
    assert f1.share.n == 8  # the solution without an answer stands for nothing
    assert f1.share.low < f1.share.estimate < f1.share.high
    assert "too few" in first.share.reason


def test_solutions_of_one_problem_are_left_out_together() -> None:
    def of(per: int) -> Any:
        ones = [Solution(f"s{i}", f"p{i // per}", ("x",), -1 if (i // 4) % 2 else 0) for i in range(48)]
        said = {one.name: ["erroneous" if (i // 4) % 3 == 0 else "correct"] for i, one in enumerate(ones)}
        return accuracy_of(Labels("l", "ProcessBench", tuple(ones), {}), table(said), {}, False)

    alone, together = of(1), of(4)
    assert alone.rates[0].share.estimate == together.rates[0].share.estimate
    assert (together.n_problems, together.rates[0].share.n) == (12, 12)
    widths = [one.rates[0].share.high - one.rates[0].share.low for one in (alone, together)]
    assert widths[1] > 1.5 * widths[0]


def test_the_interval_of_f1_holds_the_truth_as_the_page_says() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "coverage_f1.py"))
    share, _, none = script["coverage"](50, 8, 200, seed=1)
    assert none == 0
    assert share == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 200) ** 0.5)
    (block,) = script["BLOCK"].findall((ROOT / "docs" / "sharing.md").read_text())
    told = [float(row) for row in re.findall(r"\| (\d+\.\d) % \|", block)]
    assert len(told) == len(script["CELLS"])
    assert min(told) > 92


def test_one_kind_of_solution_alone_has_no_f1() -> None:
    ones = tuple(Solution(f"s{i}", f"p{i}", ("x",), -1) for i in range(8))
    found = accuracy_of(
        Labels("l", "PRM800K", ones, {}), table({one.name: ["correct"] for one in ones}), {}, False
    )
    assert found.rates[0].share.estimate is None
    assert found.rates[2].share.estimate == 1
    with pytest.raises(AnalysisError, match="solution 's0': step 0 has no verdict"):
        accuracy_of(Labels("l", "PRM800K", ones, {}), table({"s1": ["correct"]}), {}, False)


# --- a judge --------------------------------------------------------------------------------------


def half_blind(call: Any) -> Answer:
    """Finds every wrong step but those of solutions whose number ends with 3."""
    missed = "solution 3 " in call.step or "solution 13 " in call.step
    return verdict("erroneous" if WRONG in call.step and not missed else "correct", "<b>a | `reason`</b>")


def test_a_judge_over_http_is_measured_and_asked_for_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-of-this-test")
    path = lines(tmp_path / "gsm8k.jsonl", [processbench(i, 1 if i % 2 else -1) for i in range(20)])
    with Loopback(half_blind) as server:
        file = judge_file(tmp_path, server.url)
        planned = called("judge-accuracy", path, "--judge", file, "--out", tmp_path / "card", "--dry-run")
        assert "80" in planned.stdout, planned.stderr
        assert not server.calls
        done = called("judge-accuracy", path, "--judge", file, "--out", tmp_path / "card", "--quiet")
        assert done.returncode == 0, done.stderr
        sent = len(server.calls)
        assert not any("ANSWER" in call.user for call in server.calls)  # the file says no right answer
        again = judge_labels(path, file, tmp_path / "card", progress=False)
        assert len(server.calls) == sent
    f1, first, clean = again.rates[:3]
    assert (first.share.estimate, first.n) == (pytest.approx(0.8), 10)
    assert (clean.share.estimate, clean.n) == (1.0, 10)
    assert f1.share.estimate == pytest.approx(2 * 0.8 / 1.8)
    assert "F1" in done.stdout
    assert "not shown to the judge" in done.stdout
    card = (tmp_path / "card" / "card.md").read_text()
    assert "0.80" in card
    assert "<b>" not in card
    kept = json.loads((tmp_path / "card" / "accuracy.json").read_text())
    assert kept["rates"][0]["share"]["estimate"] == f1.share.estimate
    assert "sk-of-this-test" not in card + json.dumps(kept)


def test_some_solutions_are_drawn_by_seed_and_right_answers_are_shown_where_the_file_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-of-this-test")
    path = lines(tmp_path / "p.jsonl", [prm800k(i, [1, 1]) for i in range(12)])
    with Loopback(half_blind) as server:
        file = judge_file(tmp_path, server.url)
        one = judge_labels(path, file, tmp_path / "a", solutions=4, seed=1, progress=False)
        two = judge_labels(path, file, tmp_path / "b", solutions=4, seed=1, progress=False)
        assert any("ANSWER" in call.user for call in server.calls)
    assert one.n_solutions == 4
    assert list(one.verdicts.qid) == list(two.verdicts.qid)
    assert one.shown_answer


def test_a_file_that_is_not_there_and_labels_that_are_none_end_with_one_line(tmp_path: Path) -> None:
    done = called(
        "judge-accuracy", tmp_path / "none.json", "--judge", "kimi", "--out", tmp_path / "o", "--dry-run"
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "none.json: cannot be read" in done.stderr


# --- markdown -------------------------------------------------------------------------------------


def test_what_others_wrote_is_no_markup() -> None:
    assert escaped("a <b>|\n[x](y) `z`") == r"a &lt;b&gt;\| \[x\]\(y\) \`z\`"
    text = fenced("a\n```\nb ```` c")
    assert text.startswith("`````text\n")
    assert text.endswith("\n`````")
