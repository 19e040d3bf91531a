"""Public sets by name, on rows with their real columns; the Hub is one on the loopback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from conftest import save_checkpoint
from loopback_hub import Hub
from mechcot.core.config import resolve, to_yaml
from mechcot.core.errors import ConfigError, DataError
from mechcot.core.question_sets import SETS
from mechcot.core.question_settings import QuestionSettings
from mechcot.core.teacher_settings import TrainQuestions
from mechcot.tasks.questions import read_questions

LETTERS = {"A": "Iron", "B": "Zinc", "C": "Lead", "D": "Copper"}
ROWS = {
    "medqa": {
        "question": "Which?", "answer": "Lead", "options": LETTERS, "meta_info": "step1", "answer_idx": "C",
        "metamap_phrases": ["which"],
    },
    "medqa-5": {
        "question": "Which?", "answer": "Tin", "options": {**LETTERS, "E": "Tin"}, "meta_info": "step2&3",
        "answer_idx": "E",
    },
    "medmcqa": {
        "id": "5e", "question": "Which?", "opa": "Iron", "opb": "Zinc", "opc": "Lead", "opd": "Copper",
        "cop": 3, "choice_type": "single", "exp": None, "subject_name": "Medicine", "topic_name": None,
    },
    "medbullets": {
        "idx": "op4_0", "question": "Which?", "options": {**LETTERS, "E": None}, "answer": "B",
        "explanation": "b", "link": "l",
    },
    "medbullets-5": {
        "idx": "op5_0", "question": "Which?", "options": {**LETTERS, "E": "Tin"}, "answer": "E",
        "explanation": "e", "link": "l",
    },
    "pubmedqa": {
        "pubid": 2164, "question": "Do they?",
        "context": {"contexts": ["Aim.", "Results."], "labels": ["A", "R"], "meshes": ["M"]},
        "long_answer": "They may.", "final_decision": "maybe",
    },
    "mmlu-pro": {
        "question_id": 70, "question": "Which?", "options": [f"text {i}" for i in range(10)], "answer": "J",
        "answer_index": 9, "cot_content": "", "category": "health", "src": "ori",
    },
    "arc-challenge": {
        "id": "Mercury_7", "question": "Which?", "answerKey": "2",
        "choices": {"text": ["Iron", "Zinc", "Lead"], "label": ["1", "2", "3"]},
    },
    "gsm8k": {"question": "How many?", "answer": "He has 2 * 3 = <<2*3=6>>6.\n#### 1,206"},
    "cotempqa": {
        "index": 4, "triple_element": {"S1": "Ann"}, "question": "Who, while Ann did?",
        "facts": ["Ann did from 1990 to 1995.", "Bob did from 1991 to 1994.", "Cy did in 1992."],
        "answer": ["Bob", "Cy"],
    },
}  # fmt: skip
"""One row of each set, its columns those of the set itself."""
EXPECTED = {
    "medqa": ("q00001", "all", "Which?", list(LETTERS.values()), "Lead"),
    "medqa-5": ("q00001", "all", "Which?", [*LETTERS.values(), "Tin"], "Tin"),
    "medmcqa": ("5e", "all", "Which?", list(LETTERS.values()), "Copper"),
    "medbullets": ("op4_0", "all", "Which?", list(LETTERS.values()), "Zinc"),
    "medbullets-5": ("op5_0", "all", "Which?", [*LETTERS.values(), "Tin"], "Tin"),
    "pubmedqa": ("2164", "all", "Aim.\nResults.\n\nDo they?", ["yes", "no", "maybe"], "maybe"),
    "mmlu-pro": ("70", "health", "Which?", [f"text {i}" for i in range(10)], "text 9"),
    "arc-challenge": ("Mercury_7", "all", "Which?", ["Iron", "Zinc", "Lead"], "Zinc"),
    "gsm8k": ("q00001", "all", "How many?", ["1,206"], "1,206"),
    "cotempqa": (
        "4", "all",
        "Ann did from 1990 to 1995.\nBob did from 1991 to 1994.\nCy did in 1992.\n\nWho, while Ann did?",
        ["Bob; Cy"], "Bob; Cy",
    ),
}  # fmt: skip


def _write(folder: Path, rows: list[dict], ending: str) -> Path:
    file = folder / f"set{ending}"
    if ending == ".parquet":
        pd.DataFrame(rows).to_parquet(file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
@pytest.mark.parametrize("name", SETS)
def test_a_copy_of_a_set_is_read_in_its_own_form(name: str, ending: str, tmp_path: Path) -> None:
    settings = QuestionSettings(set=name, path=str(_write(tmp_path, [ROWS[name]], ending)))
    row = read_questions(settings).table.iloc[0]
    assert (row.qid, row.domain, row.stem, row.options, row.options[row.gold]) == EXPECTED[name]
    assert QuestionSettings.model_validate(settings.model_dump(mode="json")) == settings
    assert settings.open == SETS[name].open


def test_a_set_on_the_hub_needs_no_path_and_another_does() -> None:
    for name, known in SETS.items():
        if "path" in known.questions:
            assert QuestionSettings(set=name).path.startswith("hub:")
        else:
            with pytest.raises(ValidationError, match=f"the set '{name}' is not on the Hub; name its file"):
                QuestionSettings(set=name)


def test_what_is_given_goes_before_the_sets_own(tmp_path: Path) -> None:
    settings = QuestionSettings(set="medmcqa", split="train", columns={"domain": "subject_name"})
    assert (settings.split, settings.columns.gold, settings.columns.domain) == (
        "train",
        "cop",
        "subject_name",
    )
    row = {**ROWS["medqa"], "options": ROWS["medqa"]["options"], "right": "A"}
    file = _write(tmp_path, [row], ".jsonl")
    found = read_questions(QuestionSettings(set="medqa", path=str(file), columns={"gold": "right"})).table
    assert found.gold.tolist() == [0]


def test_a_teacher_is_asked_the_split_to_train_on() -> None:
    for name in ("medqa", "medmcqa", "gsm8k", "arc-challenge"):
        found = TrainQuestions(set=name)
        assert found.split == "train"
        assert TrainQuestions.model_validate(found.model_dump(mode="json")) == found
    assert TrainQuestions(set="mmlu-pro").split == "validation"
    assert TrainQuestions(set="pubmedqa", split="train").split == "train"
    for name in ("medbullets", "pubmedqa"):
        with pytest.raises(ValidationError, match=f"the set '{name}' has no split to train on"):
            TrainQuestions(set=name)


def test_an_unknown_set_and_one_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="there is no set 'medqq'; there are medqa, medqa-5"):
        QuestionSettings(set="medqq")
    file = _write(tmp_path, [ROWS["gsm8k"]], ".jsonl")
    with pytest.raises(DataError, match=r"set\.jsonl: there is no column 'answer_idx' for gold"):
        read_questions(QuestionSettings(set="medqa", path=str(file), columns={"options": None}, gold_is=None))


def test_another_number_of_options_is_another_version_of_the_set(tmp_path: Path) -> None:
    file = _write(tmp_path, [ROWS["medqa"], ROWS["medqa-5"]], ".jsonl")
    with pytest.raises(
        DataError, match=r"row 2: has 5 options, and .* 'medqa' has 4.*The set 'medqa-5' has 5"
    ):
        read_questions(QuestionSettings(set="medqa", path=str(file)))
    with pytest.raises(DataError, match=r"row 1: has 4 options, .*The set 'medqa' has 4"):
        read_questions(QuestionSettings(set="medqa-5", path=str(file)))
    kept = read_questions(QuestionSettings(set="medqa", path=str(file), on_bad_row="skip"))
    assert list(kept.skipped) == [2]


def test_the_unlabelled_split_of_medmcqa_is_refused(tmp_path: Path) -> None:
    file = _write(tmp_path, [{**ROWS["medmcqa"], "cop": -1}], ".parquet")
    with pytest.raises(DataError, match="row 1: the gold answer -1 is not among the options"):
        read_questions(QuestionSettings(set="medmcqa", path=str(file)))


@pytest.mark.parametrize(
    "context", [None, {"contexts": []}, {"contexts": ["", "x"]}, {"labels": ["x"]}, "text"]
)
def test_a_context_that_is_not_there_is_refused_by_row(context: object, tmp_path: Path) -> None:
    rows = [ROWS["pubmedqa"], {**ROWS["pubmedqa"], "pubid": 7, "context": context}]
    file = _write(tmp_path, rows, ".jsonl")
    with pytest.raises(
        DataError, match=r"row 2: the context in column 'context\.contexts' is empty or no text"
    ):
        read_questions(QuestionSettings(set="pubmedqa", path=str(file)))


def test_options_that_all_share_leave_no_column_of_options() -> None:
    with pytest.raises(ValidationError, match=r"set columns\.options to null"):
        QuestionSettings(path="x.jsonl", options=("yes", "no"))


def test_a_settings_file_of_an_open_set_starts_from_the_open_preset(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    arms = "arms: {base: {model: a/b}, distilled: {model: a/c}}\njudge: {kind: llm, path: local}\n"
    file.write_text(f"questions: {{set: gsm8k}}\n{arms}")
    settings = resolve(file=file)
    assert settings.preset == "open"
    assert settings.open_questions
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(settings))
    assert resolve(file=again) == settings
    file.write_text(f"questions: {{set: pubmedqa}}\n{arms}")
    settings = resolve(file=file)
    assert settings.preset == "models"
    assert not settings.open_questions
    file.write_text(f"questions: {{set: none}}\n{arms}")
    with pytest.raises(ConfigError, match="there is no set 'none'"):
        resolve(file=file)


def test_equal_rows_are_dropped_and_listed_or_refused_where_they_disagree(tmp_path: Path) -> None:
    first = ROWS["medmcqa"]
    moved = {**first, "id": "b", "opa": "Copper", "opd": "Iron", "cop": 0, "question": " Which? "}
    other = {**first, "id": "c", "opd": "Tin"}
    file = _write(tmp_path, [first, moved, other], ".jsonl")
    kept = read_questions(QuestionSettings(set="medmcqa", path=str(file)))
    assert (kept.table.qid.tolist(), kept.skipped) == (["5e", "b", "c"], {})
    dropped = read_questions(QuestionSettings(set="medmcqa", path=str(file), duplicates="drop"))
    assert (dropped.table.qid.tolist(), dropped.skipped) == (["5e", "c"], {2: "has the words of row 1"})
    file = _write(tmp_path, [first, {**first, "id": "b", "cop": 0}], ".jsonl")
    with pytest.raises(DataError, match=r"row 2: has the words of row 1, and another right answer: 'Iron'"):
        read_questions(QuestionSettings(set="medmcqa", path=str(file), duplicates="drop"))
    both = QuestionSettings(set="medmcqa", path=str(file), duplicates="drop", on_bad_row="skip")
    assert list(read_questions(both).skipped) == [2]


def test_without_the_hub_it_says_what_to_fetch_and_where_to_name_it() -> None:
    with pytest.raises(
        DataError, match=r"hub:openai/gsm8k, configuration main, split train: the Hub did not"
    ) as e:
        read_questions(QuestionSettings(set="gsm8k", split="train"))
    assert "set questions.path to where you put it" in str(e.value)


NEWEST, LATER = "c0ffee" * 6 + "abcd", "beef" * 10
ASKED = """
import json, sys
from pathlib import Path
from mechcot.core.config import resolve, to_yaml
from mechcot.models.checkpoint import local_folder
from mechcot.pipeline.pinning import pinned
from mechcot.tasks.questions import read_questions
folder, file = Path(sys.argv[1]), Path(sys.argv[2])
settings = pinned(folder, resolve(file=file))
arm = settings.arms["base"]
found = read_questions(settings.questions).table
folder.mkdir(exist_ok=True)
(folder / "study.yaml").write_text(to_yaml(settings))
print(json.dumps({"questions": settings.questions.revision,
                  "arms": {name: arm.revision for name, arm in settings.arms.items()},
                  "gold": [row.options[row.gold] for row in found.itertuples()],
                  "folder": local_folder(arm.model, arm.revision).name}))
"""


def test_a_new_study_writes_down_the_commits_and_keeps_them(tmp_path: Path) -> None:
    table = io.BytesIO()
    pd.DataFrame([ROWS["gsm8k"]]).to_parquet(table)
    card = (
        b"---\nconfigs:\n- config_name: main\n  data_files: [{split: test, path: main/test.parquet}]\n---\n"
    )
    local = save_checkpoint(tmp_path / "local")
    weights = {file.name: file.read_bytes() for file in local.iterdir()}
    repositories = {
        "openai/gsm8k": {"README.md": card, "main/test.parquet": table.getvalue()},
        "me/base": weights,
    }
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "questions: {set: gsm8k}\njudge: {kind: llm, path: local}\n"
        f"arms: {{base: {{model: me/base}}, distilled: {{model: {local}}}}}\n"
    )

    def ask() -> dict:
        env = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": "0",
        }
        env |= {"NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
        call = [sys.executable, "-c", ASKED, tmp_path / "study", settings]
        done = subprocess.run(call, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    expected = {"questions": NEWEST, "arms": {"base": NEWEST, "distilled": None}, "gold": ["1,206"]}
    with Hub(repositories, NEWEST) as hub:
        assert ask() == {**expected, "folder": NEWEST}
        hub.commit = LATER  # the study is of the commit that it was made from
        assert ask() == {**expected, "folder": NEWEST}
