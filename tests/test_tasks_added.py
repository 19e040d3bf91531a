"""The worked example of docs/architecture.md: a task with a checker is added by its file and a line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mechcot.tasks
from documentation import ROOT
from mechcot.core import config
from mechcot.core.errors import ConfigError
from mechcot.core.stages import load_manifest
from mechcot.pipeline import run as pipeline
from mechcot.tasks import registry

WORDS = ("<pad>", "<eos>", "<think>", "</think>", "answer", ".", "<", *map(str, range(10)))


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's file in the room of tasks, and its line in the table of them."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    blocks = {re.match(r"# (\S+)", code)[1]: code for code in re.findall(r"```python\n(.*?)```", page, re.S)}  # type: ignore[index]
    room = tmp_path / "room"
    room.mkdir()
    (room / "ordering.py").write_text(blocks["tasks/ordering.py"])
    monkeypatch.setattr(mechcot.tasks, "__path__", [*mechcot.tasks.__path__, str(room)])
    before = dict(registry.TASKS)
    exec(blocks["tasks/registry.py"], {"TASKS": registry.TASKS})
    yield
    registry.TASKS.clear()
    registry.TASKS.update(before)
    sys.modules.pop("mechcot.tasks.ordering", None)


def _checkpoint(folder: Path, seed: int) -> Path:
    """A random tiny model whose words are numbers."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")
    fast.chat_template = "{{ messages[0].content }}{% if add_generation_prompt %} <think>{% endif %}"
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    more: dict[str, Any] = {"num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 128}
    model = Qwen3ForCausalLM(
        Qwen3Config(**sizes, **more, vocab_size=len(WORDS), eos_token_id=1, bos_token_id=None)
    )
    with torch.no_grad():  # a token's first number is the same for all, so that some words can be made rare
        model.get_input_embeddings().weight[:, 0] = 1.0  # type: ignore[operator]
        for word, weight in (("<eos>", -0.7), ("<pad>", -2.0), ("<", 0.3), (".", 0.2)):
            model.lm_head.weight[WORDS.index(word), 0] = weight
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings of a study of two random checkpoints on questions of the task."""
    arms = {name: {"model": str(_checkpoint(tmp_path / name, seed))} for seed, name in enumerate(("a", "b"))}
    rows = [
        {"qid": f"n{i}", "question": f"{i} {i + 1}", "options": [str(i), str(i + 1)], "answer": str(i)}
        for i in range(9)
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    prompt = {
        "question": "{stem} . {options}",
        "option": "{text}",
        "separator": " ",
        "reasoning_end": "</think>",
        "answer_pattern": r"answer (?P<answer>\S+)",
        "answer_form": "text",
        "lead_in": ["</think> answer "],
        "terminator": None,
    }
    given = {
        "questions": {"path": str(tmp_path / "questions.jsonl"), "task": "ordering"},
        "arms": arms,
        "contrast": {"before": "a", "after": "b"},
        "prompt": prompt,
        "steps": {"segmenter": "structural"},
        "judge": {"kind": "exact"},
        "sampling": {"samples": 6, "max_new_tokens": 60},
        "reading": {"traces_per_question": 2},
        "analysis": {"bootstrap": 100, "permutations": 2, "folds": 2},
        "threads": 1,
        "device": "cpu",
    }
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps(given))  # which is YAML too
    return file


def test_a_task_that_is_not_there_or_has_no_checker_is_refused(settings: Path) -> None:
    given, refused = settings.read_text(), "questions.task: there is no task"
    for name, says in (
        ("ordering", f"{refused} 'ordering'; there are multiple_choice"),
        ("organism", f"{refused} 'organism'"),
        ("multiple_choice", "the task 'multiple_choice' has no exact checker"),
    ):
        settings.write_text(given.replace('"ordering"', f'"{name}"'))
        with pytest.raises(ConfigError, match=says):
            config.resolve(file=settings)


def test_a_study_of_it_runs_from_its_questions_to_its_report(
    added: None, settings: Path, tmp_path: Path
) -> None:
    study = pipeline.run(tmp_path / "study", config=settings, progress=False)
    assert "ordering" in study.report.read_text(encoding="utf-8")
    counts = dict.fromkeys(("correct", "erroneous", "not_checkable"), 0)
    for arm in ("a", "b"):
        steps, verdicts = study.steps(arm), study.verdicts(arm)
        assert set(verdicts.instrument) == {"exact"}
        rows = steps.merge(verdicts, on=["qid", "arm", "cid", "sid"], validate="one_to_one")
        for row in rows[rows.complete].itertuples():
            claims = re.findall(r"(\d+) < (\d+)", row.text)
            right = all(int(a) < int(b) for a, b in claims)
            expected = ("correct" if right else "erroneous") if claims else "not_checkable"
            assert row.label == expected, row.text
            assert row.role == ("fact" if claims else "other")
            counts[row.label] += 1
    assert min(counts.values()) > 5, counts
    audit = study.result("audit")
    assert audit["before"]["n_judged"] + audit["after"]["n_judged"] == counts["correct"] + counts["erroneous"]
    before = load_manifest(study.path)
    assert before["stages"]["judge"]["settings"]["task"] == "ordering"
    assert "task" not in before["stages"]["questions"]["settings"]
    assert pipeline.plan(study.path).total.n == 0
