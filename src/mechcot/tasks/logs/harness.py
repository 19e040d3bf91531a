"""Samples of lm-evaluation-harness (`--log_samples`): `samples_TASK_TIME.jsonl`, a line a document.

Source: `EvaluationTracker.save_results_samples` of lm-evaluation-harness. Of a line are read doc_id, doc,
target, arguments, resps and filter (a document has a line for each). The harness does not say whether a limit
cut a response: all are taken as ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mechcot.core.errors import DataError
from mechcot.tasks.logs.form import Log, Sample, a_list, an_object, numbers

_STEMS = ("question", "problem", "query", "input", "prompt", "goal")
_OPTIONS = ("choices", "options", "endings")
_GOLDS = ("answerKey", "answer_idx", "answer_index", "answer", "label", "gold", "cop", "correct")
_LETTERS = re.compile(r"[A-J]")


def read(path: Path, rows: list[dict[str, Any]]) -> Log:
    """The samples of a file.

    Raises:
        DataError: a line is not as the harness writes it, a document stands there twice under one filter, or
            answers were scored and not written.
    """
    samples: list[Sample] = []
    seen: dict[tuple[str, str], int] = {}
    first: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        qid, name = str(row.get("doc_id")), str(row.get("filter"))
        earlier = seen.setdefault((qid, name), number)
        if earlier != number:
            raise DataError(
                f"{where}: the document {qid} stands in row {earlier} already (filter '{name}'). Name one "
                "run's file, of one task"
            )
        if first.setdefault(qid, name) == name:  # another filter of the same responses says nothing new
            samples += _samples(where, qid, row)
    return Log(str(path), "lm-evaluation-harness", "", tuple(samples))


def _samples(where: str, qid: str, row: Mapping[str, Any]) -> list[Sample]:
    doc = an_object(row.get("doc"), where, "doc")
    responses = a_list(row.get("resps"), where, "resps")
    texts = a_list(responses[0], where, "resps") if len(responses) == 1 else []
    if not all(isinstance(text, str) for text in texts) or not texts:
        raise DataError(
            f"{where}: its answers were scored by their log-probability and not written, so there is no "
            "text. Run a task that generates (output_type: generate_until), such as one named ..._cot or "
            "..._gen"
        )
    prompt, stated = _asked(row)
    options = _options(doc)
    stem = next((doc[key] for key in _STEMS if isinstance(doc.get(key), str) and doc[key].strip()), None)
    gold = _gold(doc, row.get("target"), options)
    told: dict[str, Any] = {"stem": stem, "options": options, "gold": gold, "prompt": prompt}
    return [
        Sample(where, qid, cid, text, stated=stated, source=row, **told) for cid, text in enumerate(texts)
    ]


def _options(doc: Mapping[str, Any]) -> Any:
    """The options of a document: a list or an object of its own, or a column for each letter."""
    own = next((doc[key] for key in _OPTIONS if isinstance(doc.get(key), list | dict) and doc[key]), None)
    if own is not None:
        return own
    letters = {key: doc[key] for key in sorted(doc) if _LETTERS.fullmatch(key) and isinstance(doc[key], str)}
    return letters if len(letters) > 1 else None


def _gold(doc: Mapping[str, Any], target: Any, options: Any) -> Any:
    """The right answer: with options what the document names it by, else the target."""
    own = next((doc[key] for key in _GOLDS if doc.get(key) is not None), None)
    if options is not None and own is not None:
        return own
    return target if target not in (None, "") else own


def _asked(row: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The prompt, and how the model was sampled."""
    found = row.get("arguments")
    first = next(iter(found.values()), None) if isinstance(found, Mapping) else found
    parts = list(first.values()) if isinstance(first, Mapping) else first
    while isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], list):
        parts = parts[0]
    prompt = parts[0] if isinstance(parts, list) and parts and isinstance(parts[0], str) else None
    given = parts[1] if isinstance(parts, list) and len(parts) > 1 else {}
    return prompt, numbers(_stated(given)) if isinstance(given, Mapping) else {}


def _stated(given: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: given[name] for name in ("temperature", "top_p", "top_k") if given.get(name) is not None}
    if given.get("do_sample") is False:
        told["temperature"] = 0.0
    limit = next(
        (given[key] for key in ("max_gen_toks", "max_new_tokens", "max_tokens") if key in given), None
    )
    return told if limit is None else told | {"max_new_tokens": limit}
