"""A study given out: rows of step labels, and cards that the Hub's own parser reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index

from called import called
from mechcot import Study
from mechcot.analyses.judge_accuracy import accuracy_of, read_labels
from mechcot.analyses.opening import questions_name
from mechcot.analyses.sharing.card import write_cards
from mechcot.analyses.sharing.steps import step_rows_of
from mechcot.core.errors import StudyError
from mechcot.core.words import percent
from written_study import written_study


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- steps ----------------------------------------------------------------------------------------


def test_rows_of_processbench_are_the_study_s_own_verdicts(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    done = called("export", study.path, "--steps", path)
    assert done.returncode == 0, done.stderr
    rows = read_lines(path)
    assert f"({len(rows):,} traces)" in done.stdout
    by_name = {row["id"]: row for row in rows}
    gold = study.questions().set_index("qid").gold
    for arm in study.settings.arms:
        verdicts = study.verdicts(arm)
        for (qid, cid), own in verdicts.groupby(["qid", "cid"]):
            labels = list(own.sort_values("sid").label)
            wrong = [k for k, label in enumerate(labels) if label == "erroneous"]
            first = wrong[0] if wrong else -1
            decided = set(labels[: first + 1 or None]) <= {"correct", "not_checkable", "erroneous"}
            row = by_name.pop(f"{arm}/{qid}/{cid}", None)
            assert (row is not None) == decided
            if row is None:
                continue
            assert (row["label"], len(row["steps"]), row["generator"]) == (first, len(labels), arm)
            trace = study.traces(arm).query("qid == @qid and cid == @cid").iloc[0]
            assert row["final_answer_correct"] == (trace.answer == gold[qid])
    assert by_name == {}
    assert any(row["label"] >= 0 for row in rows)
    assert any(row["label"] == -1 for row in rows)


@pytest.mark.parametrize("form", ["processbench", "prm800k"])
def test_rows_are_read_back_as_they_were_written(study: Study, tmp_path: Path, form: str) -> None:
    path = tmp_path / "steps.jsonl"
    assert called("export", study.path, "--steps", path, "--form", form).returncode == 0
    rows, labels = read_lines(path), read_labels(path)
    whole = step_rows_of(study, "processbench").rows
    assert len(labels.solutions) == len(whole)
    assert [one.label for one in labels.solutions] == [row["label"] for row in whole]
    said = {row["id"]: row["verdicts"] for row in rows}
    verdicts = pd.DataFrame(
        {"qid": one.name, "sid": k, "label": said[one.name][k]}
        for one in labels.solutions
        for k in range(len(one.steps))
    )
    found = accuracy_of(labels, verdicts, {}, False)  # the instrument against itself
    assert [one.share.estimate for one in found.rates] == [1, 1, 1, 1, 0]


def test_undecided_traces_are_left_out_and_counted(study: Study, tmp_path: Path) -> None:
    found = step_rows_of(study)
    n = sum(len(study.traces(arm)) for arm in study.settings.arms)
    assert len(found.rows) + sum(found.left_out.values()) == n
    done = called("export", study.path, "--steps", tmp_path / "s.jsonl", "--form", "other")
    assert (done.returncode, "there is no form 'other'" in done.stderr) == (2, True)
    assert called("export", study.path).returncode == 2


# --- cards ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cards(study: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("cards")
    done = called("export", study.path, "--card", folder)
    assert done.returncode == 0, done.stderr
    return (folder / "model" / "README.md").read_text(), (folder / "dataset" / "README.md").read_text()


def test_the_hub_s_own_parser_reads_both_cards(study: Study, cards: tuple[str, str]) -> None:
    model, data = ModelCard(cards[0]), DatasetCard(cards[1])
    assert model.data.license is None
    assert model.data.library_name == "transformers"
    results = {one.metric_type: one.metric_value for one in model.data.eval_results}
    answers, audit = study.summary()["answers"]["distilled"], study.summary()["audit"]["distilled"]
    assert results["accuracy"] == round(answers["accuracy"], 4)
    assert results["step-error-rate"] == round(audit["error_rate"], 4)
    assert eval_results_to_model_index("distilled", model.data.eval_results)
    tables = {one["config_name"]: one["data_files"] for one in data.data.to_dict()["configs"]}
    assert tables["questions"] == "questions.parquet"
    assert all((study.path / file).exists() for file in tables.values())
    assert tables["distilled-verdicts"] == "arms/distilled/verdicts/exact.parquet"


def test_numbers_stand_with_intervals_denominators_and_controls(study: Study, cards: tuple[str, str]) -> None:
    summary = study.summary()
    name = questions_name(study.settings)
    assert f"questions of {name}, " in study.report.read_text().replace("\u00a0", " ")
    for text in cards:
        assert f"questions of {name}, " in text  # as the report has it
        assert percent(summary["audit"]["distilled"]["error_rate"]).replace("\u00a0", " ") in text
        assert f"{summary['audit']['distilled']['n_judged']:,} of" in text
        assert f"{summary['answers']['base']['n_questions']} questions" in text
        assert "control terse: wrong steps" in text
        assert "points \\[" in text  # a difference with its interval
        assert "## Licence" in text
        assert "None is set" in text
        assert "## What this does not show" in text
    assert "None was run" in cards[0]
    assert "Not tested here:" in cards[0]


def test_the_same_study_gives_the_same_cards(study: Study, cards: tuple[str, str], tmp_path: Path) -> None:
    again = write_cards(study, tmp_path)
    assert tuple(path.read_text() for path in again) == cards


def test_an_unfinished_study_has_no_card(tmp_path: Path) -> None:
    unfinished = written_study(tmp_path / "study")
    with pytest.raises(StudyError, match=r"is not finished.*mechcot run"):
        write_cards(unfinished, tmp_path / "cards")
    assert not (tmp_path / "cards").exists()
