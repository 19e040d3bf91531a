import os
import resource
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig

from mechcot.core import records
from mechcot.core.errors import ReadingError
from mechcot.reading import folder as folder_module
from mechcot.reading import groups as groups_module
from mechcot.reading.batch import unpack, unpack_prompts
from mechcot.reading.folder import read_to_folder
from mechcot.reading.inputs import QuestionInput, TraceInput
from mechcot.reading.reader import plan_for, read
from mechcot.reading.spec import Reader, ReadingFolder, ReadingSpec
from mechcot.study.activations import Activations, tensor_name
from reading_cases import make_model, make_questions, make_trace, one_thread  # noqa: F401

SIZES = ((3, 4), (5,), (0, 2, 6), (4, 4), (3,), (6, 1))
BUDGET = 120


@pytest.fixture(scope="module")
def model():
    return make_model("qwen3")


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """Several shards from few questions."""
    monkeypatch.setattr(groups_module, "SHARD_TOKENS", 200)


def run(model, tmp_path, name, questions=None, *, digest="abc", check=True, progress=False, **spec):
    reader, questions = Reader(model, "base", digest), questions or make_questions(sizes=SIZES)
    folder = ReadingFolder(tmp_path / name / "out", tmp_path / name / "work")
    about = spec.pop("about", None)
    asked = ReadingSpec(**{"max_tokens": BUDGET, **spec})
    return read_to_folder(reader, questions, asked, folder, about=about, check=check, progress=progress)


def content(tmp_path, name):
    base = tmp_path / name / "out"
    return {
        file.relative_to(base).as_posix(): file.read_bytes() for file in base.rglob("*") if file.is_file()
    }


def test_the_tables_hold_what_was_read_in_the_order_given(model, tmp_path):
    questions = make_questions(sizes=SIZES)
    summary = run(model, tmp_path, "a", questions)
    out = tmp_path / "a" / "out"
    forced = records.read_table(out / "forced.parquet", records.FORCED)
    signals = records.read_table(out / "signals.parquet", records.SIGNALS).set_index(["qid", "cid"])
    truth = records.read_table(out / "truth.parquet", records.TRUTH)
    acts = Activations.open(out / "activations")
    acts.verify()
    index = acts.frame()
    steps = [(t.qid, t.arm, t.cid, sid) for q in questions for t in q.traces for sid, _, _ in t.steps]
    assert list(index[["qid", "arm", "cid", "sid"]].itertuples(index=False, name=None)) == steps
    order = [
        (q.qid, t.cid, k, lead)
        for q in questions
        for t in q.traces
        for k in range(len(t.steps) + 1)
        for lead in (0, 1)
    ]
    assert list(forced[["qid", "cid", "k", "lead_in"]].itertuples(index=False, name=None)) == order
    fixed = plan_for(model, questions, ReadingSpec(max_tokens=BUDGET))
    layers = {name: acts.layer("resid_post", *name) for name in ((0, "end"), (2, "before"), (3, "end"))}
    for batch in read(model, questions, ReadingSpec(max_tokens=BUDGET)):
        first = 0
        for question, values, _ in unpack_prompts(fixed, batch):
            rows = forced[(forced.qid == questions[question].qid) & (forced.k == 0)]
            for row in rows.itertuples():
                np.testing.assert_array_equal(row.logp, values[0, row.lead_in])
        for reading in unpack(fixed, batch):
            trace = reading.source
            check_trace(reading, forced, signals, truth)
            here = ((index.qid == trace.qid) & (index.cid == trace.cid)).to_numpy()
            for (layer, rule), values in layers.items():
                expected = batch.acts[tensor_name(layer, rule)][first : first + len(trace.steps)]
                np.testing.assert_array_equal(values[here], expected.numpy())
            first += len(trace.steps)
    assert (summary.traces, summary.steps, summary.questions) == (len(signals), len(steps), len(questions))
    assert summary.groups == len(acts.meta["shards"]) > 2
    assert summary.check is not None
    assert summary.check.worst < 1e-4
    assert summary.to_json()["check"]["runs"] > 0
    assert not (tmp_path / "a" / "work" / "read").exists()


def check_trace(reading, forced, signals, truth):
    trace = reading.source
    np.testing.assert_array_equal(signals.loc[(trace.qid, trace.cid)].entropy, reading.entropy)
    np.testing.assert_array_equal(signals.loc[(trace.qid, trace.cid)].surprisal, reading.surprisal)
    rows = forced[(forced.qid == trace.qid) & (forced.cid == trace.cid) & (forced.k > 0)]
    for row in rows.itertuples():
        np.testing.assert_array_equal(row.logp, reading.forced[0, row.k - 1, row.lead_in])
        np.testing.assert_allclose(row.p, np.exp(row.logp) / np.exp(row.logp).sum(), rtol=1e-5)
        assert row.raw_mass == pytest.approx(np.exp(row.logp).sum(), rel=1e-5)
        assert row.n_tokens.tolist() == [2, 3, 3, 2][: len(row.logp)]
        assert (row.arm, row.reader, row.permutation, row.layer) == ("base", "base", 0, -1)
    rows = truth[(truth.qid == trace.qid) & (truth.cid == trace.cid)]
    assert rows.sid.tolist() == [target.sid for target in trace.targets]
    columns = rows[["p_truth", "rank_truth", "p_said", "rank_said", "entropy"]].to_numpy()
    np.testing.assert_allclose(columns, reading.truth, rtol=1e-6)


def test_the_rows_of_two_arms_in_one_reading_are_those_of_a_reading_for_each(model, tmp_path):
    rng, own = np.random.default_rng(3), make_questions(sizes=SIZES[:3])
    theirs = [
        replace(
            q, traces=tuple(make_trace(rng, q.qid, cid, 3, arm="distilled") for cid in range(len(q.traces)))
        )
        for q in own
    ]
    both = [replace(a, traces=(*a.traces, *b.traces)) for a, b in zip(own, theirs, strict=True)]
    for name, questions in (("both", both), ("base", own), ("distilled", theirs)):
        run(model, tmp_path, name, questions)
    stores = {
        name: Activations.open(tmp_path / name / "out" / "activations")
        for name in ("both", "base", "distilled")
    }
    index = stores["both"].frame()
    for arm in ("base", "distilled"):
        mine = (index.arm == arm).to_numpy()
        keys = index[mine][records.STEP_KEY].reset_index(drop=True)
        assert keys.equals(stores[arm].frame()[records.STEP_KEY])
        for layer in (0, 3):
            values = [stores[name].layer("resid_post", layer) for name in ("both", arm)]
            np.testing.assert_allclose(values[0][mine], values[1], atol=2e-5)
        for table, schema in (
            ("forced", records.FORCED),
            ("signals", records.SIGNALS),
            ("truth", records.TRUTH),
        ):
            whole, alone = (
                records.read_table(tmp_path / name / "out" / f"{table}.parquet", schema)
                for name in ("both", arm)
            )
            whole = whole[whole.arm == arm].reset_index(drop=True)
            ids = [c for c in ("qid", "arm", "cid", "sid", "k", "lead_in") if c in alone]
            assert whole[ids].equals(alone[ids])
            for column in {"logp", "entropy", "surprisal", "p_truth"} & set(alone):
                left, right = (np.concatenate([np.atleast_1d(v) for v in t[column]]) for t in (whole, alone))
                np.testing.assert_allclose(left, right, atol=2e-5)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("batches", [0, 1, 4, 7])
def test_a_reading_that_was_stopped_ends_with_the_same_bytes(model, tmp_path, monkeypatch, batches):
    run(model, tmp_path, "whole")
    done, real = [], groups_module.read_batch

    def stop(*args):
        if len(done) == batches:
            raise Stopped
        done.append(1)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(groups_module, "read_batch", stop)
        with pytest.raises(Stopped):
            run(model, tmp_path, "stopped")
    assert not (tmp_path / "stopped" / "out" / "activations" / "meta.json").exists()
    summary = run(model, tmp_path, "stopped")
    assert (summary.groups_kept > 0) == (batches > 3), "finished shards are kept"
    assert content(tmp_path, "stopped") == content(tmp_path, "whole")


def killed_at(model, tmp_path, name, instant, run=run, **kwargs):
    """Run in a child that kills itself with SIGKILL at the given write; whether it was killed."""
    child = os.fork()
    if child == 0:
        count = [0]

        def counted(real):
            def call(*args):
                count[0] += 1
                if count[0] == instant:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args)

            return call

        os.fsync, os.replace = counted(os.fsync), counted(os.replace)
        try:
            run(model, tmp_path, name, check=False, **kwargs)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_reading_killed_at_any_write_ends_with_the_same_bytes(model, tmp_path):
    run(model, tmp_path, "whole", check=False)
    instants = [1, 2, 3, *np.random.default_rng(0).choice(np.arange(4, 30), 6, replace=False).tolist()]
    killed = 0
    for instant in instants:
        name = f"at-{instant}"
        killed += killed_at(model, tmp_path, name, instant)
        run(model, tmp_path, name, check=False)
        assert content(tmp_path, name) == content(tmp_path, "whole"), f"killed at write {instant}"
        assert not any((tmp_path / name / "work").iterdir())
    assert killed == len(instants)


def test_a_reading_killed_again_and_again_gets_there(model, tmp_path):
    run(model, tmp_path, "whole", check=False)
    times = 0
    while killed_at(model, tmp_path, "often", 14):  # the tables at the end are twelve writes in one go
        times += 1
        assert times < 50
    assert times > 1
    assert content(tmp_path, "often") == content(tmp_path, "whole")


def test_work_of_another_reading_or_damaged_work_is_done_again(model, tmp_path, monkeypatch, caplog):
    run(model, tmp_path, "whole")
    real = folder_module.write_tables
    for damage in ("digest", "shard", "numbers", "journal"):
        with monkeypatch.context() as patch:
            patch.setattr(folder_module, "write_tables", lambda *a: (_ for _ in ()).throw(Stopped))
            with pytest.raises(Stopped):
                run(model, tmp_path, damage, digest="other" if damage == "digest" else "abc")
        files = {
            "shard": tmp_path / damage / "out" / "activations" / "shard-00001.safetensors",
            "numbers": tmp_path / damage / "work" / "read" / "numbers-00001.safetensors",
            "journal": tmp_path / damage / "work" / "read" / "journal.jsonl",
        }
        if damage in files:
            file = files[damage]
            file.write_bytes(file.read_bytes()[:-2])
        summary = run(model, tmp_path, damage)
        assert summary.groups_kept == (0 if damage == "digest" else summary.groups - 1)
        assert content(tmp_path, damage) == content(tmp_path, "whole")
    assert "holds work of another reading" in caplog.text
    assert folder_module.write_tables is real


def test_traces_that_cannot_be_read_are_left_out_only_when_asked(model, tmp_path):
    questions = make_questions(sizes=SIZES[:2])
    rng = np.random.default_rng(5)
    long = make_trace(rng, "q1", 7, 30)
    empty = TraceInput("q1", "base", 8, ())
    second = questions[1]
    questions[1] = QuestionInput(second.qid, second.prompt_ids, (*second.traces, long, empty), second.forced)
    with pytest.raises(
        ReadingError, match=r"question 'q1', arm 'base', trace 7: .* leave it out of the reading"
    ):
        run(model, tmp_path, "strict", questions)
    assert not (tmp_path / "strict" / "out").exists()
    summary = run(model, tmp_path, "lenient", questions, skip_unreadable=True)
    assert [text.split(":")[0] for text in summary.skipped] == [
        "question 'q1', arm 'base', trace 7",
        "question 'q1', arm 'base', trace 8",
    ]
    run(model, tmp_path, "plain", make_questions(sizes=SIZES[:2]))
    assert content(tmp_path, "lenient") == content(tmp_path, "plain")


def test_a_reading_that_fails_leaves_nothing_of_an_earlier_one(model, tmp_path, monkeypatch):
    run(model, tmp_path, "a")
    with monkeypatch.context() as patch:
        patch.setattr(groups_module, "read_batch", lambda *a: (_ for _ in ()).throw(Stopped))
        with pytest.raises(Stopped):
            run(model, tmp_path, "a", make_questions(seed=1))
    assert content(tmp_path, "a") == {}


def test_without_layers_there_is_no_store_and_the_tables_are_the_same(model, tmp_path):
    run(model, tmp_path, "with")
    run(model, tmp_path, "without", layers=())
    tables = {name: data for name, data in content(tmp_path, "with").items() if "/" not in name}
    assert content(tmp_path, "without") == tables


def test_bfloat16_is_kept_and_reads_as_float32(tmp_path):
    model = make_model("gemma3", torch.bfloat16)
    run(model, tmp_path, "bf16", layers=[1])
    acts = Activations.open(tmp_path / "bf16" / "out" / "activations")
    assert (acts.meta["dtype"], acts.layers) == ("bfloat16", [1])
    values = torch.from_numpy(acts.layer("resid_post", 1))
    assert torch.equal(values, values.bfloat16().float())
    assert values.abs().sum() > 0


def test_questions_without_forced_answers_traces_or_targets(model, tmp_path):
    trace = TraceInput("q", "base", 0, (10, 11, 12), ((0, 0, 2),))
    run(model, tmp_path, "few", [QuestionInput("empty", (8,), ()), QuestionInput("q", (8, 9), (trace,))])
    out = tmp_path / "few" / "out"
    assert len(records.read_table(out / "forced.parquet", records.FORCED)) == 0
    assert len(records.read_table(out / "truth.parquet", records.TRUTH)) == 0
    assert Activations.open(out / "activations").layer("resid_post", 3, "before").shape == (1, 32)
    with pytest.raises(ReadingError, match="there is no trace to read"):
        run(model, tmp_path, "none", [QuestionInput("empty", (8,), ())])


def test_an_untrue_reader_is_refused_before_anything_is_written(tmp_path):
    model = make_model("llama")
    model.register_forward_hook(lambda m, a, out: setattr(out, "logits", out.logits * 1.5) or out)
    with pytest.raises(ReadingError, match="is not read truly"):
        run(model, tmp_path, "untrue")
    assert not list((tmp_path / "untrue").rglob("*.parquet"))


def test_progress_counts_tokens_and_draws_nothing_into_a_log(model, tmp_path, capfd, caplog, monkeypatch):
    monkeypatch.setattr("mechcot.core.progress.SELDOM", 0.0)
    with caplog.at_level("INFO", logger="mechcot"):
        summary = run(model, tmp_path, "bar", progress=True)
    assert f"base read by base: 100 % ({summary.tree_tokens} of {summary.tree_tokens} tokens)" in caplog.text
    assert "\r" not in capfd.readouterr().err


def test_sites_and_rules_are_kept_where_the_model_has_them(model, tmp_path):
    questions = make_questions(sizes=SIZES[:3])
    rules = ("end", "mean", "decision", "token")
    sites = ("resid_pre", "resid_post", "attn_out", "mlp_out")
    run(model, tmp_path, "a", questions, sites=sites, rules=rules, layers=[0, 2], about={"steps_digest": "s"})
    acts = Activations.open(tmp_path / "a" / "out" / "activations", steps_digest="s", model_digest="abc")
    assert acts.places == [
        (site, layer) for site in sites for layer in (0, 2) if layer or site == "resid_post"
    ]
    traces = [trace for question in questions for trace in question.traces]
    tokens = [(t.qid, t.cid, i) for t in traces for i in range(len(t.token_ids))]
    assert acts.frame("token")[["qid", "cid", "token"]].apply(tuple, axis=1).tolist() == tokens
    steps = [(t.qid, t.cid, sid) for t in traces for sid, _, _ in t.steps]
    assert acts.frame()[["qid", "cid", "sid"]].apply(tuple, axis=1).tolist() == steps
    for place in acts.places:
        every, end, mean = (acts.layer(*place, rule) for rule in ("token", "end", "mean"))
        assert every.shape == (len(tokens), 32)
        first = step = 0
        for trace in traces:
            for _, start, stop in trace.steps:
                np.testing.assert_array_equal(end[step], every[first + stop - 1])
                np.testing.assert_allclose(mean[step], every[first + start : first + stop].mean(0), atol=1e-6)
                step += 1
            first += len(trace.token_ids)
    # what enters block 2 is what block 1 gave
    run(model, tmp_path, "b", questions, layers=[1])
    before = Activations.open(tmp_path / "b" / "out" / "activations").layer("resid_post", 1)
    np.testing.assert_allclose(acts.layer("resid_pre", 2), before, atol=1e-5)


def test_a_model_that_reads_no_trees_is_read_text_by_text_and_can_be_taken_up(tmp_path, caplog):
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=61, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1)
    model = AutoModelForCausalLM.from_config(config).eval()
    questions = make_questions(sizes=SIZES[:3])
    summary = run(model, tmp_path, "whole", questions)
    assert "cannot read a prefix tree" in caplog.text
    assert summary.check.way == "alone"
    acts = Activations.open(tmp_path / "whole" / "out" / "activations")
    assert acts.meta["packing"]["trees"] is False
    assert killed_at(model, tmp_path, "killed", 8, questions=questions)
    resumed = run(model, tmp_path, "killed", questions, check=False)
    assert resumed.groups_kept > 0
    assert content(tmp_path, "killed") == content(tmp_path, "whole")


def test_a_full_disk_loses_nothing_that_was_finished(model, tmp_path):
    run(model, tmp_path, "whole")
    sizes = [shard["bytes"] for shard in Activations.open(tmp_path / "whole/out/activations").meta["shards"]]
    largest = sizes.index(max(sizes))
    assert largest > 0
    child = os.fork()
    if child == 0:
        # No file may be as large as the largest shard: the same call fails as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) - 1, max(sizes) - 1))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            run(model, tmp_path, "full")
        except OSError:
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert not (tmp_path / "full" / "out" / "activations" / "meta.json").exists()
    assert not list((tmp_path / "full").rglob("*.tmp"))
    assert run(model, tmp_path, "full").groups_kept == largest
    assert content(tmp_path, "full") == content(tmp_path, "whole")
