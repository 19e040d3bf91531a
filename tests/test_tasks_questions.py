import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.settings import ColumnNames, QuestionSettings
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
        ({"options": ["x", None]}, "row 2: option B is empty"),
        ({"options": ["x", float("nan")]}, "row 2: option B is empty"),
        ({"options": {"A": " ", "B": "y"}}, "row 2: option A is empty"),
        ({"options": [f"o{i}" for i in range(27)]}, "row 2: has 27 options; at most 26"),
        ({"answer": [1]}, "row 2: the gold answer [1] is not among"),
        ({"question": " "}, "row 2: the question in column 'question' is empty or no text: ' '"),
        ({"question": 5}, "row 2: the question in column 'question' is empty or no text: 5"),
        ({"qid": None}, "row 2: the qid in column 'qid' is empty"),
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


def test_csv_keeps_ids_and_questions_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('qid,question,options,answer\n007,12,"[""x"", ""y""]",1\n')
    table = load_questions(QuestionSettings(path=str(path)))
    assert (table.qid[0], table.stem[0], table.gold[0]) == ("007", "12", 1)


def test_a_csv_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('qid,question,question,options,answer\na,b,c,"[""x"", ""y""]",A\n')
    with pytest.raises(DataError, match=r"q\.csv: two columns are named 'question'"):
        load_questions(QuestionSettings(path=str(path)))


@pytest.mark.parametrize(
    ("line", "says"), [('{"qid": "b"', "line 2 is not JSON"), ('"text"', "line 2: expected an object")]
)
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + line)
    with pytest.raises(DataError, match=says):
        load_questions(QuestionSettings(path=str(path)))


def test_json_lines_keep_values_as_they_stand(tmp_path: Path) -> None:
    """A separator of lines inside a text, an id like a number, an index beside a letter."""
    rows = [{**ROW, "qid": "007", "question": "a\u2028b", "answer": 1}, {**ROW, "qid": "8"}]
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    table = load_questions(QuestionSettings(path=str(path)))
    assert (table.qid.tolist(), table.stem[0], table.gold.tolist()) == (["007", "8"], "a\u2028b", [1, 1])
