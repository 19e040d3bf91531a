"""Files of replies: OpenAI's batch output (vLLM's `run_batch` writes the same), and vLLM's offline outputs.

Sources: the OpenAI Batch API's request output object; `vllm.entrypoints.openai.run_batch`;
`vllm.RequestOutput`.
They hold no right answers and, but for vLLM's, no prompts: questions come from a file beside them. A reply
belongs to the question of its id, or, where an id ends with a number behind a mark (`q17-3`), to the question
of what stands before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mechcot.core.errors import DataError
from mechcot.tasks.logs.form import Log, Sample, a_list, an_object, ended, joined, last_user, words_of

_REASONING = ("reasoning_content", "reasoning", "thinking")
_IDS = ("qid", "custom_id", "id", "request_id")
_GOLDS = ("gold", "answer", "target")


def read_batch(path: Path, rows: list[dict[str, Any]]) -> Log:
    """The replies of a batch's output file; choices of one reply are samples of one question."""
    samples, models = [], []
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        found, model = _replies(where, row)
        samples += found
        models.append(model)
    return Log(str(path), "a batch of an OpenAI-compatible server", _one(path, models), tuple(samples))


def read_requests(path: Path, rows: list[dict[str, Any]]) -> Log:
    """The requests of a batch's input file, as questions: the last words of a user, no replies.

    What is right is `gold`, `answer` or `target` in the request's `metadata`.
    """
    samples = []
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        body = an_object(row.get("body"), where, "body")
        told = body.get("metadata") if isinstance(body.get("metadata"), Mapping) else {}
        gold = next((told[key] for key in _GOLDS if told and told.get(key)), None)
        words = last_user(body.get("messages")) or body.get("prompt")
        stem = words if isinstance(words, str) else None
        samples.append(
            Sample(where, str(row.get("custom_id")), 0, "", problem=_ASKED, stem=stem, gold=gold, source=row)
        )
    return Log(str(path), "the input of a batch", "", tuple(samples))


_ASKED = "it is a request and no reply: name the batch's output file"


def read_outputs(path: Path, rows: list[dict[str, Any]]) -> Log:
    """VLLM's offline outputs, a line a prompt: an id, `prompt`, and `outputs` with text and finish_reason."""
    samples: list[Sample] = []
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        name = next((key for key in _IDS if row.get(key) is not None), None)
        if name is None:
            raise DataError(
                f"{where}: names no question; it has {sorted(row)[:8]}. Write the question's id beside the "
                f"outputs, as one of {', '.join(_IDS)}"
            )
        prompt = row.get("prompt") if isinstance(row.get("prompt"), str) else None
        for cid, one in enumerate(_in_order(a_list(row.get("outputs"), where, "outputs"), where)):
            reason, problem = ended(one.get("finish_reason"))
            text = one.get("text")
            if not isinstance(text, str):
                raise DataError(f"{where}: output {cid} has no text; it has {sorted(one)[:8]}")
            told: dict[str, Any] = {"prompt": prompt, "source": row}
            samples.append(Sample(where, str(row[name]), cid, text, reason, problem, **told))
    return Log(str(path), "vLLM", "", tuple(samples))


def _replies(where: str, row: Mapping[str, Any]) -> tuple[list[Sample], str]:
    qid, response = str(row.get("custom_id")), row.get("response")
    problem = _failed(row)
    if problem:
        return [Sample(where, qid, 0, "", problem=problem, source=row)], ""
    body = an_object(an_object(response, where, "response").get("body"), where, "response.body")
    choices = _in_order(a_list(body.get("choices"), where, "response.body.choices"), where)
    model = str(body.get("model") or "")
    return [_choice(where, qid, cid, choice, row) for cid, choice in enumerate(choices)], model


def _failed(row: Mapping[str, Any]) -> str:
    """What the server said in place of a reply; "": it replied."""
    response, error = row.get("response"), row.get("error")
    status = response.get("status_code") if isinstance(response, Mapping) else None
    if not error and status in (None, 200):
        return "" if isinstance(response, Mapping) else "it has no response"
    body = response.get("body") if isinstance(response, Mapping) else None
    told = error or (body.get("error") if isinstance(body, Mapping) else None) or {}
    message = told.get("message") if isinstance(told, Mapping) else told
    shown = "" if status in (None, 200) else f" with status {status}"
    return f"the server refused it{shown}: {' '.join(str(message or 'no reason').split())[:120]}"


def _choice(where: str, qid: str, cid: int, choice: Mapping[str, Any], row: Mapping[str, Any]) -> Sample:
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {"content": choice.get("text")}
    reason, problem = ended(choice.get("finish_reason"))
    if message.get("refusal"):
        problem = f"the model refused: {str(message['refusal'])[:80]!r}"
    reasoning = next((message[key] for key in _REASONING if isinstance(message.get(key), str)), None)
    text = joined(reasoning, words_of(message.get("content")))
    return Sample(where, qid, cid, text, reason, problem, source=row)


def _in_order(found: list[Any], where: str) -> list[Mapping[str, Any]]:
    """Several samples of one reply, by their index where they have one."""
    told = [an_object(one, where, "a sample") for one in found]
    index = [one["index"] for one in told if isinstance(one.get("index"), int)]
    if len(index) == len(told):
        return [told[place] for place in sorted(range(len(told)), key=index.__getitem__)]
    return told


def _one(path: Path, models: list[str]) -> str:
    """The one model whose replies a file holds.

    Raises:
        DataError: there are two.
    """
    named = list(dict.fromkeys(model for model in models if model))
    if len(named) > 1:
        row = next(n for n, model in enumerate(models, start=1) if model == named[1])
        raise DataError(
            f"{path}, row {row}: is by the model '{named[1]}', and the rows before are by '{named[0]}'. An "
            "arm is one model: write a file for each"
        )
    return named[0] if named else ""
