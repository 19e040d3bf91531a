"""Examples are put as the study asks, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import save_checkpoint, word_tokenizer
from mechcot.core.errors import DataError, ModelError
from mechcot.core.prompt_settings import PromptSettings
from mechcot.distill.prompts import check_prompts
from mechcot.pipeline import run as pipeline
from mechcot.tasks import Question, render_prompt
from mechcot.tasks.multiple_choice import prompt_format

FORM = prompt_format(PromptSettings())
QUESTIONS = {q: Question(q, "all", f"Which is {q}?", ("w1", "w2", "w3"), 0, q) for q in ("q1", "q2")}
SOURCE = Path("examples.jsonl")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = word_tokenizer(tmp_path_factory.mktemp("words"))
    found.chat_template = "<user>\n{{ messages[0].content }}\n<model>\n"
    return found


def _check(tokenizer: Any, *rows: tuple[str, str]) -> None:
    frame = pd.DataFrame([{"eid": f"e{i}", "qid": qid, "prompt": p} for i, (qid, p) in enumerate(rows)])
    check_prompts(frame, QUESTIONS, FORM, tokenizer, SOURCE)


def _put(tokenizer: Any, question: Question) -> str:
    return render_prompt(question, FORM, tokenizer)[0]


words = st.text(st.characters(blacklist_categories=["Cs", "Zl", "Zp", "Cc", "Co"]), min_size=1).filter(
    lambda text: text.strip(" ") == text.strip() != ""
)


@given(stem=words, options=st.lists(words, min_size=2, max_size=5))
@settings(deadline=None, max_examples=60)
def test_what_the_study_would_ask_fits(stem: str, options: list[str], tokenizer: Any) -> None:
    """Any question of a training split, whatever its text and number of options."""
    prompt = _put(tokenizer, Question("other", "all", stem, tuple(options), 0, ""))
    _check(tokenizer, ("", prompt), ("elsewhere", prompt), ("q1", _put(tokenizer, QUESTIONS["q1"])))


CHANGES = {
    "a blank line at the end": lambda p: p + "\n",
    "a blank line before the options": lambda p: p.replace("\n\n(A)", "\n\n\n(A)"),
    "a line less before the options": lambda p: p.replace("\n\n(A)", "\n(A)"),
    "a blank line behind the options": lambda p: p.replace("\n\nThink", "\n\n\nThink"),
    "no template": lambda p: p.removeprefix("<user>\n").removesuffix("\n<model>\n"),
    "another template": lambda p: p.replace("<user>", "<human>"),
    "another instruction": lambda p: p.replace("Think step by step", "Answer at once"),
    "other marks of options": lambda p: p.replace("(A)", "A."),
    "a system turn": lambda p: "<system>\nBe brief.\n" + p,
    "a blank before all": lambda p: " " + p,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("qid", ["q1", ""])
def test_a_prompt_that_differs_is_refused_by_name(tokenizer: Any, change: str, qid: str) -> None:
    good = _put(tokenizer, QUESTIONS["q1"])
    changed = CHANGES[change](good)
    assert changed != good
    with pytest.raises(
        DataError, match=r"examples\.jsonl: the prompts of 1 of 2 .* First row 2, example 'e1': "
    ):
        _check(tokenizer, (qid, good), (qid, changed))


def test_the_example_of_a_question_has_that_question_s_prompt(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"from character 17 on its prompt has '2\?.*, the study's has '1\?"):
        _check(tokenizer, ("q1", _put(tokenizer, QUESTIONS["q2"])))


def test_a_beginning_of_text_written_out_is_no_difference(tmp_path: Path) -> None:
    found = word_tokenizer(tmp_path)
    found.bos_token = "<think>"
    prompt = _put(found, QUESTIONS["q1"])
    check = pd.DataFrame([{"eid": "e", "qid": "q1", "prompt": "<think>" + prompt}])
    check_prompts(check, QUESTIONS, FORM, found, SOURCE)


def test_a_missing_chat_template_is_said_before_anything(tokenizer: Any, tmp_path: Path) -> None:
    found = word_tokenizer(tmp_path)
    found.chat_template = None
    with pytest.raises(ModelError, match=r"no chat template.*prompt\.chat=false"):
        check_prompts(pd.DataFrame(), QUESTIONS, FORM, found, SOURCE)


# --- a study ---------------------------------------------------------------------------------------


def _settings(tmp_path: Path, prompts: list[str]) -> Path:
    base = save_checkpoint(tmp_path / "base")
    asked = [
        {"qid": q, "question": f"w{i} .", "options": ["w5", "w6"], "answer": "A"} for i, q in enumerate("ab")
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, asked)))
    rows = [{"prompt": prompt, "completion": "w7 . answer w5"} for prompt in prompts]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "study.yaml").write_text(
        f"""
questions: {{path: {tmp_path}/q.jsonl}}
arms:
  base: {{model: {base}}}
  distilled: {{distill: {{base: base, examples: {tmp_path}/e.jsonl, train: {{device: cpu}}}}}}
prompt: {{question: "{{stem}} . {{options}}", option: "{{text}}", separator: " "}}
judge: {{kind: table, path: none.csv}}
threads: 1
"""
    )
    return tmp_path / "study.yaml"


def test_a_study_looks_at_its_examples_and_templates_before_it_trains(tmp_path: Path) -> None:
    config = _settings(tmp_path, ["w1 . . w2 w3 <think>", "w1 . . w2 w3\n <think>"])
    with pytest.raises(
        DataError, match=r"e\.jsonl: the prompts of 1 of 2 examples .*First row 2, example '2'"
    ):
        pipeline.run(tmp_path / "out", config=config, progress=False)
    folder = tmp_path / "base"
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="the tokenizer has no chat template"):
        pipeline.run(tmp_path / "out", config=config, progress=False)
    assert not (tmp_path / "out" / "models").exists()


def test_it_looks_again_when_questions_are_asked_already(tmp_path: Path) -> None:
    """A setting of the prompt may be mended until something depends on it."""
    config = _settings(tmp_path, ["w1 . . w2 w3 <think>"])
    more = ("arms.distilled.distill.train.max_length=3",)  # stops it before it trains
    with pytest.raises(DataError, match="max_length allows 3"):
        pipeline.run(tmp_path / "out", config=config, overrides=more, progress=False)
    with pytest.raises(DataError, match=r"the prompts of 1 of 1 examples"):
        pipeline.run(tmp_path / "out", overrides=('prompt.separator=" , "',), progress=False)
