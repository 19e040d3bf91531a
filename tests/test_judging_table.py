import json

import pandas as pd
import pytest

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.judging.table import judge_by_table

STEPS = pd.DataFrame(
    [
        {"qid": "007", "arm": "base", "cid": cid, "sid": sid, "text": "t"}
        for cid in range(2)
        for sid in range(3)
    ]
)


def rows():
    labels = ["correct", "erroneous", "abstain", "not_checkable", "api_failure", "parse_failure"]
    return [
        {"qid": "007", "arm": "base", "cid": i // 3, "sid": i % 3, "label": label, "reason": f"r{i}"}
        for i, label in enumerate(labels)
    ]


def write(tmp_path, found, suffix):
    path = tmp_path / f"verdicts{suffix}"
    frame = pd.DataFrame(found)
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_rows_come_in_the_order_of_the_steps(tmp_path, suffix):
    foreign = {**rows()[0], "arm": "distilled", "label": "no such label"}
    unsampled = {**rows()[0], "cid": 9}
    path = write(tmp_path, [foreign, *rows()[::-1], unsampled], suffix)
    found = judge_by_table(STEPS, path)
    assert found == [{**row, "instrument": "table"} for row in rows()]
    assert [list(row) for row in found] == [records.VERDICTS.names] * 6
    records.write_table(tmp_path / "out.parquet", found, records.VERDICTS)


def test_reason_and_instrument_are_taken_over_where_they_are_given(tmp_path):
    plain = [{k: v for k, v in row.items() if k != "reason"} for row in rows()]
    named = [{**row, "instrument": "doctors"} for row in plain]
    found = judge_by_table(STEPS, write(tmp_path, named, ".parquet"))
    assert {(row["instrument"], row["reason"]) for row in found} == {("doctors", "")}


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop(4), "step 1 of trace 1 of question '007' of arm base has no row"),
        (lambda r: r.append(dict(r[2])), "row 7: step 2 of trace 0 .* has a verdict in row 3 already"),
        (lambda r: r[3].update(label="error"), "row 4: the label 'error' is unknown; there are correct"),
        (lambda r: r.append({**r[0], "sid": 3}), "row 7: step 3 of trace 0 .* does not exist"),
        (lambda r: r[1].update(sid=1.5), "row 2: sid is .*1.5.*; a whole number"),
        (lambda r: [row.pop("label") for row in r], r"the columns \['label'\] are missing"),
    ],
)
def test_tables_that_do_not_fit_the_steps(tmp_path, suffix, change, message):
    found = rows()
    change(found)
    path = write(tmp_path, found, suffix)
    with pytest.raises(DataError, match=message) as caught:
        judge_by_table(STEPS, path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(DataError, match=r"does not exist.*a row for every step of arms/\*/steps\.parquet"):
        judge_by_table(STEPS, tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"verdicts come from \.parquet, \.csv, \.jsonl"):
        judge_by_table(STEPS, tmp_path / "verdicts.xlsx")
    for name, text in [("a.parquet", "x"), ("a.csv", ""), ("a.jsonl", '{"qid": 1}\n[]\n')]:
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=name):
            judge_by_table(STEPS, tmp_path / name)
