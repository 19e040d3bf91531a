"""Traces that somebody already has, as an arm's completions: no weights, one tokenizer."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core.errors import DataError, ModelError
from mechcot.core.records import absent, check_encodable, read_any
from mechcot.sampling.sampler import Completion
from mechcot.tasks.tokens import Tokens, continuation, decode, shared_prefix, turn_marks

log = logging.getLogger("mechcot")

_COLUMNS = ["qid", "cid", "text", "finish_reason", "row"]


def load_given(path: Path, qids: Sequence[str], left_out: Collection[str] = ()) -> pd.DataFrame:
    """Read a file of given traces: parquet, JSON Lines or CSV, told by its suffix.

    `qid` and `text` are needed; the text is what stands after the prompt, end of text excluded.
    Without `cid` a question's traces are numbered in the order of the file; without `finish_reason`
    a trace has ended by itself (`stop`). Other columns are left out.

    Args:
        path: the file.
        qids: of the study's questions.
        left_out: of questions whose own rows cannot be used: their traces are left out with them.

    Returns:
        One row a trace: qid, cid, text, finish_reason, and row (its number in the file); questions in
        the order of `qids`, traces by cid.

    Raises:
        DataError: with file and row (the first is row 1, a header not counted): the file cannot be
            read, a column is missing, a question is not the study's, a text is empty, the reason is
            neither `stop` nor `length`, or a question's cids are not 0, 1, 2, ...
    """
    frame = read_any(path)
    missing = [name for name in ("qid", "text") if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path}: the columns {missing} are missing; it has {list(frame.columns)}. A file of traces has "
            "qid and text, and may have cid and finish_reason"
        )
    if frame.empty:
        raise DataError(f"{path}: holds no traces")
    place = {qid: i for i, qid in enumerate(qids)}
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for number, values in enumerate(frame.to_dict("records"), start=1):
        if str(values["qid"]) in left_out:
            continue
        row = _checked(values, f"{path}, row {number}", place, counts)
        counts[row["qid"]] = counts.get(row["qid"], 0) + 1
        rows.append(row | {"row": number})
    if len(rows) < len(frame):
        log.info(
            "%s: %d traces of questions that are left out are left out too", path, len(frame) - len(rows)
        )
    _check_numbering(rows, counts, path)
    rows.sort(key=lambda row: (place[row["qid"]], row["cid"]))
    return pd.DataFrame(rows, columns=_COLUMNS)


def completions_of(
    given: pd.DataFrame,
    tokenizer: Any,
    source: str,
    prompts: Mapping[str, tuple[str, Sequence[int]]] | None = None,
) -> list[Completion]:
    """Given traces as completions in the tokens of a checkpoint, the end of text added where they stopped.

    A chat template's mark at the end of a text is its end, and taken off. Their log-probability is not
    known: NaN.

    Args:
        given: as `load_given` returns it.
        tokenizer: of the checkpoint whose prompts they answer.
        source: what messages call their origin.
        prompts: text and tokens of what they answer, by the question's id; None: nothing stands before them.

    Raises:
        DataError: a text that the tokenizer does not give back as it is, that holds nothing or a mark of
            another turn, or that ended although a limit is said to have cut it.
        ModelError: the tokenizer has no end of text.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise ModelError(f"{tokenizer.name_or_path}: its tokenizer names no end-of-text token; set eos_token")
    marks = turn_marks(tokenizer)
    done = []
    for qid, cid, text, reason, row in given[_COLUMNS].itertuples(index=False):
        where = f"{source}, row {row} (question '{qid}', trace {cid})"
        text = _without_end(text, reason, marks, where)
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        alone = Tokens([int(i) for i in encoded["input_ids"]], encoded["offset_mapping"])
        _check_kept(text, decode(tokenizer, alone.ids), where)
        found = continuation(tokenizer, *prompts[qid], text, alone) if prompts else alone
        ids = alone.ids if found is None else found.ids
        done.append(Completion(qid, int(cid), [*ids, end] if reason == "stop" else ids, reason, float("nan")))
    return done


def _without_end(text: str, reason: str, marks: re.Pattern[str], where: str) -> str:
    """A text without the mark of its end, where it is written out."""
    mark = marks.search(text)
    if mark is None:
        return text
    if marks.sub("", text[mark.start() :]).strip():
        raise DataError(
            f"{where}: character {mark.start()} begins '{mark.group()}', a mark of a chat template, and more "
            "text follows. Keep what the model wrote in its own turn"
        )
    if reason != "stop":
        raise DataError(
            f"{where}: the text ends with '{mark.group()}', and finish_reason says '{reason}': that a limit "
            "cut it. Mend one of them"
        )
    kept = text[: mark.start()].rstrip()
    if not kept:
        raise DataError(f"{where}: the text holds nothing but its end. Leave the row out")
    return kept


def _checked(
    values: dict[Any, Any], where: str, place: dict[str, int], counts: dict[str, int]
) -> dict[str, Any]:
    qid, text, reason = (values.get(name) for name in ("qid", "text", "finish_reason"))
    if str(qid) not in place:
        raise DataError(
            f"{where}: the study has no question {qid!r}; its first is '{next(iter(place))}'. Mend the qid "
            "or leave the row out; with questions.columns.qid a study takes its ids from a column"
        )
    if absent(text) or (isinstance(text, str) and not text.strip()):
        raise DataError(f"{where}: the text is empty. Leave the row out, or write what the model wrote")
    if not isinstance(text, str):
        raise DataError(f"{where}: expected a text, found a {type(text).__name__}: {text!r}")
    check_encodable(text, where, "the text")
    reason = "stop" if absent(reason) or reason == "" else reason
    if reason not in ("stop", "length"):
        raise DataError(
            f"{where}: finish_reason is {reason!r}; expected 'stop' (it ended by itself), 'length' (a limit "
            "cut it) or nothing (stop)"
        )
    cid = _whole_number(values["cid"], where) if "cid" in values else counts.get(str(qid), 0)
    return {"qid": str(qid), "cid": cid, "text": text, "finish_reason": reason}


def _whole_number(value: Any, where: str) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not number.is_integer() or number < 0:
        raise DataError(
            f"{where}: cid is {value!r}; expected a whole number from 0. Or leave the column out: then a "
            "question's traces are numbered in the order of the file"
        )
    return int(number)


def _check_numbering(rows: list[dict[str, Any]], counts: dict[str, int], path: Path) -> None:
    """Refuse a cid twice, and gaps: readings take a question's first traces by their cids."""
    fix = "Number a question's traces 0, 1, 2, ..., or leave the column cid out"
    seen: dict[tuple[str, int], int] = {}
    for row in rows:
        qid, cid, number = row["qid"], row["cid"], row["row"]
        where = f"{path}, row {number}: the cid {cid} of question '{qid}'"
        first = seen.setdefault((qid, cid), number)
        if first != number:
            raise DataError(f"{where} stands in row {first} already. {fix}")
        if cid >= counts[qid]:
            raise DataError(f"{where} is too high for its {counts[qid]} traces. {fix}")


def _check_kept(text: str, kept: str, where: str) -> None:
    if kept == text:
        return
    at = shared_prefix([text, kept])
    raise DataError(
        f"{where}: the tokenizer of the arm before does not keep the text: from character {at} on it makes "
        f"{kept[at : at + 40]!r} of {text[at : at + 40]!r}. Write the text as its tokens spell it (known "
        "words, its own blanks and line ends, composed letters)"
    )
