from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from mechcot.core.errors import DataError
from mechcot.core.records import EXAMPLES, write_table
from mechcot.distill.examples import load_examples

ROWS = [
    {"eid": "a", "qid": "q1", "prompt": "one ?", "completion": "so x .", "answer_start": 3},
    {"eid": "b", "qid": "q1", "prompt": "NA", "completion": "null\nline", "answer_start": -1},
]


def lines(path: Path, rows: list[object]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_the_same_table_comes_from_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"examples{suffix}"
    if suffix == ".parquet":
        write_table(path, ROWS, EXAMPLES)
    elif suffix == ".csv":
        pd.DataFrame(ROWS).to_csv(path, index=False)
    else:
        lines(path, list(ROWS))
    frame = load_examples(path)
    assert list(frame.columns) == EXAMPLES.names
    assert frame.to_dict("records") == ROWS


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_prompt_and_completion_are_enough(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"examples{suffix}"
    frame = pd.DataFrame({"prompt": ["p", "q"], "completion": ["c", "d"], "note": ["x", "y"]})
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        lines(path, frame.to_dict("records"))
    got = load_examples(path)
    assert list(got.columns) == EXAMPLES.names
    assert list(got.eid) == ["1", "2"]
    assert list(got.qid) == ["", ""]
    assert list(got.answer_start) == [-1, -1]


def test_ids_that_are_numbers_become_text_and_missing_starts_are_none(tmp_path: Path) -> None:
    rows = [
        {"eid": 7, "prompt": "p", "completion": "cd", "answer_start": 1},
        {"eid": None, "prompt": "p", "completion": "cd", "answer_start": None},
    ]
    got = load_examples(lines(tmp_path / "x.jsonl", list(rows)))
    assert list(got.eid) == ["7", "2"]
    assert list(got.answer_start) == [1, -1]
    assert str(got.answer_start.dtype) == "int32"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "  "}, "row 2: the prompt is empty"),
        ({"completion": ""}, "row 2: the completion is empty"),
        ({"completion": None}, "row 2: the completion is empty"),
        ({"prompt": 5}, "row 2: expected a text as prompt, found a int"),
        ({"answer_start": 9}, "row 2: answer_start is 9, the completion has 9 characters"),
        ({"answer_start": -2}, "row 2: answer_start is -2"),
        ({"answer_start": "three"}, "row 2: answer_start must be a whole number, found 'three'"),
        ({"answer_start": 1.5}, "row 2: answer_start must be a whole number"),
        ({"eid": "a"}, "row 2: eid 'a' is already that of row 1"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = lines(tmp_path / "bad.jsonl", [ROWS[0], {**ROWS[1], **change}])
    with pytest.raises(DataError, match=r"bad\.jsonl: ") as caught:
        load_examples(path)
    assert message in str(caught.value)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_examples(tmp_path / "none.csv")
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(DataError, match=r"expected one of .*\.jsonl.*found the suffix '.txt'"):
        load_examples(tmp_path / "x.txt")
    (tmp_path / "x.jsonl").write_text('{"prompt": "p", "completion": "c"}\n{broken\n')
    with pytest.raises(DataError, match="line 2 is not JSON"):
        load_examples(tmp_path / "x.jsonl")
    (tmp_path / "y.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match="line 1: expected an object, found a list"):
        load_examples(tmp_path / "y.jsonl")
    (tmp_path / "x.csv").write_text("prompt,answer\np,c\n")
    with pytest.raises(DataError, match=r"the columns \['completion'\] are missing"):
        load_examples(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text("prompt,completion\n")
    with pytest.raises(DataError, match="holds no examples"):
        load_examples(tmp_path / "y.csv")
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="not a readable parquet"):
        load_examples(tmp_path / "x.parquet")
