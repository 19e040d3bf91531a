"""Logs of other tools: what is read of them, and what is refused with file, row, value and what to do."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from log_cases import OPTIONS, QUESTIONS, harness_row, inspect_log, lines, reply, sample, written
from mechcot.core.errors import DataError
from mechcot.core.question_settings import QuestionSettings
from mechcot.sampling import failed_in, load_given
from mechcot.tasks.logs import is_log, questions_in, read_log, traces_in
from mechcot.tasks.questions import load_questions

QIDS = [str(one["id"]) for one in QUESTIONS]


def log_of(path: Path) -> Any:
    found = read_log(path)
    assert found is not None
    return found


# --- Inspect --------------------------------------------------------------------------------------


def test_a_log_of_inspect_gives_questions_and_traces(tmp_path: Path) -> None:
    rows = [sample(i, written("base", i, epoch), epoch) for epoch in (2, 1) for i in range(8)]
    log = log_of(inspect_log(tmp_path / "base.eval", rows, temperature=0.7, max_tokens=512))
    assert (log.tool, log.model, len(log.samples)) == ("Inspect", "mockllm/model", 16)
    asked = load_questions(QuestionSettings(path=log.path, gold_is="label"))
    assert list(asked.qid) == QIDS
    assert [OPTIONS[gold] for gold in asked.gold[:3]] == OPTIONS
    table = load_given(Path(log.path), QIDS)
    assert list(zip(table.qid[:3], table.cid[:3], strict=True)) == [("q0", 0), ("q0", 1), ("q1", 0)]
    assert table.text[1] == written("base", 0, 2)
    where, row = traces_in(log)[0]
    assert where == f"{log.path}, samples/q0_epoch_2.json"
    assert (row["temperature"], row["max_new_tokens"]) == (0.7, 512)
    assert row["prompt"].endswith("C) spleen")


def test_reasoning_parts_and_attachments_are_put_back(tmp_path: Path) -> None:
    parts = [{"type": "reasoning", "reasoning": "attachment://a1"}, {"type": "text", "text": "ANSWER: B"}]
    one = sample(0, "")
    one["output"]["choices"][0] |= {
        "message": {"role": "assistant", "content": parts},
        "stop_reason": "max_tokens",
    }
    one |= {
        "attachments": {"a1": "Bile comes first."},
        "input": [{"role": "user", "content": "attachment://a2"}],
    }
    one["attachments"]["a2"] = "Which organ?"
    found = log_of(inspect_log(tmp_path / "x.eval", [one])).samples[0]
    assert found.text == "<think>\nBile comes first.\n</think>\n\nANSWER: B"
    assert (found.finish_reason, found.stem) == ("length", "Which organ?")


def test_a_json_log_is_read_as_the_zip_is(tmp_path: Path) -> None:
    rows = [sample(i, written("base", i)) for i in range(3)]
    zipped = log_of(inspect_log(tmp_path / "a.eval", rows))
    whole = {"version": 2, "status": "success", "eval": {"model": "mockllm/model"}, "samples": rows}
    (tmp_path / "a.json").write_text(json.dumps(whole))
    plain = log_of(tmp_path / "a.json")
    assert [one.text for one in plain.samples] == [one.text for one in zipped.samples]
    assert plain.samples[1].where == f"{tmp_path}/a.json, sample 2"
    (tmp_path / "list.json").write_text(json.dumps([{"status": 1, "eval": 2}]))
    assert not is_log(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"error": {"message": "Rate\nlimit", "traceback": "..."}}, "it failed: Rate limit"),
        ({"limit": {"type": "token", "limit": 5}}, "stopped by the limit of token"),
        ({"output": {"choices": []}}, "the model wrote nothing"),
        (
            {"messages": [{"role": "assistant", "content": "a", "source": "generate"}] * 2},
            "wrote 2 times in it",
        ),
    ],
)
def test_a_sample_that_failed_is_named(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = inspect_log(tmp_path / "x.eval", [sample(0, "a"), sample(1, "b", **changes)])
    with pytest.raises(DataError) as error:
        load_given(path, QIDS)
    assert f"{path}, samples/q1_epoch_1.json: question 'q1': " in str(error.value)
    assert says in str(error.value)
    assert "questions.on_bad_row=skip" in str(error.value)
    assert set(failed_in(path, QIDS[:3])) == {"q1", "q2"}
    assert list(load_given(path, ["q0"], left_out=["q1"]).qid) == ["q0"]


def _broken(path: Path) -> Path:
    path.write_bytes(b"PK\x03\x04 cut")
    return path


def _empty(path: Path) -> Path:
    return inspect_log(path, [])


def _no_json(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples/q0_epoch_1.json", '{"id": ')
    return path


def _twice(path: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate"):
        return inspect_log(path, [sample(0, "a"), sample(0, "b")])


def _unknown_packing(path: Path) -> Path:
    inspect_log(path, [sample(0, "a")])
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # the field that names the compression
        start = data.find(mark)
        while start >= 0:
            data[start + place : start + place + 2] = (99).to_bytes(2, "little")
            start = data.find(mark, start + 4)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_broken, "is not a zip file"),
        (_empty, "holds no samples"),
        (_no_json, "samples/q0_epoch_1.json: is no JSON"),
        (_twice, "sample 0 of question 'q0' stands in samples/q0_epoch_1.json already"),
        (_unknown_packing, "inspect log convert"),
        (lambda path: inspect_log(path, [{"id": "q0", "epoch": "1"}]), "has no id and epoch"),
        (
            lambda path: inspect_log(path, [sample(0, "a", target=["A", "B"])]),
            r"2 options are right (['A', 'B'])",
        ),
    ],
)
def test_a_log_that_cannot_be_used_is_one_message(tmp_path: Path, make: Any, says: str) -> None:
    path = make(tmp_path / "x.eval")
    with pytest.raises(DataError) as error:
        read_log(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)


REAL = Path(__file__).parent / "logs"
"""Logs that the tools themselves wrote (tests/logs/README.md)."""


def test_a_log_that_inspect_itself_wrote(tmp_path: Path) -> None:
    log = log_of(REAL / "inspect.eval")
    assert {info.compress_type for info in zipfile.ZipFile(log.path).infolist()} == {93}  # Zstandard
    asked = load_questions(QuestionSettings(path=log.path, gold_is="label"))
    assert [row.options[row.gold] for row in asked.itertuples()] == ["liver", "pancreas"]
    table = load_given(Path(log.path), list(asked.qid))
    assert list(zip(table.qid, table.cid, table.finish_reason, strict=True)) == [
        ("bile", 0, "stop"), ("bile", 1, "stop"), ("insulin", 0, "stop"), ("insulin", 1, "length"),
    ]  # fmt: skip
    assert table.text[2] == (
        "<think>\nWhich organ makes insulin?\n</think>\n\nInsulin is made in the pancreas.\n\nANSWER: B"
    )
    assert dict(log.samples[0].stated) == {"temperature": 0.7, "max_new_tokens": 64}
    damaged = bytearray((REAL / "inspect.eval").read_bytes())
    damaged[zipfile.ZipFile(log.path).getinfo("samples/bile_epoch_1.json").header_offset + 200] ^= 1
    (tmp_path / "damaged.eval").write_bytes(damaged)
    with pytest.raises(
        DataError, match=r"damaged\.eval, samples/bile_epoch_1\.json: is no JSON that can be read"
    ):
        read_log(tmp_path / "damaged.eval")


# --- lm-evaluation-harness ------------------------------------------------------------------------


def test_samples_of_the_harness_give_questions_and_traces(tmp_path: Path) -> None:
    rows = [harness_row(i, [written("base", i), written("base", i, 1)]) for i in range(4)]
    rows += [row | {"filter": "flexible-extract"} for row in rows]
    log = log_of(lines(tmp_path / "samples_organs.jsonl", rows))
    assert len(log.samples) == 8
    asked = load_questions(QuestionSettings(path=log.path))
    assert [OPTIONS[gold] for gold in asked.gold[:3]] == OPTIONS
    assert dict(log.samples[0].stated) == {"temperature": 0.0, "max_new_tokens": 64}
    table = load_given(Path(log.path), list(asked.qid))
    assert table.text[1] == written("base", 0, 1)
    named = QuestionSettings.model_validate(
        {"path": log.path, "columns": {"stem": "doc.question", "gold": "target"}}
    )
    assert list(load_questions(named).stem) == list(asked.stem)


def test_samples_that_the_harness_itself_wrote() -> None:
    log = log_of(REAL / "samples_organs.jsonl")
    assert [(one.qid, one.cid, one.text) for one in log.samples] == [
        ("0", 0, "lol"), ("0", 1, "lol"), ("1", 0, "lol"), ("1", 1, "lol"),
    ]  # fmt: skip
    assert dict(log.samples[0].stated) == {"temperature": 0.7, "max_new_tokens": 64}
    assert str(log.samples[0].prompt).startswith("Question: Where is bile made?")
    asked = load_questions(QuestionSettings(path=log.path))
    assert [row.options[row.gold] for row in asked.itertuples()] == ["liver", "pancreas"]


def test_open_questions_of_the_harness_are_answered_by_their_target(tmp_path: Path) -> None:
    rows = [
        harness_row(
            i, ["So it is 4."], doc={"question": "2+2?" + str(i), "answer": "It is 4.\n#### 4"}, target="4"
        )
        for i in range(2)
    ]
    log = log_of(lines(tmp_path / "samples_sums.jsonl", rows))
    assert "options" not in questions_in(log).columns
    settings = QuestionSettings.model_validate({"path": log.path, "columns": {"options": None}})
    assert list(load_questions(settings).accepted) == [["4"], ["4"]]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([harness_row(0, ["a"]), harness_row(0, ["b"])], r"row 2: the document 0 stands in row 1 already"),
        (
            [harness_row(0, ["a"], resps=[[["-1.5", "False"]], [["-2.5", "True"]]])],
            r"row 1: its answers were scored by their log-probability",
        ),
        ([harness_row(0, ["a"]), {"doc_id": 1}], r"row 2: lacks \['doc', 'resps'\]"),
        ([harness_row(0, ["a"], doc="text")], r"row 1: expected an object in doc, found a str"),
        ([harness_row(0, [])], r"row 1: expected a list in resps, found an empty list"),
    ],
)
def test_samples_of_the_harness_that_cannot_be_used(
    tmp_path: Path, rows: list[dict[str, Any]], says: str
) -> None:
    with pytest.raises(DataError, match=rf"samples\.jsonl, {says}"):
        read_log(lines(tmp_path / "samples.jsonl", rows))


# --- replies --------------------------------------------------------------------------------------


def test_replies_of_a_batch_belong_to_the_question_of_their_id(tmp_path: Path) -> None:
    rows = [reply("q1#10", ["j"]), reply("q1#2", ["b"]), reply("q0", ["x", "y"]), reply("q-7", ["z"])]
    rows[0]["response"]["body"]["choices"][0]["message"]["reasoning_content"] = "hm"
    log = log_of(lines(tmp_path / "out.jsonl", rows))
    assert (log.tool, log.model) == ("a batch of an OpenAI-compatible server", "gpt-x")
    table = load_given(Path(log.path), ["q0", "q1", "q-7"])
    told = list(zip(table.qid, table.cid, table.text, strict=True))
    assert told == [
        ("q0", 0, "x"), ("q0", 1, "y"), ("q1", 0, "b"), ("q1", 1, "<think>\nhm\n</think>\n\nj"), ("q-7", 0,
        "z")
    ]  # fmt: skip


def test_the_replies_of_these_tests_are_those_of_openai_s_own_class() -> None:
    from openai.types.chat import ChatCompletion

    body = reply("q1", ["a", "b"])["response"]["body"]
    found = ChatCompletion.model_validate(body, strict=True)
    assert [choice.message.content for choice in found.choices] == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            reply("q1", [], response={"status_code": 429, "body": {"error": {"message": "slow down"}}}),
            "the server refused it with status 429: slow down",
        ),
        (
            reply("q1", [], response=None, error={"code": "batch_expired", "message": "late"}),
            "refused it: late",
        ),
        (reply("q1", [], response=None), "it has no response"),
    ],
)
def test_a_request_that_failed_is_named(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    path = lines(tmp_path / "out.jsonl", [reply("q0", ["a"]), row])
    with pytest.raises(DataError, match=r"out\.jsonl, row 2: question 'q1'") as error:
        load_given(path, QIDS)
    assert says in str(error.value)


def test_a_filtered_reply_two_models_and_a_sample_twice_are_refused(tmp_path: Path) -> None:
    odd, other = reply("q1", ["a"]), reply("q2", ["a"])
    odd["response"]["body"]["choices"][0]["finish_reason"] = "content_filter"
    with pytest.raises(DataError, match=r"row 1: question 'q1': it ended by 'content_filter'"):
        load_given(lines(tmp_path / "a.jsonl", [odd]), QIDS)
    other["response"]["body"]["model"] = "gpt-y"
    with pytest.raises(
        DataError, match=r"row 2: is by the model 'gpt-y', and the rows before are by 'gpt-x'"
    ):
        read_log(lines(tmp_path / "b.jsonl", [reply("q1", ["a"]), other]))
    with pytest.raises(DataError, match=r"row 2: sample 0 of question 'q1' stands in row 1 already"):
        read_log(lines(tmp_path / "c.jsonl", [reply("q1", ["a"]), reply("q1", ["b"])]))


def test_the_input_of_a_batch_is_a_file_of_questions_and_no_traces(tmp_path: Path) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "2+2?"}], "metadata": {"gold": "4"}}
    row = {"custom_id": "s1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    path = lines(tmp_path / "in.jsonl", [row])
    settings = QuestionSettings.model_validate({"path": str(path), "columns": {"options": None}})
    asked = load_questions(settings)
    assert (asked.qid[0], asked.stem[0], asked.accepted[0]) == ("s1", "2+2?", ["4"])
    with pytest.raises(DataError, match="it is a request and no reply: name the batch's output file"):
        load_given(path, ["s1"])


def test_outputs_of_vllm_are_read_by_their_own_fields(tmp_path: Path) -> None:
    outputs = [
        {"index": 1, "text": "b", "token_ids": [1], "finish_reason": "length", "stop_reason": None},
        {"index": 0, "text": "a", "token_ids": [1], "finish_reason": "stop", "stop_reason": None},
    ]
    path = lines(tmp_path / "v.jsonl", [{"request_id": "q0", "prompt": "P", "outputs": outputs}])
    table = load_given(path, QIDS)
    assert list(zip(table.cid, table.text, table.finish_reason, strict=True)) == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]
    with pytest.raises(DataError, match=r"row 1: names no question; it has \['outputs', 'prompt'\]"):
        read_log(lines(tmp_path / "w.jsonl", [{"prompt": "P", "outputs": outputs}]))


def test_a_table_of_traces_or_questions_is_no_log(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", [{"qid": "q0", "text": "a", "outputs_note": 1}])
    assert read_log(path) is None
    assert list(load_given(path, QIDS).text) == ["a"]
    assert read_log(tmp_path / "none.jsonl") is None
    (tmp_path / "t.csv").write_text("doc_id,doc,resps\n")
    assert not is_log(tmp_path / "t.csv")
