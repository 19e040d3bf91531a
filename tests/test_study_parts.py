"""A study cut by question: the same results, and never more than a part of a large table in memory."""

import json

import pandas as pd
import pytest

from mechcot.analyses import arm_steps
from mechcot.analyses.viewer.index import _made
from mechcot.analyses.viewer.tables import shown_arms
from mechcot.core import records, row_groups
from mechcot.core.errors import AnalysisError, DataError
from mechcot.report import traces
from mechcot.study import Study, parts
from mechcot.study.parts import of_questions, parts_of

ROWS = 60
"""Few enough that the shared study has many parts."""


def json_of(result) -> str:
    return json.dumps(result.to_json(), sort_keys=True)


def test_row_groups_give_the_rows_of_a_question_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "t.parquet"
    qids = ["b", "a", "c", "a", "b", "d", "a"]
    table = pd.DataFrame({"qid": qids, "place": range(7), "text": list("tuvwxyz")})
    table.to_parquet(path, row_group_size=2)
    assert row_groups.n_rows(path) == 7
    assert row_groups.n_rows(tmp_path / "none.parquet") == 0
    assert row_groups.rows_of(path, ["place"], ["a", "d"]).to_pandas().place.tolist() == [1, 3, 5, 6]
    assert row_groups.rows_of(path, qids=["none"]).to_pandas().columns.tolist() == ["qid", "place", "text"]
    assert len(row_groups.rows_of(path, qids=[])) == 0
    coded = row_groups.rows_of(path, ["text", "qid"], ["c", "b"], categories=True).to_pandas()
    assert coded.dtypes.astype(str).tolist() == ["category", "category"]
    assert coded.text.tolist() == ["t", "v", "x"]
    table.drop(columns="qid").to_parquet(path)
    assert row_groups.rows_of(path, ["place"], ["a"])["place"].to_pylist() == list(range(7))


def test_a_small_study_is_its_only_part(study):
    files = [study.arm_path("base") / "steps.parquet"]
    assert list(parts_of(study, study.questions("clinical").qid, files)) == [study]


def test_parts_hold_every_row_once(study, monkeypatch):
    monkeypatch.setattr(parts, "ROWS", ROWS)
    path = study.arm_path("base") / "steps.parquet"
    qids = study.questions().qid
    cut = list(parts_of(study, qids, [path]))
    assert len(cut) > 3
    steps = pd.concat([part.steps("base") for part in cut]).sort_values(records.STEP_KEY)
    whole = study.steps("base").sort_values(records.STEP_KEY)
    pd.testing.assert_frame_equal(steps.reset_index(drop=True), whole.reset_index(drop=True))
    assert sorted(qid for part in cut for qid in part.questions().qid) == sorted(qids)


@pytest.fixture
def cut(monkeypatch):
    """How many rows of steps and of forced answers were held at once, while all is read in parts."""
    held = []

    def noted(path, columns=None, qids=None, **how):
        rows = row_groups.rows_of(path, columns, qids, **how)
        held.extend([len(rows)] * (path.stem in ("steps", "forced")))
        return rows

    monkeypatch.setattr(parts, "ROWS", ROWS)
    monkeypatch.setattr(arm_steps, "BLOCK", ROWS)
    monkeypatch.setattr(records, "rows_of", noted)
    return held


def test_the_audit_is_the_same_in_blocks(study, monkeypatch):
    whole = [json_of(study.audit()), json_of(study.audit("chain")), json_of(study.certainty())]
    monkeypatch.setattr(arm_steps, "BLOCK", ROWS)
    assert [json_of(study.audit()), json_of(study.audit("chain")), json_of(study.certainty())] == whole
    assert study.audit().before.n_steps > 3 * ROWS


def test_commitment_is_the_same_in_parts(study, cut):
    parts.ROWS = 2**18
    found = study.commitment("base")
    whole, n = json_of(found), max(cut)
    cut.clear()
    parts.ROWS = ROWS
    again = study.commitment("base")
    assert json_of(again) == whole
    pd.testing.assert_frame_equal(again.locks, found.locks)
    assert max(cut) < 2.5 * ROWS < n  # a question more than a part at most
    one = found.locks.iloc[0]
    pd.testing.assert_frame_equal(
        again.trace(one.qid, one.cid).prefixes, found.trace(one.qid, one.cid).prefixes
    )
    assert again.trace(one.qid, one.cid).prefixes.text[1]
    with pytest.raises(AnalysisError, match="lead-in 3"):
        study.commitment("base", lead_in=3)


def test_pairs_and_the_list_are_the_same_in_parts(study, cut):
    arms = shown_arms(study)
    parts.ROWS = 2**18
    pairs, index = traces.pairs(study, 6), _made(study, arms)
    parts.ROWS = ROWS
    assert traces.pairs(study, 6) == pairs
    pd.testing.assert_frame_equal(_made(study, arms), index)


def test_a_row_that_does_not_belong_is_named_by_its_place_in_the_whole_file(study, tmp_path, monkeypatch):
    path, steps = tmp_path / "steps.parquet", study.cut_steps("base")
    steps.loc[len(steps) - 1, "arm"] = "other"
    records.write_table(path, steps, records.STEPS)
    part = of_questions(study, [steps.qid.iloc[-1]])
    monkeypatch.setattr(Study, "checked", lambda self, own: own)
    with pytest.raises(DataError, match=rf"row {len(steps)}: arm is 'other'"):
        part._table(path, records.STEPS, arm="base")
