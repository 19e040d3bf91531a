import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.question_settings import ColumnNames, QuestionSettings
from mechcot.tasks.options import read_gold, read_options
from mechcot.tasks.questions import load_questions, read_questions

ROW = {"qid": "a", "question": "Which?", "options": ["x", "y"], "answer": "B"}


def _load(tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> pd.DataFrame:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    columns = {key: more.pop(key) for key in list(more) if key in ColumnNames.model_fields}
    return load_questions(QuestionSettings(path=str(path), columns=ColumnNames(**columns), **more))


@pytest.mark.parametrize("answer", ["B", "y", 1, ["B"]])
def test_gold_is_a_letter_a_text_or_an_index(tmp_path: Path, answer: Any) -> None:
    table = _load(tmp_path, [{**ROW, "answer": answer}, {**ROW, "qid": "b", "answer": 0}])
    assert table.gold.tolist() == [1, 0]
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


MEDMCQA = {"question": "Which?", "opa": "x", "opb": "y", "opc": "z", "opd": "w", "cop": 2}
OWN_COLUMNS = {"options": ("opa", "opb", "opc", "opd"), "gold": "cop"}


def test_options_in_columns_of_their_own(tmp_path: Path) -> None:
    found = _load(tmp_path, [MEDMCQA, {**MEDMCQA, "cop": 0, "opd": ""}], **OWN_COLUMNS)
    assert found.options.tolist() == [["x", "y", "z", "w"], ["x", "y", "z"]]
    assert found.gold.tolist() == [2, 0]
    letters = {"question": "Which?", "A": "x", "B": None, "C": "z", "answer": "C"}
    lettered = _load(tmp_path, [letters], options=("A", "B", "C"), gold="answer")
    assert (lettered.options[0], lettered.gold[0]) == (["x", "z"], 1)
    pd.DataFrame([{**MEDMCQA, "cop": 0}]).to_csv(tmp_path / "q.csv", index=False)
    settings = QuestionSettings(path=str(tmp_path / "q.csv"), columns=ColumnNames(**OWN_COLUMNS))
    assert load_questions(settings).options[0] == ["x", "y", "z", "w"]


@pytest.mark.parametrize(
    ("row", "columns", "says"),
    [
        ({**MEDMCQA, "opb": ""}, OWN_COLUMNS, "row 1: option B is empty"),
        (MEDMCQA, {**OWN_COLUMNS, "options": ("opa", "ope")}, "there is no column 'ope' for options"),
        (MEDMCQA, {**OWN_COLUMNS, "options": ("opa",)}, "is not two columns or more"),
        (MEDMCQA, {**OWN_COLUMNS, "options": ("opa", "opa")}, "is not two columns or more"),
        ({**MEDMCQA, "cop": 7}, OWN_COLUMNS, "row 1: the gold answer 7"),
        (MEDMCQA, {"gold": "cop"}, r"questions\.columns\.options=\[opa, opb, opc, opd\]"),
    ],
)
def test_options_in_columns_that_cannot_be(tmp_path: Path, row: Any, columns: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        _load(tmp_path, [row], **columns)


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
        ({"options": ["x", " x"]}, "row 2: two options have the same text"),
        ({"answer": "E"}, "row 2: the gold answer 'E' is not among the options A-B"),
        ({"answer": True}, "row 2: the gold answer True is not among"),
        ({"answer": None}, "row 2: the gold answer"),
        ({"options": "x or y"}, "row 2: the options are neither"),
        ({"options": 5}, "row 2: the options are a int"),
        ({"options": ["x", None]}, "row 2: option B is empty"),
        ({"options": ["x", float("nan")]}, "row 2: option B is empty"),
        ({"options": {"A": " ", "B": "y"}}, "row 2: option A is empty"),
        ({"options": [f"o{i}" for i in range(27)]}, "row 2: has 27 options; at most 26"),
        (
            {"answer": ["A", "B"]},
            "row 2: the gold answer ['A', 'B'] is not among the options A-B. A question",
        ),
        ({"options": {"A": "x", "B": ["y"]}}, "row 2: the options are in no known shape"),
        ({"options": [["A", "x"], ["B", "y", "z"]]}, "row 2: the options are in no known shape"),
        ({"options": [["A", "x"], ["A", "y"]]}, "row 2: two options have the same label: ['A', 'A']"),
        ({"options": {"label": ["A"], "text": ["x", "y"]}}, "row 2: 1 labels and 2 texts"),
        ({"options": [{"key": "A", "note": "x"}, {"key": "B", "note": "y"}]}, "in no known shape"),
        (
            {"options": [{"label": "liver", "value": "A"}, {"label": "bile", "value": "B"}]},
            "look like the texts",
        ),
        ({"options": '{"A": "x", "A": "y"}'}, "row 2: the options are neither"),
        ({"options": "{'A': 'x', 'A': 'y'}"}, "row 2: the options are neither"),
        ({"options": '"x"'}, "row 2: the options are neither a list nor an object"),
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
    path.write_text('qid,question,options,answer\n007,12,"[""x"", ""y""]",1\n8,1,"[""x"", ""NA""]",0\n')
    table = load_questions(QuestionSettings(path=str(path)))
    assert (table.qid[0], table.stem[0], table.gold.tolist()) == ("007", "12", [1, 0])
    assert table.options[1] == ["x", "NA"]


def test_a_csv_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('qid,question,question,options,answer\na,b,c,"[""x"", ""y""]",A\n')
    with pytest.raises(DataError, match=r"q\.csv: two columns are named 'question'"):
        load_questions(QuestionSettings(path=str(path)))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"qid": "b"', "line 2 is not JSON"),
        ('"text"', "line 2: expected an object"),
        (
            '{"qid": "b", "answer": "A", "answer": "B"}',
            "line 2 is not JSON: the key 'answer' stands there twice",
        ),
    ],
)
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + line)
    with pytest.raises(DataError, match=says):
        load_questions(QuestionSettings(path=str(path)))


def test_json_lines_keep_values_as_they_stand(tmp_path: Path) -> None:
    """A separator of lines inside a text, an id like a number, an index beside a letter."""
    rows = [{**ROW, "qid": "007", "question": "a\u2028b", "answer": 1}, {**ROW, "qid": "8", "answer": 0}]
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    table = load_questions(QuestionSettings(path=str(path)))
    assert (table.qid.tolist(), table.stem[0], table.gold.tolist()) == (["007", "8"], "a\u2028b", [1, 0])


# --- shapes ---------------------------------------------------------------------------------------

SHAPES: list[Any] = [
    ["w", "x"],
    {"A": "w", "B": "x"},
    {"label": ["A", "B"], "text": ["w", "x"]},
    {"labels": ["A", "B"], "texts": ["w", "x"]},
    [{"key": "A", "value": "w"}, {"key": "B", "value": "x"}],
    [{"label": "A", "text": "w"}, {"label": "B", "text": "x"}],
    [{"option": "A", "text": "w", "correct": False}, {"option": "B", "text": "x", "correct": True}],
    [{"letter": "A", "option": "w"}, {"letter": "B", "option": "x"}],
    [{"A": "w"}, {"B": "x"}],
    [{"text": "w"}, {"text": "x"}],
    [["A", "w"], ["B", "x"]],
]


@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "csv", "csv of Python"])
def test_options_in_every_shape_and_file(tmp_path: Path, options: Any, kind: str) -> None:
    """Their labels are taken as given, whatever the order that rows have them in."""
    path = tmp_path / f"q.{kind.split()[0]}"
    row = {**ROW, "options": options}
    if kind == "jsonl":
        path.write_text(json.dumps(row))
    elif kind == "json":
        path.write_text(json.dumps([row]))
    elif kind == "parquet":
        pd.DataFrame([row]).to_parquet(path)
    else:
        text = json.dumps(options) if kind == "csv" else str(options)
        pd.DataFrame([{**row, "options": text}]).to_csv(path, index=False)
    table = load_questions(QuestionSettings(path=str(path)))
    assert (table.options[0], table.gold[0]) == (["w", "x"], 1)


def test_parquet_gives_a_row_the_keys_of_other_rows(tmp_path: Path) -> None:
    rows = [
        {**ROW, "options": {"A": "w", "B": "x", "C": None}},
        {**ROW, "qid": "b", "options": {"A": "w", "B": "x", "C": "y"}, "answer": "C"},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "q.parquet")
    table = load_questions(QuestionSettings(path=str(tmp_path / "q.parquet")))
    assert ([len(o) for o in table.options], table.gold.tolist()) == ([2, 3], [1, 2])


@given(st.permutations("ABCD"), st.sampled_from("ABCD"))
def test_labels_in_any_order_name_their_own_texts(order: list[str], gold: str) -> None:
    options = read_options("row", {label: f"text of {label}" for label in order})
    index = read_gold("row", gold, options, typed=True).option("row", options, None, False)
    assert options.texts[index] == f"text of {gold}"


@pytest.mark.parametrize(
    "options", [["TT", "Tt", "tt"], ["D", "e", "C", "E"], ["5 mM", "5 MM"], ["CO", "Co"], ["pH", "PH"]]
)
def test_case_alone_makes_another_option(tmp_path: Path, options: list[str]) -> None:
    table = _load(tmp_path, [{**ROW, "options": options, "answer": 0}], gold_is="index")
    assert table.options[0] == options


@pytest.mark.parametrize("options", [["é", "e\u0301"], ["a b", "a\n b"], ["x", "x "]])
def test_texts_that_read_the_same_are_the_same(tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(DataError, match="two options have the same text"):
        _load(tmp_path, [{**ROW, "options": options}])


# --- what the gold is -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels", [["1", "2", "3"], [1, 2, 3], ["0", "1", "2"], [0, 1, 2], ["01", "02", "03"]]
)
@pytest.mark.parametrize("shape", ["columns", "objects", "pairs"])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("as_text", [True, False])
def test_digits_as_labels_are_taken_as_they_are(
    tmp_path: Path, labels: list[Any], shape: str, place: int, as_text: bool
) -> None:
    texts = ["w", "x", "y"]
    pairs = list(zip(labels, texts, strict=True))
    options: Any = {"columns": {"label": labels, "text": texts}, "pairs": pairs}.get(
        shape, [{"key": label, "value": text} for label, text in pairs]
    )
    gold = str(labels[place]) if as_text else int(labels[place])
    if labels[0] == "01" and not as_text:
        with pytest.raises(DataError, match="is not among the options"):
            _load(tmp_path, [{**ROW, "options": options, "answer": gold}])
        return
    assert _load(tmp_path, [{**ROW, "options": options, "answer": gold}]).gold[0] == place


NUMBERS = ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"A": "O", "B": "A", "C": "B", "D": "AB"}, "A"),  # a blood group is a letter
        (["B", "A", "C", "D"], "A"),
        (["C", "A", "E", "K"], "C"),  # a vitamin, too
        (NUMBERS, 3),
        ([1, 2, 3, 4], 3),
        ({"label": ["1", "2", "3"], "text": ["3", "1", "2"]}, "3"),
    ],
)
def test_a_gold_that_may_be_two_options_is_refused_until_it_is_said_what_it_is(
    tmp_path: Path, options: Any, answer: Any
) -> None:
    rows = [{**ROW, "options": options, "answer": answer}]
    with pytest.raises(DataError, match=r"row 1: the gold answer .* may be several options: as .*gold_is"):
        _load(tmp_path, rows)
    table = _load(tmp_path, rows, gold_is="text")
    assert table.options[0][table.gold[0]] == str(answer)
    other = "index" if answer == 3 else "label"
    table = _load(tmp_path, rows, gold_is=other)
    assert table.options[0][table.gold[0]] != str(answer)


def test_a_gold_that_is_one_option_whatever_it_is_read_as(tmp_path: Path) -> None:
    assert _load(tmp_path, [{**ROW, "options": ["A", "B", "C"], "answer": "B"}]).gold[0] == 1
    assert _load(tmp_path, [{**ROW, "options": ["0", "1", "2"], "answer": 1}]).gold[0] == 1


def test_a_cell_of_a_csv_that_may_be_a_text_or_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    pd.DataFrame([{**ROW, "options": json.dumps(NUMBERS), "answer": "3"}]).to_csv(path, index=False)
    with pytest.raises(DataError, match="may be several options: as text it is '3', as index it is '4'"):
        load_questions(QuestionSettings(path=str(path)))
    for kind, text in (("text", "3"), ("index", "4"), ("number", "3")):
        table = load_questions(QuestionSettings(path=str(path), gold_is=kind))
        assert table.options[0][table.gold[0]] == text
    # in a file that tells texts from numbers it is the text
    assert _load(tmp_path, [{**ROW, "options": NUMBERS, "answer": "3"}]).gold[0] == 2


@pytest.mark.parametrize("golds", [[1, 2, 3], [1], [1, 2, 1], [1.0, 3.0]])
@pytest.mark.parametrize("skip", ["refuse", "skip"])
def test_numbers_that_never_say_where_they_count_from_are_refused(
    tmp_path: Path, golds: list[Any], skip: str
) -> None:
    """Also when bad rows are skipped: else rows of the last option would go, and the rest shift by one."""
    rows = [{**ROW, "qid": str(i), "options": ["x", "y", "z"], "answer": g} for i, g in enumerate(golds)]
    with pytest.raises(DataError, match=r"none is 0.*gold_is=index.*gold_is=number"):
        _load(tmp_path, rows, on_bad_row=skip)
    assert _load(tmp_path, rows, gold_is="number").gold.tolist() == [int(g) - 1 for g in golds]


def test_numbers_that_count_from_0_may_not_reach_the_number_of_options(tmp_path: Path) -> None:
    rows = [{**ROW, "qid": str(i), "answer": g} for i, g in enumerate([0, 1, 2])]
    with pytest.raises(DataError, match="row 3: the gold answer 2 is not among"):
        _load(tmp_path, rows)


# --- bad rows -------------------------------------------------------------------------------------


def test_bad_rows_are_skipped_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        ROW,
        {**ROW, "qid": "b", "options": ["x", "x"]},
        {**ROW, "qid": "c", "answer": "E"},
        {**ROW, "qid": "a"},
        {**ROW, "qid": "e", "question": "\ud83d"},
        {**ROW, "qid": "f"},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with caplog.at_level("WARNING"):
        found = read_questions(QuestionSettings(path=str(path), on_bad_row="skip"))
    assert found.table.qid.tolist() == ["a", "f"]
    assert list(found.skipped) == [2, 3, 4, 5]
    said = found.told()
    assert (said["rows"], said["questions"], said["n_skipped"]) == (6, 2, 4)
    assert said["skipped"][0] == {"row": 2, "why": "two options have the same text: ['x', 'x']"}
    assert "already that of row 1" in said["skipped"][2]["why"]
    assert "4 of 6 rows are skipped, the first is row 2: two options" in caplog.text
    json.dumps(said, ensure_ascii=False).encode()


def test_a_row_that_is_skipped_takes_no_id(tmp_path: Path) -> None:
    table = _load(tmp_path, [{**ROW, "answer": "E"}, ROW], on_bad_row="skip")
    assert table.qid.tolist() == ["a"]


def test_a_file_of_which_no_row_is_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no row is a question.*2 of 2 rows.*row 1: the gold answer 'E'"):
        _load(tmp_path, [{**ROW, "answer": "E"}] * 2, on_bad_row="skip")


@pytest.mark.parametrize(
    "change",
    [
        {"question": "a\ud83d"},
        {"options": ["w\udc00", "y"]},
        {"options": '["w\\udc00", "y"]'},
        {"options": {"\ud83d": "w", "B": "y"}},
        {"answer": "\ud83d"},
        {"qid": "\ud83d"},
    ],
)
def test_half_a_character_is_named_with_its_row(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(
        DataError, match=r"questions\.jsonl, row 2: .*half of a pair|row 2: the gold answer"
    ) as error:
        _load(tmp_path, [ROW, {**ROW, "qid": "b", **change}])
    str(error.value).encode()


COLUMNS = {"qid": None}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b'question;options;answer\nQ?;"[""x"",""y""]";B\n',
            r"q\.csv: the header begins with 'question;options",
        ),
        (b'question\toptions\tanswer\nQ?\t["x","y"]\tB\n', r"parted by commas here. Save it with commas"),
        (b'sep=,\nquestion,options,answer\nQ?,"[""x"",""y""]",B\n', r"without a line 'sep='"),
        (
            b'question,options,answer\nWhich, one?,"[""x"",""y""]",B\n',
            r"row 1: there are 4 fields and 3 columns",
        ),
        (b"question,options,answer\nQ?\n", r"row 1: there are 1 fields and 3 columns, from 'Q\?'"),
        ("question,options,answer\n".encode("utf-16"), r"q\.csv: is not UTF-8 .*Save it as UTF-8"),
        ('question,options,answer\nWélche?,"[""x"",""y""]",B\n'.encode("latin-1"), r"Save it as UTF-8"),
        (b"question,A,B,answer\nQ?,x,y,B\n", r"Options in columns of their own are listed: questions"),
    ],
)
def test_a_csv_of_another_make_is_refused_with_a_way_out(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "q.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        load_questions(QuestionSettings(path=str(path), columns=ColumnNames(**COLUMNS)))


def test_a_csv_may_hold_fields_of_any_length_and_begin_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_bytes(b'\xef\xbb\xbfquestion,options,answer\n"' + b"w" * 200_000 + b'","[""x"",""y""]",B\n')
    table = load_questions(QuestionSettings(path=str(path), columns=ColumnNames(**COLUMNS)))
    assert (len(table.stem[0]), table.gold[0]) == (200_000, 1)


@pytest.mark.parametrize("answer", ["(B)", "B.", "B)", "B:", "B. y", "(B) y", "B) y ", "B: y"])
def test_a_gold_may_be_written_as_a_label_before_its_text(tmp_path: Path, answer: str) -> None:
    assert _load(tmp_path, [{**ROW, "answer": answer}]).gold[0] == 1


@pytest.mark.parametrize("answer", ["B. x", "(A) y", "C. y", "b. y", "By", "B y"])
def test_a_label_before_another_options_text_is_refused(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DataError, match=r"row 1: the gold answer '.*' is not among the options A-B"):
        _load(tmp_path, [{**ROW, "answer": answer}])


def test_a_label_is_refused_where_the_texts_begin_with_letters_of_another_order(tmp_path: Path) -> None:
    shuffled = ["B. x", "A. y", "C. z"]
    for answer in ("B", "(B)"):
        with pytest.raises(
            DataError, match=r"row 1: the gold answer .* which begin with B, A, C in this order"
        ):
            _load(tmp_path, [{**ROW, "options": shuffled, "answer": answer}])
    assert _load(tmp_path, [{**ROW, "options": shuffled, "answer": "A. y"}]).gold[0] == 1
    assert _load(tmp_path, [{**ROW, "options": ["A. x", "B. y"], "answer": "B"}]).gold[0] == 1
    assert _load(tmp_path, [{**ROW, "options": ["E. coli", "C. tetani"], "answer": "B"}]).gold[0] == 1


OPEN_WITH_OPTIONS = [
    {"question": "Which?", "opa": "x", "opb": "y", "opc": "z", "answer": "C"},
    {"question": "Which?", "opa": "x", "opb": "y", "opc": "z", "answer": 2},
    {"question": "Which?", "Option 1": "x", "Option 2": "y", "answer": "1"},
    {"question": "Which?", "A": "x", "B": "y", "answer": "(B)"},
    {"question": "Which?", "choices": ["x", "y"], "answer": "B"},
    {"question": "Which?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answer": "b"},
    {"question": "Which?", "choices": '["x", "y"]', "answer": "B"},
]


@pytest.mark.parametrize("row", OPEN_WITH_OPTIONS, ids=str)
def test_open_questions_whose_answers_name_options_are_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    columns = [name for name in row if name not in ("question", "answer")]
    fix = columns[0] if len(columns) == 1 else f"[{', '.join(columns)}]"
    with pytest.raises(DataError, match=re.escape(f"questions.columns.options={fix};")):
        _load(tmp_path, [row, row], qid=None, options=None)
    told = _load(tmp_path, [row], qid=None, options=None, gold_is="any")
    assert told.options[0] == [str(row["answer"])]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "How many?", "answer": "7 + 8 #### 3"},
        {"question": "How many?", "answer": 3, "source": "gsm8k", "level": 2},
        {"question": "Which?", "distractor1": "x", "distractor2": "y", "answer": "aspirin"},
        {"question": "Which group?", "answer": "B", "remarks": "[seen]"},
    ],
    ids=str,
)
def test_open_questions_without_options_load(tmp_path: Path, row: dict[str, Any]) -> None:
    assert _load(tmp_path, [row], qid=None, options=None)["open"].tolist() == [True]
