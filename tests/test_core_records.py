from pathlib import Path

import pandas as pd
import pytest

from mechcot.core import records
from mechcot.core.errors import DataError

ROW = {"qid": "q", "arm": "a", "cid": 0, "sid": 0, "instrument": "x", "label": "correct", "reason": ""}


def test_tables_come_back_and_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    records.write_table(one, [ROW], records.VERDICTS)
    records.write_table(two, pd.DataFrame([ROW])[list(reversed(ROW))], records.VERDICTS)
    assert one.read_bytes() == two.read_bytes()
    assert records.read_table(one, records.VERDICTS).to_dict("records") == [ROW]


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    records.write_table(tmp_path / "t.parquet", [], records.CLAIMS)
    table = records.read_table(tmp_path / "t.parquet", records.CLAIMS)
    assert list(table.columns) == records.CLAIMS.names
    assert table.empty


def test_a_wrong_type_a_missing_column_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not fit"):
        records.write_table(tmp_path / "t.parquet", [{**ROW, "cid": "zero"}], records.VERDICTS)
    with pytest.raises(DataError, match="label"):
        records.write_table(
            tmp_path / "t.parquet", pd.DataFrame([ROW]).drop(columns="label"), records.VERDICTS
        )
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="not a readable parquet"):
        records.read_table(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="does not exist"):
        records.read_table(tmp_path / "none.parquet")
