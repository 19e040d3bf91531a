"""The small real study's script, to its end, on a random checkpoint that spells anything."""

from __future__ import annotations

import argparse
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, tiny_model
from test_serving import byte_tokenizer

LETTERS = "ABCD"
DRUGS = ("doxycycline", "penicillin", "rifampin", "isoniazid")


def question(number: int) -> dict[str, Any]:
    options = {letter: f"{DRUGS[i]} {number}" for i, letter in enumerate(LETTERS)}
    return {"qid": f"q{number}", "question": f"Which drug is given for illness {number}?", "options": options}


def checkpoint(folder: Path, texts: list[str]) -> Path:
    tokenizer = byte_tokenizer(folder, texts)
    model = tiny_model("qwen3", vocab=len(tokenizer))
    model.config.max_position_embeddings = 4096
    model.save_pretrained(folder)
    return folder


def chain(number: int) -> str:
    return f"Illness {number} comes from a microbe.\n\nA drug does.\n\nThe answer is ({LETTERS[number % 4]})."


def real_data(folder: Path) -> list[str]:
    """Files with the columns of shared/real: eight questions, and chains for eight others."""
    asked = [question(i) | {"answer_idx": LETTERS[i % 4]} for i in range(8)]
    chains = [
        question(i)
        | {"gold": LETTERS[i % 4], "predicted": LETTERS[i % (4 if i % 2 else 3)], "arm": "teacher"}
        | {"text": chain(i)}
        for i in range(100, 108)
    ]
    folder.mkdir()
    for name, rows in (("questions_medmcqa", asked), ("traces_gpt4o", chains)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [row["text"] for row in chains]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks for it
def test_the_small_real_study_runs_to_its_end(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "real_small.py"))
    texts = real_data(tmp_path / "real")
    model = checkpoint(tmp_path / "tiny", texts)
    given = argparse.Namespace(
        model=model,
        real=tmp_path / "real",
        out=tmp_path / "study",
        questions=8,
        samples=2,
        epochs=1.0,
        threads=1,
    )
    told = script["run"](given)
    assert (told["questions"], told["samples"]) == (8, 2)
    for arm in ("base", "distilled"):
        assert told["counts"][arm]["traces"] == 16
        assert sum(told["counts"][arm]["verdicts"].values()) >= 8
    rates = {name: one["tokens"] for name, one in told["stages"].items() if one["tokens"] is not None}
    assert {"sample-base", "sample-distilled", "distill-distilled"} & {*rates}
    assert all(rate > 0 for rate in told["plain"].values())
    page = script["written"]("# A page\n\n<!-- real-small -->\n<!-- /real-small -->\nbehind\n", told)
    assert page.endswith("<!-- /real-small -->\nbehind\n")
    assert told["headline"].splitlines()[0] in page


def test_the_page_quotes_its_table() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "real_small.py"))
    page = script["PAGE"].read_text()
    assert script["written"](page, json.loads(script["TABLE"].read_text())) == page


def test_without_the_model_nothing_is_run_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "real_small.py"))
    monkeypatch.setattr(
        "sys.argv", ["real_small.py", str(tmp_path / "none"), "--out", str(tmp_path / "study")]
    )
    script["main"]()
    assert f"SKIPPED: {tmp_path / 'none'} is not there" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()
