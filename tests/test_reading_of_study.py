import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tokenizers.processors import TemplateProcessing
from typer.testing import CliRunner

from mechcot import Study
from mechcot.cli.commands import app
from mechcot.core import records
from mechcot.core.errors import MechcotError, ReadingError, StudyError
from mechcot.models.checkpoint import load_tokenizer
from mechcot.reading.of_study import _target, question_inputs, read_arm
from mechcot.steps.of_study import checkpoint_folder, task_of
from rewritten import as_written


def test_a_target_is_tokenised_as_the_said_object_was(study: Study) -> None:
    tokenizer = load_tokenizer(checkpoint_folder(study, "base"))
    words = [word for word in tokenizer.get_vocab() if word.endswith("ine")][:3]
    said, *true = words
    ids = tokenizer(f"this {said} .")["input_ids"]
    claim = SimpleNamespace(sid=4, tok_object=1, object=said, truth=[*true, true[0]])
    target = _target(claim, ids, tokenizer)
    assert target is not None
    assert (target.sid, target.position, target.said_id) == (4, 1, ids[1])
    assert list(target.true_ids) == tokenizer(" ".join(true))["input_ids"]
    assert _target(SimpleNamespace(sid=4, tok_object=0, object=said, truth=true), ids, tokenizer) is None


def test_what_is_read_are_the_first_traces_of_the_headlines_questions(study: Study) -> None:
    arm = study.settings.contrast.after
    inputs = question_inputs(study, arm, task_of(study), load_tokenizer(checkpoint_folder(study, arm)))
    assert [q.qid for q in inputs] == list(study.questions("clinical").qid)
    limit = study.settings.reading.traces_per_question
    assert {trace.cid for q in inputs for trace in q.traces} == set(range(limit))
    steps = study.steps(arm)
    index = study.activations(arm).frame()
    read = steps[(steps.cid < limit) & steps.qid.isin([q.qid for q in inputs])]
    assert len(index) == len(read)
    for q in inputs:
        for trace in q.traces:
            mine = read[(read.qid == trace.qid) & (read.cid == trace.cid)].sort_values("sid")
            assert list(trace.steps) == list(zip(mine.sid, mine.tok_start, mine.tok_end, strict=True))


def test_the_folder_says_what_was_read_and_what_was_left_out(study: Study) -> None:
    arm = study.settings.contrast.before
    told = json.loads((study.reading_path(arm) / "reading.json").read_text())
    assert told["traces"] == len(study.signals(arm))
    assert told["skipped"] == []
    assert told["straddles"] == study.steps(arm).straddles.sum() == 0, "no token of the organism does"


def copied(study: Study, folder: Path) -> Study:
    """A copy that a test may change."""
    shutil.copytree(study.path, folder)
    return Study.open(folder)


def read_again(study: Study, work: Path) -> dict[str, Any]:
    """The base arm's traces read by its own weights; what reading.json says."""
    as_written(study.path)
    read_arm(study, "base", "base", work, task_of(study), checkpoint_folder(study, "base"), progress=False)
    as_written(study.path)
    return json.loads((study.reading_path("base") / "reading.json").read_text())


def test_a_trace_without_steps_is_counted_and_named_and_the_others_are_read(
    study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changed = copied(study, tmp_path / "study")
    traces, steps = changed.traces("base"), changed.steps("base")
    qid = changed.questions("clinical").qid.iloc[0]
    empty = (traces.qid == qid) & (traces.cid == 0)
    for column in ("token_ids", "token_start", "token_end"):
        traces.loc[empty, column] = pd.Series([[]], index=traces.index[empty])
    gone = (steps.qid == qid) & (steps.cid < 2)
    claims = changed.claims("base")
    for name, table, schema in (
        ("traces", traces, records.TRACES),
        ("steps", steps[~gone], records.STEPS),
        ("claims", claims[~((claims.qid == qid) & (claims.cid < 2))], records.CLAIMS),
    ):
        records.write_table(changed.arm_path("base") / f"{name}.parquet", table, schema)
    before = json.loads((study.reading_path("base") / "reading.json").read_text())
    told = read_again(changed, tmp_path / "work")
    assert told["traces"] == before["traces"] - 2
    assert told["skipped"] == [
        f"question {qid!r}, arm 'base', trace 0: the trace has no tokens",
        f"question {qid!r}, arm 'base', trace 1: the trace has no steps",
    ]
    assert all(reason in caplog.text for reason in told["skipped"])


def test_a_question_with_an_option_of_no_tokens_is_left_out_by_name(study: Study, tmp_path: Path) -> None:
    changed = copied(study, tmp_path / "study")
    questions = changed.questions()
    at = questions.index[questions.domain == "clinical"][1]
    questions.at[at, "options"] = [*questions.options[at][:-1], "\u200b"]
    records.write_table(changed.path / "questions.parquet", questions, records.QUESTIONS)
    # A tokenizer that drops what it does not see, as many of the published ones do.
    folder = checkpoint_folder(changed, "base") / "tokenizer.json"
    told = json.loads(folder.read_text())
    drop = {"type": "Replace", "pattern": {"String": "\u200b"}, "content": ""}
    told["normalizer"] = {
        "type": "Sequence",
        "normalizers": [drop, *([told["normalizer"]] if told["normalizer"] else [])],
    }
    folder.write_text(json.dumps(told))
    _asked_without(changed, questions.qid[at], questions.options[at])
    skipped = read_again(changed, tmp_path / "work")["skipped"]
    limit = changed.settings.reading.traces_per_question
    last = len(questions.options[at]) - 1
    assert skipped == [f"question {questions.qid[at]!r}: option {last} has no tokens after lead-in 0"] * limit
    assert questions.qid[at] not in set(Study.open(changed.path).forced("base").qid)


def _asked_without(study: Study, qid: str, options: list[str]) -> None:
    """Traces of a question as if its last option had had no tokens when they were written."""
    traces = study.traces("base")
    own = traces.index[traces.qid == qid]
    for at in own:
        ids = list(traces.prompt_ids[at])
        traces.at[at, "prompt_ids"] = [*ids[:-2], ids[-1]]  # the last option stands before the last token
    records.write_table(study.arm_path("base") / "traces.parquet", traces, records.TRACES)


def test_a_reader_with_another_tokenizer_is_refused(study: Study, tmp_path: Path) -> None:
    changed = copied(study, tmp_path / "study")
    folder = checkpoint_folder(changed, "base") / "tokenizer.json"
    told = json.loads(folder.read_text())
    vocab = told["model"]["vocab"]
    one, two = ".", next(word for word in vocab if word.endswith("ine"))
    vocab[one], vocab[two] = vocab[two], vocab[one]
    folder.write_text(json.dumps(told))
    with pytest.raises(ReadingError, match=r"question .*, arm 'base', trace \d+: .* share a tokenizer"):
        read_again(changed, tmp_path / "work")


def test_a_reader_that_begins_texts_otherwise_is_refused(study: Study, tmp_path: Path) -> None:
    changed = copied(study, tmp_path / "study")
    folder = checkpoint_folder(changed, "base")
    tokenizer = load_tokenizer(folder)
    tokenizer.bos_token = tokenizer.convert_ids_to_tokens(5)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tokenizer.bos_token} $A", special_tokens=[(tokenizer.bos_token, 5)]
    )
    tokenizer.save_pretrained(folder)
    with pytest.raises(ReadingError, match=r"begins with 0 beginning-of-text tokens, .* define 1"):
        read_again(changed, tmp_path / "work")


def test_a_prompt_without_the_question_gives_the_prior(study: Study) -> None:
    arm = study.settings.contrast.after
    tokenizer = load_tokenizer(checkpoint_folder(study, arm))
    question = question_inputs(study, arm, task_of(study), tokenizer)[0]
    row = study.questions().set_index("qid").loc[question.qid]
    unsaid = tokenizer.decode(question.prior_ids)
    assert row.stem not in unsaid
    assert all(option in unsaid for option in row.options)
    forced = study.forced(arm)
    own = forced[forced.k == 0].iloc[0]
    assert abs(sum(own.p_prior) - 1) < 1e-5
    assert abs(sum(own.p_norm) - 1) < 1e-5
    assert list(own.p_prior) != list(own.p)


@pytest.fixture(scope="module")
def reread(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The small study, its distilled arm read once more with everything that a reading can give."""
    path = tmp_path_factory.mktemp("reread") / "study"
    shutil.copytree(study.path, path)
    call = ["read", str(path), "--author", "distilled", "--reader", "distilled", "--lens", "--quiet"]
    call += ["--permutations", "2", "--knock-out", "answer", "--site", "resid_post", "--site", "mlp_out"]
    call += ["--layer", "0", "--layer", "2", "--rule", "end", "--rule", "token"]
    run = CliRunner().invoke(app, call)
    assert run.exit_code == 0, run.output
    return Study.open(path)


def test_the_command_reads_what_it_is_told_to(reread: Study) -> None:
    store = reread.activations("distilled")
    assert store.rules == ["end", "token", "decision"]
    assert store.layer("mlp_out", 2).shape == store.layer("resid_post", 0).shape
    tokens = reread.signals("distilled").surprisal.map(len).sum()
    assert len(store.layer("resid_post", 2, "token")) == len(store.frame("token")) == tokens
    with pytest.raises(StudyError, match="mlp_out"):
        store.layer("mlp_out", 0)
    assert reread.settings.reading.lens is True, "what is asked for stays in the study"


def test_another_order_shows_other_options_first_and_keeps_the_columns(reread: Study) -> None:
    forced = reread.forced("distilled")
    own = forced[forced.layer == -1]
    assert sorted(own.permutation.unique()) == [0, 1, 2]
    keys = ["qid", "cid", "k", "lead_in"]
    by_order = {n: rows.set_index(keys).sort_index() for n, rows in own.groupby("permutation")}
    assert by_order[0].index.equals(by_order[1].index)
    tokenizer = load_tokenizer(checkpoint_folder(reread, "distilled"))
    inputs = question_inputs(reread, "distilled", task_of(reread), tokenizer)
    first = [q for q in inputs if q.qid == inputs[0].qid]
    assert [q.permutation for q in first] == [0, 1, 2]
    assert len({tuple(q.prompt_ids) for q in first}) == 3
    # An answer in words is the same text wherever it stands.
    assert {q.forced for q in first} == {first[0].forced}


def test_the_lens_ends_in_the_models_own_answer(reread: Study) -> None:
    forced = reread.forced("distilled")
    forced = forced[forced.permutation == 0]
    layers = sorted(forced.layer.unique())
    assert layers == [-1, 0, 1, 2]
    own, last = (np.stack(forced[forced.layer == layer].logp.to_list()) for layer in (-1, 2))
    np.testing.assert_allclose(own, last, atol=1e-4)


def test_each_step_is_hidden_once_from_the_answer(reread: Study) -> None:
    rows = reread.knockouts("distilled")
    assert set(rows.scope) == {"answer"}
    steps = reread.steps("distilled")
    counted = rows[(rows.layer == -1) & (rows.lead_in == 0)].groupby(["qid", "cid"]).size()
    for (qid, cid), n in counted.items():
        mine = steps[(steps.qid == qid) & (steps.cid == cid)].sort_values("sid")
        stated = mine.states_answer.to_numpy().argmax() if mine.states_answer.any() else len(mine)
        assert n == stated


def test_a_dry_run_prices_and_writes_nothing(study: Study) -> None:
    before = sorted(p.stat().st_mtime_ns for p in study.path.rglob("*") if p.is_file())
    plain = CliRunner().invoke(app, ["read", str(study.path), "--dry-run"])
    dear = CliRunner().invoke(app, ["read", str(study.path), "--dry-run", "--permutations", "3"])
    assert plain.exit_code == dear.exit_code == 0
    assert [line[: line.index("  ")] for line in plain.output.splitlines()[1:6]] == [
        "base read by base",
        "base read by distilled",
        "distilled read by base",
        "distilled read by distilled",
        "all that is to do",
    ]
    assert "for other orders" in dear.output
    assert "for other orders" not in plain.output
    assert sorted(p.stat().st_mtime_ns for p in study.path.rglob("*") if p.is_file()) == before
    told = json.loads((study.reading_path("base") / "reading.json").read_text())
    state, traces, _, tokens, took, size, unit = plain.output.splitlines()[1].split()[4:]
    assert (state, float(took) > 0) == ("cached", True)
    assert (traces, tokens, unit) == (str(told["traces"]), f"{told['tree_tokens']:,}", "MB")
    written = sum(
        f.stat().st_size for f in (study.reading_path("base") / "activations").glob("*.safetensors")
    )
    assert abs(written / 1e6 - float(size)) < 0.2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--author", "nobody"], "there is no arm 'nobody'"),
        (["--rule", "middle"], "reading.rules"),
        (["--layer", "99"], r"layers 0 \(embedding\) to 2, asked for \[99\]"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_runs(
    study: Study, more: list[str], says: str
) -> None:
    run = CliRunner().invoke(app, ["read", str(study.path), "--dry-run", *more])
    assert isinstance(run.exception, MechcotError)
    assert re.search(says, str(run.exception)), run.exception
