"""Rows of token ids with the loss decided token by token, and a report that shows it.

A prompt and its completion are tokenised apart, so that no token holds text of both and the prompt's
ids are those that the student sees when it is asked; a blank that a tokenizer puts before every text is not
trained. The end-of-text token follows the completion.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import DataError, ModelError, TrainingError
from mechcot.core.records import rows as rows_of
from mechcot.core.training_settings import TrainSettings
from mechcot.tasks.tokens import Tokens, adds_bos, continuation, turn_marks

IGNORED = -100
"""The label of a token that is not trained."""

Kind = Literal["prompt", "reasoning", "answer", "end"]
KINDS: tuple[Kind, ...] = ("prompt", "reasoning", "answer", "end")


class Span(NamedTuple):
    """Tokens `start` to `end` (exclusive) of a row, and what they are."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Row:
    """One example as it is trained.

    Attributes:
        eid: the example.
        input_ids: `[length]` int32.
        labels: `[length]` int32: the token itself where it is trained, else `IGNORED`.
        spans: without gaps from the first token to the last; an empty part has no span.
    """

    eid: str
    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    spans: tuple[Span, ...]


@dataclass(frozen=True, eq=False)
class Supervised:
    """All rows of a training run.

    Attributes:
        rows: in the order of the examples.
        n_truncated: how many were cut at the longest length allowed.
        digest: SHA-256 over all ids and labels, row by row.
    """

    rows: tuple[Row, ...]
    n_truncated: int
    digest: str


def supervised(
    examples: pd.DataFrame, tokenizer: Any, settings: TrainSettings, *, context: int | None
) -> Supervised:
    """Tokenise examples and label the tokens of the parts in `settings.loss_on`.

    The completion's answer part begins with the first token that holds a character at or behind
    `answer_start`; a token that straddles the boundary belongs to the answer. A beginning-of-text
    token is put first when the tokenizer would put one there and the prompt's text does not begin
    with one.

    Args:
        examples: columns as in `records.EXAMPLES`.
        tokenizer: a fast tokenizer, word-level or byte-level.
        settings: `loss_on`, `max_length` and `allow_truncation` are read.
        context: the longest sequence that the model takes, in tokens; None: no limit known.

    Raises:
        ModelError: the tokenizer has no end-of-text token or gives no character offsets.
        DataError: a row is too long and may not be cut, or its text cannot be tokenised faithfully.
        TrainingError: a row has no trained token.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise ModelError(
            f"{_name(tokenizer)}: the tokenizer has no end-of-text token, so a student could not learn to "
            "stop. Set tokenizer.eos_token and save the tokenizer again"
        )
    if not tokenizer.is_fast:
        raise ModelError(f"{_name(tokenizer)}: the tokenizer gives no character offsets; use a fast one")
    prompts = tokenizer(list(examples["prompt"]), add_special_tokens=False)["input_ids"]
    completions = tokenizer(
        list(examples["completion"]), add_special_tokens=False, return_offsets_mapping=True
    )
    begins, marks = adds_bos(tokenizer), turn_marks(tokenizer)
    limit = min((n for n in (settings.max_length, context) if n is not None), default=None)
    rows, n_truncated = [], 0
    for i, example in enumerate(rows_of(examples)):
        eid, start = example.eid, int(example.answer_start)
        before = _prompt(prompts[i], tokenizer, begins, eid)
        alone = Tokens(completions["input_ids"][i], completions["offset_mapping"][i])
        _check_completion(example.completion, alone.ids, tokenizer, marks, eid)
        after, places = _behind(example, before, alone, tokenizer)
        cut = _first_answer_token(places, start)
        ids = np.asarray([*before, *after, end], np.int32)
        spans = _spans((len(before), cut, len(after) - cut, 1))
        if limit is not None and len(ids) > limit:
            _refuse_unless_allowed(eid, len(ids), limit, settings, context)
            ids, spans = ids[:limit], _clipped(spans, limit)
            n_truncated += 1
        rows.append(Row(str(eid), ids, _labels(ids, spans, settings, eid), spans))
    return Supervised(tuple(rows), n_truncated, _digest(rows))


def trained_tokens(data: Supervised) -> dict[str, tuple[int, int]]:
    """Trained and all tokens by kind: `{kind: (trained, all)}`."""
    counts = {kind: [0, 0] for kind in KINDS}
    for row in data.rows:
        for kind, start, end in row.spans:
            counts[kind][0] += int((row.labels[start:end] != IGNORED).sum())
            counts[kind][1] += end - start
    return {kind: (trained, total) for kind, (trained, total) in counts.items()}


def mask_report(data: Supervised, tokenizer: Any, rows: int = 3) -> str:
    r"""What the loss covers, to be read before training: counts, and the first rows with marks.

    Trained text stands in `[[double brackets]]`, line breaks are shown as `\n`.
    """
    counts = trained_tokens(data)
    lengths = [len(row.input_ids) for row in data.rows]
    ends = sum(any(kind == "end" and _trained(row, s, e) for kind, s, e in row.spans) for row in data.rows)
    n = len(data.rows)
    lines = [
        f"{n} rows, {sum(lengths)} tokens (longest row {max(lengths)}), "
        f"{sum(trained for trained, _ in counts.values())} trained",
        *(f"  {kind:<9} {trained} of {total} tokens trained" for kind, (trained, total) in counts.items()),
        f"end of text trained: {'yes, in all' if ends == n else f'NO, only in {ends} of'} {n} rows",
        f"truncated: {data.n_truncated} of {n} rows",
        f"digest of ids and labels: {data.digest}",
    ]
    for number, row in enumerate(data.rows[:rows], 1):
        total = int((row.labels != IGNORED).sum())
        lines += [
            "",
            f"row {number} of {n}, example '{row.eid}': {len(row.input_ids)} tokens, {total} trained",
        ]
        for kind, start, end in row.spans:
            text = tokenizer.decode(row.input_ids[start:end].tolist(), clean_up_tokenization_spaces=False)
            text = _shortened(text).replace("\n", "\\n")
            lines.append(f"  {kind:<9} {f'[[{text}]]' if _trained(row, start, end) else text}")
    return "\n".join(lines)


def _shortened(text: str, most: int = 1200) -> str:
    if len(text) <= most:
        return text
    left = len(text) - most
    return f"{text[: most // 2]} ... ({left} characters not shown) ... {text[-most // 2 :]}"


def _trained(row: Row, start: int, end: int) -> bool:
    return bool((row.labels[start:end] != IGNORED).all())


def _prompt(ids: list[int], tokenizer: Any, begins: bool, eid: Any) -> list[int]:
    bos = tokenizer.bos_token_id
    if not ids:
        raise DataError(f"example '{eid}': the tokenizer makes no token of its prompt")
    if bos is not None and ids[:2] == [bos, bos]:
        raise DataError(
            f"example '{eid}': its prompt begins with two beginning-of-text tokens "
            f"('{tokenizer.bos_token}'); leave one out"
        )
    return [bos, *ids] if begins and ids[0] != bos else ids


def _behind(example: Any, before: list[int], alone: Tokens, tokenizer: Any) -> Tokens:
    """The completion's tokens as it follows its prompt."""
    found = continuation(tokenizer, example.prompt, before, example.completion, alone)
    if found is None:
        raise DataError(
            f"example '{example.eid}': between its prompt {example.prompt[-20:]!r} and its completion "
            f"{example.completion[:20]!r} the tokenizer puts a blank that stands in neither; a student would "
            "learn to write it. Let the prompt end, or the completion begin, with another character"
        )
    return found


def _check_completion(text: str, ids: list[int], tokenizer: Any, marks: re.Pattern[str], eid: Any) -> None:
    if not ids:
        raise DataError(f"example '{eid}': the tokenizer makes no token of its completion")
    mark = marks.search(text)
    if mark or tokenizer.eos_token_id in ids:
        found = mark.group() if mark else tokenizer.eos_token
        what = "the end of text" if found == tokenizer.eos_token else "a chat template's mark"
        raise DataError(
            f"example '{eid}': its completion holds {what} '{found}'. "
            "Leave it out: the end of text is added after every completion"
        )
    # A wrapper may leave the unknown token unnamed while the word list beneath it has one.
    name = tokenizer.unk_token or getattr(tokenizer.backend_tokenizer.model, "unk_token", None)
    unknown = None if name is None else tokenizer.convert_tokens_to_ids(name)
    if unknown is not None and unknown in ids:
        raise DataError(
            f"example '{eid}': its completion holds text that the tokenizer does not know (token "
            f"{ids.index(unknown) + 1} of {len(ids)} is '{name}'); a student would learn to write that. "
            "Use words of the model's own vocabulary"
        )


def _first_answer_token(offsets: Sequence[tuple[int, int]], start: int) -> int:
    if start < 0:
        return len(offsets)
    return next((i for i, (_, end) in enumerate(offsets) if end > start), len(offsets))


def _spans(lengths: tuple[int, int, int, int]) -> tuple[Span, ...]:
    spans, at = [], 0
    for kind, length in zip(KINDS, lengths, strict=True):
        if length:
            spans.append(Span(kind, at, at + length))
        at += length
    return tuple(spans)


def _clipped(spans: tuple[Span, ...], limit: int) -> tuple[Span, ...]:
    return tuple(Span(kind, start, min(end, limit)) for kind, start, end in spans if start < limit)


def _refuse_unless_allowed(
    eid: Any, length: int, limit: int, settings: TrainSettings, context: int | None
) -> None:
    if settings.allow_truncation:
        return
    source = "max_length" if settings.max_length == limit else "the model's context"
    both = f"max_length={settings.max_length}, context={context}"
    raise DataError(
        f"example '{eid}' has {length} tokens, {source} allows {limit} ({both}). Cutting it would cut its "
        "answer and end of text: raise max_length, drop the example, or set allow_truncation=true"
    )


def _labels(ids: NDArray[np.int32], spans: tuple[Span, ...], settings: TrainSettings, eid: Any) -> Any:
    labels = np.full(len(ids), IGNORED, np.int32)
    for kind, start, end in spans:
        if kind in settings.loss_on:
            labels[start:end] = ids[start:end]
    if (labels == IGNORED).all():
        parts = ", ".join(dict.fromkeys(kind for kind, _, _ in spans))
        raise TrainingError(
            f"example '{eid}': no token of it would be trained: loss_on is {list(settings.loss_on)}, the row "
            f"of {len(ids)} tokens holds {parts}. Give answer_start, widen loss_on, or drop the example"
        )
    return labels


def _digest(rows: Sequence[Row]) -> str:
    total = hashlib.sha256()
    for row in rows:
        total.update(len(row.input_ids).to_bytes(8, "little"))
        total.update(row.input_ids.astype("<i4").tobytes())
        total.update(row.labels.astype("<i4").tobytes())
    return total.hexdigest()


def _name(tokenizer: Any) -> str:
    return tokenizer.name_or_path or type(tokenizer).__name__
