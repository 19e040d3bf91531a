"""Completions as traces: their text, where each token lies in it, and the answer read off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mechcot.core.work import WorkUnit, gather
from mechcot.sampling.empty import refuse_empty
from mechcot.sampling.room import Prompt
from mechcot.sampling.sampler import Completion
from mechcot.tasks import PromptFormat, Question, read_answer, reasoning_end
from mechcot.tasks.tokens import decode, shared_prefix

PIECE = 256
"""Completions whose rows are made at a time: a second or two of a processor where texts are long."""


def trace_rows(
    completions: Sequence[Completion],
    prompts: Sequence[Prompt],
    questions: Mapping[str, Question],
    form: PromptFormat,
    tokenizer: Any,
    arm: str,
    *,
    may_be_empty: bool = False,
) -> list[dict[str, Any]]:
    """Rows of the traces table (`records.TRACES`); workers share them, a piece of the completions each.

    Raises:
        SamplingError: many of the completions are empty.
    """
    prompt_ids = {prompt.qid: list(prompt.ids) for prompt in prompts}
    shared = _Shared(prompt_ids, questions, form, tokenizer, arm)
    pieces = [
        WorkUnit(str(first), (completions[first : first + PIECE],))
        for first in range(0, len(completions), PIECE)
    ]
    rows = [row for made in gather(_rows_of, pieces, shared) for row in made]
    if not may_be_empty:
        refuse_empty([(row["qid"], row["cid"]) for row in rows if not row["text"].strip()], len(rows), arm)
    return rows


@dataclass(frozen=True)
class _Shared:
    """What the rows of all pieces need; see `trace_rows`."""

    prompt_ids: Mapping[str, list[int]]
    questions: Mapping[str, Question]
    form: PromptFormat
    tokenizer: Any
    arm: str


def _rows_of(shared: _Shared, task: WorkUnit) -> list[dict[str, Any]]:
    """Rows of a piece."""
    tokenizer, form = shared.tokenizer, shared.form
    rows: list[dict[str, Any]] = []
    for completion in task.arguments[0]:
        ids = completion.token_ids
        body = ids[:-1] if completion.finish_reason == "stop" else ids
        text = decode(tokenizer, body)
        spans = token_offsets(tokenizer, body, text)
        spans += [(len(text), len(text))] * (len(ids) - len(body))
        question = shared.questions[completion.qid]
        answer = read_answer(text, question, form, completion.finish_reason)
        rows.append(
            {
                "qid": completion.qid,
                "arm": shared.arm,
                "cid": completion.cid,
                "text": text,
                "prompt_ids": shared.prompt_ids[completion.qid],
                "token_ids": ids,
                "token_start": [start for start, _ in spans],
                "token_end": [end for _, end in spans],
                "finish_reason": completion.finish_reason,
                "sum_logprob": completion.sum_logprob,
                "reasoning_end": reasoning_end(text, form, question),
                "answer": answer.option,
                "answer_rule": answer.rule,
                "answer_start": answer.start,
                "answer_end": answer.end,
            }
        )
    return rows


def token_offsets(tokenizer: Any, ids: Sequence[int], text: str) -> list[tuple[int, int]]:
    """Character span of every token in `text`, the decoded `ids`.

    A model may write tokens that its tokenizer would not choose for the text; then the spans come
    from decoding ever longer prefixes. A token that holds a part of a character spans nothing, the
    one that completes it spans it whole.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if list(encoded["input_ids"]) == list(ids):
        return _with_blanks(tokenizer, ids, [(int(a), int(b)) for a, b in encoded["offset_mapping"]])
    ends = [0]
    for count in range(1, len(ids) + 1):
        known = shared_prefix([decode(tokenizer, ids[:count]), text])
        ends.append(max(known, ends[-1]))
    ends[-1] = len(text)
    return list(pairwise(ends))


def _with_blanks(tokenizer: Any, ids: Sequence[int], spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans with the blanks that are a part of their tokens: with `trim_offsets` they are left out."""
    gaps = [i for i, (one, other) in enumerate(pairwise(spans)) if one[1] < other[0]]
    said = {token: decode(tokenizer, [token]) for token in {ids[i + n] for i in gaps for n in (0, 1)}}
    whole = [list(span) for span in spans]
    for i in gaps:
        before, after = said[ids[i]], said[ids[i + 1]]
        behind = len(before) - len(before.rstrip()) if before.strip() else 0
        ahead = len(after) - len(after.lstrip()) if after.strip() else 0
        whole[i][1] = min(whole[i][1] + behind, whole[i + 1][0])
        whole[i + 1][0] = max(whole[i + 1][0] - ahead, whole[i][1])
    return [(start, end) for start, end in whole]
