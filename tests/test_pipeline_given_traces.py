"""Arms that are given as traces: settings, files, tokens, and a study that reads them."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from called import called
from conftest import WORDS, save_checkpoint, word_tokenizer
from mechcot import Study
from mechcot.core import config
from mechcot.core.errors import AnalysisError, ConfigError, DataError, StudyError, UsageError
from mechcot.core.training_settings import OrganismSettings
from mechcot.pipeline import parity, text
from mechcot.pipeline import questions as asked_questions
from mechcot.pipeline import run as pipeline
from mechcot.sampling import completions_of, load_given
from mechcot.steps.of_study import checkpoint_folder
from mechcot.study.writing import create_or_open
from mechcot.tasks import question_of, read_answer
from mechcot.tasks.organism.checker import task
from mechcot.tasks.organism.questions import questions
from mechcot.tasks.organism.teacher import answers_to
from mechcot.tasks.organism.world import build_world
from test_distill_masks import sentencepiece

ROWS = [
    {"qid": "b", "cid": 0, "text": "w1 . answer w2", "finish_reason": "stop"},
    {"qid": "a", "cid": 1, "text": "w3 . answer w1", "finish_reason": "length"},
    {"qid": "a", "cid": 0, "text": "w4 .", "finish_reason": "stop"},
]
TEACHER = "arms.teacher.traces=teacher.jsonl"


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("arms.terse.traces=x.jsonl",), "arms.terse: an arm has exactly one of"),
        ((TEACHER, "contrast.before=teacher"), "contrast.before: the arm 'teacher' is given as traces"),
        ((TEACHER, "contrast.after=teacher"), "contrast.after: the arm 'teacher' is given as traces"),
        ((TEACHER, "arms.terse.distill.base=teacher"), "arms.terse.distill.base: the arm 'teacher' is given"),
        ((TEACHER, "reading.readers=[teacher]"), "reading.readers: the arm 'teacher' is given as traces"),
        (("reading.readers=[nobody]",), "reading.readers: there is no arm 'nobody'"),
        (("reading.authors=[nobody]",), "reading.authors: there is no arm 'nobody'"),
        (('arms.teacher.traces=""',), "arms.teacher.traces"),
    ],
)
def test_an_arm_without_weights_is_refused_where_weights_are_needed(
    overrides: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve(overrides=overrides)
    assert says in str(error.value)


def test_the_organism_s_teacher_needs_the_organism(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "questions: {path: q.jsonl}\njudge: {kind: table, path: v.csv}\n"
        "arms: {base: {model: a}, distilled: {model: b}, teacher: {traces: terse}}\n"
    )
    with pytest.raises(ConfigError, match=r"arms\.teacher\.traces: 'terse'.*organism.*name a file"):
        config.resolve(file=file)


def test_who_is_read_by_whom() -> None:
    plain = config.resolve(overrides=("controls.teacher.after=teacher", TEACHER))
    assert plain.authors() == ("base", "distilled", "teacher")
    assert plain.readers() == ("base", "distilled")
    chosen = config.resolve(overrides=(TEACHER, "reading.authors=[terse]", "reading.readers=[terse, base]"))
    assert chosen.authors() == ("base", "distilled", "terse")
    assert chosen.readers() == ("base", "distilled", "terse")
    assert config.resolve().authors() == config.resolve().readers() == ("base", "distilled")


def test_more_readers_are_more_stages_and_change_no_other(tmp_path: Path) -> None:
    def stages(*overrides: str) -> dict[str, Any]:
        made = pipeline.stages_of(Study(tmp_path, config.resolve(overrides=overrides)), progress=False)
        return {stage.name: (stage.settings, stage.inputs, stage.outputs) for stage in made[:-1]}

    one, more = stages(), stages("reading.authors=[terse]", "reading.readers=[terse]")
    assert {name: more[name] for name in one} == one
    cells = {
        f"read-{a}-by-{r}" for a in ("base", "distilled", "terse") for r in ("base", "distilled", "terse")
    }
    assert {name for name in more if name.startswith("read-")} == cells


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_the_same_traces_come_from_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"teacher{suffix}"
    frame = pd.DataFrame(ROWS).assign(note="x")
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        lines(path, frame.to_dict("records"))
    found = load_given(path, ["a", "none", "b"]).to_dict("records")
    assert found == [ROWS[2] | {"row": 3}, ROWS[1] | {"row": 2}, ROWS[0] | {"row": 1}]


def test_traces_of_questions_that_are_left_out_are_left_out_too(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", ROWS)
    assert load_given(path, ["a"], ["b"]).row.tolist() == [3, 2]
    with pytest.raises(DataError, match="row 1: the study has no question 'b'"):
        load_given(path, ["a"], ["c"])


def test_traces_without_numbers_have_the_order_of_the_file_and_have_ended(tmp_path: Path) -> None:
    rows = [
        {"qid": 7, "text": "w1"},
        {"qid": 5, "text": "NA"},
        {"qid": 7, "text": "w2", "finish_reason": None},
    ]
    found = load_given(lines(tmp_path / "t.jsonl", rows), ["5", "7"])
    assert found.drop(columns="row").values.tolist() == [
        ["5", 0, "NA", "stop"],
        ["7", 0, "w1", "stop"],
        ["7", 1, "w2", "stop"],
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"qid": "z"}, "row 3: the study has no question 'z'"),
        ({"qid": None}, "row 3: the study has no question None"),
        ({"text": " \n"}, "row 3: the text is empty"),
        ({"text": None}, "row 3: the text is empty"),
        ({"text": 5}, "row 3: expected a text, found a int: 5"),
        ({"text": "w1 \ud800"}, "row 3: character 3 of the text is half of a pair"),
        ({"finish_reason": "end_turn"}, "row 3: finish_reason is 'end_turn'; expected 'stop'"),
        ({"cid": 1}, "row 3: the cid 1 of question 'a' stands in row 2 already"),
        ({"cid": 2}, "row 3: the cid 2 of question 'a' is too high for its 2 traces"),
        ({"cid": "x"}, "row 3: cid is 'x'; expected a whole number"),
        ({"cid": -1}, "row 3: cid is -1"),
        ({"cid": 0.5}, "row 3: cid is 0.5"),
        ({"cid": None}, "row 3: cid is None"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = lines(tmp_path / "t.jsonl", [*ROWS[:2], ROWS[2] | change])
    with pytest.raises(DataError) as error:
        load_given(path, ["a", "b"])
    assert str(error.value).startswith(f"{path}, ")
    assert says in str(error.value)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        load_given(tmp_path / "none.csv", ["a"])
    with pytest.raises(DataError, match=r"t\.txt: expected one of \.parquet, \.jsonl"):
        load_given(tmp_path / "t.txt", ["a"])
    with pytest.raises(DataError, match=r"columns \['text'\] are missing; it has \['qid', 'completion'\]"):
        load_given(lines(tmp_path / "t.jsonl", [{"qid": "a", "completion": "x"}]), ["a"])
    pd.DataFrame({"qid": [], "text": []}).to_parquet(tmp_path / "e.parquet")
    with pytest.raises(DataError, match=r"e\.parquet: holds no traces"):
        load_given(tmp_path / "e.parquet", ["a"])


# --- tokens ---------------------------------------------------------------------------------------


def _given(text: str, reason: str = "stop") -> pd.DataFrame:
    return pd.DataFrame([{"qid": "q", "cid": 0, "text": text, "finish_reason": reason, "row": 4}])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return word_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@given(words=st.lists(st.sampled_from(WORDS[2:]), min_size=1, max_size=12), stopped=st.booleans())
@settings(deadline=None, max_examples=30)
def test_a_text_becomes_its_tokens_and_its_end(words: list[str], stopped: bool, tokenizer: Any) -> None:
    ids = [WORDS.index(word) for word in words]
    done = completions_of(_given(" ".join(words), "stop" if stopped else "length"), tokenizer, "t.csv")[0]
    assert done.token_ids == ([*ids, WORDS.index("<eos>")] if stopped else ids)
    assert np.isnan(done.sum_logprob)


def test_an_end_that_is_written_out_is_not_written_twice(tokenizer: Any) -> None:
    assert completions_of(_given("w1 <eos>"), tokenizer, "t.csv")[0].token_ids == [WORDS.index("w1"), 1]
    with pytest.raises(DataError, match="nothing but its end"):
        completions_of(_given("<eos>"), tokenizer, "t.csv")


@pytest.mark.parametrize(
    "mark", ["<eos>", "<|im_end|>", "<|eot_id|>", "</s>", "<end_of_turn>", "<|im_end|><pad>"]
)
@pytest.mark.parametrize("behind", ["", "\n", "\n\n ", " <eos>\n"])
def test_a_mark_at_the_end_of_a_text_is_its_end(mark: str, behind: str, tokenizer: Any) -> None:
    for before in ("w1", "w1 ", "w1\n"):
        done = completions_of(_given(f"{before}{mark}{behind}"), tokenizer, "t.csv")[0]
        assert done.token_ids == [WORDS.index("w1"), 1]
    with pytest.raises(DataError, match="nothing but its end"):
        completions_of(_given(f"{mark}{behind}"), tokenizer, "t.csv")
    with pytest.raises(DataError, match=r"row 4 .*ends with .*finish_reason says 'length'"):
        completions_of(_given(f"w1{mark}{behind}", "length"), tokenizer, "t.csv")


@pytest.mark.parametrize("text", ["w1<|im_end|>\nw2", "<|im_start|>assistant\nw1", "w1 <pad> w2<|im_end|>"])
def test_a_mark_inside_a_text_is_named(text: str, tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"row 4 .*: character \d+ begins '<.*>', a mark of a chat template"):
        completions_of(_given(text), tokenizer, "t.csv")


@pytest.mark.parametrize("kind", ["first", "always", "prepend"])
def test_a_given_text_follows_its_prompt_without_a_blank_of_the_tokenizer_s(kind: str) -> None:
    pieces = sentencepiece(kind)
    prompt = "Question: what?\n"
    ids = pieces(prompt, add_special_tokens=False)["input_ids"]
    done = completions_of(_given("The answer is (B)."), pieces, "t.csv", {"q": (prompt, ids)})[0]
    text = pieces.decode([*ids, *done.token_ids[:-1]], clean_up_tokenization_spaces=False)
    assert text.lstrip(" ") == prompt + "The answer is (B)."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("w1 unheard w2", r"from character 3 on it makes '<pad> w2' of 'unheard w2'"),
        ("w1  w2", r"from character 3 on it makes 'w2' of ' w2'"),
        ("w1\nw2", "from character 2 on it makes ' w2' of '\\nw2'"),
    ],
)
def test_a_text_that_its_tokens_do_not_spell_is_named(text: str, says: str, tokenizer: Any) -> None:
    with pytest.raises(DataError) as error:
        completions_of(_given(text), tokenizer, "t.csv")
    assert "t.csv, row 4 (question 'q', trace 0)" in str(error.value)
    assert says in str(error.value)


# --- the organism's teacher ------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["rich", "terse"])
def test_the_teacher_answers_a_study_s_questions_without_a_mistake(variant: str) -> None:
    small = OrganismSettings(diseases=30, chain_nodes=12, clinical_questions=20, chain_questions=6)
    world = build_world(small, 7)
    asked, checker = questions(world, small, 7), task(world)
    table = answers_to(world, variant, asked, 7, 3)
    assert table.equals(answers_to(world, variant, asked, 7, 3))
    assert list(zip(table.qid, table.cid, strict=True)) == [(q, c) for q in asked.qid for c in range(3)]
    by_id = {row.qid: question_of(row) for row in asked.itertuples(index=False)}
    labels = []
    for row in table.itertuples():
        question = by_id[row.qid]
        assert read_answer(row.text, question, checker.format, "stop").option == question.gold
        steps = row.text.split(" </think>")[0].removesuffix(" .").split(" . ")
        labels += [checker.check(question, f"{step} .").label for step in steps]
    assert set(labels) == {"correct", "not_checkable"}
    texts = table[table.qid.str.startswith("clinical")].groupby("qid").text.nunique()
    assert (texts > 1).any() if variant == "rich" else (texts == 1).all()


# --- a study ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def read(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The shared study with three more arms: the teacher, and the distilled arm's own texts as a file.

    `part` holds two questions.
    """
    folder = tmp_path_factory.mktemp("given")
    shutil.copytree(study.path, folder / "study")
    texts = study.traces("distilled")[["qid", "cid", "text", "finish_reason"]]
    lines(folder / "copy.jsonl", texts.to_dict("records"))
    texts[texts.qid.isin(["clinical-0001", "clinical-0004"])].to_parquet(folder / "part.parquet")
    overrides = (
        "arms.teacher.traces=rich",
        f"arms.copy.traces={folder}/copy.jsonl",
        f"arms.part.traces={folder}/part.parquet",
        "controls.teacher.after=teacher",
        "analysis={bootstrap: 100, permutations: 0, folds: 2, traces_shown: 1}",
    )
    return pipeline.run(folder / "study", overrides=overrides, restart_from="given-teacher", progress=False)


def test_given_texts_are_what_the_sampled_ones_are(read: Study) -> None:
    """A sampled arm's texts given back: the same tokens, spans, answers, steps, claims and verdicts."""
    for table in (read.traces, read.steps, read.claims, read.verdicts):
        sampled, given = (table(arm).drop(columns="arm") for arm in ("distilled", "copy"))
        if "sum_logprob" in given:
            assert given.pop("sum_logprob").isna().all()
            sampled = sampled.drop(columns="sum_logprob")
        pd.testing.assert_frame_equal(sampled, given)
    for reader in ("base", "distilled"):
        sampled, given = (read.forced(arm, reader).drop(columns="arm") for arm in ("distilled", "copy"))
        pd.testing.assert_frame_equal(sampled, given, rtol=0, atol=1e-5)


def test_the_teacher_is_an_author_like_any_other(read: Study) -> None:
    found = read.commitment("teacher", "distilled")
    asked = read.questions("clinical")
    assert found.n_traces == len(asked) * read.settings.reading.traces_per_question
    assert found.excluded == {"truncated": 0, "no_answer": 0, "no_reading": 0}
    others = read.result("commitment")["others"]["teacher"]
    assert others["distilled"]["mean_p_own"] == found.shares["mean_p_own"].to_json()
    assert others["base"]["n_traces"] == found.n_traces
    assert "Of teacher’s traces, the own answer stands at the bare prompt" in read.report.read_text()
    assert set(read.verdicts("teacher").label) == {"correct", "not_checkable"}
    traces, gold = read.traces("teacher"), read.questions().set_index("qid").gold
    assert (traces.answer.to_numpy() == gold[traces.qid].to_numpy()).all()
    assert len(read.activations("teacher", "base").frame()) > 0
    control = read.result("controls")["teacher"]
    assert control["answers"]["after"]["accuracy"] == 1
    assert control["audit"]["after"]["error_rate"]["estimate"] == 0
    assert read.report.exists()


def test_a_question_without_a_trace_is_left_out(read: Study, caplog: pytest.LogCaptureFixture) -> None:
    assert set(read.forced("part", "base").qid) == {"clinical-0001", "clinical-0004"}
    with caplog.at_level(logging.WARNING, "mechcot"):
        text.take_traces(read, "part", read.path / "work")
    assert "arm part: 38 of the contrast's 40 questions have no trace (first: clinical-0000)" in caplog.text


def test_the_two_by_two_keeps_the_contrast_s_pair(study: Study, read: Study) -> None:
    cells = read.result("commitment")["two_by_two"]["measures"]["mean_p_own"]["cells"]
    assert {(author, reader) for author, row in cells.items() for reader in row} == {
        (author, reader) for author in ("base", "distilled") for reader in ("base", "distilled")
    }
    before = study.result("commitment")["two_by_two"]["measures"]["mean_p_own"]["cells"]
    assert cells["base"]["distilled"]["estimate"] == before["base"]["distilled"]["estimate"]


def test_an_arm_without_weights_has_no_checkpoint(read: Study) -> None:
    with pytest.raises(UsageError, match="the arm 'teacher' is given as traces and has no weights"):
        checkpoint_folder(read, "teacher")


def test_a_changed_file_is_refused_by_name(read: Study, tmp_path: Path) -> None:
    path = Path(str(read.settings.arms["copy"].traces))
    text = path.read_text()
    path.write_text(text.replace("review options", "review case", 1))
    try:
        with pytest.raises(StudyError, match=r"copy\.jsonl changed since.*--restart-from given-copy"):
            pipeline.run(read.path, progress=False)
    finally:
        path.write_text(text)


def test_a_control_of_other_numbers_says_so(read: Study) -> None:
    controls = {"part": config.resolve(overrides=("controls.part.after=terse",)).controls["part"]}
    controls["part"] = controls["part"].model_copy(update={"after": "part"})
    study = Study(read.path, read.settings.model_copy(update={"controls": controls}))
    with pytest.raises(AnalysisError, match="clinical-0000 has no traces"):
        study.answers("part")


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    """Settings of a study on a random checkpoint, its student, and a file of traces."""
    save_checkpoint(tmp_path / "base")
    rows = [{"id": f"n{i}", "stem": f"w{i}", "options": ["w1", "w2"], "key": "B"} for i in range(4)]
    lines(tmp_path / "questions.jsonl", rows)
    columns = {"qid": "id", "stem": "stem", "options": "options", "gold": "key"}
    return {
        "preset": "models",
        "questions": {"path": f"{tmp_path}/questions.jsonl", "columns": columns},
        "arms": {
            "base": {"model": f"{tmp_path}/base"},
            "distilled": {"model": f"{tmp_path}/base"},
            "teacher": {"traces": f"{tmp_path}/teacher.jsonl"},
        },
        "prompt": {
            "question": "{stem} . {options}",
            "option": "{text}",
            "separator": " ",
            "answer_form": "text",
        }
        | {"answer_pattern": r"answer (?P<answer>\S+)", "terminator": None},
        "judge": {"kind": "table", "path": f"{tmp_path}/verdicts.csv"},
    }


def test_a_file_of_traces_is_looked_at_before_anything_is_sampled(
    plain: dict[str, Any], tmp_path: Path
) -> None:
    lines(tmp_path / "teacher.jsonl", [{"qid": "n9", "text": "w1"}])
    study = create_or_open(tmp_path / "study", config.resolve(base=plain), restarting=False)
    with pytest.raises(DataError, match=r"teacher\.jsonl, row 1: the study has no question 'n9'"):
        asked_questions.ask(study, tmp_path)


def test_traces_of_other_questions_than_the_contrast_s_cannot_be_read(
    plain: dict[str, Any], tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    domains = [row | {"domain": "one" if row["id"] == "n0" else "two"} for row in rows]
    lines(tmp_path / "questions.jsonl", domains)
    lines(tmp_path / "teacher.jsonl", [{"qid": "n0", "text": "w1"}])
    plain["questions"]["columns"]["domain"] = "domain"
    plain["contrast"] = {"domain": "two"}
    study = create_or_open(tmp_path / "study", config.resolve(base=plain), restarting=False)
    with pytest.raises(DataError, match=r"no trace answers a question of the contrast's domain 'two'"):
        asked_questions.ask(study, tmp_path)
    unread = config.resolve(base=plain, overrides=("reading.authors=[]",))
    asked_questions.ask(Study(tmp_path / "study", unread), tmp_path)


def test_a_file_of_traces_gets_the_prompts_of_the_arm_before(plain: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"qid": f"n{i}", "text": f"w{i} . w5 . answer w2"} for i in (2, 0, 3)]
    lines(tmp_path / "teacher.jsonl", rows)
    study = create_or_open(tmp_path / "study", config.resolve(base=plain), restarting=False)
    asked_questions.ask(study, tmp_path)
    text.take_traces(study, "teacher", tmp_path)
    text.cut(study, "teacher", tmp_path)
    traces = study.traces("teacher")
    assert list(traces.qid) == ["n0", "n2", "n3"]
    assert [" ".join(WORDS[i] for i in ids) for ids in traces.prompt_ids][1] == "w2 . w1 w2 <think>"
    assert list(traces.answer) == [1, 1, 1]
    assert list(traces.reasoning_end) == [10, 10, 10]
    assert traces.sum_logprob.isna().all()
    assert list(study.steps("teacher").groupby("qid").size()) == [2, 2, 2]


# --- parity ----------------------------------------------------------------------------------------


def _stated(plain: dict[str, Any], tmp_path: Path, change: dict[str, Any]) -> list[dict[str, Any]]:
    """Traces made as the study's, but for one row's change; the study compares them in a control."""
    plain["controls"] = {"teacher": {"after": "teacher"}}
    plain["sampling"] = {"samples": 2, "temperature": 0.7, "top_p": 1.0, "top_k": 0, "max_new_tokens": 8}
    stated = {name: plain["sampling"][name] for name in ("temperature", "top_p", "top_k", "max_new_tokens")}
    rows = [
        {"qid": f"n{i}", "text": "w1 . answer w2", "prompt": f"w{i} . w1 w2 <think>"} | stated
        for i in range(4) for _ in range(2)
    ]  # fmt: skip
    rows[5] |= change
    lines(tmp_path / "teacher.jsonl", rows)
    return rows


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"temperature": 0.9}, r"row 6: temperature is 0\.9, the study's sampling\.temperature is 0\.7"),
        ({"max_new_tokens": 2048}, "row 6: max_new_tokens is 2048"),
        ({"top_p": None}, "row 6: top_p is None"),
        ({"prompt": "w9 . w1 w2"}, r"row 6: the prompt of question 'n2' is 'w9 \. w1 w2'"),
        ({"qid": "n0", "prompt": "w0 . w1 w2 <think>"}, "question 'n0': 3 traces, the study samples 2"),
    ],
)
def test_arms_asked_otherwise_stop_the_run_before_anything_is_sampled(
    plain: dict[str, Any], tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    _stated(plain, tmp_path, change)
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(plain))
    with pytest.raises(DataError, match=says):
        pipeline.run(tmp_path / "study", config=file, progress=False)
    assert not (tmp_path / "study" / "arms").exists()
    what = next(iter(change)).replace("qid", "samples")
    accepted = config.resolve(base=plain, overrides=(f"controls.teacher.differs=[{what}]",))
    study = Study(tmp_path / "study", accepted)
    parity.check_parity(study, tmp_path)
    found = json.loads((study.path / "parity.json").read_text())["teacher"]["teacher"]
    assert [name for name, said in found.items() if said != "alike"] == [what]


def test_the_command_ends_with_an_error(plain: dict[str, Any], tmp_path: Path) -> None:
    _stated(plain, tmp_path, {"temperature": 0.9})
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(plain))
    done = called("run", tmp_path / "study", "--config", file)
    assert done.returncode == 1
    assert "controls.teacher.differs=[temperature]" in done.stderr


def test_what_a_file_does_not_say_is_warned_of(
    plain: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = _stated(plain, tmp_path, {})
    for row in rows:
        del row["top_p"], row["prompt"]
    lines(tmp_path / "teacher.jsonl", rows)
    study = create_or_open(tmp_path / "study", config.resolve(base=plain), restarting=False)
    asked_questions.ask(study, tmp_path)
    with caplog.at_level(logging.WARNING, "mechcot"):
        parity.check_parity(study, tmp_path)
    assert "does not say top_p, prompt of its traces" in caplog.text
    assert [stage.name for stage in parity.parity_stages(study, False)] == ["parity"]
    alone = study.settings.model_copy(update={"controls": {}})
    assert parity.parity_stages(Study(study.path, alone), False) == []
