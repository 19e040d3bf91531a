"""The tables of a reading: what each column is, in which order, and that parts do not show in the bytes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.reading.batch import unpack, unpack_prompts
from mechcot.reading.folder import read_to_folder
from mechcot.reading.inputs import KnockOut
from mechcot.reading.reader import plan_for, read
from mechcot.reading.spec import Reader, ReadingFolder, ReadingSpec
from mechcot.study.activations import Activations
from reading_cases import make_model, make_questions, one_thread  # noqa: F401

PRIOR = (9, 8, 7)


@pytest.fixture(scope="module")
def model():
    return make_model("qwen3")


def questions():
    """Two questions with a prior for the first, knock-outs for one trace, and another order of the second."""
    first, second = make_questions(sizes=((3, 2), (2, 0)))
    one, two = first.traces
    hidden = [KnockOut(3, sid, (a, b), later) for sid, a, b in one.steps[:2] for later in (False, True)]
    first = replace(first, prior_ids=PRIOR, traces=(replace(one, knock_outs=tuple(hidden)), two))
    turned = replace(second, prompt_ids=second.prompt_ids[::-1], permutation=1)
    return [first, second, turned]


@pytest.fixture(scope="module")
def tables(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    read_to_folder(
        Reader(model, "r", "m"), questions(), ReadingSpec(max_tokens=90, lens=True),
        ReadingFolder(folder / "out", folder / "work"), check=False, progress=False,
    )  # fmt: skip
    names = ("forced", "knockouts", "signals", "truth")
    found = {name: records.read_table(folder / "out" / f"{name}.parquet") for name in names}
    return found | {"index": Activations.open(folder / "out" / "activations").frame()}


def softmax(values):
    share = np.exp(values - values.max())
    return share / share.sum()


def batches(model):
    plan = plan_for(model, questions(), ReadingSpec(max_tokens=90))
    found = list(read(model, questions(), ReadingSpec(max_tokens=90, lens=True)))
    prompts = {q: (prompt, prior) for batch in found for q, prompt, prior in unpack_prompts(plan, batch)}
    return [reading for batch in found for reading in unpack(plan, batch)], prompts


def test_forced_answers_have_a_row_for_each_view_prefix_and_lead_in(model, tables):
    given_questions = questions()
    layers = [-1, *range(model.config.num_hidden_layers + 1)]
    rows = tables["forced"].itertuples()
    readings, prompts = batches(model)
    for reading in readings:
        question, trace = given_questions[reading.question], reading.source
        prompt, prior = prompts[reading.question]
        for view, layer in enumerate(layers):
            for k in range(len(trace.steps) + 1):
                for number, lead in enumerate(question.forced):
                    row = next(rows)
                    assert (row.qid, row.arm, row.cid, row.reader) == (trace.qid, trace.arm, trace.cid, "r")
                    assert (row.layer, row.k, row.lead_in) == (layer, k, number)
                    assert row.permutation == question.permutation
                    logp = (reading.forced[view, k - 1] if k else prompt[view])[number].astype(np.float64)
                    lengths = np.array([len(option) for option in lead.options])
                    np.testing.assert_array_equal(row.logp, logp.astype(np.float32))
                    assert row.n_tokens.tolist() == lengths.tolist()
                    np.testing.assert_allclose(row.p, softmax(logp), rtol=1e-5)
                    np.testing.assert_allclose(row.p_norm, softmax(logp / lengths), rtol=1e-5)
                    assert row.raw_mass == pytest.approx(np.exp(logp).sum(), rel=1e-5)
                    p = softmax(logp)
                    assert row.entropy == pytest.approx(-(p * np.log(p)).sum(), rel=1e-4)
                    if prior is None:
                        assert row.p_prior is None
                    else:
                        corrected = softmax(logp - prior[view, number])
                        np.testing.assert_allclose(row.p_prior, corrected, rtol=1e-4)
                        assert not np.allclose(row.p_prior, row.p, rtol=1e-2)
    assert next(rows, None) is None


def test_the_last_layer_of_the_lens_is_the_models_own_output(tables):
    forced = tables["forced"]
    own, last = forced[forced.layer == -1], forced[forced.layer == forced.layer.max()]
    np.testing.assert_allclose(np.concatenate(list(own.logp)), np.concatenate(list(last.logp)), atol=1e-5)
    middle = forced[forced.layer == 1]
    assert not np.allclose(np.concatenate(list(own.logp)), np.concatenate(list(middle.logp)), atol=0.1)


def test_knock_outs_name_the_hidden_step_and_from_what_it_was_hidden(model, tables):
    found = tables["knockouts"]
    readings, _ = batches(model)
    reading = readings[0]
    rows = found.itertuples()
    for view in range(len(reading.knocked)):
        for number, knock_out in enumerate(reading.source.knock_outs):
            for lead in range(2):
                row = next(rows)
                assert (row.qid, row.cid, row.reader, row.permutation) == ("q0", 0, "r", 0)
                assert (row.layer, row.k, row.sid, row.lead_in) == (view - 1, 3, knock_out.sid, lead)
                assert row.scope == ("later" if knock_out.later else "answer")
                logp = reading.knocked[view, number, lead]
                np.testing.assert_array_equal(row.logp, logp)
                np.testing.assert_allclose(row.p, softmax(logp.astype(np.float64)), rtol=1e-5)
                assert row.raw_mass == pytest.approx(np.exp(logp).sum(), rel=1e-5)
    assert next(rows, None) is None


def test_another_order_of_the_options_gives_forced_answers_only(tables):
    forced, signals = tables["forced"], tables["signals"]
    assert set(forced[forced.qid == "q1"].permutation) == {0, 1}
    turned = forced[forced.permutation == 1]
    assert sorted(set(turned.k)) == [0, 1, 2]
    both = forced[(forced.qid == "q1") & (forced.k == 1) & (forced.layer == -1) & (forced.cid == 0)]
    assert not np.allclose(*both[both.lead_in == 0].logp, atol=1e-3)
    assert signals[["qid", "cid"]].apply(tuple, axis=1).tolist() == [
        ("q0", 0),
        ("q0", 1),
        ("q1", 0),
        ("q1", 1),
    ]
    assert tables["index"][["qid", "cid", "sid"]].apply(tuple, axis=1).tolist() == [
        ("q0", 0, 0), ("q0", 0, 1), ("q0", 0, 2), ("q0", 1, 0), ("q0", 1, 1), ("q1", 0, 0), ("q1", 0, 1)
    ]  # fmt: skip
    truth = tables["truth"]
    assert len(truth) == len(truth.drop_duplicates(["qid", "cid", "sid"])) == 7


SCHEMA = pa.schema(
    [("qid", pa.string()), ("cid", pa.int32()), ("p", pa.list_(pa.float32())), ("x", pa.float32())]
)


def columns(first, stop):
    rng = np.random.default_rng(0)
    values = rng.normal(size=stop).round(1)
    rows = range(first, stop)
    return {
        "qid": [f"q{i // 7}" for i in rows],
        "cid": np.array(rows, np.int64),
        "p": [np.arange(i % 4, dtype=np.float64) for i in rows],
        "x": values[first:stop],
    }


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 250), max_size=12), group_rows=st.integers(1, 300))
def test_a_table_has_the_same_bytes_however_it_came_in_parts(tmp_path_factory, cuts, group_rows):
    folder = tmp_path_factory.mktemp("table")
    edges = [0, *sorted(cuts), 250]
    whole = columns(0, 250)
    with records.table_writer(folder / "one.parquet", SCHEMA, group_rows) as write:
        write(whole)
    with records.table_writer(folder / "parts.parquet", SCHEMA, group_rows) as write:
        for first, stop in pairwise(edges):
            write({name: values[first:stop] for name, values in whole.items()})
    assert (folder / "one.parquet").read_bytes() == (folder / "parts.parquet").read_bytes()
    meta = pq.ParquetFile(folder / "one.parquet").metadata
    sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert sizes == [group_rows] * (250 // group_rows) + [250 % group_rows] * (250 % group_rows > 0)
    table = records.read_table(folder / "one.parquet", SCHEMA)
    assert table.cid.tolist() == list(range(250))
    assert table.qid.tolist() == whole["qid"]


def write_parts(path, parts):
    with records.table_writer(path, SCHEMA, 2) as write:
        for part in parts:
            write(part)


def test_a_table_that_fails_on_the_way_does_not_appear(tmp_path):
    path = tmp_path / "t.parquet"
    wrong = {**columns(5, 6), "cid": ["five"]}
    with pytest.raises(DataError, match=r"t\.parquet: a value does not fit its column"):
        write_parts(path, [columns(0, 5), wrong])
    assert list(tmp_path.iterdir()) == []
    with records.table_writer(path, SCHEMA) as write:
        write(pd.DataFrame({"qid": ["q"], "cid": [1], "p": [[0.5]], "x": [1.0]}))
    assert len(records.read_table(path, SCHEMA)) == 1
