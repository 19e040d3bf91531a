import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mechcot import records
from mechcot.config import ColumnNames, QuestionSettings
from mechcot.errors import DataError
from mechcot.tasks.questions import load_questions

ROW = {"qid": "a", "question": "Which?", "options": ["x", "y"], "answer": "B"}


def _load(tmp_path: Path, rows: list[dict[str, Any]], **columns: Any) -> pd.DataFrame:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return load_questions(QuestionSettings(path=str(path), columns=ColumnNames(**columns)))


@pytest.mark.parametrize("answer", ["B", "y", 1])
def test_gold_is_a_letter_a_text_or_an_index(tmp_path: Path, answer: Any) -> None:
    table = _load(tmp_path, [{**ROW, "answer": answer}])
    assert table.gold.tolist() == [1]
    records.write_table(tmp_path / "q.parquet", table, records.QUESTIONS)


def test_the_shapes_that_public_sets_use(tmp_path: Path) -> None:
    medqa = {"question": "Which?", "options": {"A": "x", "B": "y"}, "answer_idx": "A"}
    arc = {
        "id": "n1",
        "question": "?",
        "choices": {"text": ["x", "y"], "label": ["1", "2"]},
        "answerKey": "2",
    }
    first = _load(tmp_path, [medqa], gold="answer_idx")
    second = _load(tmp_path, [arc], qid="id", options="choices", gold="answerKey")
    assert (first.qid[0], first.options[0], first.gold[0]) == ("q00001", ["x", "y"], 0)
    assert (second.qid[0], second.gold[0]) == ("n1", 1)


def test_csv_and_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame([{**ROW, "options": json.dumps(ROW["options"])}])
    frame.to_csv(tmp_path / "q.csv", index=False)
    pd.DataFrame([ROW]).to_parquet(tmp_path / "q.parquet")
    for name in ("q.csv", "q.parquet"):
        table = load_questions(QuestionSettings(path=str(tmp_path / name)))
        assert (list(table.options[0]), table.gold[0]) == (["x", "y"], 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"options": ["x"]}, "row 2: has 1 option"),
        ({"options": ["x", "X"]}, "row 2: two options have the same text"),
        ({"answer": "E"}, "row 2: the gold answer 'E' is not among the options A-B"),
        ({"answer": 2}, "row 2: the gold answer 2 is not among"),
        ({"answer": None}, "row 2: the gold answer"),
        ({"options": "x or y"}, "row 2: the options are neither"),
        ({"options": 5}, "row 2: the options are a int"),
        ({"question": " "}, "row 2: the question in column 'question' is empty"),
        ({"qid": "a"}, "row 2: the id 'a' is already that of row 1"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as error:
        _load(tmp_path, [ROW, {**ROW, "qid": "b", **change}])
    assert says in str(error.value)
    assert "questions.jsonl" in str(error.value)


def test_a_missing_column_file_or_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'key' for gold.*questions\.columns\.gold"):
        _load(tmp_path, [ROW], gold="key")
    with pytest.raises(DataError, match="does not exist"):
        load_questions(QuestionSettings(path=str(tmp_path / "none.csv")))
    with pytest.raises(DataError, match="questions come from"):
        load_questions(QuestionSettings(path=str(tmp_path / "q.xlsx")))
