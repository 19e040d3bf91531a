"""A small study whose arm a server samples, and servers for it that answer by a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from loopback import Answer, Call
from mechcot.core import config
from mechcot.pipeline import questions as asked_questions
from mechcot.pipeline.prompts import write_prompts
from mechcot.study.writing import create_or_open

PROMPT = {
    "question": "{stem} . {options}",
    "option": "{text}",
    "separator": " ",
    "answer_pattern": r"answer (?P<answer>\S+)",
    "answer_form": "text",
    "lead_in": [" answer "],
    "terminator": None,
}
QUESTIONS = [
    {"qid": f"q{i}", "question": f"w{i} w{i + 1}", "options": [f"w{20 + i}", f"w{40 + i}"], "answer": "A"}
    for i in range(12)
]


def sampler_file(path: Path, url: str | list[str], **more: Any) -> Path:
    own = {"base_url": url, "model": "tiny", "api_key_env": None, "max_retries": 0, "concurrency": 2}
    path.write_text(yaml.safe_dump(own | more))
    return path


def settings_of(
    root: Path,
    folder: Path,
    server: Path | None,
    *,
    questions: int = 4,
    sampling: dict[str, Any] | None = None,
    prompt: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """The settings file of a study of two arms with the same weights; `server` samples the one before."""
    root.mkdir(exist_ok=True)
    rows = "".join(json.dumps(row) + "\n" for row in QUESTIONS[:questions])
    (root / "questions.jsonl").write_text(rows)
    arm: dict[str, Any] = {"model": str(folder)} | ({"server": str(server)} if server else {})
    own = {
        "questions": {"path": str(root / "questions.jsonl")},
        "arms": {"base": arm, "distilled": {"model": str(folder)}},
        "prompt": PROMPT | (prompt or {}),
        "sampling": {"max_new_tokens": 12, "temperature": 0.0, "samples": 1} | (sampling or {}),
        "judge": {"kind": "table", "path": "none.csv"},
        "threads": 1,
        "device": "cpu",
    }
    (root / "study.yaml").write_text(yaml.safe_dump(own | more))
    return root / "study.yaml"


def study_of(root: Path, folder: Path, server: Path | None, **more: Any) -> Any:
    """The same up to its questions."""
    settings = config.resolve(file=settings_of(root, folder, server, **more))
    study = create_or_open(root / "out", settings, restarting=False)
    asked_questions.ask(study, root / "work")
    write_prompts(study, root / "work")
    return study


Write = Callable[[Call, int], dict[str, Any]]


def says(call: Call, index: int) -> dict[str, Any]:
    """A text by seed and index."""
    number = (call.body.get("seed", 0) + index) % 57
    return {"message": {"role": "assistant", "content": f"w{number} w{number + 1} . answer w20"}}


def answered(
    call: Call, choices: Sequence[dict[str, Any]], *, prompt: int | None = None, tokens: int = 5, **more: Any
) -> Answer:
    """A completion with these choices; the prompt is counted as the word tokenizer and its template do."""
    told = [{"index": i, "finish_reason": "stop", **choice} for i, choice in enumerate(choices)]
    seen = len(call.user.split()) + 1 if prompt is None else prompt
    usage = {"prompt_tokens": seen, "completion_tokens": tokens * len(told)}
    body = {"model": "fixture-1", "object": "chat.completion", "choices": told, "usage": usage, **more}
    return Answer(body=json.dumps(body).encode())


def honest(call: Call, write: Write = says) -> Answer:
    """A server that gives as many samples as it is asked for."""
    return answered(call, [write(call, i) for i in range(call.body.get("n", 1))])
