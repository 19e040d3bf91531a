"""Logs as other tools write them, of a few questions and texts."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

OPTIONS = ["liver", "pancreas", "spleen"]
QUESTIONS = [
    {"id": f"q{i}", "stem": f"Which organ is number {i}?", "options": OPTIONS, "gold": "ABC"[i % 3]}
    for i in range(8)
]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def written(arm: str, i: int, epoch: int = 0) -> str:
    """What an arm writes on a question: the later arm is right oftener, and hedges less."""
    letter = "ABC"[(i + (arm == "base" and (i + epoch) % 2 == 0)) % 3]
    return f"Organ {i} lies on the left. It makes bile, {arm} thinks.\n\nThe answer is ({letter})."


def sample(i: int, text: str, epoch: int = 1, **changes: Any) -> dict[str, Any]:
    """A sample as Inspect writes it."""
    asked = QUESTIONS[i]
    shown = "\n".join(f"{letter}) {option}" for letter, option in zip("ABC", OPTIONS, strict=True))
    message = {"role": "assistant", "content": text, "source": "generate", "model": "mockllm/model"}
    return {
        "id": asked["id"],
        "epoch": epoch,
        "input": asked["stem"],
        "choices": asked["options"],
        "target": asked["gold"],
        "messages": [{"role": "user", "content": f"{asked['stem']}\n\n{shown}", "source": "input"}, message],
        "output": {
            "model": "mockllm/model",
            "choices": [{"message": message, "stop_reason": "stop"}],
            "completion": text,
        },
        "scores": {"choice": {"value": "C", "answer": "A"}},
        "metadata": {},
    } | changes


def inspect_log(path: Path, samples: list[dict[str, Any]], **config: Any) -> Path:
    """An `.eval` log: a zip with a header, and a file a sample."""
    header = {
        "version": 2,
        "status": "success",
        "eval": {"task": "organs", "model": "mockllm/model", "model_generate_config": config},
        "plan": {"name": "plan", "steps": [], "config": config},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in samples:
            archive.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
        archive.writestr("header.json", json.dumps(header))
    return path


def harness_row(i: int, texts: list[str], **changes: Any) -> dict[str, Any]:
    """A line of lm-evaluation-harness."""
    asked = QUESTIONS[i]
    kwargs = {"until": ["</s>"], "do_sample": False, "max_gen_toks": 64}
    return {
        "doc_id": i,
        "doc": {"question": asked["stem"], "choices": OPTIONS, "answer": asked["gold"]},
        "target": asked["gold"],
        "arguments": {"gen_args_0": {"arg_0": f"Question: {asked['stem']}\nAnswer:", "arg_1": kwargs}},
        "resps": [texts],
        "filtered_resps": ["A"],
        "filter": "strict-match",
        "metrics": ["exact_match"],
        "doc_hash": "d", "prompt_hash": "p", "target_hash": "t",
        "exact_match": 0.0,
    } | changes  # fmt: skip


def reply(name: str, texts: list[str], **changes: Any) -> dict[str, Any]:
    """A line of an OpenAI batch's output."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text, "refusal": None}, "logprobs": None,
         "finish_reason": "stop"}
        for i, text in enumerate(texts)
    ]  # fmt: skip
    body = {"id": "c", "object": "chat.completion", "created": 0, "model": "gpt-x", "choices": choices}
    return {
        "id": f"batch_req_{name}",
        "custom_id": name,
        "response": {"status_code": 200, "request_id": "r", "body": body},
        "error": None,
    } | changes


def files_of_logs(folder: Path) -> dict[str, Path]:
    """What docs/sharing.md names: logs of two arms, a batch of each, their questions, and step labels."""
    arms = {"base": "a.jsonl", "distilled": "b.jsonl"}
    found = {}
    for arm, batch in arms.items():
        found[f"{arm}.eval"] = inspect_log(
            folder / f"{arm}.eval", [sample(i, written(arm, i, e), e) for i in range(8) for e in (1, 2)]
        )
        found[batch] = lines(folder / batch, [reply(f"q{i}", [written(arm, i)]) for i in range(8)])
    found["questions.csv"] = folder / "questions.csv"
    rows = [[one["id"], one["stem"], json.dumps(one["options"]), one["gold"]] for one in QUESTIONS]
    with open(found["questions.csv"], "w", newline="") as sink:
        csv.writer(sink).writerows([["qid", "question", "options", "answer"], *rows])
    steps = [[f"step {k} of {i}" for k in range(2)] for i in range(12)]
    labels = [
        {"id": f"gsm8k-{i}", "problem": f"Sum {i}?", "steps": own, "label": i % 3 - 1}
        for i, own in enumerate(steps)
    ]
    found["gsm8k.json"] = folder / "gsm8k.json"
    found["gsm8k.json"].write_text(json.dumps(labels))
    return found
